"""undark turns extremely dark RAW photographs into bright, fully detailed pictures.

import undark
photo = undark.read("IMG_0001.ARW")
result = undark.restore(photo)
result.save("IMG_0001.jpg")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from undark.engine.model import Model, load_model
    from undark.errors import UndarkError
    from undark.files.picture import open_picture
    from undark.files.raw import read_mosaic as read
    from undark.restoring.burst import merge
    from undark.restoring.picture import restore_picture
    from undark.restoring.raw import Restored, restore
    from undark.sensor.mosaic import Mosaic

# name → where it is; looked up when first used, so that `import undark` costs nothing
_WHERE = {
    "Model": ("undark.engine.model", "Model"),
    "Mosaic": ("undark.sensor.mosaic", "Mosaic"),
    "Restored": ("undark.restoring.raw", "Restored"),
    "UndarkError": ("undark.errors", "UndarkError"),
    "load_model": ("undark.engine.model", "load_model"),
    "merge": ("undark.restoring.burst", "merge"),
    "open_picture": ("undark.files.picture", "open_picture"),
    "read": ("undark.files.raw", "read_mosaic"),
    "restore": ("undark.restoring.raw", "restore"),
    "restore_picture": ("undark.restoring.picture", "restore_picture"),
}

__all__ = [
    "Model",
    "Mosaic",
    "Restored",
    "UndarkError",
    "__version__",
    "load_model",
    "merge",
    "open_picture",
    "read",
    "restore",
    "restore_picture",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'undark' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
