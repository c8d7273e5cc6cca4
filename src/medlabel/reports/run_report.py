"""The report of a finished run, from its folder; Ray is not needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.data.tasks import Cell, Task, gather_images, open_sources, sample_cells
from medlabel.data.truth import SealedTruth
from medlabel.errors import MedlabelError
from medlabel.evaluation.metrics import confusion, true_labels
from medlabel.experiments import run_folder as runs
from medlabel.experiments.run_folder import read_cell
from medlabel.experiments.verdicts import read_verdict
from medlabel.reports.page import ReportData, write_report
from medlabel.storage.store import Store
from medlabel.student.bundle import read_provenance

__all__ = ["report_run"]


def report_run(store: Store, data_root: Path | None = None) -> str:
    """Write the report of the run in this folder; returns the page's path.

    Raises:
        MedlabelError: a source has changed since the run.
    """
    manifest = store.read_json(runs.MANIFEST)
    task = Task.model_validate(manifest["task"])
    sources = open_sources(task, data_root)
    for spec, source in sources.items():
        if manifest["sources"][spec] != source.content_hash:
            raise MedlabelError(
                f"{spec} has changed since {store.uri} was written: run it again in a new folder"
            )
    cells, _ = sample_cells(task, sources, range(manifest["seeds"]), manifest["per_class"])
    truth = SealedTruth.load(store)
    shown = int(read_provenance(store.path(runs.BUNDLE))["seed"])
    cell = next(cell for cell in cells if cell.seed == shown)
    fitted = read_cell(store, shown)
    scores = _teacher_on_tests(store, cells, list(task.class_names))
    teachers, students = _confusions(store, cells, scores, truth)
    data = ReportData(
        title=task.title,
        facts=_facts(manifest, cell),
        synthetic=bool(manifest["synthetic"]),
        classes=task.class_names,
        results=store.read_table(runs.RESULTS),
        baselines=store.read_table(runs.BASELINES),
        history=fitted.history,
        best_epoch=fitted.best_epoch,
        images=gather_images(sources, cell.test),
        labels=true_labels(truth, cell.test),
        teacher=scores[shown],
        student=fitted.test,
        shown_seed=shown,
        teacher_confusion=teachers,
        student_confusion=students,
        warnings=_warnings(store),
        verdict=read_verdict(store),
    )
    return write_report(data, store / runs.REPORT)


def _warnings(store: Store) -> tuple[str, ...]:
    """The warnings of the run's diagnostics; a run of an older version has none."""
    return (
        tuple(store.read_json(runs.DIAGNOSTICS)["warnings"])
        if store.exists(runs.DIAGNOSTICS)
        else ()
    )


def _teacher_on_tests(
    store: Store, cells: list[Cell], classes: list[str]
) -> dict[int, NDArray[np.float32]]:
    """The teacher's scores float32 [N, K] of each test set, by seed; adjusted if that was done."""
    tables: Mapping[int, pd.DataFrame]
    if store.exists(runs.ADJUSTED):
        frame = store.read_table(runs.ADJUSTED)
        frame = frame[frame["split"] == "test"]
        tables = {cell.seed: frame[frame["seed"] == cell.seed] for cell in cells}
    else:
        tables = dict.fromkeys((cell.seed for cell in cells), store.read_table(runs.SCORES))
    return {
        cell.seed: tables[cell.seed]
        .set_index("image_id")
        .loc[list(cell.test), classes]
        .to_numpy(dtype=np.float32)
        for cell in cells
    }


def _confusions(
    store: Store,
    cells: list[Cell],
    scores: Mapping[int, NDArray[np.float32]],
    truth: SealedTruth,
) -> tuple[Any, Any]:
    """Confusion matrices int64 [K, K] of teacher and student, summed over seeds."""
    teacher = [confusion(truth, cell.test, scores[cell.seed]) for cell in cells]
    student = [confusion(truth, cell.test, read_cell(store, cell.seed).test) for cell in cells]
    return np.sum(teacher, axis=0), np.sum(student, axis=0)


def _facts(manifest: Mapping[str, Any], cell: Cell) -> dict[str, str]:
    teacher, recipe = manifest["teacher"], manifest["recipe"]
    captions = "; ".join(" / ".join(group) for group in teacher.get("captions", []))
    return {
        "Teacher": str(teacher["name"]),
        "Teacher's weights": str(teacher.get("model", "none: the scores were read from a file")),
        "Captions": captions or "none",
        "Adjustments": ", ".join(teacher.get("adjust", [])) or "none",
        "Student": str(manifest["student"]),
        "Recipe": f"{recipe['name']} ({recipe['optimiser']}, at most {recipe['epochs']} epochs)",
        "Seeds": str(manifest["seeds"]),
        "Pool / test images": f"{len(cell.pool)} / {len(cell.test)}",
        "Image size": f"{manifest['task']['size']} pixels",
        "Sources": ", ".join(f"{k} ({v[:12]})" for k, v in manifest["sources"].items()),
        "Run key": str(manifest["key"]),
        "Versions": str(manifest["versions"]),
    }
