"""Robust fits to the shifts of blocks: of a frame's motion, and of a smooth field beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from undark.align.field import Field, along_rows, smoothest
from undark.align.motion import Motion

Doubles = NDArray[np.float64]

ROWS = 3
"""Polynomials along the rows: a shake during the readout of a rolling shutter leans the picture,
and its acceleration bends it."""
_TURN = 0.01
"""Standard deviation of the prior of a rotation in radians: without detail it stays near 0."""
_LEAN, _LESS = 0.004, 0.5
"""Standard deviation of the prior of the first polynomial, as a share of half the frame's height,
and of each further one as a share of that before it."""
_SURE = 14.0
"""Least squared length of a polynomial's (x, y) in standard deviations. Frames without a rolling
shutter had up to 9, with one of 3 pixels 40 and more."""
_TUKEY = 4.685
"""Constant of Tukey's biweight: 95 % efficiency under normal noise."""
_RAYLEIGH = 1.1774
"""Median length of a vector of two standard normal deviates."""


def fitted_motion(
    field: Field, centres: Doubles, shift: Doubles, precision: Doubles, rows: int, most: float
) -> tuple[Field, Doubles]:
    """The field with the motion and the first `rows` polynomials that explain remaining shifts.

    Blocks with these centres (n, 2) have still to be moved by `shift` (n, 2), whose inverse
    covariance is `precision` (n, 2, 2); pixels of the plane, (x, y). The step is at most `most`
    long. Also returned is the covariance (3 + 2·rows, 3 + 2·rows) of (x, y, turn) and polynomials.
    """
    jacobian = _jacobian(centres, field.shape, rows)
    known = np.zeros((rows, 2))
    known[: len(field.rows)] = field.rows[:rows]
    lean = _LEAN * field.shape[0] / 2 * _LESS ** np.arange(rows)
    prior = np.concatenate([[1e-6, 1e-6, _TURN**-2], np.repeat(lean**-2, 2)])
    before = np.concatenate([np.zeros(3), known.ravel()])
    weight = np.ones(len(shift))
    for _ in range(5):
        seen = jacobian.swapaxes(1, 2) @ (precision * weight[:, None, None])
        covariance = np.linalg.inv((seen @ jacobian).sum(axis=0) + np.diag(prior))
        right = (seen @ shift[..., None]).sum(axis=0)[:, 0] - prior * before
        step = covariance @ right
        weight, spread = _weights(shift - jacobian @ step, precision)
    step = step * min(1.0, most / max(float(np.hypot(*step[:2])), 1e-9))
    x, y, turn = (float(s) for s in step[:3])
    motion = field.motion
    motion = Motion(motion.x + x, motion.y + y, motion.turn + turn)
    bent = known + step[3:].reshape(rows, 2)
    return replace(field, motion=motion, rows=bent), covariance * spread**2


def sure_rows(field: Field, covariance: Doubles) -> int:
    """How many of a field's polynomials it surely has."""
    for count in range(len(field.rows), 0, -1):
        part = slice(1 + 2 * count, 3 + 2 * count)
        bent = field.rows[count - 1]
        if float(bent @ np.linalg.inv(covariance[part, part]) @ bent) > _SURE:
            return count
    return 0


def fitted_field(total: Doubles, precision: Doubles, apart: float, away: float) -> Doubles:
    """The smooth field (rows, columns, 2) of blocks that move by `total` beside the motion.

    `precision` (rows, columns, 2, 2), `apart` and `away` as of `smoothest`.
    """
    weight = np.ones(total.shape[:2])
    for _ in range(3):
        local = smoothest(total, precision * weight[..., None, None], apart, away)
        off = (total - local).reshape(-1, 2)
        weight = _weights(off, precision.reshape(-1, 2, 2))[0].reshape(total.shape[:2])
    return local


def _jacobian(centres: Doubles, shape: tuple[int, int], rows: int) -> Doubles:
    """(n, 2, 3 + 2·rows): derivative of the blocks' shifts by (x, y, turn) and polynomials."""
    x, y = (centres - np.array(shape[::-1]) / 2).T
    one, none = np.ones_like(x), np.zeros_like(x)
    across, down = [one, none, -y], [none, one, x]
    for bent in along_rows(centres[:, 1] - 0.5, shape[0], rows).T:
        across += [bent, none]
        down += [none, bent]
    return np.stack([np.stack(across, axis=1), np.stack(down, axis=1)], axis=1)


def _weights(residual: Doubles, precision: Doubles) -> tuple[Doubles, float]:
    """(n,) by Tukey's biweight, and the scale of the residuals in standard deviations."""
    squares = np.einsum("ni,nij,nj->n", residual, precision, residual)
    off = np.sqrt(np.maximum(squares, 0))
    spread = max(1.0, _median(off, np.trace(precision, axis1=1, axis2=2)) / _RAYLEIGH)
    return np.clip(1 - (off / spread / _TUKEY) ** 2, 0, None) ** 2, spread


def _median(values: Doubles, weights: Doubles) -> float:
    """Weighted: most blocks may be sky, but those with detail decide how far off all are."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])
