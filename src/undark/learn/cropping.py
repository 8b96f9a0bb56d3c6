"""Leave a tile's margins out of an exported network as soon as nothing kept depends on them.

A tile is given to the network with margins (`engine.tiling`), whose output is thrown away. The
encoder needs them; of the decoder's scales each needs only the few pixels around the inner part
that its own and the later convolutions reach. So the exported graph has a second input, `margins`,
and slices what enters each scale of the decoder. The output of the inner part stays the same to the
last bit, at the frame's border too, where a tile has no margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from undark.engine.card import MARGINS
from undark.learn.network import UNetConfig
from undark.learn.upsampling import upsamplings

_PREFIX = "crop_"


def rims_of(config: UNetConfig) -> tuple[int, ...]:
    """Pixels of each scale's own size, the finest first, around the inner part that enter it.

    A residual block reaches two pixels, the last convolution one; even, so that the scale below
    has half as many. Empty for a network of one scale.
    """
    rims, above = [], 1
    for blocks in config.decoder:
        reach = 2 * blocks + above
        rims.append(reach + reach % 2)
        above = rims[-1] // 2
    return tuple(rims)


def rim_of(config: UNetConfig) -> int:
    """See `Card.rim`."""
    return config.fold * rims_of(config)[0] if config.decoder else 0


def crop_margins(model: onnx.ModelProto, config: UNetConfig) -> None:
    """Add the input `margins` to an exported `UNet`, and the slices; a network of one scale has
    nothing to leave out and stays as it is."""
    rims, graph = rims_of(config), model.graph
    if not rims:
        return
    crops = _Crops(rims, config.fold)
    scales = {node.output[0]: scale for scale, node in enumerate(reversed(upsamplings(model)))}
    nodes = []
    for node in graph.node:
        if node.output[0] in scales:  # the coarser scale's output, before it is enlarged
            node.input[0] = crops.slice(node.input[0], crops.over[scales[node.output[0]]])
        elif node.op_type == "Add" and (enlarged := scales.keys() & {*node.input}):
            skip = next(place for place, name in enumerate(node.input) if name not in enlarged)
            scale = scales[enlarged.pop()]
            node.input[skip] = crops.slice(node.input[skip], crops.skipped[scale])
        elif node.op_type == "Conv" and node.input[1] == "demosaic.weight":
            node.input[0] = crops.slice(node.input[0], crops.light)
        nodes += [*crops.taken(), node]
    del graph.node[:], graph.value_info[:]  # the shapes inside depend on the margins
    graph.node.extend([*crops.sizes, *nodes])
    graph.initializer.extend(crops.constants)
    graph.input.append(helper.make_tensor_value_info(MARGINS, onnx.TensorProto.INT64, [4]))
    # with a value of its own an input need not be given: whole outputs, as without it
    graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int64), MARGINS))


class _Crops:
    """Nodes that compute how many pixels are left out, and those that slice."""

    def __init__(self, rims: Sequence[int], fold: int) -> None:
        self.constants: list[onnx.TensorProto] = []
        self.sizes: list[onnx.NodeProto] = []
        self._made: list[onnx.NodeProto] = []
        self._count = 0
        self._axes, self._first, self._last = (self._constant(*n) for n in ((2, 3), (0, 1), (2, 3)))
        own = [self._size("Div", MARGINS, fold * 2**n) for n in range(len(rims) + 1)]
        kept = [self._size("Min", m, rim) for m, rim in zip(own, rims, strict=False)]
        coarser = [*kept[1:], own[-1]]  # the coarsest scale is computed whole
        self.skipped = [self._size("Sub", m, k) for m, k in zip(own, kept, strict=False)]
        """Of each scale's size, left out of what its encoder gave."""
        half = [self._size("Div", k, 2) for k in kept]
        self.over = [self._size("Sub", c, h) for c, h in zip(coarser, half, strict=True)]
        """Of the coarser scale's size, left out of what that scale gave."""
        self.light = self._size("Mul", self.skipped[0], fold)
        """Left out of the linear path."""

    def slice(self, value: str, crop: str) -> str:
        """The name of a value (N, C, H, W) without `crop` pixels at top, left, bottom, right."""
        before, after = (self._node("Gather", crop, at) for at in (self._first, self._last))
        size = self._node("Shape", value, start=2, end=4)
        end = self._node("Sub", size, after)
        return self._node("Slice", value, before, end, self._axes)

    def taken(self) -> list[onnx.NodeProto]:
        """The nodes made since the last call."""
        made, self._made = self._made, []
        return made

    def _constant(self, *numbers: int) -> str:
        name = f"{_PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(numbers, np.int64), name))
        return name

    def _size(self, kind: str, value: str, other: str | int) -> str:
        second = other if isinstance(other, str) else self._constant(other)
        name = self._node(kind, value, second)
        self.sizes += self.taken()
        return name

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self._count += 1
        name = f"{_PREFIX}{kind.lower()}_{self._count}"
        self._made.append(helper.make_node(kind, inputs, [name], **attributes))
        return name
