"""`medlabel tune`: search for a student and a recipe without truth, refit the best, and judge it.

The truth is opened after the winner has been written down. Until then it stays sealed in the
driver: what Tune passes to its trials is a `TuneData`, which holds no labels and no ids.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import pandas as pd
import yaml
from ray.tune import Callback

from medlabel.errors import MedlabelError
from medlabel.evaluation.diagnostics import MIN_SHARED_PER_CLASS
from medlabel.experiments import tune_tables as tables
from medlabel.experiments.run_folder import claim
from medlabel.experiments.sweep_spec import CAPTIONS_READ, SweepUnit, captions_of_plan
from medlabel.experiments.sweep_tables import task_rows, write_csv
from medlabel.experiments.tune_choice import Choice, choose
from medlabel.experiments.tune_spec import (
    TuneSpec,
    best_trial,
    changed_fields,
    check_tune,
    plain,
    recipe_of,
)
from medlabel.experiments.verdicts import LabellingVerdict, write_verdicts
from medlabel.reports.tune_report import report_tune
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.provenance import versions
from medlabel.student.recipes import Recipe
from rayjobs.cluster import one_line_errors
from rayjobs.run import RunConfig, run
from rayjobs.scoring import start_ray
from rayjobs.sweep.fitting import fit_sweep
from rayjobs.sweep.job import Clock, judge_units
from rayjobs.sweep.prepare import (
    ClipEmbeddings,
    PreparedSweep,
    ScoredTask,
    SweepConfig,
    embed_all,
    identity_of,
    prepare,
    scored_tasks,
)
from rayjobs.sweep.sharing import SharedPixels, task_data
from rayjobs.sweep.verdicts import verdict_on
from rayjobs.tune.search import search
from rayjobs.tune.tracking import trackers
from rayjobs.tune.trial import TuneData, TuneTaskData

__all__ = ["TuneConfig", "TuneResult", "tune"]


@dataclass(frozen=True)
class TuneConfig(SweepConfig):
    """The options of a search: those of a sweep, and where trials are reported.

    Attributes:
        spec: what a sweep's spec has, the number of trials, and the space.
        track: names of `rayjobs.tune.tracking.TRACKERS`.
    """

    spec: TuneSpec
    track: tuple[str, ...] = ()


@dataclass(frozen=True)
class TuneResult:
    """The outcome of a search.

    Attributes:
        trials: a row per trial.
        comparison: the winner beside the recipes that it is compared with, by the truth.
        winner: the recipe that is published: the best trial's, or the default.
        choice: the best trial against the default, without true labels.
        bundles: folders of the refitted students, one per task.
        report: path of the report's page.
    """

    trials: pd.DataFrame
    comparison: pd.DataFrame
    winner: Recipe
    choice: Choice
    bundles: tuple[str, ...]
    report: str


def tune(config: TuneConfig, on_progress: OnProgress = ignore_progress) -> TuneResult:
    """Search, choose, refit and judge, computing only what is missing in `config.out`.

    Raises:
        MedlabelError: the spec cannot work, or the recipes to compare with cannot be fitted.
    """
    spec, store, clock = config.spec, Store(config.out), Clock()
    refuse_other_kinds(store, tables.MANIFEST)
    check_tune(spec)
    callbacks = trackers(config.track, spec.name)
    prepared = prepare(config, on_progress, one_test=True)
    _check_tests(prepared)
    store.check_writable()
    clock.lap("reading")
    start_ray(on_progress)
    clock.lap("starting")
    embedded, encoded = embed_all(config, prepared, on_progress)
    clock.lap("embedding")
    scored = list(scored_tasks(config, prepared, embedded))
    claim(store, _manifest(spec, prepared, scored), tables.MANIFEST)
    store.write_json(CAPTIONS_READ, captions_of_plan(prepared.units))
    if not spec.refit:  # else the runs that refit the winner give theirs
        write_verdicts(store, list(_verdicts(config, scored, on_progress)))
    clock.lap("verdicts")
    _fit_defaults(config, store, prepared, embedded, on_progress)
    clock.lap("fitting")
    data = _tune_data(spec, store, prepared, scored)
    trials = _search_all(config, store, data, callbacks, partial(on_progress, "tuning"))
    choice, winner = _choose(store, spec, data, scored, trials)
    clock.lap("tuning")
    bundles = _refit(config, prepared, winner, on_progress) if spec.refit else ()
    clock.lap("refitting")
    on_progress("judging", 0, 1)
    _judge(store, spec, scored, data, trials, choice)
    on_progress("judging", 1, 1)
    clock.lap("judging")
    workers = config.placement.capacity()
    store.write_json(tables.COST, {"encoded": encoded, "seconds": clock.laps, "workers": workers})
    on_progress("reporting", 0, 1)
    report = report_tune(store)
    on_progress("reporting", 1, 1)
    compared = store.read_table(tables.COMPARISON)
    return TuneResult(trials, compared, winner, choice, bundles, report)


def _check_tests(prepared: PreparedSweep) -> None:
    """Refuse tasks whose held-out images are too few to compare students by."""
    for title, sample in prepared.samples.items():
        found, fewest = len(sample.cells[0].test), MIN_SHARED_PER_CLASS * len(sample.task.classes)
        if found < fewest:
            raise MedlabelError(
                f"{title} has {found} held-out images, too few to compare students by: a search "
                f"takes {fewest} or more"
            )


def _manifest(spec: TuneSpec, prepared: PreparedSweep, scored: list[ScoredTask]) -> dict[str, Any]:
    """Everything that decides a search; the keys of its units cover teacher, pixels and code."""
    return {
        "spec": spec.model_dump(mode="json"),
        "units": [key for task in scored for key in task.units],
        "tasks": task_rows([one.sample.task for one in scored], spec.modalities),
        "start": asdict(spec.start),
        "held_out": "the first draw's test images, for all draws",
        "sources": {name: one.content_hash for name, one in prepared.sources.items()},
        "synthetic": any(name.startswith("phantom:") for name in prepared.sources),
        "versions": versions(),
    }


def _verdicts(
    config: TuneConfig, scored: Sequence[ScoredTask], on_progress: OnProgress
) -> Iterator[LabellingVerdict]:
    """The verdict on the teacher's labels of each task."""
    on_progress("verdict", 0, len(scored))
    for done, one in enumerate(scored, start=1):
        yield LabellingVerdict(one.sample.task.title, verdict_on(one, config.home))
        on_progress("verdict", done, len(scored))


