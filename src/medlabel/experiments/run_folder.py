"""The folder of a run: its files, and how they are written and read without Ray.

```
run.json            settings, hashes and versions, which identify the run
truth.parquet       true labels, sealed: only evaluation reads them
scores.parquet      the teacher's raw scores of all sampled images; of several teachers, their mean
scores-1.parquet    the scores of each teacher, if there are several, in the order of their names
adjusted.parquet    adjusted scores per cell and split, if scores are adjusted
cells/seed-0007/    one fitted student: bundle, predictions.parquet, history.parquet, cell.json
results.parquet     metrics of teacher and student, one row per seed
baselines.parquet   metrics of the baselines, one row per seed and baseline
recalls.parquet     recall of teacher and student, one row per seed and class
timings.parquet     seconds per fit
diagnostics.json    label-free figures: how well students, teacher and neighbours agree
verdict.json        whether the labels can be trusted, why, and what to do
bundle/             the best student, chosen without true labels
report/index.html
```
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.storage.store import Store, refuse_different
from medlabel.student.bundle import Bundle, load_bundle, publish_bundle, save_bundle
from medlabel.student.calibration import Calibration
from medlabel.student.fit import FitResult
from medlabel.student.verdict import Verdict

__all__ = [
    "CellResult",
    "claim",
    "finished_seeds",
    "publish",
    "read_cell",
    "read_student",
    "write_cell",
]

OTHER = "another run"
MANIFEST, SCORES, ADJUSTED = "run.json", "scores.parquet", "adjusted.parquet"
RESULTS, BASELINES, TIMINGS = "results.parquet", "baselines.parquet", "timings.parquet"
RECALLS, DIAGNOSTICS, VERDICT = "recalls.parquet", "diagnostics.json", "verdict.json"
BUNDLE, REPORT, CEILING = "bundle", "report", "ceiling"


@dataclass(frozen=True)
class CellResult:
    """The results of a finished cell.

    Attributes:
        seed: of the cell.
        pool: the student's probabilities for the training pool, float32 [N, K], in its order.
        test: the same for the held-out test set.
        history: one row per epoch, of the first member of the ensemble.
        best_epoch: of the first member.
        validation_loss: on held-out pseudo-labels.
        seconds: that the fit took.
        versions: of the libraries.
    """

    seed: int
    pool: NDArray[np.float32]
    test: NDArray[np.float32]
    history: pd.DataFrame
    best_epoch: int
    validation_loss: float
    seconds: float
    versions: str


def claim(store: Store, manifest: Mapping[str, Any], name: str = MANIFEST) -> None:
    """Reserve a folder for a run, or continue the same run; its number of seeds may increase.

    Raises:
        MedlabelError: the folder holds a different run; the message says how it differs.
    """
    if store.exists(name):
        refuse_different(store, store.read_json(name), manifest, OTHER, {"seeds", "versions"})
    store.write_json(name, dict(manifest))


def _folder(seed: int) -> str:
    return f"cells/seed-{seed:04d}"


def finished_seeds(store: Store) -> set[int]:
    """Seeds whose cells are complete: `cell.json` is written last."""
    found = store.list("cells/seed-*/cell.json")
    return {int(name.split("/")[1].removeprefix("seed-")) for name in found}


def write_cell(
    store: Store,
    seed: int,
    fitted: FitResult,
    pool: NDArray[np.float32],
    test: NDArray[np.float32],
    *,
    seconds: float,
    provenance: Mapping[str, Any],
    keep_student: bool = True,
    calibration: Calibration | None = None,
) -> None:
    """Write a finished cell; it counts as finished once its last file is written.

    Args:
        store: the folder of the run.
        seed: of the cell.
        fitted: the student and its training history.
        pool: the student's probabilities for the training pool, float32 [N, K].
        test: the same for the held-out test set.
        seconds: that the fit took.
        provenance: of the student, with `key` and `versions`.
        keep_student: whether to save the student's bundle.
        calibration: of the student, saved with it.
    """
    cell = store / _folder(seed)
    classes = list(fitted.student.classes)
    frames = []
    for split, probabilities in (("pool", pool), ("test", test)):
        frame = pd.DataFrame(probabilities, columns=classes)
        frame.insert(0, "row", range(len(frame)))
        frame.insert(0, "split", split)
        frames.append(frame)
    cell.write_table("predictions.parquet", pd.concat(frames, ignore_index=True))
    cell.write_table("history.parquet", pd.DataFrame(fitted.history_rows()))
    if keep_student:
        bundle_id = f"{provenance['key']}-seed-{seed:04d}"
        origin = {**provenance, "seed": seed, "bundle_id": bundle_id}
        save_bundle(cell / "bundle", fitted.student, origin, calibration)
    facts: dict[str, Any] = {
        "best_epoch": fitted.best_epochs[0],
        "validation_loss": fitted.validation_loss,
    }
    facts |= {"seed": seed, "seconds": seconds, "versions": provenance["versions"]}
    cell.write_json("cell.json", facts)


def read_cell(store: Store, seed: int) -> CellResult:
    """Read a finished cell."""
    cell = store / _folder(seed)
    facts = cell.read_json("cell.json")
    frame = cell.read_table("predictions.parquet")
    history = cell.read_table("history.parquet")
    values = frame.drop(columns=["split", "row"])
    pool, test = (
        values[frame["split"] == split].to_numpy(dtype=np.float32) for split in ("pool", "test")
    )
    return CellResult(
        seed,
        pool,
        test,
        history[history["member"] == 0].drop(columns="member"),
        int(facts["best_epoch"]),
        math.nan if (loss := facts["validation_loss"]) is None else float(loss),
        float(facts["seconds"]),
        str(facts["versions"]),
    )


def read_student(store: Store, seed: int) -> Bundle:
    """Read the student of a finished cell."""
    return load_bundle((store / _folder(seed) / "bundle").uri)


def publish(
    store: Store,
    seed: int,
    warnings: Sequence[str] = (),
    to: Store | None = None,
    verdict: Verdict | None = None,
) -> None:
    """Copy a seed's bundle to `bundle/`, with what the run found out about its labels.

    Args:
        store: the folder of the run.
        seed: of the cell whose student is published.
        warnings: of the run.
        to: another folder to publish it in.
        verdict: on the labels; whoever receives the bundle can see its examples.
    """
    publish_bundle(store / _folder(seed) / "bundle", (to or store) / BUNDLE, warnings, verdict)
