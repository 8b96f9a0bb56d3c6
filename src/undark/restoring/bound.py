"""A bound on what a network may add: the light that its surroundings show, give or take noise."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
K = float(os.environ.get("K", 3))
VAR = os.environ.get("VAR", "A")
REACH = int(os.environ.get("REACH", 1))


def _extreme(p, f, reach):
    for axis in (-2, -1):
        pad = [(0, 0)] * p.ndim
        pad[axis] = (reach, reach)
        q = np.pad(p, pad, mode="edge")
        n = p.shape[axis]
        parts = [np.take(q, range(i, i + n), axis=axis) for i in range(2 * reach + 1)]
        p = parts[0].copy()
        for x in parts[1:]:
            f(p, x, out=p)
    return p


def _mean(p, reach=1):
    for axis in (-2, -1):
        pad = [(0, 0)] * p.ndim
        pad[axis] = (reach, reach)
        q = np.pad(p, pad, mode="edge")
        n = p.shape[axis]
        p = sum(np.take(q, range(i, i + n), axis=axis) for i in range(2 * reach + 1)) / (
            2 * reach + 1
        )
    return p


def bound(output: Floats, inputs: Floats, colours: tuple[int, ...]) -> Floats:
    out = output.copy()
    n = len(colours)
    cell = int(n**0.5)
    for k in range(3):
        at = [i for i, c in enumerate(colours) if c == k]
        light = inputs[0, at]
        sigma = inputs[0, [n + i for i in at]]
        if VAR == "A":
            hi = _extreme((light + K * sigma).max(0), np.maximum, REACH)
            lo = _extreme((light - K * sigma).min(0), np.minimum, REACH)
        else:
            m = _mean(light.mean(0))
            s = _mean(sigma.mean(0))
            hi = _extreme(np.maximum(m + K * s, light.max(0)), np.maximum, REACH)
            lo = _extreme(np.minimum(m - K * s, light.min(0)), np.minimum, REACH)
        hi, lo = (x.repeat(cell, 0).repeat(cell, 1) for x in (hi, lo))
        out[0, k] = np.clip(output[0, k], lo, hi)
    return out
