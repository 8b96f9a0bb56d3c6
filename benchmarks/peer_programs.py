"""How darktable, RawTherapee, LibRaw and undark are asked for the same picture of a DNG.

Each writes sRGB as a TIFF of 16 bits, amplified by 2^EV, without tone curve, sharpening or other
changes of its own. Settings of noise reduction are one flat dictionary a program; `None` switches
it off, for the rendering of noise-free photos.

darktable reads its settings from an XMP file that holds the parameters of each module as the bytes
of a C struct; `_EXPOSURE`, `_DEMOSAIC` and `_DENOISE` are those of darktable 4.2
(`dt_iop_*_params_t` of versions 6, 4 and 11 in its `src/iop/`). Another version of the program
converts older parameters.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from darkroom import SPAN, sensor_noise
from undark.engine.catalogue import BEST, FAST, choose
from undark.errors import UnsupportedError

Settings = Mapping[str, Any]
Grid = Mapping[str, Sequence[Any]]
"""Setting → values to try; the first ones are where the search starts."""


@dataclass(frozen=True)
class Task:
    """One picture to make."""

    dng: Path
    out: Path
    """A TIFF. Files of settings are written beside it."""
    ev: float
    iso: int
    settings: Settings | None
    """Of noise reduction; None: without."""


class Program(Protocol):
    """A program with a kind of noise reduction."""

    @property
    def name(self) -> str:
        """As the table has it."""

    @property
    def grids(self) -> Sequence[Grid]:
        """One a mode of its noise reduction; none if it has no settings."""

    def version(self) -> str | None:
        """None if it is not installed."""

    def command(self, task: Task) -> list[str]:
        """Writes the files of settings; returns the command line."""


@dataclass(frozen=True)
class LibRaw:
    """LibRaw through rawpy, alone or followed by scikit-image's non-local means."""

    name: str
    grids: Sequence[Grid] = ()

    def version(self) -> str | None:
        import rawpy

        release = ".".join(str(n) for n in rawpy.libraw_version)
        with_means = f", scikit-image {version('scikit-image')}" if self.grids else ""
        return f"LibRaw {release}, rawpy {version('rawpy')}{with_means}"

    def command(self, task: Task) -> list[str]:
        settings = task.settings or {}
        script = Path(__file__).with_name("libraw_picture.py")
        demosaic = settings.get("demosaic", "AHD")
        means = ["--means", str(settings["strength"])] if "strength" in settings else []
        files = [str(task.dng), str(task.out), str(task.ev)]
        return [sys.executable, str(script), *files, "--demosaic", demosaic, *means]


@dataclass(frozen=True)
class Undark:
    """`undark restore` with one of the shipped models for Bayer sensors."""

    quality: str
    grids: Sequence[Grid] = ()

    @property
    def name(self) -> str:
        return f"undark, {self.quality}"

    def version(self) -> str | None:
        try:
            return f"undark {version('undark')}, model {self._model()}"
        except UnsupportedError:
            return None

    def command(self, task: Task) -> list[str]:
        asked = ["--exposure", str(task.ev), "--model", self._model(), "--bits", "16"]
        files = [str(task.dng), "-o", str(task.out), "--overwrite"]
        return [sys.executable, "-m", "undark", "restore", *files, *asked]

    def _model(self) -> str:
        return choose("Bayer", quality=self.quality)


_EXPOSURE = struct.Struct("<i4fi")
"""Mode, black, EV, percentile and target of the automatic mode, compensation."""
_DEMOSAIC = struct.Struct("<ifiiif")
"""Match greens, edge threshold, colour smoothing, method, refinement of LMMSE, dual threshold."""
_DENOISE = struct.Struct("<8f3f3fi42f42f4i")
"""Patch, search, strength, shadows, bias, scattering, central weight, automatic gain; a and b of
the noise's variance a·x + b for three channels; mode; curves of six channels with seven points, x
and y; three switches of the transform; colours of wavelets."""
_DEMOSAIC_METHODS = {"RCD": 5, "LMMSE": 6, "VNG4": 2, "AMaZE": 1}
_MODES = {"wavelets": 1, "non-local means": 0}
_Y0, _U0V0 = 4, 5
"""Curves of luminance and of colour."""
_AUTOMATIC = (-1.0, 0.0, 0.0)
"""In place of a: look the camera up in darktable's table; a generic profile if it is not there."""


