"""Labels within a set, zero-shot on real images: what the phantom teacher reads, and what not.

`python -m benchmarks.findings [--quick] [--clip NAME]`: pneumonia against normal, malignant
against the rest, eight blood cells, fourteen chest findings, each on every image of the file and on
its test split. Beside each figure stands its 95 % bootstrap interval and the best of four trivial
statistics of the pixels (mean, contrast, darkness of the centre, strength of edges), the better
way round. What does not beat that statistic by more than the interval of the difference is not
read. Truth is opened here and nowhere before; a statistic that is chosen by truth has an advantage.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import rankdata

from benchmarks.common import FILES, arguments, finish
from medlabel.storage.home import default_home
from medlabel.teacher.captions import CLASS_NAMES, NO_FINDING, captions_for
from medlabel.teacher.clip import Clip, load_clip
from medlabel.teacher.zero_shot import class_embeddings
from rayjobs.pretrain import local_name

SETS = {
    "pneumonia": "pneumoniamnist",
    "breast": "breastmnist",
    "blood": "bloodmnist",
    "chest": "chestmnist",
}
Floats = NDArray[np.floating]


def statistics(images: NDArray[np.uint8]) -> dict[str, Floats]:
    """Four trivial statistics of grey images [N,S,S], float [N] each."""
    pixels = images.astype(np.float32) / 255
    side = images.shape[1]
    middle = slice(side // 3, side - side // 3)
    return {
        "mean": pixels.mean((1, 2)),
        "contrast": pixels.std((1, 2)),
        "centre darkness": pixels.mean((1, 2)) - pixels[:, middle, middle].mean((1, 2)),
        "edges": np.abs(np.diff(pixels, axis=1)).mean((1, 2))
        + np.abs(np.diff(pixels, axis=2)).mean((1, 2)),
    }


def auc(scores: Floats, sick: NDArray[np.bool_]) -> float:
    """Area under the ROC curve, from ranks; NaN where there is but one class."""
    n, m = int(sick.sum()), int((~sick).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(scores)[sick].sum() - n * (n + 1) / 2) / (n * m))


def interval(
    measure: Callable[[NDArray[np.int64]], float], n: int, draws: int
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of a figure over n images (Efron & Tibshirani 1993)."""
    dice = np.random.default_rng(0)
    found = [measure(dice.integers(0, n, n)) for _ in range(draws)]
    low, high = np.nanpercentile(found, (2.5, 97.5))
    return float(low), float(high)


