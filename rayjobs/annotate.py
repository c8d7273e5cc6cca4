"""Annotate, with Ray Data, any number of images with a bundle's student.

Readers decode and prepare images, annotators label them and write the table, one piece at a time.
A piece is written whole or not at all, so after a crash the next run does exactly the missing
pieces, and ends with the same files, bit for bit. The number of images must equal the number of
annotations and rejects in the end, or the job fails.
"""

import heapq
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
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
from medlabel.data.listing import Part, absolute_source, pixels_of
from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import VERDICT
from medlabel.experiments.verdicts import read_verdict, write_verdict
from medlabel.reports.annotation_summary import (
    MOST_UNCERTAIN,
    AnnotationSummary,
    report_annotations,
    summarise_annotations,
)
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.bundle import Bundle, load_bundle
from medlabel.student.decision import AUTO_ABOVE, check_auto_above
from medlabel.student.provenance import versions
from medlabel.student.verdict import Verdict
from medlabel.versions import ANNOTATION
from rayjobs.cluster import connect, prepare_worker
from rayjobs.image_pipeline import (
    READER_CPUS,
    Replicas,
    cluster_cpus,
    finished_rows,
    list_sources,
    one_block_per_item,
    one_block_per_row,
    replica_cpus,
)
from rayjobs.image_reading import read_annotated, unpack_prepared

__all__ = ["AnnotateConfig", "AnnotateResult", "annotate_parts", "annotate_sources"]


@dataclass(frozen=True)
class AnnotateConfig:
    """Options of `annotate_sources`.

    Attributes:
        sources: as a user types them (see `medlabel.data.listing`).
        bundle: folder or bucket of the student.
        out: folder or bucket to write the annotations to.
        auto_above: the lowest calibrated probability at which a label needs no review.
        size: side in pixels of the images of MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's files.
        image_column: column of Parquet files that holds the images.
        replicas: how the annotators are placed on the cluster.
    """

    sources: tuple[str, ...]
    bundle: str
    out: str
    auto_above: float = AUTO_ABOVE
    size: int = 28
    data_root: Path | None = None
    image_column: str | None = None
    replicas: Replicas = field(default_factory=Replicas)


@dataclass(frozen=True)
class AnnotateResult:
    """What `annotate_sources` returns.

    Attributes:
        labelled: images that were labelled now, not by an earlier run.
        summary: sums over all annotations.
        page: path or URI of the summary page.
        warnings: of the bundle.
        verdict: on the student that made the labels; None if it has none.
    """

    labelled: int
    summary: AnnotationSummary
    page: str
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None


def annotate_sources(
    config: AnnotateConfig, on_progress: OnProgress = ignore_progress
) -> AnnotateResult:
    """Annotate all images of some sources that `config.out` has no annotations of.

    Raises:
        MedlabelError: an option or a source is wrong, `config.out` holds other annotations or
            cannot be written, a worker failed, or images were lost.
    """
    check_auto_above(config.auto_above)
    bundle = load_bundle(config.bundle)
    Store(config.out).check_writable()
    parts = list_sources(
        config.sources, config.size, config.data_root, config.image_column, on_progress,
        left_out=(config.out,),
    )  # fmt: skip
    return annotate_parts(config, bundle, parts, on_progress)


