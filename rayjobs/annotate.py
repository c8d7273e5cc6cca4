"""Annotate, with Ray Data, any number of images with a bundle's student.

Readers decode and prepare images, annotators label them and write the table, one piece at a time.
Only images without a label are read. A piece is written whole or not at all, so after a crash the
next run does exactly the missing pieces, and ends with the same files, bit for bit. The number of
images must equal the number of annotations and rejects in the end, or the job fails.
"""

import heapq
import json
from collections.abc import Collection, Iterator, Sequence
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
    REJECTS,
    AnnotationTable,
    Changes,
    Claim,
    Layout,
    Listing,
    Origin,
    Piece,
    Work,
    check_prune,
    claim,
    cut_work,
    label_pieces,
    settle,
    sign,
)
from medlabel.data.decoding import ImageError
from medlabel.data.listing import Part, absolute_source, pixels_of
from medlabel.experiments.run_folder import VERDICT
from medlabel.experiments.verdicts import read_verdict, write_verdict
from medlabel.reports.annotation_summary import (
    MOST_UNCERTAIN,
    AnnotationSummary,
    report_annotations,
    summarise_annotations,
)
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, load_bundle
from medlabel.student.decision import AUTO_ABOVE, check_auto_above
from medlabel.student.provenance import versions
from medlabel.student.verdict import Verdict
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
        prune: whether to remove the labels of images that the sources do not hold.
    """

    sources: tuple[str, ...]
    bundle: str
    out: str
    auto_above: float = AUTO_ABOVE
    size: int = 28
    data_root: Path | None = None
    image_column: str | None = None
    replicas: Replicas = field(default_factory=Replicas)
    prune: bool = False


@dataclass(frozen=True)
class AnnotateResult:
    """What `annotate_sources` returns.

    Attributes:
        labelled: images that were labelled now, not by an earlier run.
        summary: sums over all annotations.
        page: path or URI of the summary page.
        warnings: of the bundle.
        verdict: on the student that made the labels; None if it has none.
        changes: what became of labels that were there before.
    """

    labelled: int
    summary: AnnotationSummary
    page: str
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None
    changes: Changes = field(default_factory=Changes)


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
    store, listing = Store(config.out), Listing.of(parts)
    mine = Origin.of(
        bundle.id, bundle.provenance, config.auto_above, versions(),
        datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip
    if config.prune:
        check_prune(AnnotationTable(store), listing)
    claimed = claim(store, _asked(config), mine, listing)
    labelled, damaged, thumbnails = _label_missing(config, bundle, claimed, listing, on_progress)
    on_progress("reporting", 0, 1)
    _copy_verdict(store, bundle)
    with store.locked("annotations"):
        table = AnnotationTable(store)
        pieces, changes = settle(table, listing, prune=config.prune)
        summary = summarise_annotations(table, pieces, bundle.classes)
        manifest = _finish(store, config, pieces, listing, changes, summary)
    changes = replace(changes, damaged=damaged)
    uncertain = {image.uri for image in summary.uncertain}
    thumbnails = {uri: image for uri, image in thumbnails.items() if uri in uncertain}
    layout = layout_of(bundle)
    thumbnails |= dict(_read_thumbnails(parts, uncertain - thumbnails.keys(), layout))
    facts = {name: str(value) for name, value in asdict(claimed.origin).items()}
    facts["sha256"] = manifest["sha256"]
    page = report_annotations(store, summary, thumbnails, facts, changes.sentences())
    on_progress("reporting", 1, 1)
    return AnnotateResult(labelled, summary, page, bundle.warnings, read_verdict(store), changes)


def _label_missing(
    config: AnnotateConfig,
    bundle: Bundle,
    claimed: Claim,
    listing: Listing,
    on_progress: OnProgress,
) -> tuple[int, int, dict[str, NDArray[np.uint8]]]:
    """Label the images that have no label.

    Returns:
        How many images were labelled, how many damaged files of the table were removed, and the
        least certain images as the student saw them, by uri.
    """
    table, layout = AnnotationTable(Store(config.out)), layout_of(bundle)
    damaged = table.discard_damaged()
    work = cut_work(listing, *listing.missing(table.entries()[1]), layout)
    if not work:
        return 0, damaged, {}
    on_progress("starting", 0, 1)
    connect()
    on_progress("starting", 1, 1)
    origin = replace(claimed.origin, versions=versions())
    job = _Job(table, layout, bundle.classes, origin, claimed.generation)
    progress = partial(on_progress, "annotating")
    labelled, thumbnails = _annotate(bundle, job, work, config.replicas, progress)
    return labelled, damaged, thumbnails


def _copy_verdict(store: Store, bundle: Bundle) -> None:
    """Keep the verdict on the student with its labels, unless they have one of their own."""
    if bundle.verdict is not None and not store.exists(VERDICT):
        write_verdict(store, bundle.verdict)


def _asked(config: AnnotateConfig) -> dict[str, Any]:
    """What a run is asked for, in a form that can be repeated from any folder."""
    return {
        "sources": [absolute_source(source) for source in config.sources],
        "bundle": Store(config.bundle).uri,
        "size": config.size,
        "data_root": str(config.data_root.absolute()) if config.data_root else None,
        "column": config.image_column,
    }


@dataclass(frozen=True)
class _Job:
    """What all annotators share."""

    table: AnnotationTable
    layout: Layout
    classes: tuple[str, ...]
    origin: Origin
    generation: int


class _Annotator:
    """One replica of the student on a worker; its weights come through Ray's object store."""

    def __init__(self, shared: list[ray.ObjectRef[Bundle]], job: _Job) -> None:
        device = prepare_worker()
        self._bundle, self._job = ray.get(shared[0]), job
        self._bundle.student.to(device)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Label a piece and write it; returns counts, and the images that may be shown."""
        piece, job = unpack_prepared(row), self._job
        found = label_pieces(
            piece.images, piece.chroma, self._bundle.assess, job.layout.batch, piece.kept
        )
        rejects = job.table.write(piece, found, job.classes, job.origin, job.generation)
        kept = np.flatnonzero(piece.kept)
        order = np.argsort(found.confidence[kept], kind="stable")  # as in `summarise_annotations`
        shown = kept[order[:MOST_UNCERTAIN]]
        return {
            "images": len(piece.images),
            "labelled": int(piece.kept.sum()),
            "rejects": rejects,
            "uris": json.dumps([piece.addresses[row] for row in shown]),
            "confidences": json.dumps(found.confidence[shown].tolist()),
            "squares": piece.images[shown].tobytes(),
        }


def _annotate(
    bundle: Bundle,
    job: _Job,
    work: Sequence[Work],
    replicas: Replicas,
    on_progress: StageProgress,
) -> tuple[int, dict[str, NDArray[np.uint8]]]:
    """Run readers and annotators until all pieces are written.

    Returns:
        How many images were labelled, and the least certain ones as the student saw them, by uri.
    """
    items: list[dict[str, Any]] = [{"work": some, "layout": job.layout} for some in work]
    workers, gpus, _ = replicas.fitted(sum(some.pieces(job.layout) for some in work))
    total = sum(len(some) for some in work)
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
        images += int(row["labelled"])
        flat = np.frombuffer(row["squares"], dtype=np.uint8)
        squares = flat.reshape(-1, *layout.square.shape)
        uris, confidences = json.loads(row["uris"]), json.loads(row["confidences"])
        new = zip(confidences, uris, squares, strict=True)
        shown = heapq.nsmallest(MOST_UNCERTAIN, [*shown, *new], key=lambda image: image[:2])
    return images, {uri: square for _, uri, square in shown}


def _finish(
    store: Store,
    config: AnnotateConfig,
    pieces: Sequence[Piece],
    listing: Listing,
    changes: Changes,
    summary: AnnotationSummary,
) -> dict[str, Any]:
    """Write the rejects, compare the counts and sign all pieces; returns the signed manifest."""
    rejects = sorted((one.uri, one.reason) for piece in pieces for one in piece.rejects)
    store.write_table(REJECTS, pd.DataFrame(rejects, columns=["uri", "reason"], dtype=str))
    return sign(
        store, _asked(config), pieces, listing, changes,
        decisions=summary.decisions(), prune=config.prune,
    )  # fmt: skip


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