@dataclass(frozen=True)
class Darktable:
    """`darktable-cli` with the module denoise (profiled).

    darktable 4.2 has no noise profile of the camera, and takes a generic one: the profile
    "installed". "true" is the noise of the sensor, as a user's own profile would have it.
    """

    name: str = "darktable"

    @property
    def grids(self) -> Sequence[Grid]:
        # the modes "auto" set shadows, bias, patch and scattering by formulas: tuned here
        common: Grid = {
            "profile": ("true", "installed"),
            "shadows": (1.0, 0.85, 1.15),
            "bias": (0.0, -1.0, 3.0),
            "demosaic": ("VNG4", "LMMSE", "RCD"),
        }
        wavelets: Grid = {
            "strength": (2.5, 1.0, 1.5, 4.0),
            "luminance": (0.5, 0.6),
            "colour": (0.5, 0.6, 0.8),
        }
        means: Grid = {
            "strength": (0.3, 0.1, 0.2, 0.5),
            "patch": (2.0, 1.0, 4.0, 7.0),
            "scattering": (0.3, 1.0),
            "centre": (0.1,),
        }
        return (
            {"mode": ("non-local means",), **means, **common},
            {"mode": ("wavelets",), **wavelets, **common},
        )

    def version(self) -> str | None:
        return _first_line("darktable-cli", "--version", "darktable-cli ")

    def command(self, task: Task) -> list[str]:
        sidecar, config = task.out.with_suffix(".xmp"), task.out.parent / "darktable"
        sidecar.write_text(self._sidecar(task))
        files = [str(task.dng), str(sidecar), str(task.out)]
        task.out.unlink(missing_ok=True)  # it would choose another name
        profile = ["--icc-type", "SRGB", "--icc-intent", "RELATIVE_COLORIMETRIC"]
        core = ["--configdir", str(config), "--library", ":memory:", "--disable-opencl"]
        wishes = ("plugins/imageio/format/tiff/bpp=16", "plugins/darkroom/workflow=none")
        wished = [word for wish in wishes for word in ("--conf", wish)]
        return ["darktable-cli", *files, *profile, "--core", *core, *wished]

    def _sidecar(self, task: Task) -> str:
        exposure = _EXPOSURE.pack(0, 0.0, task.ev, 50.0, -4.0, 0)
        modules = [("exposure", 6, exposure)]
        if task.settings is not None:
            method = _DEMOSAIC_METHODS[task.settings["demosaic"]]
            modules.append(("demosaic", 4, _DEMOSAIC.pack(0, 0.0, 0, method, 1, 0.2)))
            modules.append(("denoiseprofile", 11, self._denoise(task.iso, task.settings)))
        return _xmp(modules)

    def _denoise(self, iso: int, settings: Settings) -> bytes:
        gain, variance = _AUTOMATIC, (0.0, 0.0, 0.0)
        if settings["profile"] == "true":
            noise = sensor_noise(iso)
            gain = (noise.gain / SPAN,) * 3
            variance = ((noise.sigma_at_black / SPAN) ** 2,) * 3
        force = [0.5] * 42
        force[7 * _Y0 : 7 * _Y0 + 7] = [settings.get("luminance", 0.5)] * 7
        force[7 * _U0V0 : 7 * _U0V0 + 7] = [settings.get("colour", 0.5)] * 7
        places = [k / 6 for k in range(7)] * 6
        sliders = (
            *(settings.get("patch", 1.0), 7.0),
            *(settings[name] for name in ("strength", "shadows", "bias")),
            *(settings.get("scattering", 0.0), settings.get("centre", 0.1), 1.0),
        )
        mode = _MODES[settings["mode"]]
        return _DENOISE.pack(*sliders, *gain, *variance, mode, *places, *force, 1, 1, 1, 1)


