"""Fine-tune the shipped model on two pairs of a camera whose noise was not in its training.

    python benchmarks/finetune.py --steps 150      # about five minutes on two cores

The camera is simulated, with noise that no camera of the table has: read noise correlated between
rows, the same column offsets in every photo, hot pixels at fixed positions. The shipped model's
training had column offsets and correlation along rows, but none along columns. undark knows neither
the camera's name nor its noise, which it estimates from each photo. `undark train pairs --from
bayer` fine-tunes on two simulated pairs of `../shared/photos/train`. Then dark photos of all of
`val` are simulated and restored by both models. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classical_planes import Plane
from darkroom import BLACK, SHARED, SPAN, WHITE, as_mosaic, fidelity, load_light, picture, see
from undark.engine.catalogue import find_model
from undark.engine.model import Model, load_model
from undark.files.dng import write_mosaic
from undark.files.picture import write_picture
from undark.files.raw import read_mosaic
from undark.learn.from_pairs import train_pairs
from undark.learn.options import Training
from undark.pairs.check import check_pairs
from undark.pairs.find import find_pairs
from undark.pairs.table import NAME, write_rows
from undark.restoring.blend import amplify_and_demosaic
from undark.restoring.raw import restore
from undark.sensor.mosaic import Mosaic, Shot

SIZE = (768, 1024)
"""Rows and columns of the central crop of a photo."""
RATIOS = (100, 200)
PAIRS = ("budgie__casa-mila.jpg", "elementary__168.jpg")
"""Photographs of `train`, one by day and one by night."""
ISO, BRIGHT_ISO = 1600, 100


class Camera:
    """A simulated camera with a 14-bit sensor; values in DN."""

    GAIN, READ, ROW_WEIGHT = 1.6, 7.0, 0.7
    """Gain and read noise at ISO 1600; weight of the noise of the next pixel above with the same
    colour."""
    COLUMN, HOT = 3.0, 1 / 2000

    def __init__(self) -> None:
        random = np.random.default_rng(2006)
        self._columns = self.COLUMN * random.standard_normal(SIZE[1])
        self._hot = (random.random(SIZE) < self.HOT) * 400 * random.random(SIZE) ** 3

    def photograph(self, light: Plane, iso: int, ratio: float, seed: int) -> Mosaic:
        """The mosaic of (H, W, 3) white-balanced camera RGB, exposed `ratio` times too dark."""
        random = np.random.default_rng(seed)
        share = iso / ISO
        signal = random.poisson(see(light) * SPAN / ratio / (self.GAIN * share))
        read = random.standard_normal(SIZE)
        read[2:] += self.ROW_WEIGHT * read[:-2]
        fixed = self._columns + self._hot
        noisy = signal * self.GAIN * share + share * (self.READ * read + fixed)
        plane = np.rint(noisy + BLACK).clip(0, WHITE).astype(np.uint16)
        # the same light: ISO 100 takes 16 times as long
        shot = Shot("Imaginary", "Imaginary 1", exposure_time=ISO / iso / ratio, iso=float(iso))
        return replace(as_mosaic(plane, BLACK, WHITE), shot=shot)


def middle(photo: Path) -> Plane:
    """The light of the central crop of a photo."""
    light = load_light(photo)
    top, left = ((n - s) // 2 for n, s in zip(light.shape, SIZE, strict=False))
    return light[top : top + SIZE[0], left : left + SIZE[1]]


def simulate_pairs(folder: Path, camera: Camera) -> None:
    """Write two pairs, and check them as `undark pairs` does."""
    for number, (name, ratio) in enumerate(zip(PAIRS, RATIOS, strict=True)):
        light = middle(SHARED / "photos" / "train" / name)
        for part, iso, dark in (("dark", ISO, ratio), ("bright", BRIGHT_ISO, 1)):
            path = folder / part / f"{number}.dng"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_mosaic(path, camera.photograph(light, iso, dark, seed=2 * number + (dark == 1)))
    rows = [checked.row for checked in check_pairs(find_pairs(folder).pairs, folder)]
    print(f"the two pairs, by `undark pairs`: {', '.join(row.verdict for row in rows)}\n")
    write_rows(folder / NAME, rows)


def scores(photo: Mosaic, ratio: float, model: Model, truth: Plane) -> dict[str, float]:
    """PSNR of the mosaic and of the picture, as in `quality.py`."""
    light = restore(photo, exposure=ratio, model=model).linear.astype(np.float64)
    return fidelity(see(light), light, truth)


def table(folder: Path, camera: Camera, models: dict[str, Model]) -> str:
    """Markdown: scores of each model on each photo of `val`, and the means."""
    lines = ["| photo | × | " + " | ".join(models) + " |", "|" + "---|" * (2 + len(models))]
    rows: list[list[dict[str, float]]] = []
    for number, path in enumerate(sorted((SHARED / "photos" / "val").glob("*.jpg"))):
        truth, ratio = middle(path), RATIOS[number % 2]
        dng = folder / "other.dng"
        write_mosaic(dng, camera.photograph(truth, ISO, ratio, seed=100 + number))
        photo = read_mosaic(dng)
        rows.append([scores(photo, ratio, model, truth) for model in models.values()])
        lines.append(f"| {path.name} | {ratio} | {_cells(rows[-1])} |")
    means = [
        {key: float(np.mean([row[n][key] for row in rows])) for key in rows[0][n]}
        for n in range(len(models))
    ]
    return "\n".join([*lines, f"| mean | | {_cells(means)} |"])


def _cells(row: list[dict[str, float]]) -> str:
    return " | ".join(f"{one['raw']:.2f} / {one['srgb']:.2f}" for one in row)


def draw(camera: Camera, models: dict[str, Model], path: Path) -> None:
    """Draw a photo amplified, restored by each model, and the ground truth, side by side."""
    truth = middle(sorted((SHARED / "photos" / "val").glob("*.jpg"))[4])
    photo = camera.photograph(truth, ISO, RATIOS[0], seed=104)
    restored = [restore(photo, exposure=RATIOS[0], model=m).linear for m in models.values()]
    lights = [amplify_and_demosaic(photo, RATIOS[0]), *restored, truth]
    pictures = [_picture(np.asarray(light, np.float64)) for light in lights]
    write_picture(path, np.concatenate([p[200:712, 300:812] for p in pictures], axis=1), Shot())


def _picture(light: Plane) -> NDArray[np.uint8]:
    return (255 * picture(light) + 0.5).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--loss", default="l1")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--draw", type=Path, help="a PNG of one photo, to look at")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder, camera = Path(name), Camera()
        simulate_pairs(folder, camera)
        training = Training(
            folder, folder / "mine", steps=asked.steps, start=find_model("bayer"), peak=asked.rate
        )
        outcome = train_pairs(training, loss=asked.loss, cache=folder / "cache")
        before, after = outcome.before["held"], outcome.scores["held"]
        print(f"held-back parts of the two pairs: {before:.2f} → {after:.2f} dB\n")
        models = {"as shipped": load_model(), "fine-tuned": load_model(str(outcome.model))}
        print(table(folder, camera, models))
        if asked.draw:
            draw(camera, models, asked.draw)


if __name__ == "__main__":
    main()
