"""Students of teachers that are wrong: how wrong may a teacher be, in which way, and what helps?

`python -m benchmarks.noise [--quick] [--only TASK/NOISE/RECIPE ...] [--table] [--plots FOLDER]`:
real images of three tasks; labels that are wrong at random, in one class, or where a weak model
errs (see `noises.py`); the recipes side by side, and `robust` with each ingredient taken out. Then:
which signal that needs no truth ranks recipes as truth does?
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.common import arguments, finish, print_table
from benchmarks.ledger import options_of_units, run_units
from benchmarks.plots import write_plots
from benchmarks.units import PER_CLASS, Unit, best_of_lines, diagnostics_of_lines, without
from medlabel.student.recipes import Recipe, get_recipe

SYMMETRIC = tuple(f"symmetric-{percent}" for percent in (0, 10, 20, 30, 40))
IMAGE = tuple(f"image-{percent}" for percent in (60, 70, 80, 90))
NOISES = (*SYMMETRIC, "skewed", *IMAGE)
SOFT = ("image-soft-70", "image-soft-80")  # what a teacher's own probabilities are worth
SEEDS: Mapping[str, int] = {"chest-breast": 30, "blood-pneumonia": 10, "four": 10}
ABLATED, ABLATION_NOISES, ABLATION_SEEDS = (
    "chest-breast",
    ("symmetric-20", "symmetric-40", "image-80"),
    10,
)
TRUE_LABELS = "symmetric-0"
SPREAD = 0.005  # standard deviation of accuracy over draws: below, any draw will do
DEVELOPMENT = (0, 1, 2)  # seeds that were looked at while `robust` was made
SIGNALS = ("sure", "teacher", "neighbours", "balance", "validation_accuracy", "students")


def recipes() -> dict[str, Recipe]:
    """The rows of the table by name."""
    return {name: get_recipe(name) for name in ("paper", "adam", "robust")}


def units(options: argparse.Namespace) -> list[Unit]:
    """Every unit of the benchmark; with `--quick`, one seed of a few."""
    if options.quick:
        rows = [(n, name) for n in ("symmetric-40", "image-80") for name in ("adam", "robust")]
        return [
            Unit("chest-breast", noise, recipes()[name], 0, 150, options.data_root)
            for noise, name in rows
        ]
    return [*_side_by_side(options), *_ablation(options)]


def _side_by_side(options: argparse.Namespace) -> Iterator[Unit]:
    for task, seeds in SEEDS.items():
        for noise in (*NOISES, *SOFT):
            for recipe in recipes().values():
                for seed in range(min(seeds, options.seeds)):
                    yield Unit(task, noise, recipe, seed, PER_CLASS, options.data_root)


def _ablation(options: argparse.Namespace) -> Iterator[Unit]:
    for noise in ABLATION_NOISES:
        for recipe in without(get_recipe("robust"), get_recipe("paper")).values():
            for seed in range(min(ABLATION_SEEDS, options.seeds)):
                yield Unit(ABLATED, noise, recipe, seed, PER_CLASS, options.data_root)


# ---------------------------------------------------------------- the tables


def table(frame: pd.DataFrame, by_key: Mapping[str, Unit]) -> list[dict[str, Any]]:
    """A row per task, noise and recipe: how right teacher and student are, and (~) the signals."""
    ceilings = frame[(frame["noise"] == TRUE_LABELS) & (frame["recipe"] == "robust")]
    ceiling = ceilings.groupby("task")["student_accuracy"].mean()
    rows = []
    for (task, noise, recipe), group in frame.groupby(["task", "noise", "recipe"], sort=False):
        student, teacher = group["student_accuracy"], group["teacher_accuracy"]
        wrong = 1 - teacher.mean()
        trust = diagnostics_of_lines(group, by_key)
        rows.append(
            {
                "task": task,
                "noise": noise,
                "recipe": recipe,
                "seeds": len(group),
                "teacher": round(float(teacher.mean()), 4),
                "student": round(float(student.mean()), 4),
                "worst": round(float(student.min()), 4),
                "other draws": round(float(student[~group["seed"].isin(DEVELOPMENT)].mean()), 4),
                "errors removed": _removed(float(student.mean() - teacher.mean()), float(wrong)),
                "true labels": round(float(ceiling.get(task, float("nan"))), 4),
                "flagged": bool(trust.warnings),
                **{f"~{name}": _signal(name, group, asdict(trust)) for name in SIGNALS},
            }
        )
    return rows


def _removed(gain: float, wrong: float) -> str:
    """The share of the teacher's mistakes that the student does not make, net."""
    return f"{gain / wrong:.0%}" if wrong > 0 else "-"