def _fit_defaults(
    config: TuneConfig,
    store: Store,
    prepared: PreparedSweep,
    embedded: Mapping[str, ClipEmbeddings],
    on_progress: OnProgress,
) -> None:
    """Fit the recipes that the winner will be compared with, as a sweep does."""
    progress = partial(on_progress, "fitting")
    summary = fit_sweep(config, store, prepared, embedded, progress)
    if summary.failures:
        first = summary.failures[0]
        raise MedlabelError(
            f"{first['recipe']} could not be fitted on {first['task']}: {first['reason']}; "
            "name another in `recipes`, or run the same command to try again"
        )


def _tune_data(
    spec: TuneSpec, store: Store, prepared: PreparedSweep, scored: list[ScoredTask]
) -> TuneData:
    """What trials are given: pixels, scores and rows, from which no truth can be read."""
    pixels = SharedPixels(prepared)
    tasks = []
    for one in scored:
        unit = next(iter(one.units.values()))
        identity = identity_of(spec, one.sample, one.teacher_scores, unit)
        tasks.append(TuneTaskData(task_data(one, pixels, keep_embeddings=True), identity))
    return TuneData(store.uri, pixels.arrays(), tuple(tasks), spec.start, spec.seeds)


def _search_all(
    config: TuneConfig,
    store: Store,
    data: TuneData,
    callbacks: Sequence[Callback],
    on_progress: StageProgress,
) -> pd.DataFrame:
    """The trials of every search in the spec, a row each."""
    spec, placement = config.spec, config.placement
    with one_line_errors("the search"):
        found = [
            search(kind, spec, store, data, placement, callbacks, on_progress)
            for kind in spec.search
        ]
    return pd.concat(found, ignore_index=True)


