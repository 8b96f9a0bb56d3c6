"""Published scores on SID, each with its protocol and source.

RAW → RAW figures are means over the 129 pairs of `sony_raw_paired_129.txt`, the list that ELD and
PMN use (megvii-research/PMN, Apache-2.0), with scenes of the test and the validation split. RAW →
sRGB figures are means over the test split.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from undark.evaluation.protocols import CORRECTED, RAW, SRGB


@dataclass(frozen=True)
class Figure:
    """A published mean; `amplification` is None for the mean over all amplifications."""

    method: str
    protocol: str
    amplification: int | None
    psnr: float
    ssim: float | None
    source: str


def published(camera: str) -> list[Figure]:
    """Published scores on SID's "sony" or "fuji" photos; empty for other data."""
    found = [
        Figure(method, SRGB, None, *score, source)
        for method, source, *scores in _SRGB
        for name, score in zip(("sony", "fuji"), scores, strict=True)
        if name == camera and score
    ]
    return found + (_raw() if camera == "sony" else [])


@cache
def raw_pairs() -> frozenset[str]:
    """Names, without suffix, of the dark photos over which RAW → RAW figures are averaged."""
    text = (files("undark.evaluation") / "sony_raw_paired_129.txt").read_text()
    return frozenset(text.split())


def _raw() -> list[Figure]:
    corrected = [
        Figure(method, RAW + CORRECTED, ratio, *score, source)
        for method, source, *scores in _CORRECTED
        for ratio, score in zip(_RATIOS, scores, strict=True)
    ]
    as_is = [
        Figure("PMN (TPAMI 2023)", RAW, ratio, psnr, None, _PMN)
        for ratio, psnr in zip(_RATIOS, _PMN_AS_IS, strict=True)
    ]
    return as_is + corrected


_TABLE = "MohitLamba94/Restoring-Extremely-Dark-Images-In-Real-Time, imgs/table.png"
# method, source, Sony, Fuji: PSNR in dB and SSIM
_SRGB = (
    ("SID U-Net (Chen et al., CVPR 2018)", _TABLE, (28.88, 0.787), (26.61, 0.680)),
    ("SGN", _TABLE, (28.91, 0.789), (26.90, 0.683)),
    ("DID", _TABLE, (28.41, 0.780), None),
    ("LLPackNet", _TABLE, (27.83, 0.75), (24.13, 0.59)),
    ("LDC", _TABLE, (29.56, 0.799), (26.70, 0.681)),
    ("RRT", _TABLE, (28.66, 0.790), (26.60, 0.682)),
    ("DNF (CVPR 2023)", "Srameo/LED, issue 5", (30.62, 0.797), None),
)

_RATIOS = (100, 250, 300)
_PMN = "megvii-research/PMN, README and logs"
_CORRECTED = (
    ("Poisson-Gaussian", _PMN, (39.44, 0.890), (34.32, 0.768), (30.66, 0.657)),
    ("ELD", _PMN, (41.95, 0.963), (39.44, 0.931), (36.36, 0.911)),
    ("trained on SID's own pairs", _PMN, (42.06, 0.955), (39.60, 0.938), (36.85, 0.923)),
    ("PMN (TPAMI 2023)", _PMN, (43.47, 0.961), (41.04, 0.947), (37.87, 0.934)),
    ("PNNP", "fenghansen/PNNP, logs", (43.63, 0.961), (41.49, 0.950), (38.01, 0.935)),
)
_PMN_AS_IS = (42.65, 40.39, 37.23)
