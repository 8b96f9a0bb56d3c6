"""Hyperparameter search over batch size, depth, width, crop and learning rate, at equal training
time.

Optuna searches (TPE, Bergstra et al. 2011) and prunes trials below the median. The study is a
journal in the output folder: it survives a kill, and several machines can share the folder.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from undark.errors import TrainingError
from undark.files.output import atomic_output, writing
from undark.learn.settings import write_settings
from undark.learn.trial import (
    FailedTrialError,
    Search,
    TrialScore,
    as_training_fields,
    searched_photos,
    train_and_score,
)

UNPRUNED = 5
"""Number of first trials that are never pruned."""
DEFAULT = {"batch": 16, "crop": 112, "rate": 3e-3, "width": 32, "depth": 4}
MIN_STEPS = 20
"""With fewer steps a score is not comparable: the learning rate is still in its warm-up."""
MAX_FAILURES = 5
"""Failed trials in succession that end a search."""
PLOT_RANGE = 8
"""Decibels below the best that history.png shows."""
BEST = "best.toml"


@dataclass(frozen=True)
class TuningResult:
    """The result of a search; PSNR in dB on the photos held back, mean over amplifications."""

    settings: Path
    """For `undark train --config`."""
    best: float
    default: float | None
    """None where the trial with the default settings failed."""
    trials: int
    failed: int
    """Trials out of memory or diverged; counted in `trials`."""
    comparable: bool
    """False where no trial made `MIN_STEPS` steps."""


Scorer = Callable[[Search, Trial, dict[str, Any]], TrialScore]
"""Trains with the trial's settings; may report scores on the way and raise `TrialPruned`.

Raises `FailedTrialError`.
"""
Report = Callable[[str], None]
"""Called with a line of text for the user."""


def tune(
    search: Search, report: Report = lambda line: None, scorer: Scorer | None = None
) -> TuningResult:
    """Start or resume a search; writes `BEST`, importance.png, history.png to `search.out`.

    A failed trial is counted and the search continues, without a score of the defaults if theirs
    failed. Raises `TrainingError` after `MAX_FAILURES` failed trials in succession, and if none
    succeeded.
    """
    study, failures = _study(search), 0
    objective = partial(_objective, search, scorer or train_and_score, report)
    while len(_finished(study)) < search.trials:
        study.optimize(objective, n_trials=1)
        why = _failure(study.get_trials(deepcopy=False)[-1])
        failures = failures + 1 if why else 0
        if failures == MAX_FAILURES:
            raise TrainingError(
                f"{search.out}: {failures} trials in succession failed, the last: {why}; "
                "close other programs, or choose another --out after changing the photos"
            )
    result = _result(study, search)
    if not result.comparable:
        report(
            f"no trial made {MIN_STEPS} steps in {search.minutes:g} minutes: "
            "the scores are not comparable; give more --minutes and another --out"
        )
    _draw(study, search.out)
    return result


def _result(study: optuna.Study, search: Search) -> TuningResult:
    """Write `BEST`: the best of the comparable trials; the defaults where none is comparable."""
    scored = [t for t in _finished(study) if t.state == TrialState.COMPLETE and not _failure(t)]
    if not scored:
        raise TrainingError(f"{search.out}: no trial succeeded; give more --minutes")
    comparable = [t for t in scored if t.user_attrs.get("steps", MIN_STEPS) >= MIN_STEPS]
    defaults = [t for t in scored if t.params == DEFAULT]
    best = max(comparable or defaults or scored, key=_psnr)
    finished = _finished(study)
    result = TuningResult(
        search.out / BEST,
        _psnr(best),
        _default(study),
        len(finished),
        sum(_failure(t) is not None for t in finished),
        bool(comparable),
    )
    write_settings(result.settings, as_training_fields(best.params), _comment(result, search))
    return result


def _comment(result: TuningResult, search: Search) -> str:
    default = "failed" if result.default is None else f"{result.default:.2f}"
    text = f"undark tune: best of {result.trials} trials of {search.minutes:g} minutes"
    doubt = "" if result.comparable else f"; not comparable, below {MIN_STEPS} steps"
    return f"{text}, {result.best:.2f} dB (defaults {default}){doubt}"


def _psnr(trial: FrozenTrial) -> float:
    assert trial.value is not None  # a completed trial
    return trial.value


def _study(search: Search) -> optuna.Study:
    """The study of a folder; the defaults are its first trial.

    Raises `TrainingError` where the folder has a study of other photos or minutes.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with writing(search.out):
        search.out.mkdir(parents=True, exist_ok=True)
        study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(search.out / "study.log"))),
            study_name="undark",
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(n_startup_trials=2 * UNPRUNED),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED),
        )
    wanted = {"minutes": search.minutes, "photos": [p.name for p in searched_photos(search.data)]}
    known = study.user_attrs.get("search")
    if known is None:
        study.set_user_attr("search", wanted)
    elif known != wanted:
        raise TrainingError(
            f"{search.out}: a study of other photos or of {known['minutes']:g} minutes a trial; "
            "give the same ones to resume it, or choose another --out"
        )
    waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
    if not _defaults(study) and not waiting:
        study.enqueue_trial(DEFAULT)
    return study


