"""`medlabel tune`: search for a student and a recipe without truth, refit the best, and judge it.

Truth is opened when the winner has been written down. Until then it stays in the driver, sealed:
what Tune hands to its trials is a `TuneData`, which has no label and no id.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from ray.tune import Callback

from medlabel.errors import MedlabelError
from medlabel.evaluation.diagnostics import MIN_SHARED_PER_CLASS
from medlabel.experiments import tune_tables as tables
from medlabel.experiments.run_folder import claim
from medlabel.experiments.sweep_spec import SweepUnit
from medlabel.experiments.sweep_tables import task_rows, write_csv
from medlabel.experiments.tune_spec import (
    TuneSpec,
    best_trial,
    changed_fields,
    check_tune,
    plain,
    recipe_of,
)
from medlabel.reports.tune_report import report_tune
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.provenance import versions
from medlabel.student.recipes import Recipe
from rayjobs.cluster import fitting_resources, one_line_errors
from rayjobs.run import RunConfig, run
from rayjobs.scoring import start_ray
from rayjobs.sweep.fitting import fit_all, room
from rayjobs.sweep.job import Clock, judge_units
from rayjobs.sweep.prepare import (
    Group,
    Prepared,
    Seen,
    SweepConfig,
    embed_all,
    groups,
    identity_of,
    prepare,
)
from rayjobs.sweep.sharing import Pixels, teach
from rayjobs.tune.search import search
from rayjobs.tune.tracking import trackers
from rayjobs.tune.trial import TuneData, TuneTaskData

__all__ = ["TuneConfig", "TuneResult", "tune"]


@dataclass(frozen=True)
class TuneConfig:
    """What a search is asked for; what it shares with a sweep is explained there.

    Attributes:
        track: of `rayjobs.tune.tracking.TRACKERS`.
    """

    spec: TuneSpec
    out: str
    home: Path
    data_root: Path | None = None
    workers: int | None = None
    gpus: float | None = None
    track: tuple[str, ...] = ()

    @property
    def sweep(self) -> SweepConfig:
        """The same as a sweep's: the recipes to compare with are its units."""
        return SweepConfig(self.spec, self.out, self.home, self.data_root, self.workers, self.gpus)


@dataclass(frozen=True)
class TuneResult:
    """What a search ends with; `bundles` are folders, one a task."""

    trials: pd.DataFrame
    comparison: pd.DataFrame
    winner: Recipe
    bundles: tuple[str, ...]
    report: str


def tune(settings: TuneConfig, on_progress: OnProgress = ignore_progress) -> TuneResult:
    """Search, choose, refit and judge, doing only what is missing in `settings.out`."""
    spec, store, clock = settings.spec, Store(settings.out), Clock()
    refuse_other_kinds(store, tables.MANIFEST)
    check_tune(spec)
    callbacks = trackers(settings.track, spec.name)
    prepared = prepare(settings.sweep, on_progress, one_test=True)
    _check_tests(prepared)
    store.check_writable()
    clock.lap("reading")
    start_ray(on_progress)
    clock.lap("starting")
    seen, encoded = embed_all(settings.sweep, prepared, on_progress)
    clock.lap("embedding")
    grouped = list(groups(settings.sweep, prepared, seen))
    claim(store, _manifest(spec, prepared, grouped), tables.MANIFEST)
    _fit_defaults(settings, store, prepared, seen, on_progress)
    clock.lap("fitting")
    bench = _bench(spec, store, prepared, grouped)
    trials = _search_all(settings, store, bench, callbacks, partial(on_progress, "tuning"))
    winner = _choose(store, spec, trials)
    clock.lap("tuning")
    bundles = _refit(settings, prepared, winner, on_progress) if spec.refit else ()
    clock.lap("refitting")
    on_progress("judging", 0, 1)
    _judge(store, spec, grouped, bench, trials)
    on_progress("judging", 1, 1)
    clock.lap("judging")
    cost = {"encoded": encoded, "seconds": clock.laps, "workers": room(settings.sweep)}
    store.write_json(tables.COST, cost)
    on_progress("reporting", 0, 1)
    report = report_tune(store)
    on_progress("reporting", 1, 1)
    return TuneResult(trials, store.read_table(tables.COMPARISON), winner, bundles, report)


def _check_tests(prepared: Prepared) -> None:
    """Refuse tasks whose held-out images are too few to tell students apart by."""
    for title, draw in prepared.draws.items():
        there, fewest = len(draw.cells[0].test), MIN_SHARED_PER_CLASS * len(draw.task.classes)
        if there < fewest:
            raise MedlabelError(
                f"{title} has {there} held-out images, too few to compare students by: a search "
                f"takes {fewest} or more"
            )


def _manifest(spec: TuneSpec, prepared: Prepared, grouped: list[Group]) -> dict[str, Any]:
    """What makes a search this search; its units' keys hash teacher, pixels and code."""
    return {
        "spec": spec.model_dump(mode="json"),
        "units": [key for group in grouped for key in group.units],
        "tasks": task_rows([group.draw.task for group in grouped], spec.modalities),
        "start": asdict(spec.start),
        "held_out": "the first draw's test images, for all draws",
        "sources": {name: one.content_hash for name, one in prepared.sources.items()},
        "synthetic": any(name.startswith("phantom:") for name in prepared.sources),
        "versions": versions(),
    }


