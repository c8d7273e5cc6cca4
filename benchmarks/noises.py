"""Teachers whose mistakes are made to measure: true labels in, the scores of such a teacher out.

| name | what is wrong |
| --- | --- |
| `symmetric-20` | 20 % of the labels, drawn at random; each becomes any of the other classes |
| `skewed` | 40 % of one class and 5 % of every other, at random; the class goes by the seed |
| `random` | all: every label is drawn anew, whatever the image; right by chance alone |
| `image-80` | 20 %: those images that a linear model on coarse features takes for others |
| `image-soft-80` | the same, with that model's own (calibrated) probabilities as scores |

Scores are one-hot but for `image-soft`. Truth makes the noise that is the experiment; nothing else
in the benchmarks sees it before evaluation.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from medlabel.errors import MedlabelError

__all__ = ["coarse_features", "noisy_scores"]

Labels = NDArray[np.int64]
Scores = NDArray[np.float32]

SKEW, REST = 0.4, 0.05  # wrong labels of the chosen class, and of all others
_GRIDS = (4, 7, 14)  # of the coarse features: the first that can be as right as was asked for
_TRIES = 20


def noisy_scores(name: str, labels: Labels, images: NDArray[np.uint8], k: int, seed: int) -> Scores:
    """The scores [N, K] that a teacher with this noise gives; the same for the same seed.

    Args:
        name: as in this module's table; the number is a percentage.
        labels: true classes [N].
        images: uint8 [N, S, S] or [N, S, S, 3].
        k: number of classes.
        seed: of the draw.
    """
    kind, _, number = name.rpartition("-")
    rng = np.random.default_rng([seed, 4])
    if name == "skewed":
        return _one_hot(_flip(labels, np.where(labels == seed % k, SKEW, REST), k, rng), k)
    if name == "random":
        return _one_hot(rng.integers(0, k, len(labels)), k)
    if kind == "symmetric":
        return _one_hot(_flip(labels, np.full(len(labels), int(number) / 100), k, rng), k)
    if kind in ("image", "image-soft"):
        values = _weak_model(labels, images, k, int(number) / 100, rng)
        return (
            _one_hot(values.argmax(axis=1), k) if kind == "image" else _calibrated(values, labels)
        )
    raise MedlabelError(f"unknown noise {name!r}: see benchmarks/noises.py")


def _one_hot(labels: Labels, k: int) -> Scores:
    return np.eye(k, dtype=np.float32)[labels]


def _flip(labels: Labels, rates: NDArray[np.float64], k: int, rng: np.random.Generator) -> Labels:
    """Labels of which each is, with its own probability, any other class."""
    other = (labels + rng.integers(1, k, len(labels))) % k
    return np.where(rng.random(len(labels)) < rates, other, labels)


def coarse_features(images: NDArray[np.uint8], grid: int) -> NDArray[np.float64]:
    """Means over grid x grid fields a channel, standardised, and a constant: float64 [N, D + 1]."""
    stack = torch.from_numpy(images if images.ndim == 4 else images[..., None])
    small = torch.nn.functional.adaptive_avg_pool2d(stack.permute(0, 3, 1, 2).float(), grid)
    flat = np.asarray(small.flatten(1), np.float64)
    flat = (flat - flat.mean(axis=0)) / (flat.std(axis=0) + 1e-6)
    return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _weak_model(
    labels: Labels, images: NDArray[np.uint8], k: int, accuracy: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Values [N, K] of a linear model whose likeliest class is right as often as was asked for.

    A ridge regression's weights are linear in its targets, so targets that are a share t noise
    give (1 - t) times the weights of true targets and t times those of noise. With t the model
    goes from as right as it can be to chance, and t is halved in until it is as right as asked.
    Its mistakes are those of its images: near its border, on the wrong side of it. Pool and test
    are fitted together, for it stands for a teacher that sees both in the same way.
    """
    for grid in _GRIDS:
        features = coarse_features(images, grid)
        solve = np.linalg.solve(
            features.T @ features + np.eye(features.shape[1]) * len(features) * 1e-3, features.T
        )
        good = features @ (solve @ (_one_hot(labels, k) - 1 / k))
        if _right(good, labels) >= accuracy:
            break
    else:
        raise MedlabelError(f"no linear model of coarse features is right on {accuracy:.0%}")
    for _ in range(_TRIES):
        bad = _noise_like(good, features, rng)
        if _right(bad, labels) < accuracy:
            return _between(good, bad, labels, accuracy)
    raise MedlabelError(f"{accuracy:.0%} is no better than chance: ask for more")


def _noise_like(
    good: NDArray[np.float64], features: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Values of random weights on the same features, as large as the good model's."""
    bad = features[:, :-1] @ rng.normal(size=(features.shape[1] - 1, good.shape[1]))
    bad -= bad.mean(axis=1, keepdims=True)
    return np.asarray(bad * good.std() / bad.std())


def _between(
    good: NDArray[np.float64], bad: NDArray[np.float64], labels: Labels, accuracy: float
) -> NDArray[np.float64]:
    """The mixture of two models that is as right as asked for, to the nearest image or two."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        if _right((1 - middle) * good + middle * bad, labels) >= accuracy:
            low = middle
        else:
            high = middle
    return np.asarray((1 - low) * good + low * bad)


def _right(values: NDArray[np.float64], labels: Labels) -> float:
    return float((values.argmax(axis=1) == labels).mean())


def _calibrated(values: NDArray[np.float64], labels: Labels) -> Scores:
    """Softmax at the temperature at which mean confidence is accuracy."""
    low, high = 0.0, 1e3
    for _ in range(50):
        middle = (low + high) / 2
        sure = float(softmax(middle * values, axis=1).max(axis=1).mean())
        low, high = (middle, high) if sure < _right(values, labels) else (low, middle)
    return np.asarray(softmax(low * values, axis=1), dtype=np.float32)
