"""Student minus teacher on real images, by paired tests that respect overlapping draws.

`python -m benchmarks.real [--quick] [--only TASK/NOISE/RECIPE ...] [--table]`: the phantom CLIP as
the teacher of every pair of four sources, of three classes and of all four, 30 draws each, the
recipes `robust` and `paper`, as a table and as box plots in `real.png`. For each task the corrected
resampled t-test over its draws (Nadeau & Bengio 2003); it takes draws for random splits, and
BreastMNIST's images are the same in every draw, so that the intervals of its tasks are too narrow.
Over all tasks Wilcoxon's signed ranks, which leave out tasks that tie.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchmarks.common import arguments, finish
from benchmarks.ledger import options_of_units, run_units
from benchmarks.plots import task_figure
from benchmarks.units import PER_CLASS, PHANTOM, Unit, best_of_lines, diagnostics_of_lines
from medlabel.evaluation.significance import Comparison, corrected_t_test, wilcoxon_over_tasks
from medlabel.reports.figures import to_png
from medlabel.storage.home import default_home
from medlabel.storage.store import Store
from medlabel.student.recipes import get_recipe
from rayjobs.pretrain import local_name

TASKS = (
    *("chest-breast", "chest-pneumonia", "chest-blood"),
    *("breast-pneumonia", "breast-blood", "blood-pneumonia"),
    *("chest-breast-blood", "chest-breast-pneumonia", "chest-blood-pneumonia"),
    *("breast-blood-pneumonia", "four"),
)
RECIPES = ("robust", "paper")


def units(options: argparse.Namespace) -> list[Unit]:
    """Every unit; with `--quick`, two draws of one task."""
    clip = local_name(options.clip, default_home())
    tasks, seeds, cap = list(TASKS), options.seeds, PER_CLASS
    if options.quick:
        tasks, seeds, cap = ["chest-pneumonia"], 2, 150
    return [
        Unit(task, PHANTOM, get_recipe(name), seed, cap, options.data_root, clip)
        for task in tasks
        for name in RECIPES
        for seed in range(seeds)
    ]


def row_of(task: str, group: pd.DataFrame, by_key: Mapping[str, Unit]) -> dict[str, Any]:
    """One task: means, the student that would be published, and the comparison over its draws."""
    group = group.sort_values("seed")
    first = group.iloc[0]
    student, teacher = group["student_accuracy"], group["teacher_accuracy"]
    found = corrected_t_test(
        student.to_numpy(), teacher.to_numpy(), int(first["n_pool"]), int(first["n_test"])
    )
    return {
        "task": task,
        "recipe": first["recipe"],
        "seeds": len(group),
        "teacher": round(float(teacher.mean()), 4),
        "student": round(float(student.mean()), 4),
        "worst": round(float(student.min()), 4),
        "published": round(float(student.iloc[best_of_lines(group, by_key)]), 4),
        "least recall": round(float(group["least_recall"].mean()), 4),
        **told(found),
        "95 %": f"{100 * found.low:+.2f} to {100 * found.high:+.2f}",
        "flagged": bool(diagnostics_of_lines(group, by_key).warnings),
    }


def told(found: Comparison) -> dict[str, Any]:
    """The columns of a comparison; the difference in points of accuracy."""
    return {
        "minus teacher": round(100 * found.mean, 2),
        "wins/ties/losses": f"{found.wins}/{found.ties}/{found.losses}",
        "p": round(found.p, 4),
    }


def main() -> None:
    """Fit what is missing, print the tables of what is finished."""
    options = arguments("Student minus teacher on real images", "runs/real", options_of_units)
    asked = units(options)
    frame, by_key = run_units(asked, options), {unit.key: unit for unit in asked}
    frame = frame.sort_values("task", key=lambda names: names.map(TASKS.index), kind="stable")
    rows = [
        row_of(str(task), group, by_key)
        for (task, _), group in frame.groupby(["task", "recipe"], sort=False)
    ]
    overall = {str(name): told(_overall(group)) for name, group in frame.groupby("recipe")}
    Store(options.out).write("real.png", to_png(task_figure(frame)))
    finish(rows, over_tasks=overall, finished=len(frame), units=len(asked))


def _overall(group: pd.DataFrame) -> Comparison:
    """Student against teacher over the tasks, of a recipe's units."""
    means = group.groupby("task")[["student_accuracy", "teacher_accuracy"]].mean()
    return wilcoxon_over_tasks(
        means["student_accuracy"].to_numpy(), means["teacher_accuracy"].to_numpy()
    )


if __name__ == "__main__":
    main()