def read(path: Path, splits: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images and labels [N, L] of some splits of a file."""
    with np.load(path, allow_pickle=False) as file:
        images = np.concatenate([file[f"{split}_images"] for split in splits])
        labels = np.concatenate([file[f"{split}_labels"] for split in splits])
    return images, labels.astype(np.int64)


def ask(clip: Clip, flag: str, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Zero-shot probabilities [N, K] of the classes of a set; of chest findings also of none."""
    captions = [captions_for(flag, flag=flag, label=k) for k in range(len(CLASS_NAMES[flag]))]
    captions += [NO_FINDING[flag]] if flag in NO_FINDING else []
    cosines = clip.embed_images(images) @ class_embeddings(captions, clip.embed_texts).T
    return np.asarray(softmax(clip.logit_scale * cosines, axis=1))


def against_rest(
    name: str, scores: Floats, images: NDArray[np.uint8], sick: NDArray[np.bool_], draws: int
) -> dict[str, Any]:
    """One class against the rest, with the best trivial statistic and whether it is beaten."""
    ways = {
        kind if sign > 0 else f"-{kind}": sign * values
        for kind, values in statistics(images).items()
        for sign in (1, -1)
    }
    best = max(ways, key=lambda way: auc(ways[way], sick))

    def gain(rows: NDArray[np.int64]) -> float:
        return auc(scores[rows], sick[rows]) - auc(ways[best][rows], sick[rows])

    low, high = interval(lambda rows: auc(scores[rows], sick[rows]), len(sick), draws)
    least, _ = interval(gain, len(sick), draws)
    return {
        "what": name,
        "measure": "AUC",
        "images": len(sick),
        "of the class": int(sick.sum()),
        "teacher": round(auc(scores, sick), 3),
        "95 %": f"{low:.3f} to {high:.3f}",
        "trivial": round(auc(ways[best], sick), 3),
        "which": best,
        "read": least > 0,
    }


def accuracy_row(name: str, found: Floats, labels: NDArray[np.int64], draws: int) -> dict[str, Any]:
    """Accuracy of many classes, beside the share of the most frequent one."""
    right = found.argmax(1) == labels
    low, high = interval(lambda rows: float(right[rows].mean()), len(right), draws)
    trivial = float(np.bincount(labels).max() / len(labels))
    return {
        "what": name,
        "measure": "accuracy",
        "images": len(right),
        "of the class": "",
        "teacher": round(float(right.mean()), 3),
        "95 %": f"{low:.3f} to {high:.3f}",
        "trivial": round(trivial, 3),
        "which": "most frequent",
        "read": low > trivial,
    }


def chest_rows(
    where: str, found: Floats, images: NDArray[np.uint8], labels: NDArray[np.int64], draws: int
) -> Iterator[dict[str, Any]]:
    """Fourteen findings, one against the rest each, and their mean with its interval."""
    columns = [k for k in range(labels.shape[1]) if labels[:, k].any()]
    sick = labels.astype(bool)
    rows = [
        against_rest(f"{CLASS_NAMES['chestmnist'][k]}, {where}", found[:, k], images, sick[:, k],
                     draws)
        for k in columns
    ]  # fmt: skip

    def mean(rows: NDArray[np.int64]) -> float:
        return float(np.nanmean([auc(found[rows, k], sick[rows, k]) for k in columns]))

    low, high = interval(mean, len(sick), draws)
    trivial = float(np.mean([row["trivial"] for row in rows]))
    yield {
        "what": f"{len(columns)} chest findings, {where}",
        "measure": "mean AUC",
        "images": len(sick),
        "of the class": "",
        "teacher": round(mean(np.arange(len(sick))), 3),
        "95 %": f"{low:.3f} to {high:.3f}",
        "trivial": round(trivial, 3),
        "which": "the best for each",
        "read": low > trivial,
    }
    yield from rows


def rows_of(
    clip: Clip, name: str, where: str, splits: tuple[str, ...], options: argparse.Namespace
) -> Iterator[dict[str, Any]]:
    """The rows of one file's splits."""
    images, labels = read(options.data_root / FILES[name], splits)
    if options.quick:
        chosen = np.random.default_rng(0).permutation(len(images))[:600]
        images, labels = images[chosen], labels[chosen]
    found, draws = ask(clip, SETS[name], images), options.draws
    if name == "chest":
        yield from chest_rows(where, found, images, labels, draws)
    elif name == "blood":
        yield accuracy_row(f"eight blood cells, {where}", found, labels[:, 0], draws)
    else:
        label, title = (1, "pneumonia") if name == "pneumonia" else (0, "malignant")
        sick = labels[:, 0] == label
        yield against_rest(f"{title}, {where}", found[:, label], images, sick, draws)


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--clip", default="phantom", help="the teacher; may end in +views")
    parser.add_argument("--draws", type=int, default=200, help="of the bootstrap")


def main() -> None:
    """Ask the teacher about every set, print the table."""
    options = arguments("Findings on real images, zero-shot", "runs/findings", _options, seeds=1)
    clip = load_clip(local_name(options.clip, default_home()), "cpu")
    options.draws = 50 if options.quick else options.draws
    places: dict[str, tuple[str, ...]] = {"test": ("test",)}
    if not options.quick:
        places["whole set"] = ("train", "val", "test")
    rows = [
        row
        for name in SETS
        for where, splits in places.items()
        for row in rows_of(clip, name, where, splits, options)
    ]
    finish(rows, clip=clip.key)


if __name__ == "__main__":
    main()
