"""What do 100, 300 and 1,000 human answers buy: joined to a teacher's labels, and on their own?

`python -m benchmarks.corrections [--quick] [--task TASK] [--noise NOISE] [--weights 1,5,20]`: real
images. People are played by true labels of pool images, handed over as `HumanLabels` alone. Side by
side, with the same recipe, tested on images that nobody has seen:

- `teacher`: its own labels of the test,
- `none`: a student of the teacher's labels,
- `joined`: the same with answers about images drawn at random (an audit's), or about those that the
  first student was least sure of (the page's order), for each weight,
- `supervised`: a student of the same answers and of nothing else.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import arguments, finish
from benchmarks.units import PHANTOM, Unit, draw, teach
from medlabel.data.tasks import gather_images
from medlabel.evaluation.metrics import true_labels
from medlabel.storage.home import default_home
from medlabel.student.fit import fit, predict_proba
from medlabel.student.human_labels import UNLABELED, HumanLabels
from medlabel.student.recipes import Recipe, get_recipe
from rayjobs.pretrain import ensure_phantom_clip

ANSWERS = (100, 300, 1000)
PICKS = ("random", "uncertain")

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Bench:
    """One draw: pool and test, the teacher's scores of both, and what is kept for playing people.

    Attributes:
        pool, test: uint8 images.
        scores: the teacher's of the pool, float32 [N, K].
        people: what a person would answer about the pool, int64 [N].
        right: true classes of the test, for evaluation.
        teacher: accuracy of the teacher on the test.
    """

    pool: NDArray[np.uint8]
    test: NDArray[np.uint8]
    scores: NDArray[np.float32]
    people: Labels
    right: Labels
    teacher: float
    classes: tuple[str, ...]
    seed: int

    def judged(
        self, recipe: Recipe, human_labels: HumanLabels | None, rows: Labels
    ) -> tuple[float, Any]:
        """Accuracy on the test of a student of these rows of the pool; and its pool's odds."""
        some = None if human_labels is None else human_labels.subset(rows)
        fitted = fit(
            self.pool[rows], self.scores[rows], self.classes, recipe, self.seed, human_labels=some
        )
        found = predict_proba(fitted.student, self.test)
        return float((found.argmax(axis=1) == self.right).mean()), predict_proba(
            fitted.student, self.pool
        )


def make_bench(unit: Unit) -> Bench:
    """Draw a task and ask its teacher."""
    task, sources, cell, truth = draw(unit)
    images = gather_images(sources, (*cell.pool, *cell.test))
    scores, _ = teach(unit, images, cell, truth)
    cut, right = len(cell.pool), true_labels(truth, cell.test)
    teacher = float((scores[cut:].argmax(axis=1) == right).mean())
    people = true_labels(truth, cell.pool)
    return Bench(
        images[:cut], images[cut:], scores[:cut], people, right, teacher, task.class_names,
        unit.seed,
    )  # fmt: skip


def compare(
    bench: Bench, recipe: Recipe, sizes: Sequence[int], weights: Sequence[float]
) -> Iterator[dict[str, Any]]:
    """Accuracies of every way on one draw, as rows."""
    everybody = np.arange(len(bench.pool))
    none, chances = bench.judged(recipe, None, everybody)
    order = {
        "random": np.random.default_rng(bench.seed).permutation(everybody),
        "uncertain": np.argsort(chances.max(axis=1), kind="stable"),
    }
    for size in (size for size in sizes if size < len(everybody)):
        for pick in PICKS:
            asked = np.sort(order[pick][:size])
            labels = np.full(len(everybody), UNLABELED)
            labels[asked] = bench.people[asked]
            alone = replace(
                recipe, balanced=False, self_training_rounds=1
            )  # nothing is left to be relabelled
            supervised, _ = bench.judged(alone, HumanLabels(labels, 1), asked)
            for weight in weights:
                joined, _ = bench.judged(recipe, HumanLabels(labels, weight), everybody)
                yield {
                    "seed": bench.seed, "answers": size, "asked about": pick, "weight": weight,
                    "teacher": bench.teacher, "none": none, "joined": joined,
                    "supervised": supervised,
                }  # fmt: skip


def table(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Means over draws; gains are in points of accuracy, with their standard error."""
    keys = sorted({(row["answers"], row["asked about"], row["weight"]) for row in found})
    return [_mean(key, [row for row in found if _key(row) == key]) for key in keys]


def _key(row: Mapping[str, Any]) -> tuple[int, str, float]:
    return row["answers"], row["asked about"], row["weight"]


def _mean(key: tuple[int, str, float], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    ways = {name: np.array([row[name] for row in rows]) for name in WAYS}
    means = {name: round(float(values.mean()), 4) for name, values in ways.items()}
    gains = {
        f"joined - {name}": _gain(100 * (ways["joined"] - ways[name]))
        for name in ("none", "supervised")
    }
    head = dict(zip(("answers", "asked about", "weight"), key, strict=True))
    return {**head, "draws": len(rows), **means, **gains}


WAYS = ("teacher", "none", "joined", "supervised")


def _gain(points: NDArray[np.float64]) -> str:
    error = points.std(ddof=1) / np.sqrt(len(points)) if len(points) > 1 else float("nan")
    return f"{points.mean():+.1f} ± {error:.1f}"


def _benches(options: argparse.Namespace) -> Iterator[Bench]:
    clip = ensure_phantom_clip(default_home()) if options.noise == PHANTOM else ""
    for seed in range(1 if options.quick else options.seeds):
        yield make_bench(
            Unit(
                options.task,
                options.noise,
                get_recipe(options.recipe),
                seed,
                options.per_class,
                options.data_root,
                str(clip),
            )
        )


def _extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--task", default="pneumonia-normal", help="of benchmarks.units")
    parser.add_argument("--noise", default=PHANTOM, help="the teacher: of benchmarks.noises, or it")
    parser.add_argument("--recipe", default="robust")
    parser.add_argument("--weights", default="1,5,20")
    parser.add_argument("--per-class", type=int, default=1200)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", "", _extend, seeds=5)
    sizes: tuple[int, ...] = ANSWERS
    weights = [float(weight) for weight in options.weights.split(",")]
    if options.quick:
        options.noise, options.recipe, options.per_class = "image-70", "adam", 150
        sizes, weights = (100,), [5.0]
    torch.set_num_threads(1)
    recipe = get_recipe(options.recipe)
    found = []
    for bench in _benches(options):
        for row in compare(bench, recipe, sizes, weights):
            found.append(row)
            print(row, file=sys.stderr, flush=True)  # each is minutes of work
    finish(table(found), task=options.task, teacher_is=options.noise, recipe=options.recipe)


if __name__ == "__main__":
    main()
