"""How often is a guarantee wrong, and how much does it cover? At most 1,000 answers, real images.

`python -m benchmarks.guarantee [--quick] [--resamples 1000]`: all images of a task are labelled by
a student of a noisy teacher (`noises.py`), or by that teacher itself. Then, over and over, some of
them are drawn, their truth is right, and what `medlabel.annotation.guarantee` states is compared
with the truth of all. Coverage beside it: by the binary search of SGR (Geifman & El-Yaniv
2017) from the same answers, and by an oracle that knows all truth.
"""

import argparse
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binom, binomtest

from benchmarks.common import arguments, class_of, finish
from benchmarks.noises import noisy_scores
from benchmarks.units import TASKS
from medlabel.annotation.guarantee import AuditDesign, certify, sample_rows
from medlabel.data.tasks import gather_images, open_sources, parse_task, sample_cells
from medlabel.evaluation.metrics import true_labels
from medlabel.student.fit import fit, predict_proba
from medlabel.student.recipes import get_recipe

PRECISIONS = (0.95, 0.99)
ANSWERS = (100, 300, 1000)
MAX_COVERAGE = (1.0, 0.5)
SUBJECTS = (  # task, noise of the teacher, who labels
    ("chest-breast", "symmetric-40", "student"),
    ("blood-cells", "image-soft-80", "student"),
    ("blood-cells", "image-soft-80", "teacher"),
)


class Labelled(NamedTuple):
    """All images of a task as somebody labelled them: confidences, labels, whether right."""

    confidences: NDArray[np.float32]
    labels: NDArray[np.int64]
    right: NDArray[np.bool_]


def labelled(task_name: str, noise: str, who: str, per_class: int, root: Path) -> Labelled:
    """Draw a task, let the noisy teacher score it, fit a student, and label pool and test."""
    specs = (spec.split("=") for spec in TASKS[task_name])
    classes = [
        f"{title}={class_of(file.partition('#')[0], root).partition('=')[2]}"
        + "".join(file.partition("#")[1:])
        for title, file in specs
    ]
    task = parse_task(",".join(classes))
    sources = open_sources(task)
    (cell,), truth = sample_cells(task, sources, [0], per_class)
    ids = (*cell.pool, *cell.test)
    images, labels = gather_images(sources, ids), true_labels(truth, ids)
    found = noisy_scores(noise, labels, images, len(task.classes), 0)
    if who == "student":
        cut = len(cell.pool)
        fitted = fit(images[:cut], found[:cut], task.class_names, get_recipe("adam"), 0)
        found = predict_proba(fitted.student, images)
    guesses = found.argmax(axis=1)
    return Labelled(found.max(axis=1).astype(np.float32), guesses, guesses == labels)


def resampled(population: Labelled, design: AuditDesign, resamples: int) -> dict[str, Any]:
    """Repeat the audit with new samples: the share of wrong guarantees, and mean coverage."""
    broken, classes_broken, guaranteed = 0, 0, 0
    covered: list[float] = []
    by_sgr: list[float] = []
    for seed in range(resamples):
        one = AuditDesign(
            design.answers, design.precision, max_coverage=design.max_coverage, seed=seed
        )
        asked = sample_rows(population.confidences, population.labels, one)
        right = population.right[asked]
        whole, classes = certify(population.confidences, population.labels, asked, right, one)
        guaranteed += whole.accepted is not None
        covered.append(whole.coverage)
        broken += _broken(population, whole.threshold, design.precision)
        classes_broken += any(
            _broken(population, part.threshold, design.precision, label)
            for label, part in classes.items()
        )
        by_sgr.append(_sgr(population, asked, right, one))
    low, high = binomtest(broken, resamples).proportion_ci()
    return {
        "guaranteed": round(guaranteed / resamples, 3),
        "broken": round(broken / resamples, 4),
        "broken_95": f"{low:.3f}-{high:.3f}",
        "any_class_broken": round(classes_broken / resamples, 4),
        "kept_within_5_percent": bool(low <= 0.05),
        "coverage": round(float(np.mean(covered)), 3),
        "coverage_sgr": round(float(np.mean(by_sgr)), 3),
        "coverage_oracle": round(_oracle(population, design.precision), 3),
    }


def _broken(
    population: Labelled, threshold: float | None, precision: float, label: int | None = None
) -> bool:
    if threshold is None:
        return False
    chosen = population.confidences >= np.float32(threshold)
    if label is not None:
        chosen &= population.labels == label
    return bool(population.right[chosen].mean() < precision - 1e-12)


def _sgr(
    population: Labelled, asked: NDArray[np.int64], right: NDArray[np.bool_], design: AuditDesign
) -> float:
    """Coverage by SGR: a binary search over the sample's confidences, its level shared out."""
    order = np.argsort(-population.confidences[asked], kind="stable")
    wrong = np.cumsum(~right[order])
    level = design.level / math.ceil(math.log2(len(asked)))
    low, high, best = 0, len(asked) - 1, -1
    while low <= high:
        middle = (low + high) // 2
        if binom.cdf(wrong[middle], middle + 1, 1 - design.precision) <= level:
            low, best = middle + 1, middle
        else:
            high = middle - 1
    if best < 0:
        return 0.0
    return float((population.confidences >= population.confidences[asked][order[best]]).mean())


def _oracle(population: Labelled, precision: float) -> float:
    """The most that any threshold could cover."""
    order = np.argsort(-population.confidences, kind="stable")
    right = np.cumsum(population.right[order]) / np.arange(1, len(order) + 1)
    keeping = np.flatnonzero(right >= precision)
    return float((keeping[-1] + 1) / len(order)) if len(keeping) else 0.0


def _rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    subjects = SUBJECTS[:1] if options.quick else SUBJECTS
    for task, noise, who in subjects:
        population = labelled(task, noise, who, 200 if options.quick else 546, options.data_root)
        facts = {"task": task, "noise": noise, "labels_by": who, "images": len(population.right)}
        facts["right"] = round(float(population.right.mean()), 4)
        for precision in PRECISIONS:
            for answers in ANSWERS:
                for max_coverage in MAX_COVERAGE:
                    design = AuditDesign(answers, precision, max_coverage=max_coverage)
                    asked = {
                        "precision": precision,
                        "answers": answers,
                        "max_coverage": max_coverage,
                    }
                    yield {**facts, **asked, **resampled(population, design, options.resamples)}


def _extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--resamples", type=int, default=1000)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", "", _extend)
    options.resamples = 100 if options.quick else options.resamples
    torch.set_num_threads(1)
    start = time.perf_counter()
    rows = list(_rows(options))
    worst = max(rows, key=lambda row: row["broken"])
    finish(
        rows,
        resamples=options.resamples,
        worst_broken=worst["broken"],
        all_kept=all(row["kept_within_5_percent"] for row in rows),
        mean_coverage=round(float(np.mean([row["coverage"] for row in rows])), 3),
        mean_coverage_sgr=round(float(np.mean([row["coverage_sgr"] for row in rows])), 3),
        seconds=round(time.perf_counter() - start, 1),
    )


if __name__ == "__main__":
    main()
