"""A unit of the benchmarks of students: one draw of a task, one teacher, one recipe, one fit."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from benchmarks.common import FILES
from benchmarks.noises import noisy_scores
from medlabel.data.sources import Source
from medlabel.data.tasks import Cell, Task, gather_images, open_sources, parse_task, sample_cells
from medlabel.data.truth import SealedTruth
from medlabel.evaluation.diagnostics import (
    Diagnostics,
    Signals,
    best_seed_index,
    compute_signals,
    pixel_features,
    student_agreement,
    summarise_diagnostics,
)
from medlabel.evaluation.metrics import evaluate_cell, recall_rows, true_labels
from medlabel.storage.digests import hex_digest
from medlabel.student.fit import FitResult, fit, predict_proba
from medlabel.student.recipes import Recipe
from medlabel.teacher.clip import Clip, load_clip
from medlabel.teacher.task_captions import class_captions
from medlabel.teacher.zero_shot import class_embeddings, score

__all__ = [
    "PER_CLASS",
    "PHANTOM",
    "TASKS",
    "Unit",
    "best_of_lines",
    "diagnostics_of_lines",
    "draw",
    "measure",
    "teach",
    "without",
]

PHANTOM = "phantom"  # in the place of a noise: the phantom CLIP's own scores
PER_CLASS = 546  # BreastMNIST's training images, as many as the paper's pool has a class

_BLOOD = (
    *("basophil", "eosinophil", "erythroblast", "immature granulocyte"),
    *("lymphocyte", "monocyte", "neutrophil", "platelet"),
)
_FINDINGS = (
    *("atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia"),
    *("pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia"),
)
TASKS: Mapping[str, tuple[str, ...]] = {  # class=file, and labels within it
    "chest-breast": ("chest=chest", "breast=breast"),
    "chest-pneumonia": ("chest=chest", "pneumonia=pneumonia"),
    "chest-blood": ("chest=chest", "blood=blood"),
    "breast-pneumonia": ("breast=breast", "pneumonia=pneumonia"),
    "breast-blood": ("breast=breast", "blood=blood"),
    "blood-pneumonia": ("blood=blood", "pneumonia=pneumonia"),
    "chest-breast-blood": ("chest=chest", "breast=breast", "blood=blood"),
    "chest-breast-pneumonia": ("chest=chest", "breast=breast", "pneumonia=pneumonia"),
    "chest-blood-pneumonia": ("chest=chest", "blood=blood", "pneumonia=pneumonia"),
    "breast-blood-pneumonia": ("breast=breast", "blood=blood", "pneumonia=pneumonia"),
    "four": ("chest=chest", "breast=breast", "blood=blood", "pneumonia=pneumonia"),
    "blood-cells": tuple(f"{name}=blood#{label}" for label, name in enumerate(_BLOOD)),
    "malignant-benign": ("malignant=breast#0", "benign=breast#1"),
    "pneumonia-normal": ("normal=pneumonia#0", "pneumonia=pneumonia#1"),
    **{
        f"finding-{name}": (f"{name}=chest#{label}", f"no {name}=chest#!{label}")
        for label, name in enumerate(_FINDINGS)
    },
}


@dataclass(frozen=True)
class Unit:
    """What is fitted; `noise` is one of `benchmarks.noises` or `phantom`."""

    task: str
    noise: str
    recipe: Recipe
    seed: int
    per_class: int
    root: Path
    clip: str = ""  # what `load_clip` takes, where the teacher is one

    @property
    def path(self) -> str:
        """`TASK/NOISE/RECIPE`, which `--only` goes by."""
        return f"{self.task}/{self.noise}/{self.recipe.name}"

    @property
    def key(self) -> str:
        """What makes a line this unit's."""
        fields = json.dumps(asdict(self.recipe), sort_keys=True)
        made_by = hex_digest(fields, 12)
        taught_by = f"/{Path(self.clip).name}" if self.clip else ""
        return f"{self.path}/{self.seed}/{self.per_class}/{made_by}{taught_by}"


@lru_cache(maxsize=2)
def _opened(name: str, root: Path) -> tuple[Task, dict[str, Source]]:
    """A task and its sources, read once a process."""
    parts = (spec.split("=") for spec in TASKS[name])
    classes = (
        f"{title}={root / FILES[file.partition('#')[0]]}{''.join(file.partition('#')[1:])}"
        for title, file in parts
    )
    task = parse_task(",".join(classes))
    return task, open_sources(task)


def draw(unit: Unit) -> tuple[Task, dict[str, Source], Cell, SealedTruth]:
    """A unit's task, its sources, its draw of pool and test, and the sealed truth."""
    task, sources = _opened(unit.task, unit.root)
    (cell,), truth = sample_cells(task, sources, [unit.seed], unit.per_class)
    return task, sources, cell, truth


