"""Build an ONNX graph node by node, with values written as Python expressions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

OPSET = 18
"""That of `undark.learn.export`."""
IR_VERSION = 10


class Graph:
    """Nodes and constants of a graph; `Value`s are its edges."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix` begins every name, so that graphs can be joined."""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._prefix = prefix

    def value(self, name: str) -> Value:
        """An input of the graph, or an output of another that it is joined to."""
        return Value(self, name)

    def constant(self, numbers: Any, dtype: type = np.float32) -> Value:
        name = f"{self._prefix}constant_{len(self.constants)}"
        array: NDArray[Any] = np.asarray(numbers, dtype)
        self.constants.append(numpy_helper.from_array(array, name))
        return Value(self, name)

    def integers(self, *numbers: int) -> Value:
        """A vector of int64, as shapes, axes and positions are given."""
        return self.constant(numbers, np.int64)

    def node(self, kind: str, *inputs: Value, outputs: int = 1, **attributes: Any) -> Value:
        """Add a node; its last output."""
        number = len(self.nodes)
        names = [f"{self._prefix}{kind}_{number}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(kind, [i.name for i in inputs], names, **attributes))
        return Value(self, names[-1])

    def name(self, value: Value, name: str) -> None:
        """Give a value the name that an output of the model has."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name]))


class Value:
    """An edge of a graph; arithmetic adds nodes."""

    def __init__(self, graph: Graph, name: str) -> None:
        self.graph, self.name = graph, name

    def _with(self, kind: str, other: Value | float) -> Value:
        second = other if isinstance(other, Value) else self.graph.constant(other)
        return self.graph.node(kind, self, second)

    def __add__(self, other: Value | float) -> Value:
        return self._with("Add", other)

    def __sub__(self, other: Value | float) -> Value:
        return self._with("Sub", other)

    def __mul__(self, other: Value | float) -> Value:
        return self._with("Mul", other)

    def __truediv__(self, other: Value | float) -> Value:
        return self._with("Div", other)

    def at_least(self, other: Value | float) -> Value:
        return self._with("Max", other)

    def at_most(self, other: Value | float) -> Value:
        return self._with("Min", other)

    def abs(self) -> Value:
        return self.graph.node("Abs", self)

    def sqrt(self) -> Value:
        return self.graph.node("Sqrt", self)

    def sum(self, *axes: int) -> Value:
        """Summed over axes, which stay with size 1."""
        return self.graph.node("ReduceSum", self, self.graph.integers(*axes))

    def mean(self, *axes: int) -> Value:
        return self.graph.node("ReduceMean", self, self.graph.integers(*axes))

    def sliced(self, axis: int, start: int, stop: int) -> Value:
        places = (self.graph.integers(n) for n in (start, stop, axis))
        return self.graph.node("Slice", self, *places)

    def block_means(self, side: int) -> Value:
        """(N, C, H, W) → means over whole blocks: (N, C, H // side, W // side)."""
        size = [side, side]
        return self.graph.node("AveragePool", self, kernel_shape=size, strides=size)

    def quantile(self, share: float, count: int) -> Value:
        """(N, C, h, w) of `count` values a channel → (N, C, 1, 1): a low quantile of each."""
        graph, kept = self.graph, max(1, round(share * count))
        rows = graph.node("Reshape", self, graph.integers(0, 0, 1, count))
        node = graph.node("TopK", rows, graph.integers(kept), outputs=2, axis=3, largest=0)
        lowest = Value(graph, node.name[:-1] + "0")
        return lowest.sliced(3, kept - 1, kept)


def model_of(
    graph: Graph, inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]], name: str
) -> onnx.ModelProto:
    """The graph as a checked model of float32 tensors; names and shapes of its ends are given."""

    def ends(shapes: dict[str, tuple[int, ...]]) -> list[onnx.ValueInfoProto]:
        kind = onnx.TensorProto.FLOAT
        return [helper.make_tensor_value_info(n, kind, list(s)) for n, s in shapes.items()]

    made = helper.make_graph(graph.nodes, name, ends(inputs), ends(outputs), graph.constants)
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="undark",
    )
    onnx.checker.check_model(model, full_check=True)
    return model
