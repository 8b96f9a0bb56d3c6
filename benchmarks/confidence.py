"""Fit the law of `Restored.confidence` to a model's errors on photographs, and check it on others.

    python benchmarks/confidence.py --model src/undark/engine/weights/bayer.onnx --write

Photographs of `../shared/photos/train` are made dark as in `quality.py`, seen through the CFA that
the model is for, and restored; the law is fitted to the errors of red, green and blue at random
pixels (see `fit`). The tables are for `../shared/photos/val`: the share of true values within the
interval, by ISO and brightness, and its mean half width beside that of rivals. A rival knows only
brightness and ISO, the second one the amplification too; in each of 20 classes of restored
brightness it has the 90 % quantile of the very errors that it is judged by, so no interval from the
same variables is narrower. `--write` keeps
the law beside the model. It is a file of its own and not in the model's card, so that it can be
fitted again without a new export, whose digest results and records refer to.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import darkroom
from darkroom import Cell, cfa_of, model_of, sensor_noise, shoot
from undark.develop.colour import camera_from_srgb, decode_srgb
from undark.restoring.confidence import (
    COVERAGE,
    REACHES,
    SUFFIX,
    Law,
    describe_rows,
)

Values = NDArray[np.float32]
Light = NDArray[np.float64]

ISOS, AMPLIFICATIONS = (100, 400, 1600, 6400), (3, 10, 30, 100, 250, 300)
"""From photos with next to no noise to those of which little is left."""
SIDE = 256
"""Pixels of a crop's height and width."""
PIXELS = 3000
"""Random pixels of a crop."""
CROPS = 2
"""Of a photo to check on, for each ISO and amplification."""
CLASSES, FIFTHS = 20, 5
FITTED, KNOTS = 60_000, 10
"""Pixels that the law is fitted to, and levels of its offset."""
SMOOTH = 0.1
"""Width of the rounded corner between inside and outside, in log(error)."""


@dataclass(frozen=True, eq=False)
class Sample:
    """Pixels of restored photographs; n pixels."""

    features: Values
    """(n, features)"""
    sigma: Values
    """(n,)"""
    error: Values
    """(n, 3): size of the error of red, green and blue."""
    level: Values
    """(n,): restored brightness."""
    true_level: Values
    """(n,): true brightness."""
    iso: Values
    ratio: Values

    def part(self, keep: NDArray[np.bool_]) -> Sample:
        return Sample(*(getattr(self, name)[keep] for name in self.__dataclass_fields__))


def measure(light: Light, cell: Cell, model: Any, seed: tuple[int, int]) -> Sample:
    """Random pixels of light (H, W, 3) that was made dark and restored."""
    import undark

    seeds = (*seed, cell.iso, cell.amplification)
    random = np.random.default_rng(seeds)
    dark = shoot(light, cfa_of(model), cell, (*seeds, 1))
    noise = model_of(sensor_noise(cell.iso))
    ratio = float(cell.amplification)
    restored = undark.restore(dark, exposure=ratio, noise=noise, model=model).linear
    sigma, features = describe_rows(restored, dark, noise, ratio, slice(0, len(restored)))
    at = random.integers(sigma.size, size=PIXELS)

    def taken(values: NDArray[Any]) -> Values:
        return values.reshape(sigma.size, -1)[at].astype(np.float32)

    return Sample(
        taken(features),
        taken(sigma)[:, 0],
        taken(np.abs(restored - light)),
        taken(restored.mean(axis=-1))[:, 0],
        taken(light.mean(axis=-1))[:, 0],
        np.full(PIXELS, cell.iso, np.float32),
        np.full(PIXELS, cell.amplification, np.float32),
    )


