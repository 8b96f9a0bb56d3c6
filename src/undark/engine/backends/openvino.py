"""OpenVINO, on the CPU. Nothing else imports it, so that its telemetry never starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from undark.cpus import usable_cpus
from undark.engine.backends import BF16, F32, NO_MARGINS, Margins
from undark.engine.card import MARGINS
from undark.errors import ModelError

TELEMETRY = "openvino_telemetry"
"""`import openvino` sends an event through this package; without it, OpenVINO has a stub."""


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    """Importing the package fails inside."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # Python's own way to refuse an import
    try:
        yield
    finally:
        del sys.modules[package]


with _hidden(TELEMETRY):
    import openvino as ov
    from openvino import opset8 as ops

_HINTS = {F32: "f32", BF16: "bf16"}
_SHIFTS = ("DepthToSpace", "Reshape", "Transpose")
"""Operations after a network's last sum, which only move values."""


def computes_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16."""
    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVino:
    """A model compiled by OpenVINO, its last sum in float32 whatever the precision.

    That sum adds the network's correction to the linear path, which holds a photo of 14 bits:
    bfloat16 has 8. So a network is compiled in two parts: its features, in the precision asked
    for, and the linear path, the sum and what follows, in float32.
    """

    def __init__(self, path: Path, precision: str = F32) -> None:
        """Raises `ModelError`, for bfloat16 also where a network has no last sum."""
        core, self._lock = ov.Core(), Lock()
        try:
            if precision == F32:
                parts = [_read(core, path)]
            else:
                parts = [_features(_read(core, path)), _rest(_read(core, path))]
            self._takes_margins = len(parts[0].get_parameters()) > 1
            self._requests = [
                _compiled(core, part, p) for part, p in zip(parts, (precision, F32), strict=False)
            ]
        except ModelError:
            raise
        except Exception as error:  # OpenVINO raises RuntimeError, and others
            raise ModelError(
                f"{path}: not a model that OpenVINO can run; use --device cpu, or choose another"
            ) from error

    def run(
        self, inputs: NDArray[np.float32], margins: Margins = NO_MARGINS
    ) -> NDArray[np.float32]:
        """See `Backend`."""
        ends: list[NDArray[Any]] = [inputs]
        if self._takes_margins:
            ends.append(np.array(margins, np.int64))
        given = ends
        with self._lock:  # a request does one inference at a time
            for request in self._requests:
                result = request.infer(given, share_inputs=True, share_outputs=True)[0]
                given = [*ends, result]
            output: NDArray[np.float32] = np.array(result)
        return output


def _read(core: Any, path: Path) -> Any:
    """A model, with `MARGINS` as an input: OpenVINO reads inputs that have a value as constants."""
    model = core.read_model(path)
    for node in model.get_ordered_ops():
        if node.get_friendly_name() == MARGINS and node.get_type_name() == "Constant":
            given = ops.parameter(node.get_output_partial_shape(0), np.int64, name=MARGINS)
            ov.utils.replace_node(node, given)
            model.add_parameters([given])
    return model


def _compiled(core: Any, model: Any, precision: str) -> Any:
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": usable_cpus(),
        "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same cores
    }
    return core.compile_model(model, "CPU", settings).create_infer_request()


def _features(model: Any) -> Any:
    """The first part: input → the features that the last sum adds to the linear path."""
    features = _last_sum(model)[1]
    return ov.Model([ops.result(features)], model.get_parameters(), "features")


def _rest(model: Any) -> Any:
    """The second part: input, features → output."""
    total, features = _last_sum(model)
    given = ops.parameter(features.get_partial_shape(), np.float32)
    for operand in total.inputs():
        if operand.get_source_output() == features:
            operand.replace_source_output(given.output(0))
    return ov.Model(model.get_results(), [*model.get_parameters(), given], "sum")


def _last_sum(model: Any) -> tuple[Any, Any]:
    """The last sum of a network and that of its two operands which is no linear path.

    Raises `ModelError` where there is none.
    """
    node = model.get_results()[0].input_value(0).get_node()
    while node.get_type_name() in _SHIFTS:
        node = node.input_value(0).get_node()
    operands = node.input_values()
    kinds = [_kinds_before(o.get_node()) for o in operands]
    deep = [o for o, k in zip(operands, kinds, strict=True) if "PRelu" in k or "Relu" in k]
    if node.get_type_name() != "Add" or len(deep) != 1:
        raise ModelError("no sum of features and a linear path at the end of this network")
    return node, deep[0]


def _kinds_before(node: Any) -> set[str]:
    """Types of a node and of all that it is computed from."""
    found, waiting = {node.get_friendly_name(): node.get_type_name()}, [node]
    while waiting:
        for source in waiting.pop().input_values():
            before = source.get_node()
            if before.get_friendly_name() not in found:
                found[before.get_friendly_name()] = before.get_type_name()
                waiting.append(before)
    return set(found.values())
