"""How the photos of a batch are to be restored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from undark.develop.render import check_contrast
from undark.develop.white_balance import AS_SHOT, WhiteBalance, check_white_balance
from undark.engine.catalogue import BEST, QUALITIES
from undark.restoring.blend import check_strength
from undark.sensor.exposure import ExposureWish, parse_exposure


@dataclass(frozen=True)
class Options:
    """Options of restoring, shared by the command line and Python."""

    exposure: ExposureWish = parse_exposure("auto")  # noqa: RUF009  # frozen
    strength: float = 1.0
    """Fraction of the noise to remove, 0 to 1."""
    model: str | None = None
    """A shipped model's name or a file; None: the shipped model of each photo's sensor."""
    quality: str = BEST
    """ "best" or "fast": of the shipped models, where none is named."""
    device: str = "auto"
    bits: int = 8
    """Bits a channel, 8 or 16, of PNG and TIFF."""
    overwrite: bool = False
    confidence: bool = False
    """Whether to write a map of confidence (`Job.confidence`) beside each result."""
    dark_frames: tuple[Path, ...] = ()
    """RAW files taken with the lens covered: their mean is subtracted from the photos it fits."""
    white_balance: WhiteBalance = AS_SHOT
    """ "as-shot", "daylight" or a grey point (x, y) in pixels of the upright picture."""
    contrast: float = 0.0
    """-1 to 1: more or less than the renderer's own; does not apply to a linear DNG."""

    def __post_init__(self) -> None:
        check_strength(self.strength)
        if self.quality not in QUALITIES:
            raise ValueError(f"quality is {' or '.join(QUALITIES)}, not {self.quality}")
        if self.model is not None and self.quality != BEST:
            raise ValueError("a quality chooses among the shipped models: give it or a model")
        if self.bits not in (8, 16):
            raise ValueError(f"bits are 8 or 16, not {self.bits}")
        check_white_balance(self.white_balance)
        check_contrast(self.contrast)

    @property
    def of_network(self) -> tuple[str | None, str, str, tuple[Path, ...]]:
        """What the network's output for a photo depends on, beside the exposure."""
        return self.model, self.quality, self.device, self.dark_frames
