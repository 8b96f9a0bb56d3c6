"""Make `src/undark/sensor/profiles/cameras.json` from published noise measurements.

    python scripts/camera_table.py ../shared/noise

Each camera is converted to a list of settings (ISO, gain K, read, row and bias noise in DN,
Tukey-lambda shape), which are interpolated in ln ISO:

- ELD gives lines in ln K; the settings at both ends represent a line exactly. Its K_min is at ISO
  100 and K_max at ISO 6400: the A7S2's values agree within 2 % with PMN's table, which has the ISO.
- PMN gives the A7S2 at 28 ISO settings; they are used unchanged, in place of ELD's line.
- SNIC gives variance = a·x + b for x in [0, 1], scaled to 14 bits.
"""

import json
import math
import statistics
import sys
from pathlib import Path
from typing import Any

Record = dict[str, Any]

SPAN_14_BIT = 15871.0  # white 16383 less black 512, the scale of ELD's and PMN's DN
# (make, models as EXIF writes them) of ELD's short names
ELD_NAMES = {
    "CanonEOS5D4": ("Canon", ["Canon EOS 5D Mark IV"]),
    "CanonEOS700D": ("Canon", ["Canon EOS 700D", "Canon EOS REBEL T5i", "Canon EOS Kiss X7i"]),
    "CanonEOS70D": ("Canon", ["Canon EOS 70D"]),
    "NikonD850": ("NIKON CORPORATION", ["NIKON D850"]),
}
SNIC_NAMES = {
    "Sony_A7R_III": ("SONY", ["ILCE-7RM3", "ILCE-7RM3A"]),
    "Sony_RX100_IV": ("SONY", ["DSC-RX100M4"]),
    "iPhone_11_Pro": ("Apple", ["iPhone 11 Pro", "iPhone 11 Pro Max"]),
}


def eld_settings(camera: Record) -> list[Record]:
    """Both ends of ELD's lines; shape and bias are medians over the measured settings."""
    shape = statistics.median(camera["tukey_lambda_shape"])
    bias = statistics.median(
        math.sqrt(statistics.fmean(b**2 for b in row)) for row in camera["color_bias"]
    )

    def at(iso: int, gain: float) -> Record:
        def line(name: str) -> float:
            return math.exp(camera[name]["slope"] * math.log(gain) + camera[name]["bias"])

        return setting(iso, gain, line("gaussian"), line("row"), bias, shape)

    return [at(100, camera["K_min"]), at(6400, camera["K_max"])]


def pmn_settings(table: Record) -> list[Record]:
    return [
        setting(
            int(iso),
            row["K"],
            row["gaussian_std"],
            row["row_std"],
            row["bias_std"],
            row["tukey_lambda_shape"],
        )
        for iso, row in table["iso"].items()
    ]


def snic_settings(camera: Record) -> list[Record]:
    """Means over the four planes; read noise is at least the quantisation noise."""

    def at(iso: str, planes: Record) -> Record:
        slope = statistics.fmean(p["a"] for p in planes.values())
        offset = statistics.fmean(p["b"] for p in planes.values())
        read = max(math.sqrt(offset) * SPAN_14_BIT, math.sqrt(1 / 12))
        return setting(int(iso), slope * SPAN_14_BIT, read, 0.0, 0.0, None)

    return [at(iso, planes) for iso, planes in camera.items()]


def setting(
    iso: int, gain: float, read: float, row: float, bias: float, shape: float | None
) -> Record:
    numbers: Record = {
        "iso": iso,
        "gain": gain,
        "read": read,
        "row": row,
        "bias": bias,
        "shape": shape,
    }
    return {k: None if v is None else float(f"{v:.5g}") for k, v in numbers.items()}


def camera(names: tuple[str, list[str]], source: str, settings: list[Record]) -> Record:
    make, models = names
    ordered = sorted(settings, key=lambda s: s["iso"])
    return {
        "make": make,
        "models": models,
        "source": source,
        "span": SPAN_14_BIT,
        "settings": ordered,
    }


def main(folder: Path) -> None:
    eld, pmn, snic = (
        json.loads((folder / name).read_text())
        for name in ("eld_cameras.json", "sony_a7s2_by_iso.json", "snic_cameras.json")
    )
    cameras = [camera(("SONY", ["ILCE-7SM2"]), pmn["source"], pmn_settings(pmn))]
    cameras += [
        camera(names, eld["source"], eld_settings(eld["cameras"][key]))
        for key, names in ELD_NAMES.items()
    ]
    cameras += [
        camera(names, snic["source"], snic_settings(snic["cameras"][key]))
        for key, names in SNIC_NAMES.items()
    ]
    target = Path(__file__).parent.parent / "src/undark/sensor/profiles/cameras.json"
    target.write_text(json.dumps({"cameras": cameras}, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
