"""What captions and adjustments are worth: an ablation of the teacher, without any student.

`python -m benchmarks.adjust [--quick]`: the phantom CLIP on real images, every pair of four
sources, three classes and all four, as it is and handicapped (noise on every embedding, and a bias
on the logits of the last class). Mean and worst accuracy on held-out images over seeds and tasks.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common import FILES, arguments, class_of, finish
from medlabel.data.sources import Source
from medlabel.data.tasks import Cell, Task, gather_images, open_sources, parse_task, sample_cells
from medlabel.data.truth import SealedTruth
from medlabel.evaluation.metrics import evaluate_baseline
from medlabel.storage.home import default_home
from medlabel.teacher.adjust import Adjustment, parse_steps
from medlabel.teacher.clip import Clip, load_clip
from medlabel.teacher.task_captions import class_captions
from medlabel.teacher.zero_shot import class_embeddings, score
from rayjobs.pretrain import ensure_phantom_clip

PER_CLASS = 625
NOISE, BIAS = 2.0, 2.0  # of the handicap: length of the noise; logits given to the last class
TASKS: list[tuple[str, ...]] = [
    *combinations(FILES, 2),
    ("chest", "breast", "blood"),
    tuple(FILES),
]
VARIANTS: list[tuple[str, str]] = [  # caption set, steps
    ("one", ""),
    ("paper", ""),
    ("table", ""),
    ("templates", ""),
    ("descriptions", ""),
    ("table,templates", ""),
    ("one", "prior"),
    ("one", "em-prior"),
    ("one", "transduct"),
    ("table", "prior"),
    ("table", "em-prior"),
    ("table", "transduct"),
    ("table", "transduct,prior"),
    ("table", "prior,transduct"),
    ("table", "prior,transduct,prior"),
]


@dataclass
class Bench:
    """One task: its cells, their sealed truth, and embeddings float32 [N, D] by id."""

    task: Task
    cells: list[Cell]
    truth: SealedTruth
    embeddings: dict[str, NDArray[np.float32]]

    def accuracies(
        self, clip: Clip, captions: str, steps: str, *, handicapped: bool
    ) -> list[float]:
        """The teacher's accuracy on each seed's test."""
        classes = class_embeddings(self._captions(captions), clip.embed_texts)
        adjustment = Adjustment(parse_steps(steps))
        found = []
        for cell in self.cells:
            images = np.stack([self.embeddings[image_id] for image_id in cell.test])
            scores = score(images, classes, clip.logit_scale)
            if handicapped:
                images = noisy(images, cell.seed)
                scores = biased(score(images, classes, clip.logit_scale))
            answers = adjustment(scores, images)
            found.append(float(evaluate_baseline(self.truth, cell.test, answers)["accuracy"]))
        return found

    def _captions(self, sets: str) -> list[tuple[str, ...]]:
        if sets == "one":
            return [class_captions(spec, "table")[:1] for spec in self.task.classes]
        return [class_captions(spec, sets) for spec in self.task.classes]


def noisy(embeddings: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The embeddings [N, D] with noise that is NOISE times as long, of length one again."""
    n, d = embeddings.shape
    noise = np.random.default_rng(seed).normal(0, NOISE / np.sqrt(d), (n, d))
    changed = embeddings + noise
    return np.asarray(changed / np.linalg.norm(changed, axis=1, keepdims=True), np.float32)


def biased(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """The scores [N, K] with BIAS added to the last class's logit."""
    lifted = scores.astype(np.float64)
    lifted[:, -1] *= np.exp(BIAS)
    return np.asarray(lifted / lifted.sum(axis=1, keepdims=True), np.float32)


def prepare(names: Sequence[str], clip: Clip, options: argparse.Namespace) -> Bench:
    """Draw a task's cells and embed what its tests show."""
    task = parse_task(",".join(class_of(name, options.data_root) for name in names))
    sources = open_sources(task)
    cap = 100 if options.quick else PER_CLASS
    cells, truth = sample_cells(task, sources, range(2 if options.quick else options.seeds), cap)
    ids = sorted({image_id for cell in cells for image_id in cell.test})
    return Bench(task, cells, truth, dict(zip(ids, embed(clip, sources, ids), strict=True)))


def embed(clip: Clip, sources: Mapping[str, Source], ids: list[str]) -> NDArray[np.float32]:
    """Embeddings float32 [N, D], each source in its own colours."""
    rows: dict[str, NDArray[np.float32]] = {}
    for spec, source in sources.items():
        own = [image_id for image_id in ids if image_id.startswith(f"{source.name}/")]
        rows |= zip(own, clip.embed_images(gather_images({spec: source}, own)), strict=True)
    return np.stack([rows[image_id] for image_id in ids])


def measure(
    bench: Sequence[Bench], clip: Clip, captions: str, steps: str, *, handicapped: bool
) -> dict[str, object]:
    """One row: a variant over all tasks and seeds, and the cells where it beats the plain table."""
    each = [b.accuracies(clip, captions, steps, handicapped=handicapped) for b in bench]
    plain = [b.accuracies(clip, "table", "", handicapped=handicapped) for b in bench]
    gains = np.concatenate(each) - np.concatenate(plain)
    row: dict[str, object] = {"teacher": "handicapped" if handicapped else "as it is"}
    row |= {"captions": captions, "adjust": steps or "-"}
    row |= {b.task.title: f"{np.mean(a):.4f}" for b, a in zip(bench, each, strict=True)}
    row["mean"] = round(float(np.mean([np.mean(a) for a in each])), 4)
    row["worst seed"] = round(min(map(min, each)), 4)
    row["cells up/down"] = f"{(gains > 0).sum()}/{(gains < 0).sum()}"
    return row


def main() -> None:
    """Measure every variant, print the table."""
    options = arguments("Captions and adjustments of the teacher, on real images", "runs/adjust")
    torch.set_num_threads(1)
    clip = load_clip(ensure_phantom_clip(default_home()), "cpu")
    bench = [prepare(names, clip, options) for names in (TASKS[:1] if options.quick else TASKS)]
    rows = [
        measure(bench, clip, *variant, handicapped=handicapped)
        for handicapped in (False, True)
        for variant in VARIANTS
    ]
    finish(rows, seeds=len(bench[0].cells), tasks=len(bench))


if __name__ == "__main__":
    main()
