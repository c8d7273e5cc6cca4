"""The folder of a search, and its evaluation on true labels once the winner is chosen.

```
tune.json             the specification, its tasks, hashes and versions
units/KEY/cells/      predictions of each seed of each trial, as in a sweep
verdicts.json         whether the labels of each task can be trusted, if no winner is refitted
tune/                 Ray Tune's log, and TensorBoard's files: tensorboard --logdir tune
trials.parquet        one row per trial: its settings and agreement, without true labels
winner.json, .yaml    the recipe that was chosen without true labels, for `--recipe`, and why
best_trial.yaml       the recipe of the best trial, which is the winner unless the default stays
results.parquet       one row per seed, as in a sweep; from here on, true labels are used
evaluated.parquet     trials.parquet with true accuracies, and ranks by them
comparison.parquet    the winner against the default, random search and a random trial
cost.json             number of embedded images, and seconds per stage, of the last call
winner/TASK/          a run of each task with the winner's recipe, with its bundle
report/index.html
```

The tables are also written as CSV.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from medlabel.errors import MedlabelError
from medlabel.evaluation.significance import corrected_t_test
from medlabel.experiments.tune_choice import Choice
from medlabel.experiments.tune_spec import FAILED_AGREEMENT, MIN_SEEDS, best_trial
from medlabel.experiments.verdicts import LabellingVerdict, read_verdict, read_verdicts
from medlabel.storage.store import Store

__all__ = [
    "Baseline",
    "TuneTables",
    "comparison",
    "correlation",
    "evaluate_trials",
    "is_tune",
    "read_tune",
    "winner_verdicts",
]

MANIFEST, COST, REPORT = "tune.json", "cost.json", "report"
WINNER, BEST_TRIAL = "winner", "best_trial"
TRIALS, RESULTS = "trials.parquet", "results.parquet"
EVALUATED, COMPARISON = "evaluated.parquet", "comparison.parquet"


@dataclass(frozen=True)
class Baseline:
    """A recipe that the winner is compared with, and its agreement over all its seeds."""

    recipe: str
    student: str
    agreement: float


@dataclass(frozen=True)
class TuneTables:
    """The tables that a report is made from."""

    manifest: Mapping[str, Any]
    winner: Mapping[str, Any]
    choice: Choice
    evaluated: pd.DataFrame
    comparison: pd.DataFrame
    cost: Mapping[str, Any]
    verdicts: tuple[LabellingVerdict, ...] = ()


def is_tune(store: Store) -> bool:
    """Whether this folder is a search's."""
    return store.exists(MANIFEST)


def read_tune(store: Store) -> TuneTables:
    """Read the tables of a search."""
    winner = store.read_json(f"{WINNER}.json")
    if "choice" not in winner:
        raise MedlabelError(
            f"{store.uri} is a search of an older medlabel, which did not compare its winner with "
            "the default: run it again in another folder"
        )
    return TuneTables(
        store.read_json(MANIFEST),
        winner,
        Choice.from_json(winner["choice"]),
        store.read_table(EVALUATED),
        store.read_table(COMPARISON),
        store.read_json(COST),
        tuple(winner_verdicts(store)),
    )


def winner_verdicts(store: Store) -> Iterator[LabellingVerdict]:
    """The verdict on the labels of each task: the winner's run's, or that before the trials."""
    yield from read_verdicts(store)
    for task in store.read_json(MANIFEST)["tasks"]:
        verdict = read_verdict(store / WINNER / task["task"])
        if verdict is not None:
            yield LabellingVerdict(task["task"], verdict)