def _signal(name: str, group: pd.DataFrame, trust: Mapping[str, Any]) -> float:
    if name == "validation_accuracy":
        return round(float(group[name].mean()), 4)
    value = trust["students"] if name == "students" else trust["signals"][name]
    return round(float("nan" if value is None else value), 4)


def ablations(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """`robust` minus itself without an ingredient, on the draws that both have: points."""
    pairs = ["task", "noise", "seed"]
    whole = frame[frame["recipe"] == "robust"].set_index(pairs)["student_accuracy"]
    found = []
    parts = frame[frame["recipe"].str.startswith("robust-without-")]
    for (noise, recipe), group in parts.groupby(["noise", "recipe"], sort=False):
        less = group.set_index(pairs)["student_accuracy"]
        gain = (100 * (whole - less)).dropna()
        if len(gain):
            found.append(
                {
                    "noise": noise,
                    "taken out": str(recipe).removeprefix("robust-without-"),
                    "draws": len(gain),
                    "robust": round(float(whole[gain.index].mean()), 4),
                    "without": round(float(less[gain.index].mean()), 4),
                    "worst": round(float(less[gain.index].min()), 4),
                    "points lost": round(float(gain.mean()), 2),
                    "lost/same/gained": "/".join(
                        str((np.sign(gain) == s).sum()) for s in (1, 0, -1)
                    ),
                }
            )
    return found


def rankings(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Spearman's correlation of each signal with the student's true accuracy, in each task.

    Over all noises and recipes; and over the recipes of one noise, mean over noises with three or
    more: the second is what choosing a recipe without truth comes to.
    """
    found = []
    for task, group in pd.DataFrame(rows).groupby("task", sort=False):
        by_noise = [part for _, part in group.groupby("noise") if len(part) >= 3]
        for name in SIGNALS:
            within = pd.Series([_spearman(part[f"~{name}"], part["student"]) for part in by_noise])
            found.append(
                {
                    "task": task,
                    "signal": name,
                    "rows": len(group),
                    "over noises and recipes": _spearman(group[f"~{name}"], group["student"]),
                    "over recipes of a noise": round(float(within.mean()), 3),
                    "noises": int(within.notna().sum()),
                }
            )
    return found


def picks(frame: pd.DataFrame, by_key: Mapping[str, Unit]) -> list[dict[str, Any]]:
    """How right the student of one draw is, by how the draw is chosen: a row per task and recipe.

    Means over the noises in which the choice matters: where accuracies of draws spread by half a
    point or more. `rank` is Spearman's correlation over draws, mean over the same noises.
    """
    found = []
    side_by_side = frame[frame["recipe"].isin(recipes())]
    for (task, recipe), group in side_by_side.groupby(["task", "recipe"], sort=False):
        parts = [
            part.sort_values("seed")
            for _, part in group.groupby("noise")
            if len(part) > 2 and part["student_accuracy"].std() > SPREAD
        ]
        if parts:
            rows = pd.DataFrame([_picked(part, by_key) for part in parts]).mean().round(4)
            found.append({"task": task, "recipe": recipe, "noises": len(parts), **rows})
    return found


def _picked(part: pd.DataFrame, by_key: Mapping[str, Unit]) -> dict[str, float]:
    right, loss = part["student_accuracy"].to_numpy(), part["validation_loss"].to_numpy()
    return {
        "any draw": float(right.mean()),
        "lowest loss": float(right[loss.argmin()]),
        "agrees most": float(right[best_of_lines(part, by_key)]),
        "best draw": float(right.max()),
        "rank of the loss": _spearman(-part["validation_loss"], part["student_accuracy"]),
    }


def _spearman(signal: pd.Series, accuracy: pd.Series) -> float:
    """NaN where either does not vary: there is nothing to rank."""
    seen = signal.notna()
    signal, accuracy = signal[seen], accuracy[seen]
    if signal.nunique() < 2 or accuracy.nunique() < 2:
        return float("nan")
    return round(float(spearmanr(signal, accuracy).statistic), 3)


def _options(parser: argparse.ArgumentParser) -> None:
    options_of_units(parser)
    parser.add_argument("--plots", help="folder for noise.png and diagnostics.png; --out if unset")


def main() -> None:
    """Fit what is missing, print the tables of what is finished."""
    options = arguments("Students of teachers that are wrong", "runs/noise", _options)
    asked = units(options)
    frame = run_units(asked, options)
    rows = table(frame, {unit.key: unit for unit in asked})
    ranked = rankings(rows)
    picked = picks(frame, {unit.key: unit for unit in asked})
    print_table(ranked)
    parts = ablations(frame)
    if parts:
        print_table(parts)
    if picked:
        print_table(picked)
    write_plots(rows, options.plots or options.out)
    found = {"rankings": ranked, "picks": picked, "ablations": parts}
    finish(rows, **found, finished=len(frame), units=len(asked))


if __name__ == "__main__":
    main()
