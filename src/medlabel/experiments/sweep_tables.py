"""The folder of a sweep and its tables. All comparisons are paired: student and teacher, same cell.

```
sweep.json           the specification, its tasks, hashes and versions
units/KEY/cells/     predictions of each cell, as in a run; KEY is that of a run of the same unit
results.parquet      one row per cell, as in a run
fits.parquet         one row per cell: seconds, and the loss on held-out pseudo-labels
failures.parquet     cells that could not be fitted, and why
cost.json            number of embedded images, and seconds per stage, of the last call
comparisons.parquet  one row per task, teacher, recipe and student, over its seeds
leaderboard.parquet  one row per teacher, recipe and student, over tasks and seeds
verdicts.json        whether the labels of each task, teacher, recipe and student can be trusted
report/index.html
```

The results, comparisons and leaderboard are also written as CSV.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from medlabel.data.tasks import Cell, Task
from medlabel.data.truth import SealedTruth
from medlabel.evaluation.significance import Comparison, corrected_t_test, wilcoxon_over_tasks
from medlabel.experiments.run_folder import finished_seeds, read_cell
from medlabel.experiments.run_tables import ScoredImages, result_row
from medlabel.experiments.sweep_spec import same_modality
from medlabel.storage.store import Store

__all__ = [
    "GROUPS",
    "SweepTables",
    "comparisons",
    "failure_table",
    "is_sweep",
    "leaderboard",
    "pair_matrix",
    "read_tables",
    "task_rows",
    "unit_folder",
    "unit_tables",
    "write_csv",
    "write_tables",
]

MANIFEST, COST, REPORT = "sweep.json", "cost.json", "report"
RESULTS, FITS, FAILURES = "results.parquet", "fits.parquet", "failures.parquet"
COMPARISONS, LEADERBOARD = "comparisons.parquet", "leaderboard.parquet"
GROUPS = ("all tasks", "different modalities", "a modality shared")
_WHO = ["teacher", "recipe", "student"]
_ROW = ["task", "seed", "teacher", "student", "recipe"]


@dataclass(frozen=True)
class SweepTables:
    """The tables that a report is made from."""

    manifest: Mapping[str, Any]
    results: pd.DataFrame
    fits: pd.DataFrame
    failures: pd.DataFrame
    cost: Mapping[str, Any]


def unit_folder(key: str) -> str:
    """The folder with the cells of a unit."""
    return f"units/{key}"


def unit_tables(
    folder: Store, board: ScoredImages, cells: Sequence[Cell], truth: SealedTruth
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and fits of the finished cells of a unit, one row each, in order."""
    finished = finished_seeds(folder)
    results, fits = [], []
    for cell in cells:
        if cell.seed in finished:
            fitted = read_cell(folder, cell.seed)
            row = result_row(board, cell, fitted, truth)
            seen = {"seconds": fitted.seconds, "validation_loss": fitted.validation_loss}
            results.append(row)
            fits.append({**{column: row[column] for column in _ROW}, **seen})
    return pd.DataFrame(results), pd.DataFrame(fits)


def task_rows(
    tasks: Sequence[Task], modalities: Mapping[str, str] = MappingProxyType({})
) -> list[dict[str, Any]]:
    """What a report needs to know of each task, as plain JSON."""
    return [
        {
            "task": task.title,
            "classes": list(task.class_names),
            "same_modality": same_modality(task, modalities),
        }
        for task in tasks
    ]


