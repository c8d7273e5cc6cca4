"""Ray Tune over the space of students and recipes: Optuna or chance picks trials, ASHA stops them.

ASHA compares trials after equal numbers of seeds, where it would usually count epochs. A recipe
here relabels the pool and starts again, and averages weights and several networks, so that a
student half-way through its epochs does not show what the recipe will give. Finished students of
two seeds do, and each further seed makes the same figure more certain.
"""

import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import optuna
import pandas as pd
from ray import tune
from ray.tune.error import TuneError
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import BasicVariantGenerator, SearchAlgorithm, Searcher
from ray.tune.search.optuna import OptunaSearch

from medlabel.experiments.tune_spec import (
    FAILED_AGREEMENT,
    MIN_SEEDS,
    Range,
    TuneSpec,
    plain,
    recipe_of,
)
from medlabel.storage.progress import StageProgress
from medlabel.storage.store import Store
from medlabel.student.recipes import Recipe
from rayjobs.cluster import StorageError, one_line_errors, reason_of
from rayjobs.fit_placement import FitPlacement
from rayjobs.tune.trial import Trial, TuneData

__all__ = ["TUNE", "search"]

TUNE = "tune"  # folder of Ray Tune's files, TensorBoard's among them
_FOLDER = re.compile(r"[^_]+_[0-9a-f]+(?:_\d{5})?_(\d+)")  # of a trial: name, id, number
_HALVING = 2  # one in so many trials goes on
_CRASHES = 5  # of a trial's worker, before the trial is given up


def search(
    kind: str,
    spec: TuneSpec,
    store: Store,
    data: TuneData,
    placement: FitPlacement,
    callbacks: Sequence[tune.Callback],
    on_progress: StageProgress,
) -> pd.DataFrame:
    """All trials of one search, a row each, in the order in which they were made.

    A search that was killed goes on: Tune's record says which trials are finished, and files say
    which cells are. A finished search is read back.

    Args:
        kind: `optuna` or `random`.
        spec: number of trials, and the space.
        store: the folder of the whole job.
        data: what trials share.
        placement: how many trials run at a time, and what each takes of the cluster.
        callbacks: Tune's, called with every result.
        on_progress: called with the number of finished trials and the number of all.
    """
    table = f"trials-{kind}.parquet"
    if store.exists(table):
        return store.read_table(table)
    resources = {name.lower(): amount for name, amount in placement.resources().items()}
    workers = placement.capacity()
    trainable = tune.with_resources(tune.with_parameters(Trial, data=data), resources)
    tuner = _tuner(kind, spec, store, trainable, workers, callbacks)
    # trials that wait in a longer queue would be in another order when a search is restored
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(workers)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1"  # so that few finished trials are run again
    with _watched(spec.trials, on_progress):
        found = tuner.fit()
    made = sorted((found[n] for n in range(len(found))), key=_number)
    _refuse_lost(made)
    trials = pd.DataFrame([_row(kind, n, one, data.start) for n, one in enumerate(made)])
    store.write_table(table, trials)
    return trials


def _tuner(
    kind: str,
    spec: TuneSpec,
    store: Store,
    trainable: Any,
    workers: int,
    callbacks: Sequence[tune.Callback],
) -> tune.Tuner:
    """The search as it was left, or a new one.

    The space is passed in both cases: if Ray finds its record damaged, it starts a new search, and
    without the space its trials would have nothing to choose from.
    """
    path, space = store.path(f"{TUNE}/{kind}"), {n: _domain(v) for n, v in spec.space.items()}
    if tune.Tuner.can_restore(path):
        return tune.Tuner.restore(path, trainable, restart_errored=True, param_space=space)
    return tune.Tuner(
        trainable,
        param_space=space,
        tune_config=_config(kind, spec, workers),
        run_config=tune.RunConfig(
            name=kind,
            storage_path=store.path(TUNE),
            failure_config=tune.FailureConfig(max_failures=_CRASHES),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            callbacks=[_Progress(), *callbacks],
            verbose=0,
        ),
    )


def _config(kind: str, spec: TuneSpec, workers: int) -> tune.TuneConfig:
    return tune.TuneConfig(
        metric="agreement",
        mode="max",
        search_alg=_picker(kind, spec.seed),
        scheduler=ASHAScheduler(
            time_attr="seeds", grace_period=MIN_SEEDS, max_t=spec.seeds, reduction_factor=_HALVING
        ),
        num_samples=spec.trials,
        max_concurrent_trials=workers,
        reuse_actors=True,
    )


def _picker(kind: str, seed: int) -> SearchAlgorithm | Searcher:
    """The algorithm that chooses the next trial."""
    if kind == "random":
        return BasicVariantGenerator(random_state=seed)
    return OptunaSearch(seed=seed)


def _domain(values: Range | tuple[Any, ...]) -> Any:
    """A field of the space as one of Tune's distributions."""
    if not isinstance(values, Range):
        return tune.choice(list(values))
    if values.whole:  # Tune leaves the upper end out
        kind = tune.lograndint if values.log else tune.randint
        return kind(int(values.low), int(values.high) + 1)
    return (tune.loguniform if values.log else tune.uniform)(values.low, values.high)


def _number(result: Any) -> int:
    """A trial's number in the order in which they were made, from the name of its folder."""
    found = _FOLDER.match(Path(result.path).name)
    return int(found[1]) if found else 0


def _refuse_lost(results: Sequence[Any]) -> None:
    """Raise if a trial ended because nothing could be written: it says nothing of its recipe.

    The same command runs such trials again.
    """
    for result in results:
        if isinstance(result.error, StorageError):
            with one_line_errors("the search", StorageError):
                raise result.error


def _row(kind: str, number: int, result: Any, start: Recipe) -> dict[str, Any]:
    """A trial as a row of the table."""
    metrics, chosen = dict(result.metrics or {}), plain(result.config or {})
    recipe = recipe_of(start, chosen)
    figures = ("agreement", "first_agreement")
    why = reason_of(result.error) if result.error else ""
    return {
        "search": kind,
        "trial": number,
        "recipe": recipe.name,
        "student": recipe.student,
        "seeds": int(metrics.get("seeds", 0)),
        **{name: float(metrics.get(name, FAILED_AGREEMENT)) for name in figures},
        **{name: float(metrics.get(name, "nan")) for name in ("students", "neighbours", "balance")},
        "fit_seconds": float(metrics.get("fit_seconds", 0.0)),
        "reason": str(metrics.get("reason", why)) or why,
        "chosen": json.dumps(chosen),
    }


class _Progress(tune.Callback):
    """Reports how many trials are finished.

    Tune pickles its callbacks, and a restored search gets those of the first call. So the function
    to report to is kept on the class, not on the instance.
    """

    on_progress: ClassVar[StageProgress | None] = None
    total: ClassVar[int] = 0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called after each result."""
        if _Progress.on_progress is not None:
            _Progress.on_progress(sum(trial.is_finished() for trial in trials), _Progress.total)


@contextmanager
def _watched(total: int, on_progress: StageProgress) -> Iterator[None]:
    """Report progress while the block runs, and keep Tune and Optuna quiet."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new output ignores `verbose`
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    before = _Progress.on_progress
    _Progress.on_progress, _Progress.total = on_progress, total
    try:
        with warnings.catch_warnings(), one_line_errors("the search", TuneError):
            # a trial that was started again reports its first seeds once more
            warnings.filterwarnings("ignore", message="The reported value is ignored because")
            yield
    finally:
        _Progress.on_progress = before
    on_progress(total, total)