def evaluate_trials(trials: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """`evaluated.parquet`: trials with their metrics on true labels; only for evaluation.

    `accuracy` is the mean over all seeds of a trial. As trials have different numbers of seeds,
    `truth_rank` (1 is best, among different recipes) ranks by `first_accuracy`, over the seeds that
    all trials have; `first_agreement` is the objective over the same seeds.
    """
    each = _by_seed(results)
    every = each.groupby("recipe")["accuracy"].mean()
    first = each[each["seed"] < MIN_SEEDS].groupby("recipe")["accuracy"].mean()
    table = trials.assign(
        accuracy=trials["recipe"].map(every), first_accuracy=trials["recipe"].map(first)
    )
    fitted = (
        table[table["agreement"] > FAILED_AGREEMENT]
        .drop_duplicates("recipe")
        .dropna(subset="accuracy")
    )
    ranks = rankdata(-fitted["first_accuracy"].to_numpy(), method="min").astype(int)
    placed = dict(zip(fitted["recipe"], ranks.tolist(), strict=True))
    return table.assign(truth_rank=table["recipe"].map(placed).astype("Int64"))


def _by_seed(results: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each recipe and seed, the mean over the tasks."""
    names = ["recipe", "student", "seed"]
    means = results.groupby(names, sort=False)[["student_accuracy", "teacher_accuracy"]].mean()
    return means.reset_index().rename(columns={"student_accuracy": "accuracy"})


def correlation(table: pd.DataFrame) -> float:
    """Spearman's rank correlation of agreement and accuracy over the recipes' first seeds.

    NaN if there are fewer than three recipes, or all have the same agreement or accuracy.
    """
    some = table.drop_duplicates("recipe").dropna(subset=["truth_rank"])
    columns = some[["first_agreement", "first_accuracy"]].to_numpy(float)
    if len(some) < 3 or (columns == columns[0]).all(axis=0).any():
        return float("nan")
    return float(spearmanr(columns[:, 0], columns[:, 1]).statistic)


def comparison(
    table: pd.DataFrame, results: pd.DataFrame, baselines: Sequence[Baseline], choice: Choice
) -> pd.DataFrame:
    """`comparison.parquet`: the winner, the best trials, the baselines, and a random trial.

    The winner is the best trial, or the default where that stays; then the best trial has a row of
    its own.

    `gain` is accuracy minus that of the first baseline over the seeds that both have, with its
    95 % confidence interval (see `medlabel.evaluation.significance`). A random trial is the mean of
    all trials, over the seeds that all have. The `truth_rank` of a recipe that is not a trial is
    the rank that it would have.

    Args:
        table: see `evaluate_trials`.
        results: one row per seed.
        baselines: the default first.
        choice: the best trial against the default.
    """
    best = _trial_row("best trial" if choice.keeps_default else "winner", table, best_trial(table))
    rows = [_baseline_row("winner", baselines[0]), best] if choice.keeps_default else [best]
    kinds = list(dict.fromkeys(table["search"]))
    for kind in kinds if len(kinds) > 1 else []:
        some = table[table["search"] == kind]
        if (some["agreement"] > FAILED_AGREEMENT).any():
            rows.append(_trial_row(f"winner of {kind} search", some, best_trial(some)))
    rows += [
        _baseline_row("default" if number == 0 else "also compared", one)
        for number, one in enumerate(baselines)
    ]
    rows = [{**row, **_measured(row, results, baselines[0], table)} for row in rows]
    fitted = table.dropna(subset=["truth_rank"])
    random_trial = {"who": "a random trial", "recipe": "", "student": "", "seeds": MIN_SEEDS}
    means = {"accuracy": fitted["first_accuracy"].mean(), "agreement": fitted["agreement"].mean()}
    return pd.DataFrame([*rows, {**random_trial, **means, "worst": fitted["first_accuracy"].min()}])


def _trial_row(who: str, table: pd.DataFrame, row: int) -> dict[str, Any]:
    columns = ("recipe", "student", "agreement")
    return {"who": who, **{name: table.at[row, name] for name in columns}}


def _baseline_row(who: str, one: Baseline) -> dict[str, Any]:
    return {"who": who, **asdict(one)}


def _measured(
    row: Mapping[str, Any], results: pd.DataFrame, default: Baseline, table: pd.DataFrame
) -> dict[str, Any]:
    """The metrics on true labels of one row of the comparison."""
    each = _by_seed(results)
    own, other = (
        _accuracies(each, row["recipe"], row["student"]),
        _accuracies(each, default.recipe, default.student),
    )
    both = own.index.intersection(other.index)
    part = results[(results["recipe"] == row["recipe"]) & (results["student"] == row["student"])]
    tasks = part.drop_duplicates("task")
    found = corrected_t_test(
        own[both].to_numpy(), other[both].to_numpy(),
        int(tasks["n_pool"].sum()), int(tasks["n_test"].sum()),
    )  # fmt: skip
    first = own[own.index < MIN_SEEDS].mean()
    better = table.dropna(subset=["truth_rank"]).drop_duplicates("recipe")["first_accuracy"] > first
    return {
        "seeds": len(own),
        "teacher_accuracy": part["teacher_accuracy"].mean(),
        "accuracy": own.mean(),
        "first_accuracy": first,
        "worst": part["student_accuracy"].min(),
        "gain": found.mean,
        "low": found.low,
        "high": found.high,
        "truth_rank": 1 + int(better.sum()),
        "of": int(table.dropna(subset=["truth_rank"])["recipe"].nunique()),
    }


def _accuracies(each: pd.DataFrame, recipe: str, student: str) -> "pd.Series[float]":
    """Accuracy by seed."""
    mine = each[(each["recipe"] == recipe) & (each["student"] == student)]
    return mine.set_index("seed")["accuracy"].astype(np.float64)
