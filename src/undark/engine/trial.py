"""Which engine is fastest on this machine: a trial of each, remembered.

The trial takes a few seconds, once for each machine, model and version of the runtimes. An engine
is chosen only if its result agrees with that of ONNX Runtime on the CPU.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from undark.cpus import in_threads, tiles_at_once, usable_cpus
from undark.engine.backends import BF16, F32, NO_MARGINS, Backend, Margins
from undark.engine.card import Card
from undark.engine.devices import AUTO, DEFAULT, DEVICES, Engine, engines_of, meant
from undark.engine.tiling import Tile, left_out, tiles_of
from undark.errors import OutputError, UndarkError
from undark.files.output import write_atomically
from undark.files.provenance import digest_of

SIDE = 512
"""Packed pixels of the trial's tile along a side, rounded up to the model's multiple. From there on
a larger tile changes no engine's rate by more than a tenth."""
PHOTO = (4000, 6000)
"""Rows and columns of the photo whose time is told."""
ROUNDS = 2
GAIN = 0.9
"""Another engine than the default is chosen if it takes at most this share of its time."""
MOST_DEVIATION = 2e-3
"""Root mean square by which an engine's result may differ from the default's, in units of white.
bfloat16 differs by 1e-3 on the trial's tile and loses 0.01 dB or less on the mean of photos; the
loss grows with the square."""
_KEPT = 32
"""Remembered trials."""
_RUNTIMES = (
    "undark", "onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "openvino",
)  # fmt: skip

Found = dict[Engine, float | None]
"""Engine → seconds for a photo of `PHOTO` pixels, None if it cannot be used."""


@dataclass(frozen=True)
class Trial:
    """How one engine runs a model."""

    engine: Engine
    seconds: float | None
    """For a photo of `PHOTO` pixels, tiles' margins included; None where it does not start."""
    deviation: float = 0.0
    """Root mean square of the difference from the default engine's result, in units of white."""
    problem: str = ""
    """Why it cannot be used; empty where it can."""


def fastest(path: Path, card: Card, device: str) -> Engine:
    """The engine to use for a device; "auto": for this machine. By a trial, if none is remembered.

    Raises `DeviceError` where the device is unknown or not installed, `ModelError` where the model
    cannot be run by the default engine.
    """
    remembered = _read()
    known = remembered.get(_key(path, device)) if remembered else None
    if known:  # without importing the engines that are not chosen
        return _choose(known)
    engines = engines_of(device)
    if len(engines) == 1:
        return engines[0]
    return remember(path, device, trials(path, card, engines))


def survey(path: Path, card: Card) -> tuple[list[Trial], Engine]:
    """Trials of all engines that are installed, and the one that "auto" stands for.

    Raises as `fastest` does.
    """
    done = trials(path, card, engines_of(AUTO))
    best = remember(path, AUTO, done)
    device = meant(AUTO)
    return done, best if device == AUTO else fastest(path, card, device)


