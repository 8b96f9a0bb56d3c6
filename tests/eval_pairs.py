"""A folder as in SID for tests of evaluation: a few scenes with several dark photos each."""

from pair_photos import scene, shoot
from undark.files.dng import write_mosaic

SCENES = (
    ("00001", (0.1,)),
    ("10003", (0.1, 0.033)),
    ("10006", (0.1,)),
    ("10034", (0.1,)),  # known to be misaligned
)


def sid_folder(folder, camera="Sony", size=(128, 160), turn=lambda photo: photo):
    """Write short/ and long/ photos of a camera; `turn` changes each photo before."""
    home = folder / camera
    for part in ("short", "long"):
        (home / part).mkdir(parents=True)
    for seed, (number, times) in enumerate(SCENES):
        light = scene(*size, seed=seed)
        for time in times:
            path = home / "short" / f"{number}_00_{time:g}s.dng"
            write_mosaic(path, turn(shoot(light, 10 / time, seed=seed)))
        write_mosaic(home / "long" / f"{number}_00_10s.dng", turn(shoot(light)))
    return folder
