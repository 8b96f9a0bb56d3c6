"""training.json: the record of a training, from which it can be continued or reproduced."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from undark.learn.export import commit
from undark.learn.options import Training
from undark.learn.task import RestoreTask, Scores, means

COUNTED = ("steps", "minutes", "packed_pixels")
"""Counters of a record: the run's own, and inherited with the start weights."""


def make_record(
    training: Training, task: RestoreTask, history: dict[str, Any], seconds: float, scores: Scores
) -> dict[str, Any]:
    """The record of a run.

    `history` is the record of the start weights, or {}; `seconds` is the duration.
    """
    plan = task.plan
    own = {
        "steps": task.global_step,
        "minutes": round(seconds / 60, 1),
        "packed_pixels": task.progress.packed_pixels,
    }
    inherited = {name: history.get(name, 0) for name in COUNTED}
    total = {name: round(own[name] + inherited[name], 1) for name in COUNTED}
    return {
        "task": plan.task,
        "network": training.config.as_dict(),
        "settings": _settings(training, task),
        **total,
        "own": own,
        "inherited": inherited,
        "start": task.progress.start or None,
        "precision": str(task.trainer.precision),
        "commit": commit(),
        "data": f"{len(plan.files)} {plan.unit}",
        "data_folder": str(training.data.resolve()),
        "held_back": plan.held,
        **_files(plan.unit, plan.files, history),
        "validation": {f"psnr/{name}": round(score, 3) for name, score in means(scores).items()},
    }


def _settings(training: Training, task: RestoreTask) -> dict[str, Any]:
    settings = asdict(training) | {"peak": task.peak, "loss": task.plan.loss_name}
    for name in ("data", "out", "val", "start", "resume", "network"):
        settings.pop(name)
    return settings | {"teacher": start_of(training.teacher) if training.teacher else None}


def _files(unit: str, files: list[str], history: dict[str, Any]) -> dict[str, list[str]]:
    """Names of all photographs, or dark photos of pairs, that the weights were trained on."""
    known = {name: set(history.get(name, [])) for name in ("photographs", "pairs")}
    known["photographs"] |= set(history.get("photos", []))  # the name in older records
    known[unit] |= set(files)
    return {name: sorted(names) for name, names in known.items() if names}


def start_of(weights: Path) -> dict[str, str]:
    """Name and digest of weights, without their folder."""
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    name = weights.resolve().parent.name if weights.stem == "model" else weights.stem
    return {"name": f"{name}/{weights.name}" if weights.stem == "model" else weights.name} | {
        "sha256": digest
    }