def annotate_parts(
    config: AnnotateConfig,
    bundle: Bundle,
    parts: Sequence[Part],
    on_progress: OnProgress = ignore_progress,
) -> AnnotateResult:
    """Annotate with a bundle that was loaded, parts that were listed; see `annotate_sources`."""
    store = Store(config.out)
    origin = _claim(store, config, bundle)
    table, layout = AnnotationTable(store), layout_of(bundle)
    starts = missing_starts(parts, _clean(table, parts), layout)
    labelled, thumbnails = 0, dict[str, NDArray[np.uint8]]()
    if any(starts):
        on_progress("starting", 0, 1)
        connect()
        on_progress("starting", 1, 1)
        job = _Job(table, layout, bundle.classes, replace(origin, versions=versions()))
        progress = partial(on_progress, "annotating")
        labelled, thumbnails = _annotate(bundle, job, parts, starts, config.replicas, progress)
    on_progress("reporting", 0, 1)
    _copy_verdict(store, bundle)
    pieces = _unique_pieces(table)
    summary = summarise_annotations(table, pieces, bundle.classes)
    manifest = _finish(store, parts, pieces, summary, _manifest(config, origin))
    uncertain = {image.uri for image in summary.uncertain}
    thumbnails = {uri: image for uri, image in thumbnails.items() if uri in uncertain}
    thumbnails |= dict(_read_thumbnails(parts, uncertain - thumbnails.keys(), layout))
    facts = {name: str(value) for name, value in asdict(origin).items()}
    page = report_annotations(store, summary, thumbnails, facts | {"sha256": manifest["sha256"]})
    on_progress("reporting", 1, 1)
    return AnnotateResult(labelled, summary, page, bundle.warnings, read_verdict(store))


def _copy_verdict(store: Store, bundle: Bundle) -> None:
    """Keep the verdict on the student with its labels, unless they have one of their own."""
    if bundle.verdict is not None and not store.exists(VERDICT):
        write_verdict(store, bundle.verdict)