def run_megapixels(card: Card, height: int, width: int) -> float:
    """Megapixels that the network computes for a photo of (height, width), with tiles' margins.

    Of what it leaves out of the margins (see `Card.rim`) the second half is not computed.
    """
    down, across = (-(-n // (card.cell * card.multiple)) * card.multiple for n in (height, width))
    plan = tiles_of(card, down, across, card.multiple)
    areas = [
        _area(tile, NO_MARGINS) + _area(tile, left_out(card, tile.margins)) for tile in chain(*plan)
    ]
    return sum(areas) / 2 * card.cell**2 / 1e6


def _area(tile: Tile, without: Margins) -> int:
    """Packed pixels of a tile but for margins that are left out."""
    (rows, columns), (top, left, bottom, right) = tile.outer, without
    height: int = rows.stop - rows.start - top - bottom
    width: int = columns.stop - columns.start - left - right
    return height * width


def trials(path: Path, card: Card, engines: Sequence[Engine]) -> list[Trial]:
    """Time each engine on a tile of noise, in turn, so that other load affects all alike.

    Raises `ModelError` where the model cannot be run by the default engine.
    """
    tile = _tile(card)
    megapixels: float = tile.shape[-2] * tile.shape[-1] * card.cell**2 / 1e6
    default = DEFAULT.open(path)
    reference = default.run(tile)
    found, running = [], dict[Engine, Backend]()
    for engine in engines:
        try:
            backend = default if engine == DEFAULT else engine.open(path)
            deviation = _rms(backend.run(tile) - reference)
        except Exception as error:  # runtimes' exceptions share no base class
            found.append(Trial(engine, None, math.nan, _line(error)))
        else:
            running[engine] = backend
            problem = "" if deviation < MOST_DEVIATION else "its results differ too much"
            found.append(Trial(engine, None, deviation, problem))
    best = dict.fromkeys(running, math.inf)
    for _ in range(ROUNDS):
        for engine, backend in running.items():
            best[engine] = min(best[engine], _seconds(backend, tile))

    photo = run_megapixels(card, *PHOTO) / megapixels
    return [
        Trial(t.engine, photo * best[t.engine], t.deviation, t.problem) if t.engine in best else t
        for t in found
    ]


def remember(path: Path, device: str, done: Sequence[Trial]) -> Engine:
    """Keep the outcome for this device, machine, model and versions; returns the engine to use.

    A folder that cannot be written is no error: the next process tries again.
    """
    found = {t.engine: None if t.problem else t.seconds for t in done}
    key = _key(path, device)
    others = [(k, v) for k, v in _read().items() if k != key]
    content = {
        k: {f"{e.device} {e.precision}": seconds for e, seconds in v.items()}
        for k, v in [*others[1 - _KEPT :], (key, found)]
    }
    with suppress(OutputError):
        write_atomically(memory(), json.dumps(content, indent=1).encode())
    return _choose(found)


def memory() -> Path:
    """The file of remembered trials: ~/.cache/undark/engines.json on Linux."""
    return user_cache_path("undark", appauthor=False) / "engines.json"


def _choose(known: Found) -> Engine:
    """The fastest; the default (or else the first) unless another gains enough."""
    usable = {engine: s for engine, s in known.items() if s is not None}
    base = DEFAULT if DEFAULT in known else next(iter(known))
    best = min(usable, key=lambda engine: usable[engine], default=base)
    return best if usable.get(best, 0) < GAIN * usable.get(base, math.inf) else base


def _read() -> dict[str, Found]:
    """What is remembered; a file that is missing, damaged or of another form counts as empty."""
    try:
        content = json.loads(memory().read_text(encoding="utf-8"))
        return {str(key): _found(engines) for key, engines in content.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}


def _found(engines: dict[str, float | None]) -> Found:
    """Raises `ValueError`, `TypeError`."""
    found: Found = {}
    for name, seconds in engines.items():
        device, precision = name.split(" ")
        if device not in DEVICES or precision not in (F32, BF16):
            raise ValueError("no such engine")
        if seconds is not None and not 0 < seconds < math.inf:
            raise ValueError("no such time")
        found[Engine(device, precision)] = seconds
    return found


def _key(path: Path, device: str) -> str:
    versions = [f"{name} {_version(name)}" for name in _RUNTIMES if _version(name)]
    parts = [device, _processor(), f"{usable_cpus()} threads", digest_of(path)[:16], *versions]
    return ", ".join(parts)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


_FACTS = ("cpu family", "model", "stepping", "flags", "CPU part", "Features")
"""Lines of /proc/cpuinfo that say what a processor can do, on x86 and on ARM."""


def _processor() -> str:
    """The CPU's name, with a digest of what it can do: a virtual machine's name may be vague."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:  # no Linux
        return f"{platform.machine()} {platform.processor()}"
    pairs = (line.partition(":")[::2] for line in first.splitlines())
    known = {key.strip(): value.strip() for key, value in pairs}
    facts = json.dumps([known.get(fact) for fact in _FACTS])
    name = known.get("model name", platform.machine())
    return f"{name} {hashlib.sha256(facts.encode()).hexdigest()[:8]}"


def _tile(card: Card) -> NDArray[np.float32]:
    """(1, channels, h, w): random numbers; the noise maps of a mosaic are 0.2 of white instead."""
    side = -(-SIDE // card.multiple) * card.multiple
    shape = (1, card.channels, side, side)
    tile = np.random.default_rng(0).random(shape, dtype=np.float32)
    planes = card.cell**2
    if card.channels == 2 * planes:
        tile[:, planes:] = 0.2
    return tile


def _seconds(backend: Backend, tile: NDArray[np.float32]) -> float:
    """For one tile, of as many as are restored at the same time."""
    count, began = tiles_at_once(), time.perf_counter()
    in_threads(backend.run, [tile] * count)
    return (time.perf_counter() - began) / count


def _rms(difference: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))


def _line(error: Exception) -> str:
    if isinstance(error, UndarkError):
        return str(error)
    return str(error).splitlines()[0] if str(error) else type(error).__name__
