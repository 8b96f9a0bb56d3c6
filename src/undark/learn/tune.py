"""`undark tune`: search batch size, depth, width, crop and learning rate, at equal training time.

Optuna searches (TPE, Bergstra et al. 2011) and prunes what is behind the median. A journal in the
folder is all its memory: it survives a kill, and several machines that share the folder share the
study.
"""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from undark.errors import TrainingError
from undark.files.output import whole, writing
from undark.learn.from_photos import photo_plan, split
from undark.learn.machine import is_out_of_memory
from undark.learn.network import UNetConfig
from undark.learn.options import Training
from undark.learn.settings import write_settings
from undark.learn.task import RestoreTask, judge, means
from undark.learn.train import fit

LOOKS = (0.25, 0.5, 0.75)
"""Shares of the time after which a trial may be pruned."""
FIRST = 5
"""Trials that are never pruned."""
SLICE = 3
"""One photo in so many is searched on."""
MULTIPLES = (1, 2, 4, 6)
"""Channels at each scale, in widths."""
DEFAULT = {"batch": 16, "crop": 112, "rate": 3e-3, "width": 32, "depth": 4}
SHOWN = 8
"""Decibels below the best that history.png shows."""
BEST = "best.toml"


@dataclass(frozen=True)
class Search:
    """What `undark tune` was asked for."""

    data: Path
    out: Path
    trials: int = 20
    """In all, those of an earlier call and of other machines counted."""
    minutes: float = 2.0
    """Each."""


@dataclass(frozen=True)
class Found:
    """What a search found; PSNR in dB on the photos held back, mean over amplifications."""

    settings: Path
    """For `undark train --config`."""
    best: float
    default: float
    trials: int


def tune(search: Search) -> Found:
    """Search, or go on; leaves `BEST`, importance.png and history.png in `search.out`.

    Raises `TrainingError`.
    """
    study = _study(search)
    while len(_done(study)) < search.trials or _default(study) is None:
        study.optimize(lambda trial: _score(search, trial), n_trials=1)
    fields = _fields(study.best_trial.params)
    default = _default(study)
    assert default is not None  # they came first, and the first are not pruned
    found = Found(search.out / BEST, study.best_value, default, len(_done(study)))
    said = f"undark tune: best of {found.trials} trials of {search.minutes:g} minutes"
    write_settings(found.settings, fields, f"{said}, {found.best:.2f} dB (defaults {default:.2f})")
    _draw(study, search.out)
    return found


def _study(search: Search) -> optuna.Study:
    """The study of a folder, begun with the defaults. Raises `TrainingError` if it is another's."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with writing(search.out):
        search.out.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(search.out / "study.log"))),
            study_name="undark",
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(n_startup_trials=2 * FIRST),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=FIRST),
        )
    wanted = {"minutes": search.minutes, "photos": [p.name for p in _slice(search.data)]}
    known = study.user_attrs.get("search")
    if known is None:
        study.set_user_attr("search", wanted)
    elif known != wanted:
        raise TrainingError(
            f"{search.out}: a study of other photos or of {known['minutes']:g} minutes a trial; "
            "give the same ones to go on with it, or choose another --out"
        )
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if _default(study) is None and not waiting:
        study.enqueue_trial(DEFAULT)
    return study


def _slice(data: Path) -> list[Path]:
    """The photos that are searched on: never those that `undark train photos` watches by."""
    train, _ = split(Training(data, data))
    return train[::SLICE] if len(train) >= 4 * SLICE else train


def _done(study: optuna.Study) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _default(study: optuna.Study) -> float | None:
    """How good the defaults are, once they had their turn."""
    found = [t.value for t in _done(study) if t.value is not None and t.params == DEFAULT]
    return max(found, default=None)


def _score(search: Search, trial: Trial) -> float:
    """Train for the time allowed: mean PSNR in dB."""
    params = {
        "batch": trial.suggest_categorical("batch", (4, 8, 16, 32)),
        "crop": trial.suggest_int("crop", 48, 160, step=16),
        "rate": trial.suggest_float("rate", 5e-4, 2e-2, log=True),
        "width": trial.suggest_categorical("width", (16, 24, 32, 48)),
        "depth": trial.suggest_int("depth", 2, 4),
    }
    print(f"trial {trial.number}: {params}", file=sys.stderr)
    run = search.out / f"trial-{trial.number}"
    shutil.rmtree(run, ignore_errors=True)
    training = Training(search.data, run, minutes=search.minutes, **_fields(params))
    plan = photo_plan(training, {}, _slice(search.data))

    def mean(task: RestoreTask) -> float:
        return float(np.mean(list(means(judge(task.network, plan)).values())))

    try:
        task, _ = fit(training, plan, [_Looks(trial, mean)])
        return mean(task)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise optuna.TrialPruned("out of memory") from error
    finally:
        shutil.rmtree(run, ignore_errors=True)


def _fields(params: dict[str, Any]) -> dict[str, Any]:
    """What the trial's parameters are as fields of `Training`."""
    depth = params["depth"]
    network = UNetConfig(
        widths=tuple(params["width"] * n for n in MULTIPLES[:depth]),
        encoder=(*(1,) * (depth - 1), 2),
        decoder=(1,) * (depth - 1),
    )
    named = {"batch": params["batch"], "crop": params["crop"], "peak": params["rate"]}
    return named | {"network": network}


class _Looks(pl.Callback):
    """Looks at a trial now and then, and ends it where it is behind."""

    def __init__(self, trial: Trial, score: Callable[[RestoreTask], float]) -> None:
        self._trial, self._score, self._left = trial, score, list(LOOKS)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        if self._left and pl_module.fraction_done() >= self._left[0]:
            step = len(LOOKS) - len(self._left)
            self._left.pop(0)
            self._trial.report(self._score(pl_module), step)
            if self._trial.should_prune():
                raise optuna.TrialPruned


def _draw(study: optuna.Study, out: Path) -> None:
    """importance.png and history.png."""
    import matplotlib as mpl

    mpl.use("Agg")  # no screen
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    drawings: dict[str, Callable[[], Any]] = {
        "history": partial(plots.plot_optimization_history, study)
    }
    if len({str(t.params) for t in _done(study) if t.value is not None}) > 1:
        drawings["importance"] = partial(
            plots.plot_param_importances, study, evaluator=PedAnovaImportanceEvaluator()
        )
    for name, draw in drawings.items():
        with whole(out / f"{name}.png", overwrite=True) as temporary, warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # optuna's, of drawing at all
            axes = draw()
            if name == "history":  # a trial that diverged would squash all others
                axes.set_ylim(bottom=study.best_value - SHOWN)
            pyplot.savefig(temporary, dpi=120, bbox_inches="tight")
            pyplot.close()
