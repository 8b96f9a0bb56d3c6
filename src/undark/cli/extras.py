"""Optional dependencies: names the pip extra that installs a missing package."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from undark.errors import SetupError


def lacking(what: str, package: str, extra: str) -> SetupError:
    """The error that names the pip extra to install."""
    return SetupError(f"{what} needs {package}; install it with: pip install 'undark[{extra}]'")


@contextmanager
def needed(what: str, extra: str) -> Iterator[None]:
    """Raise `SetupError` that names the pip extra where an import in the block fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise lacking(what, str(error.name), extra) from error


def check_installed() -> None:
    """Raises `SetupError` where scikit-image and what it needs are missing."""
    for package in ("skimage", "pywt"):
        if not find_spec(package):
            raise lacking("this", package, "evaluate")
