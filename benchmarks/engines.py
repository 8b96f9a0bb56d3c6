"""Compare the engines that can run the network: time, memory, and what each loses in quality.

    python benchmarks/engines.py                 # all tables, half an hour on two cores
    python benchmarks/engines.py --only speed    # on an idle machine
    python benchmarks/engines.py --only loss --photos 4

Speed: a tile of the usual size, all engines in turn, the best of nine. Memory: of a process that
runs one such tile. Loss: each engine restores the same dark photos (see `quality.py`) as ONNX
Runtime in float32; the difference of PSNR, and the difference in smooth light of 0.1 to 16
times white. The 8-bit network is quantised statically by `onnxruntime.quantization`, all but
the first, the last and the linear convolution, and calibrated on dark photos of the training
set. It is made for this comparison only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darkroom import (
    SHARED,
    Cell,
    Frame,
    as_dark,
    darken,
    fidelity,
    load_light,
    middle,
    picture,
    see,
    shoot,
)
from speed import machine
from undark.cpus import usable_cpus
from undark.develop.metrics import psnr
from undark.engine.backends import BF16, F32, NO_MARGINS, Backend, Margins
from undark.engine.backends.onnxruntime import OnnxRuntime
from undark.engine.card import CARD_KEY, Card, read_card
from undark.engine.catalogue import find_model
from undark.engine.tiling import cut, left_out
from undark.engine.trial import run_megapixels
from undark.sensor.cfa import X_TRANS

Array = NDArray[np.float32]

CELLS = (Cell(400, 100), Cell(6400, 250))
LEVELS = (0.1, 1.0, 4.0, 16.0)
"""Of smooth light; 1 is white."""
CALIBRATION = 8
"""Photos of the training set that the 8-bit network is calibrated on."""
ROUNDS = 9
SIDE = 464
"""About the inner side of a tile of a 24-megapixel photo in packed pixels."""


class OneModel:
    """OpenVINO in bfloat16 throughout, without undark's two parts."""

    def __init__(self, path: Path) -> None:
        _openvino(F32)  # imports it without its telemetry
        import openvino as ov

        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "bf16"}
        self._card = read_card(path)
        self._request = ov.Core().compile_model(path, "CPU", hints).create_infer_request()

    def run(self, inputs: Array, margins: Margins = NO_MARGINS) -> Array:
        whole = np.array(self._request.infer([inputs])[0])
        return cut(whole, left_out(self._card, margins), self._card.cell)


def _openvino(precision: str) -> Callable[[Path], Backend]:
    from undark.engine.backends.openvino import OpenVino

    return lambda path: OpenVino(path, precision)


def engines(model: Path, eight_bit: Path) -> dict[str, Callable[[], Backend]]:
    """Name → a function that loads the model. The first is the reference."""
    return {
        "ONNX Runtime, float32": lambda: OnnxRuntime(model, threads=usable_cpus()),
        "OpenVINO, float32": lambda: _openvino(F32)(model),
        "OpenVINO, bfloat16": lambda: _openvino(BF16)(model),
        "OpenVINO, bfloat16, last sum too": lambda: OneModel(model),
        "ONNX Runtime, 8 bits": lambda: OnnxRuntime(eight_bit, threads=usable_cpus()),
        "OpenVINO, 8 bits": lambda: _openvino(F32)(eight_bit),
    }


class Running:
    """A model on one backend, as `undark.restore` takes it; keeps its inputs where asked."""

    def __init__(self, path: Path, backend: Backend, keep: bool = False) -> None:
        self.path, self.card, self._backend = path, read_card(path), backend
        self.inputs: list[Array] | None = [] if keep else None

    def __call__(self, inputs: Array, margins: Margins = NO_MARGINS) -> Array:
        if self.inputs is not None:
            self.inputs.append(inputs)
        return self._backend.run(inputs, margins)


def restored(frame: Frame, model: Any) -> NDArray[np.float64]:
    """The light of a frame, restored with the true noise."""
    import undark

    dark, noise = as_dark(frame)
    amplification = float(frame.cell.amplification)
    made = undark.restore(dark, exposure=amplification, noise=noise, model=model)
    return made.linear.astype(np.float64)