def _finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ended by themselves; failed ones are among them, interrupted ones are not."""
    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))


def _failure(trial: FrozenTrial) -> str | None:
    """Why a trial failed; None where it did not."""
    return trial.user_attrs.get("failure")


def _defaults(study: optuna.Study) -> list[FrozenTrial]:
    return [t for t in _finished(study) if t.params == DEFAULT]


def _default(study: optuna.Study) -> float | None:
    """The PSNR of the default settings; None where they were not tried or failed."""
    scores = [t.value for t in _defaults(study) if t.value is not None and not _failure(t)]
    return max(scores, default=None)


def _objective(search: Search, scorer: Scorer, report: Report, trial: Trial) -> float:
    """Optuna's objective: PSNR in dB.

    A failed trial is pruned in Optuna's terms and has the attribute "failure": the sampler then
    avoids its neighbourhood, which it would not if the state were FAIL.
    """
    params = _suggested(trial)
    report(f"trial {trial.number}: {params}")
    try:
        score = scorer(search, trial, params)
        if not math.isfinite(score.psnr):
            raise FailedTrialError("training diverged, its score is not finite")
    except FailedTrialError as error:
        trial.set_user_attr("failure", str(error))
        report(f"trial {trial.number} failed: {error}")
        raise optuna.TrialPruned from error
    trial.set_user_attr("steps", score.steps)
    if score.steps < MIN_STEPS:
        report(f"trial {trial.number}: {score.steps} steps, below {MIN_STEPS}: not comparable")
    return score.psnr


def _suggested(trial: Trial) -> dict[str, Any]:
    return {
        "batch": trial.suggest_categorical("batch", (4, 8, 16, 32)),
        "crop": trial.suggest_int("crop", 48, 160, step=16),
        "rate": trial.suggest_float("rate", 5e-4, 2e-2, log=True),
        "width": trial.suggest_categorical("width", (16, 24, 32, 48)),
        "depth": trial.suggest_int("depth", 2, 4),
    }


def _draw(study: optuna.Study, out: Path) -> None:
    """importance.png and history.png."""
    import matplotlib as mpl

    mpl.use("Agg")  # no screen
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as plots

    drawings: dict[str, Callable[[], Any]] = {
        "history": partial(plots.plot_optimization_history, study)
    }
    if len({str(t.params) for t in _finished(study) if t.value is not None}) > 1:
        drawings["importance"] = partial(
            plots.plot_param_importances, study, evaluator=PedAnovaImportanceEvaluator()
        )
    for name, draw in drawings.items():
        with (
            atomic_output(out / f"{name}.png", overwrite=True) as temporary,
            warnings.catch_warnings(),
        ):
            # optuna warns that plots are experimental and that equal scores have no importance
            warnings.simplefilter("ignore")
            axes = draw()
            if name == "history":  # a trial that diverged would compress all others
                axes.set_ylim(bottom=study.best_value - PLOT_RANGE)
            pyplot.savefig(temporary, dpi=120, bbox_inches="tight")
            pyplot.close()