def measure(unit: Unit) -> dict[str, Any]:
    """Fit a unit and tell it in one line."""
    torch.set_num_threads(1)
    task, sources, cell, truth = draw(unit)
    images = gather_images(sources, (*cell.pool, *cell.test))
    scores, features = teach(unit, images, cell, truth)
    cut = len(cell.pool)
    start = time.perf_counter()
    fitted = fit(images[:cut], scores[:cut], task.class_names, unit.recipe, unit.seed)
    seconds = time.perf_counter() - start
    found = predict_proba(fitted.student, images[cut:])
    rows = recall_rows(truth, cell.test, found, task.class_names)
    return {
        "key": unit.key,
        "task": unit.task,
        "noise": unit.noise,
        "recipe": unit.recipe.name,
        "seed": unit.seed,
        "seconds": round(seconds, 2),
        **evaluate_cell(truth, cell.pool, cell.test, scores[:cut], scores[cut:], found),
        "least_recall": min(row["recall"] for row in rows),
        "validation_loss": fitted.validation_loss,
        "validation_accuracy": _validation_accuracy(fitted),
        "signals": asdict(compute_signals(scores[cut:], found, features[cut:])),
        "labels": found.argmax(axis=1).tolist(),
    }


def _validation_accuracy(fitted: FitResult) -> float:
    """Agreement with the held-back pseudo-labels, mean over members."""
    kept = zip(fitted.histories, fitted.best_epochs, strict=True)
    return float(np.mean([history[best].validation_accuracy for history, best in kept]))


def teach(
    unit: Unit, images: NDArray[np.uint8], cell: Cell, truth: SealedTruth
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The teacher's scores [N, K] of pool and test, and features [N, D] to compare images by."""
    task, _ = _opened(unit.task, unit.root)
    if unit.noise != PHANTOM:
        labels = true_labels(truth, (*cell.pool, *cell.test))
        k = len(task.classes)
        return noisy_scores(unit.noise, labels, images, k, unit.seed), pixel_features(images)
    clip = _clip(unit.clip)
    captions = [class_captions(spec) for spec in task.classes]
    embeddings = _embedded(unit, (*cell.pool, *cell.test))
    classes = class_embeddings(captions, clip.embed_texts)
    return score(embeddings, classes, clip.logit_scale), embeddings


@lru_cache(maxsize=1)
def _clip(folder: str) -> Clip:
    return load_clip(folder, "cpu")


_SEEN: dict[tuple[str, str], NDArray[np.float32]] = {}  # embeddings by CLIP and image, a process


def _embedded(unit: Unit, ids: Sequence[str]) -> NDArray[np.float32]:
    """Embeddings [N, D]; an image is embedded once a process, each source in its own colours."""
    _, sources = _opened(unit.task, unit.root)
    for spec, source in sources.items():
        own = [i for i in ids if i.startswith(f"{source.name}/") and (unit.clip, i) not in _SEEN]
        if own:
            rows = _clip(unit.clip).embed_images(gather_images({spec: source}, own))
            _SEEN.update(((unit.clip, i), row) for i, row in zip(own, rows, strict=True))
    return np.stack([_SEEN[unit.clip, i] for i in ids])


def diagnostics_of_lines(group: pd.DataFrame, units: Mapping[str, Unit]) -> Diagnostics:
    """What a run with these draws would say of itself, from its lines."""
    return summarise_diagnostics(
        _signals(group), student_agreement(_labels(group, units), _classes(group))
    )


def best_of_lines(group: pd.DataFrame, units: Mapping[str, Unit]) -> int:
    """Which of these lines' students a run would publish: its place in order of seed."""
    return best_seed_index(_signals(group), _labels(group, units), _classes(group))


def _signals(group: pd.DataFrame) -> list[Signals]:
    return [Signals(**found) for found in group.sort_values("seed")["signals"]]


def _labels(group: pd.DataFrame, units: Mapping[str, Unit]) -> list[dict[str, int]]:
    """Each student's labels by image id."""
    group = group.sort_values("seed")
    return [
        dict(zip(draw(units[key])[2].test, labels, strict=True))
        for key, labels in zip(group["key"], group["labels"], strict=True)
    ]


def _classes(group: pd.DataFrame) -> int:
    return len(TASKS[str(group["task"].iloc[0])])


def without(recipe: Recipe, plain: Recipe) -> dict[str, Recipe]:
    """A recipe with each ingredient taken out: the field as a plain recipe has it.

    What only makes sense together (the optimiser and all that goes with it) is one ingredient.
    """
    ours, theirs = asdict(recipe), asdict(plain)
    differing = [name for name in ours if name not in _NEITHER and ours[name] != theirs[name]]
    ingredients = {name: [name] for name in differing if name not in _TRAINING}
    ingredients["optimiser"] = [name for name in differing if name in _TRAINING]
    return {
        name: replace(
            recipe, name=f"{recipe.name}-without-{name}", **{f: theirs[f] for f in fields}
        )
        for name, fields in ingredients.items()
        if fields
    }


_NEITHER = ("name", "min_steps")  # of `min_steps`: pools of this size come to them anyway
_TRAINING = (
    *(
        "optimiser",
        "learning_rate",
        "schedule",
        "epochs",
        "patience",
        "average_from_epoch",
        "batch_size",
    ),
)