def quantised(model: Path, out: Path) -> None:
    """Write the model with 8-bit convolutions, but for its first and last ones."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]  # untyped
        def __init__(self) -> None:
            self._inputs = iter(calibration_inputs(model))

        def get_next(self) -> dict[str, Array] | None:
            found = next(self._inputs, None)
            return None if found is None else {"input": found}

    plain = out.with_name("float32.onnx")
    onnx.save(_with_float32_weights(onnx.load(model)), plain)
    ends = [
        node.name
        for node in onnx.load(plain).graph.node
        if any(name.split(".")[0] in ("head", "tail", "demosaic") for name in node.input)
    ]
    quantize_static(
        plain,
        out,
        Reader(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=ends,
    )
    made = onnx.load(out)
    onnx.helper.set_model_props(made, {CARD_KEY: read_card(model).to_json()})
    onnx.save(made, out)


def _with_float32_weights(model: Any) -> Any:
    """The model with its weights as float32 initializers, without the casts from float16."""
    from onnx import numpy_helper

    graph = model.graph
    weights = {w.name: w for w in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Cast" and n.input[0] in weights]:
        values = numpy_helper.to_array(weights[node.input[0]]).astype(np.float32)
        graph.initializer.remove(weights[node.input[0]])
        graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
        graph.node.remove(node)
    return model


def calibration_inputs(model: Path) -> list[Array]:
    """What the network is given of crops of training photos, at the noise of both `CELLS`."""
    photos = sorted((SHARED / "photos" / "train").glob("*.jpg"))
    keeping = Running(model, OnnxRuntime(model), keep=True)
    for number, photo in enumerate(photos[:: len(photos) // CALIBRATION][:CALIBRATION]):
        light = middle(load_light(photo), (384, 384))
        restored(darken(light, CELLS[number % 2], (1, number)), keeping)
    assert keeping.inputs is not None
    return keeping.inputs


def noise_tile(card: Card, side: int) -> Array:
    """(1, channels, side, side): light that is all noise."""
    tile = np.random.default_rng(0).random((1, card.channels, side, side), dtype=np.float32)
    tile[:, card.channels // 2 :] = 0.2
    return tile


def smooth_light(card: Card, level: float) -> Array:
    """(1, channels, 128, 256): a ramp of 5 % around a level, little noise."""
    ramp = level * np.linspace(1, 1.05, 256) * np.ones((1, card.channels, 128, 256))
    ramp[:, card.channels // 2 :] = 0.002 * level
    return ramp.astype(np.float32)


def speed_table(model: Path, eight_bit: Path) -> Iterator[str]:
    card = read_card(model)
    tile = noise_tile(card, SIDE + 2 * card.halo)
    megapixels = tile.shape[-1] ** 2 * card.cell**2 / 1e6
    backends = {name: load() for name, load in engines(model, eight_bit).items()}
    for backend in backends.values():
        backend.run(tile)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in backends}
    for _ in range(ROUNDS):
        for name, backend in backends.items():
            began, cpu = time.perf_counter(), time.process_time()
            backend.run(tile)
            times[name].append((time.perf_counter() - began, time.process_time() - cpu))
    photo = run_megapixels(card, 4000, 6000) / megapixels
    yield f"| 24 megapixels | seconds | CPU seconds | Mpx/s | times as fast |\n|{'---|' * 5}"
    base = min(next(iter(times.values())))[0]
    for name, seconds in times.items():
        wall, cpu = (min(s) for s in zip(*seconds, strict=True))  # other load only adds
        yield (
            f"| {name} | {photo * wall:.2f} | {photo * cpu:.2f} | {24 / (photo * wall):.2f} "
            f"| {base / wall:.2f} |"
        )


def memory_table(model: Path, eight_bit: Path) -> Iterator[str]:
    yield "| | peak MiB |\n|---|---|"
    for name in engines(model, eight_bit):
        yield f"| {name} | {peak(name, eight_bit)} |"


def peak(name: str, eight_bit: Path) -> str:
    """Peak memory in MiB of a process that runs one tile."""
    command = [sys.executable, __file__, "--peak", name, "--eight-bit", str(eight_bit)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def print_peak(name: str, model: Path, eight_bit: Path) -> None:
    card = read_card(model)
    engines(model, eight_bit)[name]().run(noise_tile(card, SIDE + 2 * card.halo))
    # not `ru_maxrss`, which a process inherits from the one that starts it
    facts = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    print(int(facts["VmHWM"].split()[0]) >> 10)


def loss_table(model: Path, eight_bit: Path, count: int) -> Iterator[str]:
    photos = sorted((SHARED / "photos" / "val").glob("*.jpg"))[:count]
    backends = {name: load() for name, load in engines(model, eight_bit).items()}
    lost = {name: losses(photos, cell, model, backends) for cell in CELLS for name in [str(cell)]}
    heads = [f"ISO {cell}: {what}" for cell in CELLS for what in ("RAW", "sRGB", "worst photo")]
    heads += ["smooth light, RMS", "smooth light, largest"]
    yield f"| dB lost | {' | '.join(heads)} |\n|{'---|' * (len(heads) + 1)}"
    reference = next(iter(backends.values()))
    for name, backend in list(backends.items())[1:]:
        figures = []
        for cell in CELLS:
            found = lost[str(cell)][name]
            figures += [*found.mean(0), found.max()]
        shown = " | ".join(f"{f:.4f}" for f in figures)
        yield f"| {name} | {shown} | {smooth_error(model, reference, backend)} |"


def losses(
    photos: list[Path], cell: Cell, model: Path, backends: dict[str, Backend]
) -> dict[str, NDArray[np.float64]]:
    """Engine → (photos, 2): dB lost in RAW and sRGB against the first engine."""
    scores: dict[str, list[list[float]]] = {name: [] for name in backends}
    for number, photo in enumerate(photos):
        light = load_light(photo)
        frame = darken(light, cell, (0, number))
        for name, backend in backends.items():
            found = restored(frame, Running(model, backend))
            scores[name].append(list(fidelity(see(found), found, light).values()))
    all_scores = {name: np.array(s) for name, s in scores.items()}
    reference = next(iter(all_scores.values()))
    return {name: reference - s for name, s in all_scores.items()}


def xtrans_table(count: int) -> Iterator[str]:
    """What OpenVINO loses on X-Trans, in dB of the sRGB picture; crops as in `xtrans.py`."""
    import xtrans

    model = find_model("xtrans")
    loads = {"ONNX Runtime": OnnxRuntime, F32: _openvino(F32), BF16: _openvino(BF16)}
    runs = {name: Running(model, load(model)) for name, load in loads.items()}
    photos = sorted((SHARED / "photos" / "val").glob("*.jpg"))[:count]
    yield "| X-Trans, dB lost | mean | worst photo |\n|---|---|---|"
    for cell in CELLS:
        lost: dict[str, list[float]] = {F32: [], BF16: []}
        for number, photo in enumerate(photos):
            light = xtrans.middle(load_light(photo))
            frame = shoot(light, X_TRANS, cell, number)
            found = {name: xtrans.restored(frame, cell, run) for name, run in runs.items()}
            scores = {name: psnr(picture(made), picture(light)) for name, made in found.items()}
            for name in lost:
                lost[name].append(scores["ONNX Runtime"] - scores[name])
        for name, by_photo in lost.items():
            yield f"| ISO {cell}, {name} | {np.mean(by_photo):.4f} | {max(by_photo):.4f} |"


def smooth_error(model: Path, reference: Backend, backend: Backend) -> str:
    """Relative difference in smooth light, at the worst level: root mean square, and largest."""
    found = []
    for level in LEVELS:
        given = smooth_light(read_card(model), level)
        found.append(np.abs(backend.run(given) - reference.run(given)) / level)
    mean_square = max(float(np.mean(np.square(error))) for error in found)
    largest = max(float(error.max()) for error in found)
    return f"{mean_square**0.5:.2%} | {largest:.2%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("speed", "loss"))
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--eight-bit", type=Path, help="keep the 8-bit network here, or use it")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    model = find_model("bayer")
    if asked.peak:
        print_peak(asked.peak, model, asked.eight_bit)
        return
    with tempfile.TemporaryDirectory() as folder:
        eight_bit = asked.eight_bit or Path(folder, "eight-bit.onnx")
        if not eight_bit.exists():
            quantised(model, eight_bit)
        if asked.only != "loss":
            print(f"{machine()}\n\n" + "\n".join(speed_table(model, eight_bit)))
            print("\n" + "\n".join(memory_table(model, eight_bit)))
        if asked.only != "speed":
            print("\n" + "\n".join(loss_table(model, eight_bit, asked.photos)))
            print("\n" + "\n".join(xtrans_table(asked.photos)))


if __name__ == "__main__":
    main()
