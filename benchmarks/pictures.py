"""Dark JPEGs: the picture model beside classical methods, and beside the same scenes in RAW.

    python benchmarks/pictures.py [--model FILE] [--photos N]     # prints the tables
    python benchmarks/pictures.py --tune 6                        # the classical methods' settings
    python benchmarks/pictures.py --sheet FILE                    # crops to look at

A Sony A7S2 at ISO 1600 is simulated by `darkroom`, LibRaw develops its DNG, and Pillow applies one
of two styles and compresses: none of it is training's code. The truth is the noise-free light
through the same tone curve. All are amplified by the same ratio, and compared in sRGB.

Classical methods work on the amplified picture, luma and colour differences apart, each at the
strength that is best for it on crops of training photos, per style and ratio.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

import undark
from darkroom import (
    SHARED,
    Cell,
    as_dark,
    darken,
    developed,
    load_light,
    middle,
    picture,
    shoot_dng,
)
from undark.develop.colour import decode_srgb, encode_srgb
from undark.develop.drawing import titled
from undark.develop.metrics import psnr, ssim
from undark.engine.model import Model
from undark.files.picture import Picture, write_picture
from undark.sensor.mosaic import Shot

ISO, RATIOS = 1600, (10, 30, 100)
SIDE, TUNE_SIDE = 320, 224
SETTINGS = Path(__file__).with_name("classical_pictures.json")
STRENGTHS = (0.0, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.11, 0.15, 0.2, 0.28, 0.4, 0.56)
"""Standard deviations of the noise that a classical method is told, white = 1."""
BRIGHT_QUALITIES = (85, 95)

Plane = NDArray[np.float64]


@dataclass(frozen=True)
class Style:
    """What a camera does after its linear development."""

    name: str
    quality: int
    contrast: float = 0.0
    sharpening: int = 0
    """Percent, of Pillow's unsharp mask of radius 1."""

    def curve(self, level: Plane) -> Plane:
        """sRGB level in [0, 1] → level: an S."""
        bent: Plane = level - self.contrast * np.sin(2 * np.pi * level) / (2 * np.pi)
        return bent

    def store(self, levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The levels of the JPEG."""
        table = np.rint(self.curve(np.arange(256) / 255.0) * 255).astype(np.uint8)
        image = Image.fromarray(table[levels])
        if self.sharpening:
            image = image.filter(ImageFilter.UnsharpMask(1, self.sharpening, 0))
        return jpeg(np.asarray(image), self.quality)


STYLES = (
    Style("plain", 92),
    Style("contrast, sharpened", 85, contrast=0.4, sharpening=60),
)


def jpeg(levels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Levels after JPEG with colours at half the size."""
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(file).convert("RGB"))


@dataclass(frozen=True)
class Shown:
    """A dark JPEG, how much it is amplified, and what it should become."""

    levels: NDArray[np.uint8]
    amplification: float
    truth: Plane
    """(H, W, 3) sRGB in [0, 1]."""
    light: Plane
    cell: Cell
    number: int

    @property
    def amplified(self) -> Plane:
        return shown(decode_srgb(self.levels / 255.0) * self.amplification)


def shown(light: Plane) -> Plane:
    """Linear sRGB → sRGB in [0, 1]."""
    encoded: Plane = encode_srgb(light.clip(0, 1))
    return encoded


def shoot(light: Plane, style: Style, ratio: int, number: int) -> Shown:
    """The JPEG of a scene that is `ratio` times too dark."""
    cell = Cell(ISO, ratio)
    with tempfile.TemporaryDirectory() as folder:
        dng = Path(folder, "dark.dng")
        shoot_dng(dng, light, cell, number)
        levels = developed(dng)
    bright = decode_srgb(picture(light))
    dark = decode_srgb(style.curve(shown(bright / ratio)))
    amplification = float(bright.mean() / dark.mean())
    truth = shown(dark * amplification)
    return Shown(style.store(levels), amplification, truth, light, cell, number)


def lights(part: str, side: int, count: int | None = None) -> list[Plane]:
    """Central crops of the photos of "train" or "val"; of some, evenly spaced ones."""
    paths = sorted((SHARED / "photos" / part).glob("*.jpg"))
    if count is not None and count < len(paths):
        paths = [paths[i] for i in np.linspace(0, len(paths) - 1, count).astype(int)]
    return [middle(load_light(path), (side, side), 16) for path in paths]