def _xmp(modules: Sequence[tuple[str, int, bytes]]) -> str:
    """darktable's sidecar: modules by name, version and parameters, in the order of darktable 3.0.

    No presets are applied to it, so modules that are not named have darktable's defaults.
    """
    items = "\n".join(
        f'<rdf:li darktable:num="{number}" darktable:operation="{name}" darktable:enabled="1"'
        f' darktable:modversion="{layout}" darktable:params="{parameters.hex()}"'
        ' darktable:multi_name="" darktable:multi_priority="0"/>'
        for number, (name, layout, parameters) in enumerate(modules)
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:darktable="http://darktable.sf.net/"
 darktable:xmp_version="4" darktable:raw_params="0" darktable:auto_presets_applied="1"
 darktable:history_end="{len(modules)}" darktable:iop_order_version="2">
<darktable:history><rdf:Seq>
{items}
</rdf:Seq></darktable:history>
</rdf:Description></rdf:RDF></x:xmpmeta>
"""


@dataclass(frozen=True)
class RawTherapee:
    """`rawtherapee-cli` with its noise reduction (wavelets and DCT, then a median)."""

    name: str = "RawTherapee"

    @property
    def grids(self) -> Sequence[Grid]:
        # starts near RawTherapee's own profile for high ISO
        return (
            {
                "Luma": (70, 50, 80, 90, 95, 100),
                "Ldetail": (0, 20, 60),
                "chroma": ("automatic", 15, 30, 60, 90),
                "median": ("Lpab 55", "none", "Lpab 33", "Lpab 77", "Lpab 99", "Lab 55", "RGB 55"),
                "Passes": (1, 2, 3),
                "SMethod": ("shal", "shalbi"),
                "Gamma": (1.7, 1.0, 2.2, 3.0),
                "demosaic": ("lmmse", "igv", "amaze", "vng4"),
                "impulse": (0, 30, 60),
            },
        )

    def version(self) -> str | None:
        return _first_line("rawtherapee-cli", "--version", "RawTherapee, version ")

    def command(self, task: Task) -> list[str]:
        profile, home = task.out.with_suffix(".pp3"), task.out.parent / "rawtherapee"
        profile.write_text(self._profile(task))
        places = [f"RT_SETTINGS={home}/settings", f"RT_CACHE={home}/cache"]
        files = ["-p", str(profile), "-o", str(task.out), "-c", str(task.dng)]
        return ["env", *places, "rawtherapee-cli", "-q", "-t", "-b16", "-Y", *files]

    def _profile(self, task: Task) -> str:
        settings = task.settings or {"demosaic": "amaze"}
        sections: dict[str, Settings] = {
            "Version": {"AppVersion": "5.9", "Version": 349},
            "Exposure": {"Auto": "false", "Compensation": task.ev, "HistogramMatching": "false"},
            "White Balance": {"Enabled": "true", "Setting": "Camera"},
            "RAW Bayer": {"Method": settings["demosaic"]},
        }
        if task.settings is not None:
            sections["Directional Pyramid Denoising"] = _pyramid(task.settings)
            impulse = task.settings["impulse"]
            sections["Impulse Denoising"] = {
                "Enabled": "true" if impulse else "false",
                "Threshold": impulse,
            }
        return "\n".join(
            f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in entries.items())
            for name, entries in sections.items()
        )


def _pyramid(settings: Settings) -> Settings:
    """The section of noise reduction of a RawTherapee profile."""
    chroma, (where, _, size) = settings["chroma"], settings["median"].partition(" ")
    automatic = chroma == "automatic"
    return {
        "Enabled": "true",
        "Enhance": "false",
        "Median": "false" if where == "none" else "true",
        **{name: settings[name] for name in ("Luma", "Ldetail", "SMethod", "Gamma", "Passes")},
        "Method": "Lab",
        "LMethod": "SLI",
        "CMethod": "AUT" if automatic else "MAN",
        "C2Method": "AUTO" if automatic else "MANU",
        "Chroma": 15 if automatic else chroma,
        "Redchro": 0,
        "Bluechro": 0,
        "MedMethod": size or "soft",
        "MethodMed": where,
        "RGBMethod": size if size in ("33", "55") else "soft",
        "LCurve": "0;",
        "CCCurve": "0;",
    }


def _first_line(program: str, option: str, prefix: str) -> str | None:
    """The version that a program prints after `prefix`; None if it is not installed."""
    if shutil.which(program) is None:
        return None
    line = _said(program, option).splitlines()[0]
    return f"{program} {line.partition(prefix)[2].partition(',')[0].strip()}"


@cache
def _said(program: str, option: str) -> str:
    return subprocess.run([program, option], capture_output=True, text=True).stdout


PROGRAMS: tuple[Program, ...] = (
    LibRaw("LibRaw"),
    LibRaw(
        "LibRaw, non-local means",
        (
            {
                "strength": (1.4, 0.8, 1.1, 1.7, 2.0),
                "demosaic": ("VNG", "AHD", "DCB"),
            },
        ),
    ),
    Darktable(),
    RawTherapee(),
    Undark(FAST),
    Undark(BEST),
)
