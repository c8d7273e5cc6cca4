"""Seconds a seed, one thread: a DataLoader loop against `medlabel.student.fit`.

`python -m benchmarks.fit [--quick]` fits the paper's network with the paper's recipe, and with Adam
in place of SGD, on real chest against breast images with true labels. The notebook's way is
MedMNIST's own: a Dataset that hands out PIL images, ToTensor and Normalize, a DataLoader of 32,
`loss.item()` every step and a validation every epoch. Both stop by the same rule and keep their
best epoch. Seconds are of the processor, so that what else runs counts little.
"""

import time
from collections.abc import Callable
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

import medlabel._torchvision  # noqa: F401  (before torchvision)
from benchmarks.common import arguments, class_of, finish
from medlabel.data.tasks import gather_images, open_sources, parse_task, sample_cells
from medlabel.evaluation.metrics import compute_metrics, true_labels, true_scores
from medlabel.student.fit import VALIDATION_SHARE, fit, predict_proba
from medlabel.student.networks import Student
from medlabel.student.recipes import RECIPES, Recipe

from torchvision import transforms  # isort: skip

CLASSES = ("chest", "breast")
Images = NDArray[np.uint8]
Fit = Callable[[Images, NDArray[np.int64], Recipe, int], tuple[Student, int]]


class Notebook(Dataset[tuple[Tensor, int]]):
    """Images and labels, one at a time, as medmnist.dataset and its introduction have it."""

    def __init__(self, images: Images, labels: NDArray[np.int64]) -> None:
        self._images, self._labels = images, labels
        steps = [transforms.ToTensor(), transforms.Normalize(mean=[0.5], std=[0.5])]
        self._transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), int(self._labels[index])


def fit_naively(
    images: Images, labels: NDArray[np.int64], recipe: Recipe, seed: int
) -> tuple[Student, int]:
    """Train as a notebook would; the student and its number of epochs."""
    torch.manual_seed(seed)
    student = Student(recipe.student, 1, list(CLASSES))
    network: nn.Module = student.members[0].get_submodule(
        "1"
    )  # without our normalisation: the Dataset has its own
    order = torch.randperm(len(images)).numpy()
    cut = len(order) - int(len(order) * VALIDATION_SHARE)
    parts = [Notebook(images[rows], labels[rows]) for rows in (order[:cut], order[cut:])]
    train, held = (DataLoader(p, batch_size=32, shuffle=i == 0) for i, p in enumerate(parts))
    optimiser = _notebook_optimiser(network, recipe)
    best, best_loss, weights = 0, float("inf"), deepcopy(network.state_dict())
    for epoch in range(recipe.epochs):
        network.train()
        _naive_pass(network, train, optimiser)
        network.eval()
        with torch.no_grad():
            value = _naive_pass(network, held, None)
        if value < best_loss:
            best, best_loss, weights = epoch, value, deepcopy(network.state_dict())
        elif recipe.patience is not None and epoch - best >= recipe.patience:
            break
    network.load_state_dict(weights)
    return student.eval(), epoch + 1


def _notebook_optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(network.parameters(), lr=recipe.learning_rate, momentum=0.9)
    return torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)


def _naive_pass(
    network: nn.Module,
    loader: DataLoader[tuple[Tensor, int]],
    optimiser: torch.optim.Optimizer | None,
) -> float:
    """One epoch over a loader, with steps when there is an optimiser; the mean loss."""
    total, hits, seen = 0.0, 0, 0
    for batch, labels in loader:
        logits = network(batch)
        value = nn.functional.cross_entropy(logits, labels)
        if optimiser is not None:
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
        total += value.item() * len(labels)
        seen += len(labels)
        hits += (logits.argmax(dim=1) == labels).sum().item()
    return total / seen


def fit_ours(
    images: Images, labels: NDArray[np.int64], recipe: Recipe, seed: int
) -> tuple[Student, int]:
    """Train as medlabel does; the student and its number of epochs."""
    fitted = fit(images, np.eye(2, dtype=np.float32)[labels], CLASSES, recipe, seed)
    return fitted.student, len(fitted.histories[0])


def main() -> None:
    """Fit every seed both ways, in turns, and print seconds, ratio and accuracy."""
    options = arguments("The paper's recipe, two ways", "runs/fit")
    torch.set_num_threads(1)
    task = parse_task(",".join(class_of(name, options.data_root) for name in CLASSES))
    sources = open_sources(task)
    seeds = range(2 if options.quick else min(options.seeds, 10))
    cells, truth = sample_cells(task, sources, seeds)
    ways: dict[str, Fit] = {"notebook": fit_naively, "medlabel": fit_ours}
    told: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for cell in cells:
        pool, test = (gather_images(sources, ids) for ids in (cell.pool, cell.test))
        labels = true_scores(truth, cell.pool, 2).argmax(axis=1)
        for recipe in (RECIPES["paper"], RECIPES["adam"]):
            for way, fitting in ways.items():
                start = time.process_time()
                student, epochs = fitting(pool, labels, recipe, cell.seed)
                seconds = time.process_time() - start
                right = compute_metrics(
                    predict_proba(student, test), true_labels(truth, cell.test)
                ).accuracy
                told.setdefault((recipe.name, way), []).append((seconds, epochs, right))
    rows = []
    for (recipe_name, way), outcomes in told.items():
        seconds, epochs, accuracy = np.mean(outcomes, axis=0)
        row = {"recipe": recipe_name, "way": way, "seconds per seed": round(seconds, 2)}
        row |= {"ms per epoch": round(1000 * seconds / epochs), "accuracy": round(accuracy, 4)}
        rows.append(row)
    ratios = {
        f"ratio_{name}": round(rows[i]["ms per epoch"] / rows[i + 1]["ms per epoch"], 2)
        for i, name in ((0, "paper"), (2, "adam"))
    }
    finish(rows, seeds=len(seeds), **ratios)


if __name__ == "__main__":
    main()