def _fit_defaults(
    settings: TuneConfig,
    store: Store,
    prepared: Prepared,
    seen: Mapping[str, Seen],
    on_progress: OnProgress,
) -> None:
    """Fit what the winner will be compared with, as a sweep would."""
    told = partial(on_progress, "fitting")
    _, failures = fit_all(settings.sweep, store, prepared, seen, told)
    if failures:
        first = failures[0]
        raise MedlabelError(
            f"{first['recipe']} could not be fitted on {first['task']}: {first['reason']}; "
            "name another in `recipes`, or run the same command to try again"
        )


def _bench(spec: TuneSpec, store: Store, prepared: Prepared, grouped: list[Group]) -> TuneData:
    """What trials are given: pixels, scores, rows; nothing that truth could be read from."""
    pixels = Pixels(prepared)
    made = []
    for group in grouped:
        unit = next(iter(group.units.values()))
        identity = identity_of(spec, group.draw, group.asked, unit)
        made.append(TuneTaskData(teach(group, pixels, embeddings=True), identity))
    return TuneData(store.uri, pixels.stacks(), tuple(made), spec.start, spec.seeds)


def _search_all(
    settings: TuneConfig,
    store: Store,
    bench: TuneData,
    callbacks: Sequence[Callback],
    on_progress: StageProgress,
) -> pd.DataFrame:
    """The trials of every search that was asked for, a row each."""
    resources = room(settings.sweep), fitting_resources(1, settings.gpus)[1]
    with one_line_errors("the search"):
        found = [
            search(kind, settings.spec, store, bench, resources, callbacks, on_progress)
            for kind in settings.spec.search
        ]
    return pd.concat(found, ignore_index=True)


def _choose(store: Store, spec: TuneSpec, trials: pd.DataFrame) -> Recipe:
    """Write down the winner, by agreement alone."""
    store.write_table(tables.TRIALS, trials)
    write_csv(store, tables.TRIALS, trials)
    best = trials.to_dict("records")[best_trial(trials)]
    recipe = recipe_of(spec.start, json.loads(best["chosen"]))
    figures = ("search", "trial", "seeds", "agreement", "students", "neighbours", "balance")
    told = plain({name: best[name] for name in figures})
    store.write_json(f"{tables.WINNER}.json", {**told, "recipe": asdict(recipe)})
    text = yaml.safe_dump(changed_fields(recipe), sort_keys=False)
    store.write(f"{tables.WINNER}.yaml", text.encode())
    return recipe


def _refit(
    settings: TuneConfig, prepared: Prepared, winner: Recipe, on_progress: OnProgress
) -> tuple[str, ...]:
    """Run the winner on each task: Ray Train fits its draws, and the best is its bundle."""
    spec, (teacher,) = settings.spec, settings.spec.teachers
    return tuple(
        run(
            RunConfig(
                draw.task,
                Store(settings.out).path(f"{tables.WINNER}/{title}"),
                winner,
                settings.home,
                clips=teacher.clip,
                captions=teacher.captions,
                adjustment=teacher.adjustment,
                seeds=spec.seeds,
                per_class=spec.per_class,
                data_root=settings.data_root,
                ceiling_seeds=0,
                elastic=True,
                workers=settings.workers,
                gpus=settings.gpus,
            ),
            on_progress,
        ).bundle
        for title, draw in prepared.draws.items()
    )


def _judge(
    store: Store, spec: TuneSpec, grouped: list[Group], bench: TuneData, trials: pd.DataFrame
) -> None:
    """Open the truth, now that the winner is written down, and compare."""
    recipes = [recipe_of(spec.start, json.loads(chosen)) for chosen in trials["chosen"]]
    found = []
    for group in grouped:
        units = {**group.units}
        for recipe in dict.fromkeys(recipes):
            unit = SweepUnit(group.draw.task, group.teacher, recipe, recipe.student)
            units[identity_of(spec, group.draw, group.asked, unit).key] = unit
        found += [results for results, _ in judge_units(store, group, units)]
    results = _of_trials(pd.concat(found, ignore_index=True), trials, grouped)
    evaluated = tables.evaluate_trials(trials, results)
    compared = tables.comparison(evaluated, results, _baselines(grouped, bench))
    for name, frame in (
        (tables.RESULTS, results),
        (tables.EVALUATED, evaluated),
        (tables.COMPARISON, compared),
    ):
        store.write_table(name, frame)
        write_csv(store, name, frame)


def _of_trials(results: pd.DataFrame, trials: pd.DataFrame, grouped: list[Group]) -> pd.DataFrame:
    """Without draws that no trial counts: a search that was killed may have fitted more of some."""
    most = trials.groupby("recipe")["seeds"].max()
    whole = {unit.recipe.name for unit in grouped[0].units.values()}
    counted = results["seed"] < results["recipe"].map(most).fillna(0)
    return results[counted | results["recipe"].isin(whole)].reset_index(drop=True)


def _baselines(grouped: list[Group], bench: TuneData) -> list[tables.Baseline]:
    """The recipes to compare with, and their agreement by the same objective."""
    found = []
    for unit in grouped[0].units.values():
        draws = [
            [bench.draw(task, unit.recipe, unit.student, seed)[0] for seed in range(bench.seeds)]
            for task in bench.tasks
        ]
        agreed = bench.agreement(draws)["agreement"]
        found.append(tables.Baseline(unit.recipe.name, unit.student, agreed))
    return found
