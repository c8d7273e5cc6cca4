"""The folder of a run: what is in it, and how it is read back without Ray.

```
run.json            settings, hashes and versions: what makes this run this run
truth.parquet       sealed; evaluation alone reads it
scores.parquet      the teacher's raw scores of every image drawn; the mean of several teachers'
scores-1.parquet    each teacher's own, if there are several, in the order they were named
adjusted.parquet    what students and tables go by, a cell and split, if that is not the raw scores
cells/seed-0007/    one fitted student: bundle, predictions.parquet, history.parquet, cell.json
results.parquet     one row a seed          baselines.parquet   one row a seed and baseline
recalls.parquet     one row a seed and class of teacher and student
timings.parquet     seconds a fit           bundle/             the best student
diagnostics.json          whether to believe it, told without truth
report/index.html
```
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.storage.store import Store, refuse_different
from medlabel.student.bundle import record_warnings, save_bundle
from medlabel.student.calibration import Calibration
from medlabel.student.fit import FitResult

__all__ = ["CellResult", "claim", "finished_seeds", "publish", "read_cell", "write_cell"]

OTHER = "another run (it differs"
MANIFEST, SCORES, ADJUSTED = "run.json", "scores.parquet", "adjusted.parquet"
RESULTS, BASELINES, TIMINGS = "results.parquet", "baselines.parquet", "timings.parquet"
RECALLS, DIAGNOSTICS = "recalls.parquet", "diagnostics.json"
BUNDLE, REPORT, CEILING = "bundle", "report", "ceiling"


@dataclass(frozen=True)
class CellResult:
    """What a finished cell left behind; probabilities are float32 [N, K] in the cell's order.

    `history` and `best_epoch` are those of the student's first member.
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
    """Take a folder for a run, or go on with the same run's; the number of seeds may grow.

    Raises:
        MedlabelError: the folder holds a different run, and says in what it differs.
    """
    if store.exists(name):
        refuse_different(store, store.read_json(name), manifest, OTHER, {"seeds", "versions"})
    store.write_json(name, dict(manifest))


def _folder(seed: int) -> str:
    return f"cells/seed-{seed:04d}"


def finished_seeds(store: Store) -> set[int]:
    """Seeds whose cells are whole: `cell.json` is written last."""
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
    """Write a finished cell; it counts from the moment its last file is there."""
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
        float(facts["validation_loss"]),
        float(facts["seconds"]),
        str(facts["versions"]),
    )


def publish(store: Store, seed: int, warnings: Sequence[str] = (), to: Store | None = None) -> None:
    """Copy a seed's bundle to `bundle/`, of this folder or another, with what the run warns of.

    `config.json` comes last: a bundle without it is none.
    """
    chosen, bundle = store / _folder(seed) / "bundle", (to or store) / BUNDLE
    for name in sorted(chosen.list("*"), key=lambda name: name == "config.json"):
        bundle.write(name, chosen.read(name))
    record_warnings(bundle, warnings)
