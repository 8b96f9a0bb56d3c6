"""A photo's settings: what the page changes of `restoring.jobs.Options`, as JSON and back."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from undark.develop.white_balance import AS_SHOT, DAYLIGHT, WhiteBalance
from undark.restoring.jobs import Options
from undark.sensor.exposure import ExposureWish

MOST_EV = 4.0
"""EV that the exposure may differ from the proposed one."""
FORMATS = {"jpeg": 8, "png": 16, "tiff": 16, "dng": 16}
"""File format of an export → bits a channel."""


@dataclass(frozen=True)
class Settings:
    """Settings of one photo."""

    ev: float = 0.0
    """Exposure relative to the proposed one, in EV."""
    strength: float = 1.0
    white_balance: WhiteBalance = AS_SHOT
    """ "as-shot", "daylight", or gains (red, green, blue), as a grey point gave them."""
    contrast: float = 0.0

    def __post_init__(self) -> None:
        """Raises `ValueError`."""
        if not abs(self.ev) <= MOST_EV:
            raise ValueError(f"ev is -{MOST_EV:g} to {MOST_EV:g}, not {self.ev}")
        self.onto(Options())

    @classmethod
    def from_json(cls, content: Any) -> Settings:
        """Raises `ValueError`, for misspelt names too."""
        if not isinstance(content, dict) or not content.keys() <= _DEFAULTS.keys():
            raise ValueError(f"settings are {', '.join(_DEFAULTS)}")
        known = _DEFAULTS | content
        balance = _balance(known.pop("white_balance"))
        return cls(white_balance=balance, **{name: _number(n) for name, n in known.items()})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def onto(self, options: Options) -> Options:
        """The options with these settings."""
        return replace(
            options,
            exposure=ExposureWish(self.ev, relative=True),
            strength=self.strength,
            white_balance=self.white_balance,
            contrast=self.contrast,
        )


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"a setting is a number, not {value!r}")
    return float(value)


def _balance(value: Any) -> WhiteBalance:
    if value == AS_SHOT:
        return AS_SHOT
    if value == DAYLIGHT:
        return DAYLIGHT
    if isinstance(value, list | tuple) and len(value) == 3:
        red, green, blue = (_number(n) for n in value)
        return red, green, blue
    raise ValueError(f"white_balance is {AS_SHOT}, {DAYLIGHT} or three gains, not {value!r}")


_DEFAULTS = asdict(Settings())
