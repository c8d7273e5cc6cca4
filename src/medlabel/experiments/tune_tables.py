"""The folder of a search, and how its truth-free winner stands by truth once all is chosen.

```
tune.json             the spec, its tasks, hashes and versions
units/KEY/cells/      predictions of each draw of each trial, as in a sweep
tune/                 Ray Tune's record, and TensorBoard's files: tensorboard --logdir tune
trials.parquet        a row a trial: what was chosen, and its agreement; no truth; .csv beside it
winner.json, .yaml    the trial that was chosen without truth, and its recipe for `--recipe`
results.parquet       a row a draw, as in a sweep; from here on truth is open; .csv beside it
evaluated.parquet        trials.parquet with accuracies and ranks by truth; .csv beside it
comparison.parquet    the winner against the default, random search and lots; .csv beside it
cost.json             encodes, and seconds of each stage of the last call
winner/TASK/          a run of each task by the winner, with its bundle
report/index.html
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from medlabel.evaluation.significance import corrected_t_test
from medlabel.experiments.tune_spec import FAILED_AGREEMENT, MIN_SEEDS, best_trial
from medlabel.storage.store import Store

__all__ = [
    "Baseline",
    "TuneTables",
    "comparison",
    "correlation",
    "evaluate_trials",
    "is_tune",
    "read_tune",
]

MANIFEST, COST, REPORT, WINNER = "tune.json", "cost.json", "report", "winner"
TRIALS, RESULTS = "trials.parquet", "results.parquet"
EVALUATED, COMPARISON = "evaluated.parquet", "comparison.parquet"


@dataclass(frozen=True)
class Baseline:
    """A recipe that the winner is compared with, and its agreement over all its draws."""

    recipe: str
    student: str
    agreement: float


@dataclass(frozen=True)
class TuneTables:
    """What a report is made of, as it was read back."""

    manifest: Mapping[str, Any]
    winner: Mapping[str, Any]
    evaluated: pd.DataFrame
    comparison: pd.DataFrame
    cost: Mapping[str, Any]


def is_tune(store: Store) -> bool:
    """Whether this folder is a search's."""
    return store.exists(MANIFEST)


def read_tune(store: Store) -> TuneTables:
    """Read back what a search wrote."""
    return TuneTables(
        store.read_json(MANIFEST),
        store.read_json(f"{WINNER}.json"),
        store.read_table(EVALUATED),
        store.read_table(COMPARISON),
        store.read_json(COST),
    )


def evaluate_trials(trials: pd.DataFrame, results: pd.DataFrame) -> pd.DataFrame:
    """`evaluated.parquet`: trials with what truth says of them; only evaluation looks here.

    `accuracy` is the mean over a trial's own draws. Trials were given different numbers of draws,
    so `truth_rank` (1 is best, of different recipes) goes by `first_accuracy`: over the draws that
    all have, and next to `first_agreement`, the objective over the same draws.
    """
    each = _by_draw(results)
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


def _by_draw(results: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each recipe and draw, the mean over the tasks."""
    names = ["recipe", "student", "seed"]
    means = results.groupby(names, sort=False)[["student_accuracy", "teacher_accuracy"]].mean()
    return means.reset_index().rename(columns={"student_accuracy": "accuracy"})


def correlation(table: pd.DataFrame) -> float:
    """Spearman's, of the objective with true accuracy, over different recipes' first draws.

    NaN where there are fewer than three, or all are alike.
    """
    some = table.drop_duplicates("recipe").dropna(subset=["truth_rank"])
    columns = some[["first_agreement", "first_accuracy"]].to_numpy(float)
    if len(some) < 3 or (columns == columns[0]).all(axis=0).any():
        return float("nan")
    return float(spearmanr(columns[:, 0], columns[:, 1]).statistic)


def comparison(
    table: pd.DataFrame, results: pd.DataFrame, baselines: Sequence[Baseline]
) -> pd.DataFrame:
    """`comparison.parquet`: the winner, each search's winner, the defaults, and lots.

    `gain` is accuracy minus that of the first baseline, over the draws that both have, with its
    95 % interval (see `medlabel.evaluation.significance`). A lot is a trial taken blindly: the
    mean of all, over the draws that all have. `truth_rank` of a recipe that is no trial: where it
    would stand.

    Args:
        table: see `judged`.
        results: a row a draw.
        baselines: the default first.
    """
    rows = [_trial_row("winner", table, best_trial(table))]
    kinds = list(dict.fromkeys(table["search"]))
    for kind in kinds if len(kinds) > 1 else []:
        some = table[table["search"] == kind]
        if (some["agreement"] > FAILED_AGREEMENT).any():
            rows.append(_trial_row(f"winner of {kind} search", some, best_trial(some)))
    rows += [
        {
            "who": "default" if number == 0 else "also compared",
            "recipe": one.recipe,
            "student": one.student,
            "agreement": one.agreement,
        }
        for number, one in enumerate(baselines)
    ]
    rows = [{**row, **_measured(row, results, baselines[0], table)} for row in rows]
    fitted = table.dropna(subset=["truth_rank"])
    lot = {"who": "a trial by lot", "recipe": "", "student": "", "seeds": MIN_SEEDS}
    means = {"accuracy": fitted["first_accuracy"].mean(), "agreement": fitted["agreement"].mean()}
    return pd.DataFrame([*rows, {**lot, **means, "worst": fitted["first_accuracy"].min()}])


def _trial_row(who: str, table: pd.DataFrame, row: int) -> dict[str, Any]:
    told = ("recipe", "student", "agreement")
    return {"who": who, **{name: table.at[row, name] for name in told}}


def _measured(
    row: Mapping[str, Any], results: pd.DataFrame, default: Baseline, table: pd.DataFrame
) -> dict[str, Any]:
    """What truth says of one row of the comparison."""
    each = _by_draw(results)
    own, other = (
        _draws(each, row["recipe"], row["student"]),
        _draws(each, default.recipe, default.student),
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


def _draws(each: pd.DataFrame, recipe: str, student: str) -> "pd.Series[float]":
    """Accuracy by draw."""
    mine = each[(each["recipe"] == recipe) & (each["student"] == student)]
    return mine.set_index("seed")["accuracy"].astype(np.float64)
