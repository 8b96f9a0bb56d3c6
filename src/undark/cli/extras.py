"""Optional dependencies: which extra of undark brings a package that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from undark.errors import SetupError


def lacking(what: str, package: str, extra: str) -> SetupError:
    """Says which extra of undark brings a package that is not there."""
    return SetupError(f"{what} needs {package}; install it with: pip install 'undark[{extra}]'")


@contextmanager
def needed(what: str, extra: str) -> Iterator[None]:
    """Say which extra of undark brings what cannot be imported."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise lacking(what, str(error.name), extra) from error


def check_installed() -> None:
    """Raises `SetupError` where scikit-image and what it needs are missing."""
    for package in ("skimage", "pywt"):
        if not find_spec(package):
            raise lacking("this", package, "evaluate")
