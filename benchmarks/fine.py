"""Labels within a set, where a teacher knows little: is there a warning if it cannot decide?

`python -m benchmarks.fine [--quick] [--findings] [--only TASK/NOISE/RECIPE ...] [--table]`: eight
blood cells, malignant against benign, pneumonia against normal, on real images, with the phantom
CLIP as the teacher, with labels that are right on 70 % (wrong where a weak model errs), and with
labels that are nothing but chance; `--findings` adds fourteen findings, one against the rest each.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchmarks.common import arguments, finish
from benchmarks.ledger import options_of_units, run_units
from benchmarks.units import PER_CLASS, PHANTOM, TASKS, Unit, diagnostics_of_lines
from medlabel.storage.home import default_home
from medlabel.student.recipes import get_recipe
from rayjobs.pretrain import local_name

FINE = ("blood-cells", "malignant-benign", "pneumonia-normal")
NOISES = (PHANTOM, "image-70", "random")


def units(options: argparse.Namespace) -> list[Unit]:
    """Every unit; with `--quick`, two draws of one task."""
    clip, recipe = local_name(options.clip, default_home()), get_recipe("robust")
    tasks, seeds, cap = list(FINE), min(options.seeds, 10), PER_CLASS
    if options.findings:
        tasks += [name for name in TASKS if name.startswith("finding-")]
    if options.quick:
        tasks, seeds, cap = ["malignant-benign"], 2, 150
    return [
        Unit(task, noise, recipe, seed, cap, options.data_root, clip if noise == PHANTOM else "")
        for task in tasks
        for noise in NOISES
        for seed in range(seeds)
    ]


def row_of(group: pd.DataFrame, by_key: Mapping[str, Unit]) -> dict[str, Any]:
    """One task and teacher: balanced accuracies, the worst class, and what the run would say."""
    first, trust = group.iloc[0], diagnostics_of_lines(group, by_key)
    students = float("nan") if trust.students is None else trust.students
    return {
        "task": first["task"],
        "teacher is": first["noise"],
        "seeds": len(group),
        "pool": int(first["n_pool"]),
        "teacher": round(float(group["teacher_balanced_accuracy"].mean()), 4),
        "student": round(float(group["student_balanced_accuracy"].mean()), 4),
        "student AUC": round(float(group["student_auc"].mean()), 4),
        "student F1": round(float(group["student_macro_f1"].mean()), 4),
        "least recall": round(float(group["least_recall"].mean()), 4),
        "~sure": round(trust.signals.confidence, 3),
        "~teacher": round(trust.signals.teacher, 3),
        "~students": round(students, 3),
        "~neighbours": round(trust.signals.neighbours, 3),
        "~balance": round(trust.signals.balance, 3),
        "flagged": bool(trust.warnings),
    }


def _options(parser: argparse.ArgumentParser) -> None:
    options_of_units(parser)
    parser.add_argument("--findings", action="store_true", help="fourteen findings as well")


def main() -> None:
    """Fit what is missing, print the table of what is finished."""
    options = arguments("Fine labels on real images", "runs/fine", _options)
    asked = units(options)
    frame, by_key = run_units(asked, options), {unit.key: unit for unit in asked}
    groups = frame.groupby(["task", "noise"], sort=False)
    rows = [row_of(group, by_key) for _, group in groups]
    finish(rows, finished=len(frame), units=len(asked))


if __name__ == "__main__":
    main()