def _claim(store: Store, config: AnnotateConfig, bundle: Bundle) -> Origin:
    """Take a folder for these annotations, or go on with the same ones.

    A folder that was begun with another `PREPROCESSING` or `DECISIONS` (`medlabel.versions`) is
    refused, for its rows could not be compared. Other releases of libraries are not: the column
    `versions` says for each row what made it.

    Returns:
        The origin of the folder's first call: its time and the libraries of that day.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Origin.of(bundle.id, bundle.provenance, config.auto_above, versions(), now)
    if store.exists(MANIFEST):
        manifest, what = store.read_json(MANIFEST), "other annotations"
        numbers = {"code_versions": manifest.get("code_versions")}
        wanted = asdict(mine) | {"code_versions": dict(ANNOTATION)}
        refuse_different(store, manifest["origin"] | numbers, wanted, what, {"time", "versions"})
        return Origin(**manifest["origin"])
    store.write_json(MANIFEST, _manifest(config, mine))
    return mine


def _manifest(config: AnnotateConfig, origin: Origin) -> dict[str, Any]:
    asked = {
        "sources": [absolute_source(source) for source in config.sources],
        "bundle": Store(config.bundle).uri,
        "size": config.size,
        "data_root": str(config.data_root.absolute()) if config.data_root else None,
        "column": config.image_column,
    }
    return {"asked": asked, "origin": asdict(origin), "code_versions": dict(ANNOTATION)}


def _clean(table: AnnotationTable, parts: Sequence[Part]) -> list[Piece]:
    """Remove pieces of parts that are gone or have changed, or not final; returns the others."""
    keys = {part.key for part in parts}
    kept = []
    for piece in _unique_pieces(table):
        if piece.key in keys and piece.final:
            kept.append(piece)
        else:
            table.remove(piece)
    return kept


def _unique_pieces(table: AnnotationTable) -> list[Piece]:
    """All pieces. If two kinds of processor labelled the same rows, one of the two is removed."""
    found: dict[tuple[str, int], Piece] = {}
    for piece in table.pieces():
        if found.setdefault((piece.key, piece.start), piece) is not piece:
            table.remove(piece)
    return list(found.values())


@dataclass(frozen=True)
class _Job:
    """What all annotators share."""

    table: AnnotationTable
    layout: Layout
    classes: tuple[str, ...]
    origin: Origin


class _Annotator:
    """One replica of the student on a worker; its weights come through Ray's object store."""

    def __init__(self, shared: list[ray.ObjectRef[Bundle]], job: _Job) -> None:
        device = prepare_worker()
        self._bundle, self._job = ray.get(shared[0]), job
        self._bundle.student.to(device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Label a piece and write it; returns counts, and the images that may be shown."""
        piece, job = unpack_prepared(row), self._job
        found = label_pieces(piece.images, piece.chroma, self._bundle.assess, job.layout.batch)
        rejects = job.table.write(piece, found, job.classes, job.origin)
        kept = np.flatnonzero([reason is None for reason in piece.reasons])
        order = np.argsort(found.confidence[kept], kind="stable")  # as in `summarise_annotations`
        shown = kept[order[:MOST_UNCERTAIN]]
        return {
            "images": len(piece.images),
            "rejects": rejects,
            "uris": json.dumps([piece.addresses[row] for row in shown]),
            "confidences": json.dumps(found.confidence[shown].tolist()),
            "squares": piece.images[shown].tobytes(),
        }


def _annotate(
    bundle: Bundle,
    job: _Job,
    parts: Sequence[Part],
    starts: Sequence[Sequence[int]],
    replicas: Replicas,
    on_progress: StageProgress,
) -> tuple[int, dict[str, NDArray[np.uint8]]]:
    """Run readers and annotators until all pieces are written.

    Returns:
        How many images were labelled, and the least certain ones as the student saw them, by uri.
    """
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
    with one_block_per_row():
        read = one_block_per_item(items).flat_map(
            read_annotated,
            num_cpus=READER_CPUS,
            compute=TaskPoolStrategy(min(cluster_cpus(), len(items))),
        )
        written = read.map(
            cast(Any, _Annotator),
            fn_constructor_kwargs={"shared": [ray.put(bundle)], "job": job},
            compute=ActorPoolStrategy(size=workers),
            num_cpus=replica_cpus(gpus),
            num_gpus=gpus,
        )
        return _collect(finished_rows(written, total, "annotating", on_progress), job.layout)


def _collect(
    rows: Iterator[dict[str, Any]], layout: Layout
) -> tuple[int, dict[str, NDArray[np.uint8]]]:
    """What `_annotate` returns, from the rows of annotators; few images are in memory at a time."""
    images, shown = 0, list[tuple[float, str, NDArray[np.uint8]]]()
    for row in rows:
        images += int(row["images"])
        flat = np.frombuffer(row["squares"], dtype=np.uint8)
        squares = flat.reshape(-1, *layout.square.shape)
        uris, confidences = json.loads(row["uris"]), json.loads(row["confidences"])
        new = zip(confidences, uris, squares, strict=True)
        shown = heapq.nsmallest(MOST_UNCERTAIN, [*shown, *new], key=lambda image: image[:2])
    return images, {uri: square for _, uri, square in shown}


def _finish(
    store: Store,
    parts: Sequence[Part],
    pieces: Sequence[Piece],
    summary: AnnotationSummary,
    manifest: Mapping[str, Any],
) -> dict[str, Any]:
    """Compare the counts, write the rejects, and sign all pieces; returns the signed manifest."""
    images = sum(part.count for part in parts)
    if summary.annotations + summary.rejects != images:
        raise MedlabelError(
            f"{images} images came in, {summary.annotations} annotations and {summary.rejects} "
            f"rejects went out to {store.uri}: run again, and report it if it happens again"
        )
    rejects = sorted(pair for piece in pieces for pair in piece.rejects)
    store.write_table(REJECTS, pd.DataFrame(rejects, columns=["uri", "reason"], dtype=str))
    counts = {
        "images": images, "annotations": summary.annotations, "rejects": summary.rejects
    }  # fmt: skip
    digest = signature(pieces, manifest["origin"])
    signed = {**manifest, "counts": counts, "decisions": summary.decisions(), "sha256": digest}
    store.write_json(MANIFEST, signed)
    return signed


def _read_thumbnails(
    parts: Sequence[Part], uris: Collection[str], layout: Layout
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Images that an earlier run labelled, as the student saw them, unless they are gone now."""
    for part in parts if uris else ():
        rows = [row for row in range(part.count) if part.address(row) in uris]
        if rows:
            for row, content in zip(rows, part.read(np.array(rows)), strict=True):
                try:
                    yield part.address(row), layout.square(pixels_of(content))
                except ImageError:
                    continue
