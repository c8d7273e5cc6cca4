"""From embeddings to scores, and from scores to pseudo-labels. No true label comes near.

Scores are float32 [N, K]: a probability a class, rows sum to one. In a file they are one column a
class beside `image_id`, so that any labeller in the world can be the teacher.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from medlabel.errors import MedlabelError

__all__ = ["balance", "class_embeddings", "read_scores", "score", "score_table"]

_SUM_TOLERANCE = 1e-2


def class_embeddings(
    captions: Sequence[Sequence[str]], embed: Callable[[Sequence[str]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """One embedding a class, float32 [K, D]: the mean of its captions', of length one again.

    Args:
        captions: one or more a class; a prompt ensemble when more (Radford et al. 2021, 3.1.4).
        embed: captions to float32 [captions, D] of length one, or no caption counts like another.
    """
    embeddings = [embed(class_captions) for class_captions in captions]
    for matrix in embeddings:
        if not np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-3):
            raise ValueError("a caption's embedding is not of length one")
    stacked = np.stack([matrix.mean(axis=0) for matrix in embeddings])
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), dtype=np.float32)


def score(
    images: NDArray[np.floating], classes: NDArray[np.floating], logit_scale: float = 100.0
) -> NDArray[np.float32]:
    """Zero-shot scores: softmax(logit_scale * cosine), in float32 (Radford et al. 2021, 3.1).

    Args:
        images: [N, D] of length one, of any precision.
        classes: [K, D] of length one.
        logit_scale: the model's own; 100 in OpenAI's models and in the paper.
    """
    cosines = images.astype(np.float32) @ classes.astype(np.float32).T
    return np.asarray(softmax(logit_scale * cosines, axis=1), dtype=np.float32)


def balance(scores: NDArray[np.floating], iterations: int = 200) -> NDArray[np.float32]:
    """Scores under the knowledge that the images are an equal number of each class.

    A pool is drawn with equal numbers, so this is part of the protocol, not of the truth. Each
    class's scores are multiplied with one number, such that the columns' means are equal (Sinkhorn
    scaling; the soft form of OTTER's optimal transport, Shin et al. 2024).

    Args:
        scores: [N, K], rows sum to one.
        iterations: alternations of scaling columns and rows; it stops early when nothing moves.
            Scores of 0 and 1 move slowly: where counts of labels are off by less than a twentieth
            or so, 200 turns leave part of that, for instance means of 0.487 and 0.513 of 560 and
            532 labels.
    """
    # POT's sinkhorn_log gives the same labels and differs by less than 1e-6 in nine scores of ten,
    # in 1.6 to 19 times the time, and it is 177 MB.
    logs = np.log(np.clip(scores.astype(np.float64), 1e-12, None))
    target = np.log(len(logs) / logs.shape[1])
    for _ in range(iterations):
        shift = target - np.logaddexp.reduce(logs, axis=0)
        logs = logs + shift
        logs -= np.logaddexp.reduce(logs, axis=1, keepdims=True)
        if np.abs(shift).max() < 1e-6:
            break
    return np.exp(logs).astype(np.float32)


def score_table(
    image_ids: Sequence[str], scores: NDArray[np.float32], class_names: Sequence[str]
) -> pd.DataFrame:
    """Scores as the table that files hold: `image_id` and one float32 column per class."""
    frame = pd.DataFrame(scores, columns=list(class_names))
    frame.insert(0, "image_id", list(image_ids))
    return frame


def read_scores(
    path: Path, image_ids: Sequence[str], class_names: Sequence[str]
) -> NDArray[np.float32]:
    """Read a user's own scores (Parquet or CSV) for the images of a task, float32 [N, K].

    Raises:
        MedlabelError: with the file's name and what is wrong: missing or doubled ids or columns,
            values that are no probabilities.
    """
    frame = _read_table(path)
    missing = [name for name in ("image_id", *class_names) if name not in frame.columns]
    if missing:
        raise MedlabelError(f"{path}: no column {', '.join(missing)}")
    doubled = frame["image_id"][frame["image_id"].duplicated()]
    if len(doubled):
        raise MedlabelError(f"{path}: {len(doubled)} ids come twice, first {doubled.iloc[0]}")
    absent = sorted(set(image_ids) - set(frame["image_id"]))
    if absent:
        raise MedlabelError(
            f"{path}: no scores for {len(absent)} of {len(set(image_ids))} images of this task, "
            f"first {absent[0]}"
        )
    chosen = frame.set_index("image_id").loc[list(image_ids), list(class_names)]
    return _check_probabilities(path, chosen)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except FileNotFoundError as error:
        raise MedlabelError(f"{path}: no such file") from error
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise MedlabelError(f"{path} is not a table of scores: {reason}") from error


def _check_probabilities(path: Path, frame: pd.DataFrame) -> NDArray[np.float32]:
    try:
        scores = frame.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MedlabelError(f"{path}: scores that are not numbers") from error
    for reason, bad in (
        ("not finite (NaN or infinite)", ~np.isfinite(scores).all(axis=1)),
        ("negative", (scores < 0).any(axis=1)),
        ("not a row that sums to 1", np.abs(scores.sum(axis=1) - 1) > _SUM_TOLERANCE),
    ):
        if bad.any():
            first = frame.index[int(np.argmax(bad))]
            raise MedlabelError(f"{path}: {int(bad.sum())} scores are {reason}, first {first}")
    return np.asarray(scores / scores.sum(axis=1, keepdims=True), dtype=np.float32)
