"""The report of a sweep, from its tables alone: no Ray, no images and no models are needed."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from medlabel.experiments import sweep_tables as tables
from medlabel.experiments.sweep_tables import (
    GROUPS,
    SweepTables,
    comparisons,
    leaderboard,
    pair_matrix,
)
from medlabel.experiments.verdicts import LabellingVerdict, read_verdicts
from medlabel.reports.html import render
from medlabel.reports.page import (
    MINUS,
    SYNTHETIC,
    Entry,
    Table,
    number,
    percents,
    picture,
)
from medlabel.reports.sweep_figures import gain_boxes, heat_maps
from medlabel.reports.verdict_section import verdict_counts, verdict_table
from medlabel.storage.store import Store

__all__ = ["counted", "percent", "points", "report_sweep", "sweep_answer"]

_WHO = ["teacher", "recipe", "student"]
_MAPPED = 6  # entries of the leaderboard that have a heat map on the page
_CELLS_MISSING = (
    " Some cells are missing: entries are compared on the cells that all of them have. Entries "
    "that lack more than half of the cells, or share none, are not compared and come last."
)
_SHOWN = 200  # rows of a table on the page; its file holds all


def report_sweep(store: Store) -> str:
    """Write a sweep's comparisons, leaderboard, figures and page; returns the page's path."""
    found = tables.read_tables(store)
    tasks = found.manifest["tasks"]
    compared, board = comparisons(found.results), leaderboard(found.results, tasks)
    for name, frame in (
        (tables.COMPARISONS, compared),
        (tables.LEADERBOARD, board),
    ):
        store.write_table(name, frame)
        tables.write_csv(store, name, frame)
    tables.write_csv(store, tables.RESULTS, found.results)
    folder = store / tables.REPORT
    synthetic = bool(found.manifest["synthetic"])
    judged = read_verdicts(store)
    entries = [_boxes(found.results), *_maps(compared, board, tasks)]
    page = render(
        "tables.html.j2",
        heading="Leaderboard",
        title=found.manifest["spec"]["name"] or "sweep",
        answer=sweep_answer(board, found),
        remarks=_remarks(found, board),
        verdict="",
        verdict_counts=verdict_counts(judged),
        verdicts=_verdicts(judged, compared, SYNTHETIC if synthetic else ""),
        synthetic=synthetic,
        synthetic_note=SYNTHETIC,
        leaderboards=[_board_table(board, group) for group in dict.fromkeys(board["group"])],
        pictures=[picture(entry, folder, synthetic=synthetic) for entry in entries],
        tables=[table for table in (_losses(compared), _failures(found)) if table.rows],
        facts=_facts(found),
    )
    folder.write_utf8("index.html", page)
    return folder.path("index.html")


def sweep_answer(board: pd.DataFrame, found: SweepTables) -> str:
    """The result in one sentence; it says on how many tasks the student is worse."""
    best = board.iloc[0]
    ours, theirs = percents(best["student_accuracy"], best["teacher_accuracy"])
    who = "The student"
    if len(_entries(board)) > 1:
        who = f"The best student ({best['student']}, {best['recipe']})"
    lost = {0: "none", best["tasks"]: "all"}.get(best["lost"], str(best["lost"]))
    return (
        f"{who} labels {ours} of held-out images correctly, its teacher ({best['teacher']}) "
        f"{theirs}, over {counted(best['tasks'], 'task')} and {counted(best['cells'], 'cell')}; on "
        f"{lost} of the tasks, its mean accuracy over the seeds is below the teacher's."
    )


def counted(n: int, what: str) -> str:
    """`1 cell`, `2 cells`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _entries(board: pd.DataFrame) -> pd.DataFrame:
    """The leaderboard over all tasks."""
    return board[board["group"] == GROUPS[0]]


def _remarks(found: SweepTables, board: pd.DataFrame) -> list[str]:
    remarks = []
    if missing := len(found.failures):
        remarks.append(
            f"{counted(missing, 'cell')} of {missing + len(found.results):,} could not be fitted: "
            "the reasons are below, and the same command tries them again."
        )
    if len(_entries(board)) > 1:
        remarks.append(
            "The leaderboard is sorted by accuracy on true labels of held-out images. Without true "
            "labels it cannot be used to choose a student."
        )
    return remarks


def _verdicts(rows: Sequence[LabellingVerdict], compared: pd.DataFrame, badge: str) -> Markup:
    """The verdicts, with the accuracy by true labels beside them."""
    keys = compared[["task", *_WHO]].itertuples(index=False, name=None)
    accuracies = dict(zip(keys, compared["student_accuracy"], strict=True))
    return verdict_table(rows, badge, accuracies)


# ---------------------------------------------------------------- tables


