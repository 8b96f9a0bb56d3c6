"""Training settings in a file: `undark tune` writes them, `undark train --config` reads them.

TOML: `batch`, `crop`, `rate`, and a table `network` with the fields of `UNetConfig`; all optional.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from undark.errors import TrainingError
from undark.files.output import atomic_output
from undark.learn.network import UNetConfig

_KINDS: dict[str, Any] = {"batch": int, "crop": int, "rate": float}


def read_settings(path: Path) -> dict[str, Any]:
    """Fields of `Training`: batch, crop, peak, network. Raises `TrainingError`."""
    try:
        known = tomllib.loads(path.read_text(encoding="utf-8"))
        network = known.pop("network", None)
        for name, value in known.items():
            _check(name, value)
        fields = {"peak" if name == "rate" else name: value for name, value in known.items()}
        return fields | ({"network": UNetConfig.from_dict(network)} if network else {})
    except OSError as error:
        raise TrainingError(f"{path}: no settings to read here ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TrainingError(
            f"{path}: not settings of a training ({error}); give a file that `undark tune` wrote"
        ) from error


def _check(name: str, value: Any) -> None:
    if type(value) is not _KINDS[name] or value <= 0:
        raise ValueError(f"{name} = {value}")


def write_settings(path: Path, fields: dict[str, Any], comment: str) -> None:
    """The inverse of `read_settings`. Raises `OutputError`."""
    named = {"rate" if name == "peak" else name: value for name, value in fields.items()}
    numbers = [f"{name} = {value!r}" for name, value in named.items() if name in _KINDS]
    network = [f"{name} = {value}" for name, value in fields["network"].as_dict().items()]
    lines = [f"# {comment}", *numbers, "", "[network]", *network]
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
