"""Ray Tune over the space of students and recipes: ASHA stops trials, Optuna or chance picks them.

What ASHA halves by is draws. Epochs would be the usual measure, but a recipe here relabels the pool
and starts anew, averages weights and several networks: what it would give is not to be seen
half-way. Two draws of the finished recipe are that, and each draw more makes the same figure surer.
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

from medlabel.errors import MedlabelError
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
from rayjobs.cluster import last_line
from rayjobs.tune.trial import Trial, TuneData

__all__ = ["TUNE", "search"]

TUNE = "tune"  # Tune's own folder, with its TensorBoard files
_FOLDER = re.compile(r"[^_]+_[0-9a-f]+(?:_\d{5})?_(\d+)")  # a trial's: name, id, number
_HALVING = 2  # of the trials that have come so far, one in so many goes on
_CRASHES = 5  # of a trial's worker, before it is given up


def search(
    kind: str,
    spec: TuneSpec,
    store: Store,
    bench: TuneData,
    resources: tuple[int, dict[str, float]],
    callbacks: Sequence[tune.Callback],
    on_progress: StageProgress,
) -> pd.DataFrame:
    """All trials of one search, a row each, in the order in which they were made.

    A search that was killed goes on: Tune's record tells which trials are finished, and files which
    draws are. A finished one is read back.

    Args:
        kind: `optuna` or `random`.
        spec: trials and space.
        store: the folder of the whole.
        bench: what trials share.
        resources: trials at a time, and what each takes of the cluster.
        callbacks: that are told of every result.
        on_progress: told how many trials are finished, of how many.
    """
    table = f"trials-{kind}.parquet"
    if store.exists(table):
        return store.read_table(table)
    _, share = resources
    shared = tune.with_parameters(Trial, bench=bench)
    trainable = tune.with_resources(shared, {key.lower(): n for key, n in share.items()})
    tuner = _tuner(kind, spec, store, trainable, resources[0], callbacks)
    # what waits longer than that is put in another order when a search is restored
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(resources[0])
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "1"  # few finished trials are asked for again
    with _watched(spec.trials, on_progress):
        found = tuner.fit()
    made = sorted((found[n] for n in range(len(found))), key=_number)
    trials = pd.DataFrame([_row(kind, n, one, bench.start) for n, one in enumerate(made)])
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

    The space goes with both: where Ray finds its record damaged, it starts anew, and without the
    space would do so with empty choices.
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
    """What chooses the next trial."""
    if kind == "random":
        return BasicVariantGenerator(random_state=seed)
    return OptunaSearch(seed=seed)


def _domain(values: Range | tuple[Any, ...]) -> Any:
    """A field of the space as Tune has it."""
    if not isinstance(values, Range):
        return tune.choice(list(values))
    if values.whole:  # Tune leaves the upper end out
        kind = tune.lograndint if values.log else tune.randint
        return kind(int(values.low), int(values.high) + 1)
    return (tune.loguniform if values.log else tune.uniform)(values.low, values.high)


def _number(result: Any) -> int:
    """Which trial this is in the order in which they were made: Tune has it in their folders."""
    found = _FOLDER.match(Path(result.path).name)
    return int(found[1]) if found else 0


def _row(kind: str, number: int, result: Any, start: Recipe) -> dict[str, Any]:
    """A trial as the table has it."""
    told, chosen = dict(result.metrics or {}), plain(result.config or {})
    recipe = recipe_of(start, chosen)
    figures = ("agreement", "first_agreement")
    why = "its worker died too often" if result.error else ""
    return {
        "search": kind,
        "trial": number,
        "recipe": recipe.name,
        "student": recipe.student,
        "seeds": int(told.get("seeds", 0)),
        **{name: float(told.get(name, FAILED_AGREEMENT)) for name in figures},
        **{name: float(told.get(name, "nan")) for name in ("students", "neighbours", "balance")},
        "fit_seconds": float(told.get("fit_seconds", 0.0)),
        "reason": str(told.get("reason", why)) or why,
        "chosen": json.dumps(chosen),
    }


class _Progress(tune.Callback):
    """Tells how many trials are finished.

    Tune pickles its callbacks, and a restored search has those of the first: so whom to tell is no
    part of one.
    """

    told: ClassVar[StageProgress | None] = None
    total: ClassVar[int] = 0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """After each result."""
        if _Progress.told is not None:
            _Progress.told(sum(trial.is_finished() for trial in trials), _Progress.total)


@contextmanager
def _watched(total: int, on_progress: StageProgress) -> Iterator[None]:
    """While the block runs, `on_progress` is told, and Tune and Optuna are quiet."""
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # the new one speaks whatever `verbose` says
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    before = _Progress.told
    _Progress.told, _Progress.total = on_progress, total
    try:
        with warnings.catch_warnings():
            # a trial that was started again tells its first draws once more
            warnings.filterwarnings("ignore", message="The reported value is ignored because")
            yield
    except TuneError as error:
        raise MedlabelError(
            f"the search failed: {last_line(error)}. "
            "What is finished is kept; run the same command to go on"
        ) from error
    finally:
        _Progress.told = before
    on_progress(total, total)
