"""Zero-shot scores from embeddings, their balancing, and score files. No true label is used.

Scores are class probabilities, float32 [N, K]; rows sum to one. In a file there is one column per
class and a column `image_id`, so that any other model can take the place of the teacher.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from medlabel.errors import MedlabelError
from medlabel.storage.csv_files import read_csv, read_number

__all__ = ["balance", "class_embeddings", "read_scores", "score", "score_table"]

_SUM_TOLERANCE = 1e-2
_PARQUET = b"PAR1"  # with which every Parquet file begins


def class_embeddings(
    captions: Sequence[Sequence[str]], embed: Callable[[Sequence[str]], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return one embedding per class: the normalised mean of those of its captions.

    Several captions make a prompt ensemble (Radford et al. 2021, section 3.1.4).

    Args:
        captions: one or more captions for each of K classes.
        embed: maps captions to embeddings of unit length, float32 [captions, D].

    Returns:
        float32 [K, D] of unit length.

    Raises:
        ValueError: an embedding is not of unit length, so captions would not count equally.
    """
    embeddings = [embed(class_captions) for class_captions in captions]
    for matrix in embeddings:
        if not np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-3):
            raise ValueError("the embedding of a caption is not of unit length")
    stacked = np.stack([matrix.mean(axis=0) for matrix in embeddings])
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True), dtype=np.float32)


def score(
    images: NDArray[np.floating], classes: NDArray[np.floating], logit_scale: float = 100.0
) -> NDArray[np.float32]:
    """Return zero-shot scores, softmax(logit_scale * cosine) (Radford et al. 2021, section 3.1).

    >>> score(np.eye(2), np.eye(2), logit_scale=10.0).round(3).tolist()
    [[1.0, 0.0], [0.0, 1.0]]

    Args:
        images: embeddings [N, D] of unit length, of any floating dtype.
        classes: embeddings [K, D] of unit length.
        logit_scale: of the model; 100 in OpenAI's models and in the paper.

    Returns:
        float32 [N, K].
    """
    cosines = images.astype(np.float32) @ classes.astype(np.float32).T
    return np.asarray(softmax(logit_scale * cosines, axis=1), dtype=np.float32)


def balance(scores: NDArray[np.floating], iterations: int = 200) -> NDArray[np.float32]:
    """Adjust scores to the prior knowledge that all classes are equally frequent.

    Pools are sampled with equal numbers per class, so this uses the protocol, not the truth. The
    scores of each class are multiplied by one factor such that the means of all columns are equal
    (Sinkhorn scaling, the soft form of OTTER's optimal transport, Shin et al. 2024).

    Args:
        scores: [N, K], rows sum to one.
        iterations: maximal number of scalings of columns and rows. Hard scores (0 and 1) converge
            slowly: for 560 and 532 labels, means of 0.487 and 0.513 remain after 200 iterations.

    Returns:
        float32 [N, K], rows sum to one.
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
    """Return scores as a table with columns `image_id` and one float32 column per class."""
    frame = pd.DataFrame(scores, columns=list(class_names))
    frame.insert(0, "image_id", list(image_ids))
    return frame


def read_scores(
    path: Path, image_ids: Sequence[str], class_names: Sequence[str]
) -> NDArray[np.float32]:
    """Read a user's own scores for the images of a task.

    Args:
        path: Parquet file, or CSV file as `medlabel.storage.csv_files` reads them, with columns
            `image_id` and one per class.
        image_ids: the images; the file may have more.
        class_names: the classes, in order.

    Returns:
        float32 [N, K], in the order of `image_ids`; rows sum to one.

    Raises:
        MedlabelError: the file cannot be read, ids or columns are missing or duplicated, or values
            are not probabilities.
    """
    frame = _read_table(path, ["image_id", *class_names])
    duplicated = frame["image_id"][frame["image_id"].duplicated()]
    if len(duplicated):
        raise MedlabelError(
            f"{path}: {len(duplicated)} ids are duplicated, the first is {duplicated.iloc[0]}"
        )
    absent = sorted(set(image_ids) - set(frame["image_id"]))
    if absent:
        raise MedlabelError(
            f"{path}: no scores for {len(absent)} of {len(set(image_ids))} images of this task, "
            f"first {absent[0]}"
        )
    chosen = frame.set_index("image_id").loc[list(image_ids), list(class_names)]
    return _check_probabilities(path, chosen)


def _read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The columns of a file; ids are texts as they are written, other cells of CSV are numbers."""
    try:
        return _read_parquet(path, columns) if _is_parquet(path) else _read_csv(path, columns)
    except FileNotFoundError as error:
        raise MedlabelError(f"{path}: no such file") from error
    except (ValueError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise MedlabelError(f"{path} is not a table of scores: {reason}") from error


def _is_parquet(path: Path) -> bool:
    """By content, or else by its name: a damaged file is to be called so."""
    with path.open("rb") as file:
        return file.read(len(_PARQUET)) == _PARQUET or path.suffix.lower() == ".parquet"


def _read_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    if missing := [name for name in columns if name not in frame.columns]:
        found = ", ".join(map(str, frame.columns))
        raise MedlabelError(f"{path}: no column {', '.join(missing)}; its columns are: {found}")
    return frame


def _read_csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    table = read_csv(path, columns)
    table.require(*columns)
    ids, *names = columns
    cells: dict[str, list[str] | list[float]] = {ids: [line[ids] for _, line in table.rows]}
    for name in names:
        cells[name] = [_score(path, number, line[name]) for number, line in table.rows]
    return pd.DataFrame(cells)


def _score(path: Path, number: int, cell: str) -> float:
    try:
        return read_number(cell)
    except ValueError:
        raise MedlabelError(
            f"{path}: scores that are not numbers, first {cell!r} in line {number}"
        ) from None


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
