"""Search for a learning rate before training."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from undark.learn.data.batches import Batch, StepSampler, loader, prepare
from undark.learn.muon import Muon
from undark.learn.network import UNet
from undark.learn.progress import Event, Report, minutes_left
from undark.learn.task import TrainingPlan

STEPS = 100
LOWEST, HIGHEST = 1e-5, 0.1
SHARE = 0.2
"""Largest fraction of a run's time for the search."""
SKIPPED = 10
"""Number of first steps whose losses are ignored."""


def find_rate(
    network: UNet,
    plan: TrainingPlan,
    batch: int,
    device: torch.device,
    seconds: float | None,
    report: Report,
) -> float | None:
    """The learning rate at which the loss falls fastest, over up to `STEPS` steps of rising rates.

    The network is not changed. With a limit of `seconds` there are fewer steps with larger
    increments. None if the loss never falls. After Smith, "Cyclical learning rates for training
    neural networks" (WACV 2017).
    """
    trial = copy.deepcopy(network).to(device)
    optimiser = Muon(trial.parameters(), LOWEST)
    crops, losses, rates = iter(loader(plan.samples, StepSampler(batch))), [], []
    began = time.monotonic()
    position = 0.0
    while position <= 1:
        rate = LOWEST * (HIGHEST / LOWEST) ** position
        optimiser.param_groups[0]["lr"] = rate
        made = prepare(next(crops).to(device))
        loss = optimiser.step(partial(_backward, trial, optimiser, plan, made))
        losses.append(float(loss.detach()))
        rates.append(rate)
        if not math.isfinite(losses[-1]) or losses[-1] > 4 * abs(min(losses)) + min(losses) + 4:
            break  # diverged
        spent = time.monotonic() - began
        position += _stride(spent / len(losses), seconds)
        left = minutes_left(position, 0.0, spent)
        done = min(1.0, position)
        report(Event("looking for a learning rate", done, len(losses), losses[-1], {}, left))
    return steepest(rates, losses)


def _stride(step: float, seconds: float | None) -> float:
    """Increment of the position (0 to 1) per step, if a step takes `step` seconds."""
    if seconds is None:
        return 1 / STEPS
    return 1 / max(min(STEPS, seconds / step), 1)


def _backward(
    network: UNet, optimiser: torch.optim.Optimizer, plan: TrainingPlan, batch: Batch
) -> torch.Tensor:
    optimiser.zero_grad()
    loss = plan.loss(network, batch)
    loss.backward()
    return loss


def steepest(rates: list[float], losses: list[float]) -> float | None:
    """The rate at which the smoothed loss falls most steeply; None if it never falls."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    first = min(SKIPPED, len(finite) // 4)
    smooth = np.array(list(_smoothed(finite)))[first:]
    if len(smooth) < 3:
        return None
    slopes = np.gradient(smooth)
    best = int(np.argmin(slopes))
    return rates[first + best] if slopes[best] < 0 else None


def _smoothed(losses: list[float], keep: float = 0.8) -> Iterator[float]:
    """Exponential moving averages with bias correction."""
    mean = 0.0
    for number, loss in enumerate(losses, 1):
        mean = keep * mean + (1 - keep) * loss
        yield mean / (1 - keep**number)
