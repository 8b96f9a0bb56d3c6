"""`undark evaluate`: score every method on every pair by every protocol, one pair at a time."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from undark.develop.render import oriented
from undark.engine.model import Model
from undark.errors import PairError, PhotoError, naming
from undark.evaluation.data import Data
from undark.evaluation.methods import AMPLIFIED, renditions
from undark.evaluation.protocols import part, picture, scores, truth_of
from undark.files.output import write_atomically
from undark.files.raw import read_mosaic
from undark.pairs.choose import exposure_unknown
from undark.pairs.table import Row, csv_line
from undark.sensor.exposure import MAX_AMPLIFICATION

CSV, JSON = "scores.csv", "scores.json"
BRIGHT = "bright"
"""Key of the bright photo among the pictures, which otherwise have the methods' names."""


@dataclass(frozen=True)
class Score:
    """Scores of one photo, restored by one method, by one protocol."""

    photo: str
    """The dark photo, relative to the data's folder."""
    method: str
    protocol: str
    """One of `PROTOCOLS`."""
    amplification: float
    psnr: float
    """dB."""
    ssim: float


@dataclass(frozen=True, eq=False)
class Judged:
    """The results for one pair."""

    photo: str
    scores: list[Score] = field(default_factory=list)
    pictures: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    """The network's, `AMPLIFIED` and `BRIGHT`, upright, as the sRGB protocol compares them."""
    problem: str | None = None
    """One line, if the pair could not be scored."""


def evaluate(data: Data, network: Model, quick: bool = False) -> Iterator[Judged]:
    """Score the pairs one after the other; an unusable one does not stop the run.

    With `quick`, only the network and the amplified photo are scored. Raises `ModelError`.
    """
    for row in data.rows:
        name = data.name(row)
        try:
            yield _judge(name, row, network, quick)
        except PhotoError as error:
            yield Judged(name, problem=naming(error, row.dark, row.bright))


def _judge(name: str, row: Row, network: Model, quick: bool) -> Judged:
    dark = read_mosaic(row.dark)
    truth = truth_of(row, dark)
    unknown = exposure_unknown(row)
    if unknown:
        raise PairError(unknown, "exposure unknown")
    amplification = min(row.amplification, MAX_AMPLIFICATION)
    judged = Judged(name, pictures={BRIGHT: _upright(truth.picture, dark.orientation)})
    for method, light in renditions(network, dark, amplification, quick):
        judged.scores.extend(
            Score(name, method, protocol, amplification, *both)
            for protocol, *both in scores(light, dark, truth)
        )
        if method in (network.card.name, AMPLIFIED):
            shown = part(picture(light, dark), truth.place)
            judged.pictures[method] = _upright(shown, dark.orientation)
    return judged


def _upright(shown: NDArray[np.float32], orientation: int) -> NDArray[np.uint8]:
    """(H, W, 3) in [0, 1] → an upright picture of 8 bits."""
    out, frame = oriented(shown.shape[:2], orientation, 8)
    np.rint(shown * 255, out=frame, casting="unsafe")
    return np.asarray(out, np.uint8)


def write_scores(folder: Path, rows: Sequence[Score]) -> None:
    """Write `CSV` and `JSON` atomically; older ones are replaced.

    Raises `OutputError`.
    """
    names = [f.name for f in fields(Score)]
    lines = [names, *([_text(value) for value in asdict(row).values()] for row in rows)]
    text = "".join(map(csv_line, lines))
    write_atomically(folder / CSV, text.encode("utf-8", "surrogateescape"))
    content = [{name: _finite(v) for name, v in asdict(row).items()} for row in rows]
    write_atomically(folder / JSON, (json.dumps(content, indent=1) + "\n").encode())


def _text(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"


def _finite(value: float | str) -> float | str | None:
    """None for infinity, the PSNR of equal pictures, which JSON cannot represent."""
    return None if value == math.inf else value
