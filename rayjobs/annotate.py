"""Label, with Ray Data, any number of images with a bundle's student.

Readers decode and prepare, annotators label and write: a piece of the table at a time, whole or not
at all. Whatever is killed, the next run does exactly the pieces that are missing, and ends with the
same files, bit for bit. At the end images in = annotations + rejects, or it is an error.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, TaskPoolStrategy

from medlabel.annotation.explain import layout_of
from medlabel.annotation.table import (
    MANIFEST,
    REJECTS,
    AnnotationTable,
    Layout,
    Origin,
    Piece,
    label_pieces,
    missing_starts,
    signature,
)
from medlabel.data.decoding import ImageError
from medlabel.data.listing import Part, pixels_of
from medlabel.errors import MedlabelError
from medlabel.reports.annotation_summary import (
    AnnotationSummary,
    report_annotations,
    summarise_annotations,
)
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.bundle import Bundle, load_bundle
from medlabel.student.decision import AUTO_ABOVE, check_auto_above
from medlabel.student.provenance import versions
from medlabel.versions import ANNOTATION
from rayjobs.cluster import connect
from rayjobs.image_pipeline import (
    READING,
    Replicas,
    a_block_a_row,
    blocks,
    cpus,
    drain,
    list_sources,
    own_device,
    working_cpus,
)
from rayjobs.image_reading import read_annotated, unpack_prepared

__all__ = ["AnnotateConfig", "AnnotateResult", "annotate_sources"]


@dataclass(frozen=True)
class AnnotateConfig:
    """What is to be labelled, by what.

    Attributes:
        sources: as a user types them (see `medlabel.data.listing`).
        bundle: folder or bucket of the student.
        out: folder or bucket for the table.
        auto_above: the least calibrated probability of a label that no human has to see.
        size: pixels, for MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's files.
        column: the image column of Parquet files.
    """

    sources: tuple[str, ...]
    bundle: str
    out: str
    auto_above: float = AUTO_ABOVE
    size: int = 28
    data_root: Path | None = None
    column: str | None = None
    replicas: Replicas = field(default_factory=Replicas)


@dataclass(frozen=True)
class AnnotateResult:
    """What came of it: images labelled now, sums over all, the page, what the bundle warns of."""

    labelled: int
    overview: AnnotationSummary
    page: str
    warnings: tuple[str, ...] = ()


def annotate_sources(
    order: AnnotateConfig, on_progress: OnProgress = ignore_progress
) -> AnnotateResult:
    """Label what has no label yet in `order.out`, check the sums, and write the page."""
    check_auto_above(order.auto_above)
    store, bundle = Store(order.out), load_bundle(order.bundle)
    store.check_writable()
    parts = list_sources(order.sources, order.size, order.data_root, order.column, on_progress)
    origin = _claim(store, order, bundle)
    table, layout = AnnotationTable(store), layout_of(bundle)
    starts = missing_starts(parts, _clean(table, parts), layout)
    labelled = 0
    if any(starts):
        on_progress("starting", 0, 1)
        connect()
        on_progress("starting", 1, 1)
        job = _Job(table, layout, bundle.classes, replace(origin, versions=versions()))
        progress = partial(on_progress, "annotating")
        labelled = _annotate(bundle, job, parts, starts, order.replicas, progress)
    on_progress("reporting", 0, 1)
    seen, page = _finish(store, table, parts, layout, order, origin)
    on_progress("reporting", 1, 1)
    return AnnotateResult(labelled, seen, page, bundle.warnings)


def _claim(store: Store, order: AnnotateConfig, bundle: Bundle) -> Origin:
    """Take a folder for these annotations, or go on with the same ones.

    A folder that was begun with another `PREPROCESSING` or `DECISIONS` (`medlabel.versions`) is
    refused, for its rows could not be compared. Other releases of libraries are not: the column
    `versions` says for each row what made it.

    Returns:
        The origin of the folder's first call: its time and the libraries of that day.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Origin.of(bundle.id, bundle.provenance, order.auto_above, versions(), now)
    if store.exists(MANIFEST):
        manifest, what = store.read_json(MANIFEST), "other annotations (they differ"
        numbers = {"code_versions": manifest.get("code_versions")}
        wanted = asdict(mine) | {"code_versions": dict(ANNOTATION)}
        refuse_different(store, manifest["origin"] | numbers, wanted, what, {"time", "versions"})
        return Origin(**manifest["origin"])
    store.write_json(MANIFEST, _manifest(order, mine))
    return mine


def _manifest(order: AnnotateConfig, origin: Origin) -> dict[str, Any]:
    asked = {
        "sources": [_absolute(source) for source in order.sources],
        "bundle": Store(order.bundle).uri,
        "size": order.size,
        "data_root": str(order.data_root.absolute()) if order.data_root else None,
        "column": order.column,
    }
    return {"asked": asked, "origin": asdict(origin), "code_versions": dict(ANNOTATION)}


