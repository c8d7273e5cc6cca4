"""Annotations for other programs: a CSV, Parquet, Label Studio or COCO file, or a folder of links.

| `--out` | content |
| --- | --- |
| `labels.csv` | uri, digest, label, confidence, one column per class, decision, bundle |
| `labels.parquet` | all columns of the table, in one file |
| `labels.json` | tasks with predictions, to import into Label Studio |
| `labels.coco.json` | COCO: one image and one annotation per row, no boxes; the categories |
| `sorted/` | torchvision's ImageFolder: one folder per class, with links to files on this machine |

After an audit, the thresholds of its guarantee decide between `auto` and `review`, in place of the
one that the annotations were made with; labels that are newer than the audit are for review. A YAML
file can rename classes. Rows are written as they are read: memory does not grow with their number.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from medlabel.annotation.audit import GuaranteedLabels, class_names, guaranteed_labels
from medlabel.annotation.export_formats import link_images, write_coco
from medlabel.annotation.table import AnnotationTable
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import path_bytes, path_text, place_in_file
from medlabel.storage.store import Store
from medlabel.storage.strict_json import to_json
from medlabel.storage.yaml_files import read_mapping
from medlabel.student.decision import ranking_scores

__all__ = ["DECISIONS", "ExportConfig", "export_labels", "read_names"]

DECISIONS = ("auto", "review")
_LOCAL = "/data/local-files/?d="  # how Label Studio names a file on its own disk


@dataclass(frozen=True)
class ExportConfig:
    """What to export.

    Attributes:
        only: the decision of the rows to export, `auto` or `review`; None for both.
        names: new names of the classes by their present ones.
        image_root: the local folder that is Label Studio's document root: addresses of images are
            written relative to it. If empty, addresses are written as they are.

    Raises:
        MedlabelError: `only` is neither.
    """

    only: str | None = None
    names: Mapping[str, str] | None = None
    image_root: str = ""

    def __post_init__(self) -> None:
        if self.only not in (None, *DECISIONS):
            raise MedlabelError(f"--only {self.only}: choose {' or '.join(DECISIONS)}")


def export_labels(store: Store, path: Path, wanted: ExportConfig) -> int:
    """Write annotations to a file, or to a folder of links; returns how many.

    Args:
        store: the folder of annotations.
        path: where to write; its ending decides the format (see this module's table).
        wanted: which rows, and under which names.

    Raises:
        MedlabelError: the ending is unknown, a class has no new name, or an image that has to be
            linked or opened is not a file.
    """
    write = _writer(path)
    classes = class_names(store)
    missing = set(classes) - set(wanted.names or classes)
    if missing:
        raise MedlabelError(f"--names has no new name for {', '.join(sorted(missing))}")
    if write is None:
        return link_images(path, _tables(store, wanted))
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.parent / f".{uuid4().hex}.part"  # not of tempfile, whose files are private
    try:
        with fresh.open("xb") as file:
            count = write(file, _tables(store, wanted), wanted)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    return count


def _writer(path: Path) -> Callable[[IO[bytes], Iterator[pa.Table], ExportConfig], int] | None:
    """The function that writes this format; None for a folder of links."""
    writers = {
        ".coco.json": write_coco,
        ".csv": _write_csv,
        ".parquet": _write_parquet,
        ".json": _write_tasks,
    }
    name = path.name.lower()
    found = next((write for end, write in writers.items() if name.endswith(end)), None)
    if found is None and path.suffix:
        raise MedlabelError(
            f"{path}: the name has to end in {', '.join(writers)}, or to be that of a new folder"
        )
    return found


def read_names(path: Path) -> dict[str, str]:
    """New names of classes by old ones, from a YAML file with a line `old: new` per class."""
    names = read_mapping(path, "names", f"{path}: write one line `old: new` per class")
    for old, new in names.items():
        if not isinstance(new, str) or not new.strip():
            raise MedlabelError(f"{path}: {old!r} has no new name: write one line `old: new`")
    return names


def _tables(store: Store, wanted: ExportConfig) -> Iterator[pa.Table]:
    """The rows to export, piece by piece, with their decisions and names."""
    table, guaranteed = AnnotationTable(store), guaranteed_labels(store)
    for piece in table.pieces():
        rows = table.read(piece).replace_schema_metadata(None)
        if guaranteed is not None:
            rows = _decided(rows, guaranteed)
        if wanted.only:
            rows = rows.filter(pa.compute.equal(rows["decision"], wanted.only))
        yield _named(rows, wanted.names) if wanted.names else rows


def _decided(rows: pa.Table, guaranteed: GuaranteedLabels) -> pa.Table:
    """Rows with the decisions that follow from a guarantee; what it is not about is for review."""
    least = [guaranteed.thresholds.get(label) for label in rows["label"].to_pylist()]
    bound = np.array([np.inf if t is None else t for t in least], dtype=np.float32)
    bound[~guaranteed.covers(rows)] = np.inf
    automatic = ranking_scores(rows["confidence"].to_numpy(), rows["ood_score"].to_numpy()) >= bound
    place = rows.column_names.index("decision")
    decisions = pa.array(np.where(automatic, *DECISIONS), pa.string())
    rows = rows.set_column(place, "decision", decisions)
    place = rows.column_names.index("auto_above")
    return rows.set_column(place, "auto_above", pa.array(bound.astype(np.float64)))


def _named(rows: pa.Table, names: Mapping[str, str]) -> pa.Table:
    """Rows with renamed classes; probabilities of classes with the same new name are added.

    A label is renamed but not chosen again, because the guarantee of an audit is about the label
    that was given. Its confidence is the sum of the probabilities that have its new name.
    """
    labels = pa.array([names[label] for label in rows["label"].to_pylist()], pa.string())
    columns: dict[str, Any] = {}
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        new = f"p_{names.get(name[2:], name[2:])}" if name.startswith("p_") else name
        columns[new] = pa.compute.add(columns[new], column) if new in columns else column
    new = [name.removeprefix("p_") for name in columns if name.startswith("p_")]
    chances = np.array([columns[f"p_{name}"].to_numpy() for name in new])
    places = {name: place for place, name in enumerate(new)}
    given = [places[label] for label in labels.to_pylist()]
    confidence = pa.array(chances[given, np.arange(len(given))])
    return pa.table(columns | {"label": labels, "confidence": confidence})


def _write_csv(file: IO[bytes], tables: Iterator[pa.Table], wanted: ExportConfig) -> int:
    count, header = 0, True
    for rows in tables:
        kept = [name for name in rows.column_names if name.startswith("p_")]
        columns = ["uri", "digest", "label", "confidence", *kept, "decision", "bundle"]
        pa_csv.write_csv(rows.select(columns), file, pa_csv.WriteOptions(include_header=header))
        count, header = count + len(rows), False
    return count


def _write_parquet(file: IO[bytes], tables: Iterator[pa.Table], wanted: ExportConfig) -> int:
    first = next(tables)
    with pq.ParquetWriter(file, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        count = len(first)
        for rows in tables:
            writer.write_table(rows)
            count += len(rows)
    return count


def _write_tasks(file: IO[bytes], tables: Iterator[pa.Table], wanted: ExportConfig) -> int:
    """Label Studio's tasks, for a project with `<Choices name="choice" toName="image">`."""
    count = 0
    file.write(b"[")
    for rows in tables:
        for row in rows.to_pylist():
            file.write(b",\n" if count else b"\n")
            file.write(to_json(_task(row, wanted.image_root)).encode())
            count += 1
    file.write(b"\n]\n")
    return count


def _task(row: Mapping[str, Any], image_root: str) -> dict[str, Any]:
    choice = {
        "from_name": "choice", "to_name": "image", "type": "choices",
        "value": {"choices": [row["label"]]},
    }  # fmt: skip
    prediction = {
        "model_version": row["bundle"],
        "score": round(row["confidence"], 6),
        "result": [choice],
    }
    data = {
        "image": _address(row["uri"], image_root),
        "digest": row["digest"],
        "decision": row["decision"],
    }
    guess = row["decision"] == "review" and "guessing" in row["review_reasons"].split(",")
    return {"data": data, "predictions": [] if guess else [prediction]}  # it would be preselected


def _address(uri: str, image_root: str) -> str:
    """The address at which Label Studio opens an image; a file's name is quoted byte by byte."""
    path, place = place_in_file(uri)
    if place is not None:
        raise MedlabelError(
            f"{uri} is not a file of its own, and Label Studio opens files: export CSV instead"
        )
    if not image_root:
        return uri
    root = path_text(os.path.abspath(image_root)).rstrip("/") + "/"
    if not path.startswith(root):
        raise MedlabelError(f"{uri} is not in {image_root}: give a folder that holds all images")
    return _LOCAL + quote(path_bytes(path.removeprefix(root)))
