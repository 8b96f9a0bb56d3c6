"""The optimiser: momentum made orthogonal (Muon), at a quarter of the time that torch's takes here.

torch's own multiplies in bfloat16, which a CPU without AMX does slowly, and carries the long side
of every weight through each iteration. This one does the same arithmetic in float32 on the Gram
matrix of the short side: 0.02 s a step instead of 0.08 s for 2.4 million parameters on two cores.
"""

from __future__ import annotations

from collections.abc import Callable
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
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group["lr"], group["momentum"])
        return loss

    def _move(self, weight: Tensor, gradient: Tensor, rate: float, momentum: float) -> None:
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        mean = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        update = orthogonal(gradient.lerp(mean, momentum))
        weight.sub_(update, alpha=0.2 * max(weight.shape) ** 0.5 * rate)


def orthogonal(matrix: Tensor) -> Tensor:
    """(m, n) → with the same singular vectors, all singular values between about 0.7 and 1.2.

    Jordan's quintic Newton-Schulz iteration X ← (a + bG + cG²) X, G = XXᵀ. The factors commute with
    G, so that only they are iterated, and X is multiplied once.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonal(matrix.T).T
    start = matrix / matrix.norm().clamp(min=1e-7)
    gram = start @ start.T
    product = _factor(gram)
    last = product
    for _ in range(_ITERATIONS - 1):
        gram = last @ gram @ last
        last = _factor(gram)
        product = last @ product
    return product @ start


def _factor(gram: Tensor) -> Tensor:
    """a + bG + cG²."""
    a, b, c = _QUINTIC
    factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
    factor.diagonal().add_(a)
    return factor