def _absolute(source: str) -> str:
    """A source so that it can be found from another folder too."""
    path = Path(source)
    return str(path.absolute()) if "://" not in source and path.exists() else source


def _clean(table: AnnotationTable, parts: Sequence[Part]) -> list[Piece]:
    """The pieces to keep: those of parts that have gone or changed, or are not final, go."""
    keys = {part.key for part in parts}
    kept = []
    for piece in _pieces_once(table):
        if piece.key in keys and piece.final:
            kept.append(piece)
        else:
            table.remove(piece)
    return kept


def _pieces_once(table: AnnotationTable) -> list[Piece]:
    """All pieces. One place may be there twice, labelled by two kinds of processor: one goes."""
    found: dict[tuple[str, int], Piece] = {}
    for piece in table.pieces():
        if found.setdefault((piece.key, piece.start), piece) is not piece:
            table.remove(piece)
    return list(found.values())


@dataclass(frozen=True)
class _Job:
    """What an annotator is told."""

    table: AnnotationTable
    layout: Layout
    classes: tuple[str, ...]
    origin: Origin


class _Annotator:
    """One replica of the student. Its weights come through Ray's object store, not over a disk."""

    def __init__(self, shared: list[ray.ObjectRef[Bundle]], job: _Job) -> None:
        device = own_device()
        self._bundle, self._job = ray.get(shared[0]), job
        self._bundle.student.to(device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        prepared, job = unpack_prepared(row), self._job
        found = label_pieces(prepared.images, self._bundle.assess, job.layout.batch)
        rejects = job.table.write(prepared, found, job.classes, job.origin)
        return {"images": len(prepared.images), "rejects": rejects}


def _annotate(
    bundle: Bundle,
    job: _Job,
    parts: Sequence[Part],
    starts: Sequence[Sequence[int]],
    replicas: Replicas,
    on_progress: StageProgress,
) -> int:
    """Run readers beside annotators until all is written; returns how many images that were."""
    items: list[dict[str, Any]] = [
        {"part": part, "starts": list(begin), "layout": job.layout}
        for part, begin in zip(parts, starts, strict=True)
        if begin
    ]
    total = sum(
        min(job.layout.rows, item["part"].count - start)
        for item in items
        for start in item["starts"]
    )
    workers, gpus, _ = replicas.fitted(sum(len(begin) for begin in starts))
    with a_block_a_row():
        read = blocks(items).flat_map(
            read_annotated, num_cpus=READING, compute=TaskPoolStrategy(min(cpus(), len(items)))
        )
        written = read.map(
            cast(Any, _Annotator),
            fn_constructor_kwargs={"shared": [ray.put(bundle)], "job": job},
            compute=ActorPoolStrategy(size=workers),
            num_cpus=working_cpus(gpus),
            num_gpus=gpus,
        )
        return drain(written, total, "annotating", on_progress)["images"]


def _finish(
    store: Store,
    table: AnnotationTable,
    parts: Sequence[Part],
    layout: Layout,
    order: AnnotateConfig,
    origin: Origin,
) -> tuple[AnnotationSummary, str]:
    """Count, write rejects and page, and sign it all together."""
    pieces = _pieces_once(table)
    seen = summarise_annotations(table, pieces)
    images = sum(part.count for part in parts)
    if seen.annotations + seen.rejects != images:
        raise MedlabelError(
            f"{images} images came in, {seen.annotations} annotations and {seen.rejects} rejects "
            f"went out to {store.uri}: run again, and report it if it stays"
        )
    rejects = sorted(pair for piece in pieces for pair in piece.rejects)
    frame = pd.DataFrame(rejects, columns=["uri", "reason"], dtype=str)
    store.write_table(REJECTS, frame)
    manifest = _manifest(order, origin)
    counts = {"images": images, "annotations": seen.annotations, "rejects": seen.rejects}
    digest = signature(pieces, asdict(origin))
    store.write_json(MANIFEST, {**manifest, "counts": counts, "sha256": digest})
    facts = {name: str(value) for name, value in asdict(origin).items()} | {"sha256": digest}
    thumbnails = dict(_thumbnails(parts, {image.uri for image in seen.uncertain}, layout))
    return seen, report_annotations(store, seen, thumbnails, facts)


def _thumbnails(
    parts: Sequence[Part], wanted: set[str], layout: Layout
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """What the student saw of some images; one that has gone meanwhile is left out."""
    for part in parts:
        rows = [row for row in range(part.count) if part.address(row) in wanted]
        if rows:
            for row, content in zip(rows, part.read(np.array(rows)), strict=True):
                try:
                    yield part.address(row), layout.square(pixels_of(content))
                except ImageError:
                    continue