def crop_of(photo: Path, seed: tuple[int, ...]) -> Light:
    """The light of a random part of a photo, at even positions."""
    from undark.files.picture import read_picture

    random, srgb = np.random.default_rng(seed), read_picture(photo)
    top, left = (random.integers((n - SIDE) // 2 + 1) * 2 for n in srgb.shape[:2])
    linear = decode_srgb(srgb[top : top + SIDE, left : left + SIDE] / 255.0)
    light: Light = np.maximum(linear @ camera_from_srgb(darkroom.MATRIX).T, 0)
    return light


def gather(part: str, count: int, model: Any, seed: int, every: bool) -> Sample:
    """Samples of photos: `CROPS` for each ISO and amplification, or one for each ISO where not
    `every`, each amplification in its turn."""
    photos = sorted((darkroom.SHARED / "photos" / part).glob("*.jpg"))
    found = []
    for number, photo in enumerate(photos[:: max(1, len(photos) // count)][:count]):
        if every:
            cells = [Cell(iso, ratio) for iso in ISOS for ratio in AMPLIFICATIONS]
        else:
            turned = np.roll(AMPLIFICATIONS, -number).tolist()
            cells = [Cell(iso, ratio) for iso, ratio in zip(ISOS, turned, strict=False)]
        for n, cell in enumerate(cells * CROPS if every else cells):
            light = crop_of(photo, (seed, number, n))
            found.append(measure(light, cell, model, (seed, number)))
    columns = [np.concatenate([getattr(s, n) for s in found]) for n in Sample.__dataclass_fields__]
    return Sample(*columns)


def fit(sample: Sample, seed: int) -> Law:
    """The law, by quantile regression of log(|error| / sigma) (Koenker & Bassett 1978)."""
    few = np.random.default_rng(seed).permutation(sample.sigma.size)[:FITTED]
    sample = sample.part(np.sort(few))
    contrasts = sample.features[:, 1:].astype(np.float64)
    levels = np.quantile(sample.features[:, 0], np.linspace(0.01, 0.99, KNOTS))
    tents = np.stack([np.interp(sample.features[:, 0], levels, t) for t in np.eye(KNOTS)], axis=-1)
    target = np.log(np.maximum(sample.error / sample.sigma[:, None], 1e-4)).astype(np.float64)
    terms = np.concatenate([contrasts, tents], axis=-1)
    found = quantile_regression(terms, target)
    ends = _rounded(np.quantile(np.exp(terms @ found), (0.001, 0.999)))
    coefficients, offsets = found[: len(REACHES)], found[len(REACHES) :]
    return Law(_rounded(coefficients), _rounded(levels), _rounded(offsets), ends[0], ends[1])


def _rounded(numbers: NDArray[Any]) -> tuple[float, ...]:
    return tuple(float(f"{number:.5g}") for number in numbers)


def quantile_regression(features: Light, target: Light) -> Light:
    """Weights (features,) so that `COVERAGE` of the targets (n, 3) are below features · weights.

    The corner of the loss is rounded, so that it has a derivative.
    """
    from scipy.optimize import minimize

    scale = features.std(axis=0)
    scaled = features / scale

    def loss(weights: Light) -> tuple[float, Light]:
        over = target - (scaled @ weights)[:, None]
        value = COVERAGE * over + SMOOTH * np.logaddexp(0, -over / SMOOTH)
        slope = COVERAGE - 1 / (1 + np.exp((over / SMOOTH).clip(-80, 80)))
        return float(value.mean()), -scaled.T @ slope.mean(axis=-1) / len(over)

    start = np.zeros(features.shape[1])
    found: Light = minimize(loss, start, jac=True, method="L-BFGS-B").x / scale
    return found


def rival(sample: Sample, by_ratio: bool) -> Values:
    """(n,): half widths of the best interval that knows ISO and brightness only."""
    widths = np.zeros_like(sample.level)
    for iso in np.unique(sample.iso):
        for ratio in np.unique(sample.ratio) if by_ratio else [None]:
            at = np.flatnonzero((sample.iso == iso) & ((sample.ratio == ratio) | (ratio is None)))
            for class_ in np.array_split(at[np.argsort(sample.level[at])], CLASSES):
                widths[class_] = np.quantile(sample.error[class_], COVERAGE)
    return widths


def coverage(sample: Sample, widths: Values, level: Values) -> list[float]:
    """Share of true values within the interval in each fifth of a brightness."""
    inside = (sample.error <= widths[:, None]).mean(axis=-1)
    return [float(inside[at].mean()) for at in np.array_split(np.argsort(level), FIFTHS)]


def report(sample: Sample, law: Law) -> str:
    """The tables, and whether the law holds."""
    widths = sample.sigma * law.half_widths(sample.features)
    lines = [
        "| ISO | fifths by | " + " | ".join(f"{n}" for n in range(1, 6)) + " |",
        "|---" * 7 + "|",
    ]
    shares = []
    for iso in np.unique(sample.iso):
        keep = sample.iso == iso
        part = sample.part(keep)
        for name, level in (("restored", part.level), ("true", part.true_level)):
            found = coverage(part, widths[keep], level)
            shares += found
            shown = " | ".join(f"{100 * s:.1f} %" for s in found)
            lines.append(f"| {iso:.0f} | {name} brightness | {shown} |")
    lines += ["", "| ISO | law | rival | rival with amplification |", "|---|---|---|---|"]
    rivals = [rival(sample, by_ratio) for by_ratio in (False, True)]
    for iso in [*np.unique(sample.iso), None]:
        keep = (sample.iso == iso) | (iso is None)
        shown = " | ".join(f"{w[keep].mean():.5f}" for w in (widths, *rivals))
        lines.append(f"| {'all' if iso is None else f'{iso:.0f}'} | {shown} |")
    lines.append(f"\ncoverage {100 * min(shares):.1f} to {100 * max(shares):.1f} %")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE")
    parser.add_argument("--photos", type=int, default=113, help="of train, to fit by")
    parser.add_argument("--check", type=int, default=12, help="of val, to check on")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--samples", type=Path, help="keep samples in this folder, and reuse them")
    parser.add_argument("--write", action="store_true", help="keep the law beside the model")
    asked = parser.parse_args()
    import undark

    model = undark.load_model(str(asked.model))
    train, val = (
        _kept(asked.samples, part, lambda p=part, n=n, e=e: gather(p, n, model, asked.seed, e))
        for part, n, e in (("train", asked.photos, False), ("val", asked.check, True))
    )
    law = fit(train, asked.seed)
    text = report(val, law)
    print(law, text, sep="\n\n")
    if asked.write:
        kept = {
            "coefficients": law.coefficients,
            "levels": law.levels,
            "offsets": law.offsets,
            "least": law.least,
            "most": law.most,
            "fitted": f"{asked.photos} photographs of train, seed {asked.seed}",
            "model": _digest(asked.model),
            "checked": text.splitlines()[-1],
        }
        asked.model.with_suffix(SUFFIX).write_text(json.dumps(kept, indent=1) + "\n")


def _digest(path: Path) -> str:
    from undark.files.provenance import digest_of

    return digest_of(path)


def _kept(folder: Path | None, name: str, make: Any) -> Sample:
    path = folder and folder / f"confidence-{name}.npz"
    if path and path.exists():
        with np.load(path) as arrays:
            return Sample(**arrays)
    sample: Sample = make()
    if path:
        np.savez(path, **{n: getattr(sample, n) for n in Sample.__dataclass_fields__})
    return sample


if __name__ == "__main__":
    main()