def non_local_means(plane: Plane, sigma: float) -> Plane:
    from skimage.restoration import denoise_nl_means

    clean: Plane = denoise_nl_means(plane, 7, 10, h=0.8 * sigma, sigma=sigma, fast_mode=True)
    return clean


def wavelets(plane: Plane, sigma: float) -> Plane:
    from skimage.restoration import cycle_spin, denoise_wavelet

    options = {"sigma": sigma, "mode": "soft", "method": "BayesShrink", "rescale_sigma": False}
    clean: Plane = cycle_spin(plane, denoise_wavelet, 3, func_kw=options, workers=1)
    return clean


def total_variation(plane: Plane, sigma: float) -> Plane:
    from skimage.restoration import denoise_tv_chambolle

    untyped: Any = denoise_tv_chambolle
    clean: Plane = untyped(plane, weight=2 * sigma)
    return clean


def bm3d(plane: Plane, sigma: float) -> Plane:
    import bm3d as package

    clean: Plane = package.bm3d(plane, sigma)
    return clean


METHODS: dict[str, Callable[[Plane, float], Plane]] = {
    "wavelets": wavelets,
    "total variation": total_variation,
    "non-local means": non_local_means,
    "BM3D": bm3d,
}
FROM_RGB = np.array([[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]])
"""R'G'B' → Y'CbCr (JFIF)."""


def channels(rgb: Plane) -> list[Plane]:
    """Luma and the two colour differences."""
    return [np.ascontiguousarray(plane) for plane in np.moveaxis(rgb @ FROM_RGB.T, -1, 0)]


def denoised(method: str, rgb: Plane, strengths: Sequence[float]) -> Plane:
    """A picture after a classical method with a strength for luma and one for colours."""
    luma, colours = strengths
    sigmas = (luma, colours, colours)
    planes = [
        METHODS[method](plane, sigma) if sigma else plane
        for plane, sigma in zip(channels(rgb), sigmas, strict=True)
    ]
    clean: Plane = np.stack(planes, -1) @ np.linalg.inv(FROM_RGB).T
    return clean.clip(0, 1)


def tune(count: int) -> None:
    """Find and store the strengths; those of a method that is not installed are kept."""
    known: dict[str, Any] = json.loads(SETTINGS.read_text()) if SETTINGS.exists() else {}
    scenes = lights("train", TUNE_SIDE, count)
    for style in STYLES:
        for ratio in RATIOS:
            frames = [shoot(light, style, ratio, n) for n, light in enumerate(scenes)]
            for method in methods():
                found = [_best(method, frames, part) for part in (slice(0, 1), slice(1, 3))]
                known.setdefault(method, {})[f"{style.name} x{ratio}"] = found
                print(method, style.name, ratio, found, flush=True)
    SETTINGS.write_text(json.dumps(known, indent=1) + "\n")


def _best(method: str, frames: Sequence[Shown], part: slice) -> float:
    """The strength of least squared error of some channels, by descent along `STRENGTHS`."""
    pairs = [
        (noisy, true)
        for frame in frames
        for noisy, true in zip(
            channels(frame.amplified)[part], channels(frame.truth)[part], strict=True
        )
    ]

    @cache
    def error(at: int) -> float:
        strength = STRENGTHS[at]
        cleaned = [METHODS[method](noisy, strength) if strength else noisy for noisy, _ in pairs]
        return sum(float(((c - t) ** 2).mean()) for c, (_, t) in zip(cleaned, pairs, strict=True))

    at = len(STRENGTHS) // 2
    while True:
        near = [n for n in (at - 1, at, at + 1) if 0 <= n < len(STRENGTHS)]
        best = min(near, key=error)
        if best == at:
            return STRENGTHS[at]
        at = best


@cache
def methods() -> tuple[str, ...]:
    """Those that are installed."""
    from importlib.util import find_spec

    return tuple(name for name in METHODS if name != "BM3D" or find_spec("bm3d"))


def restored(model: Model, frame: Shown) -> Plane:
    """By the picture model."""
    made = undark.restore_picture(Picture(frame.levels), model=model, exposure=frame.amplification)
    return shown(made.linear.astype(np.float64))


def from_raw(frame: Shown) -> Plane:
    """By the RAW model, from the same frame before it became a JPEG; noise estimated."""
    mosaic, _ = as_dark(darken(frame.light, frame.cell, (frame.number,)))
    made = undark.restore(mosaic, exposure=frame.cell.amplification)
    return picture(made.linear.astype(np.float64))