def _choose(
    store: Store,
    spec: TuneSpec,
    data: TuneData,
    scored: list[ScoredTask],
    trials: pd.DataFrame,
) -> tuple[Choice, Recipe]:
    """Write down the winner, which is chosen by agreement alone: the best trial or the default."""
    store.write_table(tables.TRIALS, trials)
    write_csv(store, tables.TRIALS, trials)
    best = trials.to_dict("records")[best_trial(trials)]
    recipe, seeds = recipe_of(spec.start, json.loads(best["chosen"])), int(best["seeds"])
    default = next(iter(scored[0].units.values()))
    choice = choose(
        data.read_signals(recipe, recipe.student, seeds),
        data.read_signals(default.recipe, default.student, seeds),
        data.classes,
        *data.images,
    )
    winner = spec.start if choice.keeps_default else recipe
    figures = ("search", "trial", "seeds", "agreement", "students", "neighbours", "balance")
    trial = {**plain({name: best[name] for name in figures}), "recipe": asdict(recipe)}
    store.write_json(f"{tables.WINNER}.json", {
        "recipe": asdict(winner), "choice": choice.to_json(), "best_trial": trial,
    })  # fmt: skip
    for name, one in ((tables.WINNER, winner), (tables.BEST_TRIAL, recipe)):
        text = yaml.safe_dump(changed_fields(one), sort_keys=False)
        store.write_utf8(f"{name}.yaml", text)
    return choice, winner


def _refit(
    config: TuneConfig, prepared: PreparedSweep, winner: Recipe, on_progress: OnProgress
) -> tuple[str, ...]:
    """Run the winner on each task, for its bundle and report; returns the bundles' folders."""
    spec, (teacher,) = config.spec, config.spec.teachers
    return tuple(
        run(
            RunConfig(
                sample.task,
                Store(config.out).path(f"{tables.WINNER}/{title}"),
                winner,
                config.home,
                clips=teacher.clip,
                captions=teacher.captions,
                adjustment=teacher.adjustment,
                seeds=spec.seeds,
                per_class=spec.per_class,
                data_root=config.data_root,
                ceiling_seeds=0,
                workers=config.workers,
                gpus=config.gpus,
            ),
            on_progress,
        ).bundle
        for title, sample in prepared.samples.items()
    )


def _judge(
    store: Store,
    spec: TuneSpec,
    scored: list[ScoredTask],
    data: TuneData,
    trials: pd.DataFrame,
    choice: Choice,
) -> None:
    """Open the truth, now that the winner is written down, and compare."""
    recipes = [recipe_of(spec.start, json.loads(chosen)) for chosen in trials["chosen"]]
    found = []
    for one in scored:
        units = {**one.units}
        for recipe in dict.fromkeys(recipes):
            unit = SweepUnit(one.sample.task, one.teacher, recipe, recipe.student)
            units[identity_of(spec, one.sample, one.teacher_scores, unit).key] = unit
        found += [results for results, _ in judge_units(store, one, units)]
    results = _of_trials(pd.concat(found, ignore_index=True), trials, scored)
    evaluated = tables.evaluate_trials(trials, results)
    compared = tables.comparison(evaluated, results, _baselines(scored, data), choice)
    for name, frame in (
        (tables.RESULTS, results),
        (tables.EVALUATED, evaluated),
        (tables.COMPARISON, compared),
    ):
        store.write_table(name, frame)
        write_csv(store, name, frame)


def _of_trials(
    results: pd.DataFrame, trials: pd.DataFrame, scored: list[ScoredTask]
) -> pd.DataFrame:
    """Drop cells that no trial counts: a search that was killed may have fitted more of some."""
    most = trials.groupby("recipe")["seeds"].max()
    defaults = {unit.recipe.name for unit in scored[0].units.values()}
    counted = results["seed"] < results["recipe"].map(most).fillna(0)
    return results[counted | results["recipe"].isin(defaults)].reset_index(drop=True)


def _baselines(scored: list[ScoredTask], data: TuneData) -> list[tables.Baseline]:
    """The recipes that the winner is compared with, and their agreement by the same objective."""
    found = []
    for unit in scored[0].units.values():
        signals = data.read_signals(unit.recipe, unit.student, data.seeds)
        agreed = data.agreement(signals)["agreement"]
        found.append(tables.Baseline(unit.recipe.name, unit.student, agreed))
    return found
