"""`undark demo`: simulate a dark photo of a scene and restore it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.develop.colour import CAMERA_MATRICES, camera_from_srgb
from undark.develop.drawing import resized, titled
from undark.develop.metrics import psnr, ssim
from undark.develop.render import render
from undark.errors import SetupError
from undark.files.dng import write_mosaic
from undark.files.output import atomic_output
from undark.files.picture import read_light, write_picture
from undark.files.raw import read_uncalibrated
from undark.restoring.blend import amplify_and_demosaic
from undark.restoring.raw import restore
from undark.sensor.cfa import RGGB, mosaic
from undark.sensor.mosaic import Mosaic, Shot
from undark.sensor.noise import NumPySampler
from undark.sensor.profiles.cameras import find_camera

CAMERA = "ILCE-7SM2"
BLACK, WHITE = 512, 16383
"""Black and white level of the Sony A7S2 in DN."""
_WHITE_BALANCE = np.array([2.0, 1.0, 1.7], np.float32)
_DETAILS = ((0.30, 0.55), (0.55, 0.45), (0.75, 0.65))
"""Top left corners of the sheet's details, as fractions of the free height and width."""
TRUTH = "ground truth"
"""Title of the noiseless picture."""


def run_demo(folder: Path, iso: int, amplification: float, overwrite: bool) -> Iterator[str]:
    """Write dark.dng, restored.jpg and sheet.jpg to `folder`; yield lines to print.

    Raises `SetupError` if one of them exists and `overwrite` is not set.
    """
    names = ("dark.dng", "restored.jpg", "sheet.jpg")
    dng, picture, sheet = (folder / name for name in names)
    for path in (dng, picture, sheet):
        if path.exists() and not overwrite:
            raise SetupError(f"{path}: exists already; add --overwrite or choose another folder -o")
    light = load_scene()
    with atomic_output(dng, overwrite) as temporary:
        write_mosaic(temporary, photograph(light, iso, amplification))
    yield f"{dng}: simulated Sony A7S2 photo, ISO {iso}, {amplification:g} times too dark"
    dark = read_uncalibrated(dng)  # the user's own A7S2 is another one
    restored = restore(dark, exposure=amplification)
    restored.save(picture, overwrite=overwrite)
    pictures = {
        "as shot": render(amplify_and_demosaic(dark, 1), dark, 1),
        f"amplified x{amplification:g}": render(
            amplify_and_demosaic(dark, amplification), dark, amplification
        ),
        "undark": restored.picture(),
        TRUTH: render(_camera_light(light), dark, amplification),
    }
    yield f"{picture}: restored"
    scores = {k: _scores(p, pictures[TRUTH]) for k, p in pictures.items() if k != TRUTH}
    with atomic_output(sheet, overwrite) as temporary:
        write_picture(temporary, draw_sheet(pictures, scores), Shot())
    yield f"{sheet}: as shot, amplified, restored and ground truth, side by side"
    before, after = list(scores.values())[1:]
    yield f"before: PSNR {before[0]:.2f} dB, SSIM {before[1]:.3f} (amplified and demosaiced)"
    yield f"after:  PSNR {after[0]:.2f} dB, SSIM {after[1]:.3f} (restored)"


def load_scene() -> NDArray[np.float32]:
    """(H, W, 3): undark's rendered scene as linear sRGB; white is 1, light sources are above."""
    return read_light(Path(str(files("undark.scene") / "scene.jxl")))


def photograph(
    light: NDArray[np.float32], iso: float, amplification: float, seed: int = 1
) -> Mosaic:
    """The mosaic that a Sony A7S2 records of a scene `amplification` times too dark.

    `light` is (H, W, 3) linear sRGB at the wanted exposure; white is 1, light sources are above.
    """
    camera = find_camera(CAMERA)
    assert camera is not None
    span = WHITE - BLACK
    raw = _camera_light(light) * (span / (amplification * _WHITE_BALANCE))
    signal = mosaic(np.moveaxis(raw, -1, 0), RGGB)
    noisy = camera.at(iso, span).add(signal, NumPySampler(seed))
    return Mosaic(
        plane=np.clip(noisy + BLACK, 0, WHITE).astype(np.uint16),
        cfa=RGGB,
        black=np.full((2, 2), BLACK, np.float32),
        white=WHITE,
        white_balance=_WHITE_BALANCE,
        camera_from_xyz=CAMERA_MATRICES[-1].astype(np.float32),
        shot=Shot(make="SONY", model=CAMERA, exposure_time=1 / 50, aperture=4.0, iso=float(iso)),
    )


def _camera_light(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear sRGB → white-balanced camera RGB, (H, W, 3)."""
    matrix = camera_from_srgb(CAMERA_MATRICES[-1]).astype(np.float32)
    camera_rgb: NDArray[np.float32] = np.clip(light @ matrix.T, 0, None)
    return camera_rgb


def _scores(picture: NDArray[Any], truth: NDArray[Any]) -> tuple[float, float]:
    a, b = (p.astype(np.float32) / 255 for p in (picture, truth))
    return psnr(a, b), ssim(a, b)


def draw_sheet(
    pictures: dict[str, NDArray[Any]], scores: dict[str, tuple[float, float]]
) -> NDArray[np.uint8]:
    """The pictures side by side with titles and scores, and rows of enlarged details below."""
    height, width = next(iter(pictures.values())).shape[:2]
    side = width // 4
    frames = [resized(p, height * side // width, side) for p in pictures.values()]
    titles = [name + (f", {scores[name][0]:.1f} dB" if name in scores else "") for name in pictures]
    rows = [titled(frames, titles)]
    for at in _DETAILS:
        crops = [_crop(p, at, side * 2 // 3, side) for p in pictures.values()]
        rows.append(titled(crops, list(pictures)))
    return np.concatenate(rows)


def _crop(
    picture: NDArray[np.uint8], at: tuple[float, float], height: int, width: int
) -> NDArray[np.uint8]:
    top, left = (
        int(share * (n - s))
        for share, n, s in zip(at, picture.shape[:2], (height, width), strict=True)
    )
    return picture[top : top + height, left : left + width]