def failure_table(failures: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`failures.parquet`: one row per cell that could not be fitted; empty if all could."""
    frame = pd.DataFrame(failures, columns=[*_ROW, "reason"])
    return frame.sort_values(_ROW, ignore_index=True)


def write_tables(
    store: Store,
    manifest: Mapping[str, Any],
    results: pd.DataFrame,
    fits: pd.DataFrame,
    failures: Sequence[Mapping[str, Any]],
    cost: Mapping[str, Any],
) -> None:
    """Write the tables from which all others are computed."""
    store.write_table(RESULTS, results)
    store.write_table(FITS, fits)
    store.write_table(FAILURES, failure_table(failures))
    store.write_json(COST, dict(cost))
    store.write_json(MANIFEST, dict(manifest))


def read_tables(store: Store) -> SweepTables:
    """Read the tables that `write_tables` wrote."""
    return SweepTables(
        store.read_json(MANIFEST),
        store.read_table(RESULTS),
        store.read_table(FITS),
        store.read_table(FAILURES),
        store.read_json(COST),
    )


def write_csv(store: Store, parquet: str, frame: pd.DataFrame) -> None:
    """Write a table as CSV beside its Parquet file."""
    store.write_utf8(parquet.replace(".parquet", ".csv"), frame.to_csv(index=False))


def is_sweep(store: Store) -> bool:
    """Whether this folder is a sweep's."""
    return store.exists(MANIFEST)


# ---------------------------------------------------------------- comparisons


def comparisons(results: pd.DataFrame) -> pd.DataFrame:
    """`comparisons.parquet`: student against teacher on each task, over its seeds.

    `low` and `high` are the 95 % confidence interval of the gain, corrected for the images that
    seeds share (see `medlabel.evaluation.significance`). `p` is the two-sided p-value of no
    difference; `q` is p adjusted for the false discovery rate over all tasks of a teacher, recipe
    and student (Benjamini & Yekutieli 2001, since tasks share images).
    """
    rows = []
    for names, part in results.groupby(["task", *_WHO], sort=False):
        found = _over_seeds(part)
        rows.append({**dict(zip(["task", *_WHO], names, strict=True)), **_figures(part, found)})
    table = pd.DataFrame(rows)
    table["q"] = table.groupby(_WHO)["p"].transform(lambda p: _discoveries(p.to_numpy()))
    return table


def leaderboard(results: pd.DataFrame, tasks: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`leaderboard.parquet`: each teacher, recipe and student over all tasks, and per group.

    `low` and `high` are the confidence interval of the mean gain on these tasks over seeds; it does
    not cover other data sets. `p` is that of Wilcoxon's signed-rank test over tasks. `won`, `tied`
    and `lost` count tasks. The highest student accuracy comes first.

    If cells are missing, entries are compared on the cells that all of them have (`same_cells`). An
    entry that lacks more than half of the cells is not compared, and comes last. All tasks have the
    same weight. `tasks` is the number of tasks compared on, of `of_tasks`; `missing` is the number
    of cells that the entry lacks.
    """
    rows = []
    seeds = results["seed"].nunique()
    for group, wanted in _grouped(tasks):
        every = results[results["task"].isin(wanted)]
        some, alike = _shared(every, len(wanted) * seeds)
        had = every.groupby(_WHO).size().to_dict()
        for names, part in some.groupby(_WHO, sort=False):
            means = part.groupby("task", sort=False)[["student_accuracy", "teacher_accuracy"]]
            student, teacher = means.mean().to_numpy().T
            over, by_seed = wilcoxon_over_tasks(student, teacher), _over_seeds(part)
            row = {"group": group, **dict(zip(_WHO, names, strict=True)), "tasks": len(student)}
            row |= {"of_tasks": len(wanted), "missing": len(wanted) * seeds - int(had[names])}
            row |= {"same_cells": names in alike}
            rows.append(row | _figures(part, over) | {"low": by_seed.low, "high": by_seed.high})
    table = pd.DataFrame(rows)
    order = table["group"].map(GROUPS.index)
    table = table.assign(order=order).sort_values(
        ["order", "same_cells", "student_accuracy"], ascending=[True, False, False], kind="stable"
    )
    return table.drop(columns="order").reset_index(drop=True)


def _shared(results: pd.DataFrame, planned: int) -> tuple[pd.DataFrame, set[Any]]:
    """The cells to compare on, and the entries that are compared on the same cells.

    Entries with at least half of the cells are compared on the cells that all of them have. The
    others keep their own cells, and so does every entry if no cell is shared by all.
    """
    who = pd.Series(list(results[_WHO].itertuples(index=False, name=None)), results.index)
    whole = {names for names, count in who.value_counts().items() if 2 * count >= planned}
    among = results[who.isin(whole)]
    entries = among.groupby(["task", "seed"])["student"].transform("size")
    kept = among[entries == len(whole)]
    if kept.empty:
        return results, set()
    return pd.concat([kept, results[~who.isin(whole)]]), whole


def _grouped(tasks: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """The groups of tasks: all tasks and, if there are both kinds, those by modality."""
    alike = [task["task"] for task in tasks if task["same_modality"]]
    apart = [task["task"] for task in tasks if not task["same_modality"]]
    yield GROUPS[0], [task["task"] for task in tasks]
    if alike and apart:
        yield GROUPS[1], apart
        yield GROUPS[2], alike


def _over_seeds(part: pd.DataFrame) -> Comparison:
    """Student minus teacher over the seeds: the mean over tasks, and each seed's deviation from it.

    The gain of a seed is the mean over its tasks. If a seed lacks some tasks, its gains are
    compared with the mean gains on the tasks that it has.
    """
    gains = part["student_accuracy"] - part["teacher_accuracy"]
    mean_gains = gains.groupby(part["task"]).mean()
    above = (gains - part["task"].map(mean_gains)).groupby(part["seed"]).mean().to_numpy()
    seed_gains = mean_gains.mean() + above - above.mean()
    tasks = part.drop_duplicates("task")
    n_pool, n_test = int(tasks["n_pool"].sum()), int(tasks["n_test"].sum())
    return corrected_t_test(seed_gains, np.zeros(len(seed_gains)), n_pool, n_test)


def _figures(part: pd.DataFrame, found: Comparison) -> dict[str, Any]:
    """The columns that comparisons and leaderboard share; all tasks have the same weight."""
    names = ["teacher_accuracy", "student_accuracy", "teacher_macro_f1", "student_macro_f1"]
    means = part.groupby("task")[names].mean().mean()
    return {
        "cells": len(part),
        "teacher_accuracy": means["teacher_accuracy"],
        "student_accuracy": means["student_accuracy"],
        "student_worst": part["student_accuracy"].min(),
        "gain": means["student_accuracy"] - means["teacher_accuracy"],
        "low": found.low,
        "high": found.high,
        "f1_gain": means["student_macro_f1"] - means["teacher_macro_f1"],
        "won": found.wins,
        "tied": found.ties,
        "lost": found.losses,
        "p": found.p,
    }


def _discoveries(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """p-values adjusted for the false discovery rate; NaN stays NaN."""
    there, found = ~np.isnan(p), np.full(len(p), np.nan)
    if there.any():
        found[there] = false_discovery_control(p[there], method="by")
    return found


def pair_matrix(
    table: pd.DataFrame, tasks: Sequence[Mapping[str, Any]], column: str
) -> tuple[list[str], NDArray[np.float64], NDArray[np.bool_]]:
    """A column of the comparisons of one teacher, recipe and student, as a matrix over classes.

    Returns:
        names of the K classes that occur in pairs; values, symmetric, float [K, K], NaN if there
        is no such pair; and whether the two share a modality, bool [K, K].
    """
    pairs = {task["task"]: task for task in tasks if len(task["classes"]) == 2}
    names = list(dict.fromkeys(name for task in pairs.values() for name in task["classes"]))
    values = np.full((len(names), len(names)), np.nan)
    alike = np.zeros(values.shape, dtype=bool)
    for title, value in zip(table["task"], table[column], strict=True):
        if title in pairs:
            at, to = (names.index(name) for name in pairs[title]["classes"])
            values[at, to] = values[to, at] = value
            alike[at, to] = alike[to, at] = pairs[title]["same_modality"]
    return names, values, alike
