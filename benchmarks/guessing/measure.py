"""Measure situations: the signals, which see no truth, and beside them a student's accuracy."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import lru_cache, partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from benchmarks.guessing.classes import Situation
from benchmarks.guessing.images import Gathered, gather
from medlabel.errors import MedlabelError
from medlabel.evaluation.evidence.reading import Witness, changed_views, read_task
from medlabel.evaluation.evidence.signals import compute_evidence_signals
from medlabel.evaluation.evidence.world import world_of
from medlabel.phantoms import LOOKS
from medlabel.storage.strict_json import to_json
from medlabel.student.calibration import FeatureReader, calibrate
from medlabel.student.fit import fit
from medlabel.student.recipes import get_recipe
from medlabel.student.targets import training_targets
from medlabel.teacher.captions import paper_captions
from medlabel.teacher.clip import load_clip
from medlabel.teacher.names.learned_words import words_learned
from medlabel.teacher.phantom_clip import PretrainingConfig
from medlabel.teacher.phantom_store import ensure_phantom_clip
from medlabel.teacher.task_captions import captions_by_names
from medlabel.teacher.zero_shot import score

__all__ = ["RECIPE", "measure_all", "row_file", "trainings"]

RECIPE = replace(get_recipe("robust"), ensemble_size=1, self_training_rounds=1, balanced=False)
"""One member of the recipe `robust`, as `label` uses it: a student for each of many situations."""

Row = dict[str, Any]


def trainings(situations: Sequence[Situation]) -> list[PretrainingConfig]:
    """The teachers that situations need, each once."""
    wanted = {(one.left_out, seed) for one in situations for seed in one.seeds}
    return [PretrainingConfig(seed=s, left_out=out, looks=()) for out, s in sorted(wanted)]


def row_file(out: Path, situation: Situation) -> Path:
    """The file of a finished situation."""
    return out / "rows" / f"{zlib.crc32(situation.name.encode()):08x}.json"


def measure_all(
    situations: Iterable[Situation], out: Path, home: Path, data_root: Path, extras: Path | None,
    workers: int,
) -> None:  # fmt: skip
    """Measure those that have no row yet; every finished row is kept."""
    (out / "rows").mkdir(parents=True, exist_ok=True)
    todo = [one for one in situations if not row_file(out, one).exists()]
    todo.sort(key=lambda one: (one.left_out, one.seeds))  # so that each teacher is loaded once
    work = partial(_measure, out=out, home=home, data_root=data_root, extras=extras)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(work, one) for one in todo]
        for done in track(as_completed(waiting), "measuring situations", total=len(waiting)):
            done.result()


def _measure(
    situation: Situation, out: Path, home: Path, data_root: Path, extras: Path | None
) -> None:
    torch.set_num_threads(1)
    gathered = gather(situation, data_root, extras)
    captions = _captions(situation)
    row: Row = {
        "situation": situation.name, "kind": situation.kind, "classes": len(situation.classes),
        "images": len(gathered.images), "left_out": ",".join(situation.left_out),
        "sets": sorted({group.images for one in situation.classes for group in one.groups}
                       | {group.images for group in situation.foreign}),
    }  # fmt: skip
    witnesses = [_witness(home, situation.left_out, seed) for seed in situation.seeds]
    readings = [read_task(witness, gathered.images, captions) for witness in witnesses]
    views = changed_views(witnesses[0].clip, gathered.images)
    learned = words_learned(captions, [flag for flag in LOOKS if flag not in situation.left_out])
    row["signals"] = compute_evidence_signals(readings, views, learned)
    row["alone"] = compute_evidence_signals(readings[:1], views, learned)
    scores = score(readings[0].images, readings[0].classes, readings[0].logit_scale)
    row["teacher_accuracy"] = float((scores.argmax(axis=1) == gathered.truth).mean())
    row |= _student(gathered, scores)
    path = row_file(out, situation)
    fresh = path.with_suffix(".partial")
    fresh.write_text(to_json(row) + "\n", encoding="utf-8")
    fresh.replace(path)


def _captions(situation: Situation) -> dict[str, tuple[str, ...]]:
    """The captions that `medlabel label` would read for classes that are known by name."""
    names = [one.name for one in situation.classes]
    try:
        by_name = [tuple(texts) for texts in captions_by_names(names).values()]
    except MedlabelError:  # an ambiguous name, which the user would spell out
        by_name = [paper_captions(name) for name in names]
    return {
        one.name: one.captions or texts
        for one, texts in zip(situation.classes, by_name, strict=True)
    }


@lru_cache(maxsize=12)
def _witness(home: Path, left_out: tuple[str, ...], seed: int) -> Witness:
    config = PretrainingConfig(seed=seed, left_out=left_out, looks=())
    clip = load_clip(ensure_phantom_clip(home, config), "cpu")
    return Witness(clip, world_of(clip, left_out))


def _student(gathered: Gathered, scores: NDArray[np.float32]) -> Row:
    """Fit a student on half of the images, and compare it with the truth on the other half."""
    pool, test = ~gathered.test, gathered.test
    names = tuple(str(number) for number in range(scores.shape[1]))
    student = fit(gathered.images[pool], scores[pool], names, RECIPE, 0).student
    calibration = calibrate(student, gathered.images[pool], training_targets(scores[pool], RECIPE))
    probabilities, features = FeatureReader(student)(gathered.images[test])
    right = probabilities.argmax(axis=1) == gathered.truth[test]
    row: Row = {"accuracy": float(right.mean())}
    if calibration is not None:
        sure = calibration.apply_temperature(probabilities).max(axis=1)
        inside = calibration.ood_score(features, gathered.images[test]) <= 1
        row["confidence"] = [round(float(p), 4) if keep else 0.0
                             for p, keep in zip(sure, inside, strict=True)]  # fmt: skip
        row["right"] = right.tolist()
    return row
