"""The folder of a sweep and its tables. Only differences of the same draws are compared.

```
sweep.json           the spec, its tasks, hashes and versions
units/KEY/cells/     predictions of each cell, as in a run; KEY is what a run of that unit has
results.parquet      a row a cell, as in a run; .csv beside it
fits.parquet         a row a cell: seconds, and the loss on held-back pseudo-labels
failures.parquet     cells that could not be fitted, and why
cost.json            encodes, and seconds of each stage of the last call
comparisons.parquet  a row a task, teacher, recipe and student, over its draws; .csv beside it
leaderboard.parquet  a row a teacher, recipe and student, over tasks and draws; .csv beside it
report/index.html
```
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
    """What a report is made of, as it was read back."""

    manifest: Mapping[str, Any]
    results: pd.DataFrame
    fits: pd.DataFrame
    failures: pd.DataFrame
    cost: Mapping[str, Any]


def unit_folder(key: str) -> str:
    """Where the cells of a unit are."""
    return f"units/{key}"


def unit_tables(
    folder: Store, board: ScoredImages, cells: Sequence[Cell], truth: SealedTruth
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Results and fits of the cells of a unit that are finished, a row each, in order."""
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
    """What a report says of each task, as plain JSON."""
    return [
        {
            "task": task.title,
            "classes": list(task.class_names),
            "same_modality": same_modality(task, modalities),
        }
        for task in tasks
    ]


def failure_table(failures: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`failures.parquet`: a row a cell that could not be fitted; empty at best."""
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
    """Write what cannot be computed from anything else."""
    store.write_table(RESULTS, results)
    store.write_table(FITS, fits)
    store.write_table(FAILURES, failure_table(failures))
    store.write_json(COST, dict(cost))
    store.write_json(MANIFEST, dict(manifest))


def read_tables(store: Store) -> SweepTables:
    """Read back what `write_tables` wrote."""
    return SweepTables(
        store.read_json(MANIFEST),
        store.read_table(RESULTS),
        store.read_table(FITS),
        store.read_table(FAILURES),
        store.read_json(COST),
    )


def write_csv(store: Store, parquet: str, frame: pd.DataFrame) -> None:
    """Write a table beside its Parquet file, for people and spreadsheets."""
    store.write(parquet.replace(".parquet", ".csv"), frame.to_csv(index=False).encode())


def is_sweep(store: Store) -> bool:
    """Whether this folder is a sweep's."""
    return store.exists(MANIFEST)


# ---------------------------------------------------------------- compared


def comparisons(results: pd.DataFrame) -> pd.DataFrame:
    """`comparisons.parquet`: student against teacher on each task, over its draws.

    `low` and `high` are the 95 % interval of the gain, corrected for draws that overlap (see
    `medlabel.evaluation.significance`). `p` asks whether there is a difference; `q` is p under
    the false discovery rate over all tasks of a teacher, recipe and student (Benjamini &
    Yekutieli 2001: tasks share images).
    """
    rows = []
    for names, part in results.groupby(["task", *_WHO], sort=False):
        found = _over_draws(part)
        rows.append({**dict(zip(["task", *_WHO], names, strict=True)), **_figures(part, found)})
    table = pd.DataFrame(rows)
    table["q"] = table.groupby(_WHO)["p"].transform(lambda p: _discoveries(p.to_numpy()))
    return table


def leaderboard(results: pd.DataFrame, tasks: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`leaderboard.parquet`: each teacher, recipe and student over all tasks, and over the groups.

    `low` and `high` bound the mean gain over these tasks as other draws would have it: they say
    nothing of other sets. `p` is Wilcoxon's over tasks. `won`, `tied` and `lost` count tasks.
    The highest student accuracy comes first.

    Where cells are missing, all are compared on those that each of them has (`same_cells`); who
    lacks more than half is not, and comes last. Tasks count alike. `tasks` are those compared on,
    of `of_tasks`; `missing` counts the cells that one has not.
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
            over, draws = wilcoxon_over_tasks(student, teacher), _over_draws(part)
            row = {"group": group, **dict(zip(_WHO, names, strict=True)), "tasks": len(student)}
            row |= {"of_tasks": len(wanted), "missing": len(wanted) * seeds - int(had[names])}
            row |= {"same_cells": names in alike}
            rows.append(row | _figures(part, over) | {"low": draws.low, "high": draws.high})
    table = pd.DataFrame(rows)
    order = table["group"].map(GROUPS.index)
    table = table.assign(order=order).sort_values(
        ["order", "same_cells", "student_accuracy"], ascending=[True, False, False], kind="stable"
    )
    return table.drop(columns="order").reset_index(drop=True)


def _shared(results: pd.DataFrame, planned: int) -> tuple[pd.DataFrame, set[Any]]:
    """The cells to compare by, and who is compared by the same ones.

    That is who has half of the cells or more, by those that each of them has. The others keep
    their own, as all do where no cell is everybody's.
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
    """The groups of tasks that there are: all, and if they differ, by modality."""
    alike = [task["task"] for task in tasks if task["same_modality"]]
    apart = [task["task"] for task in tasks if not task["same_modality"]]
    yield GROUPS[0], [task["task"] for task in tasks]
    if alike and apart:
        yield GROUPS[1], apart
        yield GROUPS[2], alike


def _over_draws(part: pd.DataFrame) -> Comparison:
    """Student minus teacher: the mean over tasks, and by how much each draw lies above it.

    A draw's gain is the mean over its tasks; where it lacks some, what it has is held against what
    is usual on those tasks.
    """
    gains = part["student_accuracy"] - part["teacher_accuracy"]
    usual = gains.groupby(part["task"]).mean()
    above = (gains - part["task"].map(usual)).groupby(part["seed"]).mean().to_numpy()
    draws = usual.mean() + above - above.mean()
    tasks = part.drop_duplicates("task")
    n_pool, n_test = int(tasks["n_pool"].sum()), int(tasks["n_test"].sum())
    return corrected_t_test(draws, np.zeros(len(draws)), n_pool, n_test)


def _figures(part: pd.DataFrame, found: Comparison) -> dict[str, Any]:
    """The columns that a comparison and a leaderboard share; tasks count alike."""
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
    """Adjusted p-values; NaN stays NaN."""
    there, found = ~np.isnan(p), np.full(len(p), np.nan)
    if there.any():
        found[there] = false_discovery_control(p[there], method="by")
    return found


def pair_matrix(
    table: pd.DataFrame, tasks: Sequence[Mapping[str, Any]], column: str
) -> tuple[list[str], NDArray[np.float64], NDArray[np.bool_]]:
    """A column of comparisons of one teacher, recipe and student, as classes x classes.

    Returns:
        names of the K classes that are in pairs, values [K, K] (NaN where there is no such pair;
        below and above the diagonal alike), and whether the two share a modality [K, K].
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