def score(model: Model, count: int | None) -> str:
    """Markdown: PSNR and SSIM by style and ratio."""
    known: dict[str, Any] = json.loads(SETTINGS.read_text())
    used = [name for name in methods() if name in known]
    names = ["amplified", *used, "undark", "undark from RAW"]
    lines = ["| JPEG | " + " | ".join(names) + " | ahead |", "|---" * (len(names) + 2) + "|"]
    scenes = lights("val", SIDE, count)
    for style in STYLES:
        for ratio in RATIOS:
            rows = [
                _scores(model, shoot(light, style, ratio, n), style, known, used)
                for n, light in enumerate(scenes)
            ]
            means = {name: np.mean([row[name] for row in rows], axis=0) for name in rows[0]}
            cells = [f"{means[n][0]:.2f} / {means[n][1]:.3f}" if n in means else "" for n in names]
            ahead = means["undark"][0] - max(means[n][0] for n in used)
            cells.append(f"{ahead:+.2f} dB")
            lines.append(f"| {style.name}, ×{ratio} | " + " | ".join(cells) + " |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def _scores(
    model: Model, frame: Shown, style: Style, known: dict[str, Any], used: Sequence[str]
) -> dict[str, tuple[float, float]]:
    amplified = frame.amplified
    key = f"{style.name} x{frame.cell.amplification}"
    made = {"amplified": amplified, "undark": restored(model, frame)}
    made |= {name: denoised(name, amplified, known[name][key]) for name in used}
    if style.name == "plain":  # another curve is another truth
        made["undark from RAW"] = from_raw(frame)
    return {name: (psnr(p, frame.truth), ssim(p, frame.truth)) for name, p in made.items()}


def unchanged(model: Model, count: int | None) -> str:
    """What the model changes on pictures that are neither dark nor noisy: a line of text."""
    found: list[tuple[int, float]] = []
    for light in lights("val", SIDE, count):
        clean = np.rint(255 * picture(light)).astype(np.uint8)
        for quality in BRIGHT_QUALITIES:
            levels = jpeg(clean, quality)
            made = undark.restore_picture(Picture(levels), model=model, exposure=1.0)
            found.append((quality, psnr(made.picture() / 255.0, levels / 255.0)))
    parts = [[value for q, value in found if q == quality] for quality in BRIGHT_QUALITIES]
    texts = []
    for quality, values in zip(BRIGHT_QUALITIES, parts, strict=True):
        changed = [value for value in values if value < np.inf]
        same = f"{len(values) - len(changed)} of {len(values)} unchanged, the others"
        scores = (
            f"{np.median(changed):.1f} dB in the median, {min(changed):.1f} at least"
            if changed
            else "none"
        )
        texts.append(f"at quality {quality} {same} {scores}")
    return "Bright, clean JPEGs against themselves: " + "; ".join(texts) + "."


def sheet(model: Model, path: Path) -> None:
    """undark's scene at ×30 and ×100: amplified, BM3D or the best there is, undark, RAW, truth."""
    from raw_or_jpeg import SCENE_CROP, scene

    known: dict[str, Any] = json.loads(SETTINGS.read_text())
    best = [name for name in methods() if name in known][-1]
    rows = [
        _row(model, shoot(scene()[SCENE_CROP], STYLES[0], r, 1), best, known) for r in (30, 100)
    ]
    names = ["JPEG, amplified", best, "undark", "undark, from RAW", "truth"]
    pictures = [titled(row, [f"{n}" for n in names]) for row in rows]
    width = min(p.shape[1] for p in pictures)
    write_picture(path, np.concatenate([p[:, :width] for p in pictures]), Shot(), 88)


def _row(model: Model, frame: Shown, best: str, known: dict[str, Any]) -> list[NDArray[np.uint8]]:
    key = f"plain x{frame.cell.amplification}"
    made = [
        frame.amplified,
        denoised(best, frame.amplified, known[best][key]),
        restored(model, frame),
        from_raw(frame),
        frame.truth,
    ]
    return [np.rint(255 * one.clip(0, 1)).astype(np.uint8) for one in made]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", default="picture")
    parser.add_argument("--photos", type=int)
    parser.add_argument("--tune", type=int, metavar="PHOTOS")
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    if asked.tune:
        tune(asked.tune)
        return
    model = undark.load_model(asked.model, "cpu")
    if asked.sheet:
        sheet(model, asked.sheet)
        return
    print(score(model, asked.photos))
    print()
    print(unchanged(model, asked.photos))


if __name__ == "__main__":
    main()