def _board_table(board: pd.DataFrame, group: str) -> Table:
    rows = []
    some = board[board["group"] == group]
    lacking = bool((some["missing"] > 0).any())
    for row in some.to_dict("records"):
        cells = (
            *(str(row[column]) for column in _WHO),
            percent(row["teacher_accuracy"]),
            percent(row["student_accuracy"]),
            percent(row["student_worst"]),
            f"{points(row['gain'])} [{points(row['low'])}, {points(row['high'])}]",
            points(row["f1_gain"]),
            f"{row['won']} / {row['tied']} / {row['lost']}",
            _p(row["p"]),
            *((f"{row['missing']:,}",) if lacking else ()),
        )
        rows.append((bool(row["gain"] < 0), cells))
    tasks, of = (int(some[name].max()) for name in ("tasks", "of_tasks"))
    caption = (
        f"{counted(tasks, 'task')}{f' of {of}' if tasks < of else ''}."
        f"{_CELLS_MISSING if lacking else ''} Accuracy in percent. Gain in points with its 95 % "
        "confidence interval over seeds, corrected for the images that seeds share; it does not "
        "cover other data sets. Worst: the worst cell. Won, tied, lost: number of tasks, by the "
        "mean over seeds. p: Wilcoxon signed-rank test over tasks."
    )
    columns = (
        *(*_WHO, "teacher, %", "student, %", "worst, %", "gain", "macro-F1 gain"),
        *("won / tied / lost", "p"),
        *(("cells missing",) if lacking else ()),
    )
    return Table(group.capitalize(), caption, columns, rows)


def _losses(compared: pd.DataFrame) -> Table:
    """The tasks on which a student is worse than its teacher on average, the worst first."""
    lost = compared[compared["gain"] < 0].sort_values("gain", kind="stable")
    rows = [
        (
            True,
            (
                *(str(row[column]) for column in ("task", *_WHO)),
                percent(row["teacher_accuracy"]),
                percent(row["student_accuracy"]),
                f"{points(row['gain'])} [{points(row['low'])}, {points(row['high'])}]",
                f"{row['lost']} of {row['cells']}",
                _p(row["q"]),
            ),
        )
        for row in lost.head(_SHOWN).to_dict("records")
    ]
    caption = (
        f"{len(lost):,} of {len(compared):,} rows of comparisons.csv. q: p-value over the seeds, "
        "adjusted for the false discovery rate over all tasks."
    )
    columns = (
        "task", *_WHO, "teacher, %", "student, %", "gain", "seeds lost", "q",
    )  # fmt: skip
    return Table("Tasks on which the student is worse", caption, columns, rows)


def _failures(found: SweepTables) -> Table:
    columns = ("task", *_WHO, "seed", "reason")
    some = found.failures.head(_SHOWN).to_dict("records")
    rows = [(False, tuple(str(row[column]) for column in columns)) for row in some]
    return Table("Failed cells", "The complete table is failures.parquet.", columns, rows)


def percent(share: float) -> str:
    """A share in percent, two digits."""
    return number(100 * share, 2)


def points(gain: float) -> str:
    """A difference of shares in percentage points, with sign."""
    return number(100 * gain, 2) if np.isnan(gain) else f"{100 * gain:+.2f}".replace("-", MINUS)


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else number(value, 3)


# ---------------------------------------------------------------- figures


def _boxes(results: pd.DataFrame) -> Entry:
    varying = [column for column in _WHO if results[column].nunique() > 1] or ["recipe"]
    return (
        "box_plots",
        "Student minus teacher, over all cells",
        "One dot per cell; the diamond is the mean. Above the line the student is better.",
        "Box plots of the student\u2019s gain in accuracy and in macro-F1 over all cells.",
        gain_boxes(results, varying),
    )


def _maps(
    compared: pd.DataFrame, board: pd.DataFrame, tasks: Sequence[Mapping[str, Any]]
) -> Iterator[Entry]:
    """Heat maps over pairs of classes for the first entries of the leaderboard."""
    if not any(len(task["classes"]) == 2 for task in tasks):
        return
    for place, who in enumerate(_entries(board)[_WHO].head(_MAPPED).itertuples(index=False)):
        part = compared[(compared[_WHO] == list(who)).all(axis=1)]
        names, teacher, alike = pair_matrix(part, tasks, "teacher_accuracy")
        _, student, _ = pair_matrix(part, tasks, "student_accuracy")
        entry = " / ".join(map(str, who))
        yield (
            f"heat_map_{place + 1}",
            f"Accuracy by pair of classes: {entry}",
            "Means over the seeds of each pair. Framed pairs share a modality.",
            f"Heat maps of teacher, student and gain over all pairs, {entry}.",
            heat_maps(names, teacher, student, alike),
        )


# ---------------------------------------------------------------- facts


def _facts(found: SweepTables) -> dict[str, str]:
    spec, cost, fits = found.manifest["spec"], found.cost, found.fits
    seconds = fits["seconds"]
    each = fits.groupby(["recipe", "student"], sort=False)["seconds"].median().reset_index()
    fit_times = [
        f"{row['recipe']} / {row['student']} {row['seconds']:.2f} s"
        for row in each.to_dict("records")
    ]
    stages = ", ".join(f"{stage} {value:,.0f} s" for stage, value in cost["seconds"].items())
    return {
        "Tasks": f"{len(found.manifest['tasks']):,}",
        "Seeds": str(spec["seeds"]),
        "Training images per class": str(spec["per_class"] or "as many as the smallest class has"),
        "Image size": f"{spec['size']} pixels",
        "Cells": f"{len(found.results):,} fitted, {len(found.failures):,} failed",
        "Time to fit": f"{seconds.sum():,.0f} s of one worker in all",
        "Median time per fit": "; ".join(fit_times),
        "Last call": (
            f"{cost['encoded']:,} images embedded, {cost['fitted']:,} cells fitted by "
            f"{counted(cost['workers'], 'worker')}: {stages}"
        ),
        "Sources": ", ".join(f"{k} ({v[:12]})" for k, v in found.manifest["sources"].items()),
        "Versions": str(found.manifest["versions"]),
    }
