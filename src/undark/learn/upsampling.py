"""An exported network's upsampling as one operation.

A 1×1 convolution and a pixel shuffle by 2 are a transposed convolution of 2×2 taps and stride 2.
ONNX Runtime computes that faster, to the same bits: its pixel shuffle runs on one thread. The
weights stay as they are in the file; they are put into the other order when a session is opened.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

_SHUFFLE, _TRANSPOSED = "DepthToSpace", "ConvTranspose"


def join_upsampling(model: onnx.ModelProto) -> None:
    """Replace each 1×1 convolution with a pixel shuffle by 2 behind it, in place."""
    graph = model.graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    convolutions = {node.output[0]: node for node in graph.node if node.op_type == "Conv"}
    nodes, replaced = [], []
    for node in graph.node:
        before = convolutions.get(node.input[0]) if node.op_type == _SHUFFLE else None
        if before is None or shapes[before.input[1]][2:] != (1, 1):
            nodes.append(node)
            continue
        light, weight = before.input
        outs, ins = shapes[weight][:2]
        taps, kernel = f"{weight}.taps", f"{weight}.transposed"
        shape = np.array([outs // 4, 2, 2, ins], np.int64)
        graph.initializer.append(numpy_helper.from_array(shape, f"{taps}.shape"))
        nodes += [
            helper.make_node("Reshape", [weight, f"{taps}.shape"], [taps]),
            helper.make_node("Transpose", [taps], [kernel], perm=[3, 0, 1, 2]),
            helper.make_node(_TRANSPOSED, [light, kernel], node.output, strides=[2, 2]),
        ]
        replaced.append(before.output[0])
    del graph.node[:]
    graph.node.extend(node for node in nodes if node.output[0] not in replaced)


def upsamplings(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """The nodes of the transposed convolutions, in their order."""
    return [node for node in model.graph.node if node.op_type == _TRANSPOSED]
