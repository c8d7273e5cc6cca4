"""Encode, with Ray Data, what the embedding table does not have yet.

Two ways in: `embed_sampled` for images that the driver holds (a run's), `embed_sources` for any
number of images, which nobody ever holds. Both cut what is missing into shards; an encoder turns a
shard into a file of the table. A file is whole or not there, so whatever is killed, the next run
does exactly the rest.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from math import ceil, log2
from pathlib import Path
from typing import Any, cast

import numpy as np
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy, TaskPoolStrategy

from medlabel.data.listing import Part
from medlabel.storage.digests import digest_image, to_digests
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.teacher.catalogue import Catalogue, CatalogueStore, RawShard, missing_rows
from medlabel.teacher.clip import Clip, check_clip, load_clip
from medlabel.teacher.embedding_export import EXPORT_MANIFEST, export, write_rejects
from medlabel.teacher.embeddings import SHARD_SIZE, EmbeddingTable
from rayjobs.cluster import connect
from rayjobs.image_pipeline import (
    READING,
    WORKING,
    Replicas,
    a_block_a_row,
    blocks,
    cpus,
    drain,
    list_sources,
    own_device,
    working_cpus,
)
from rayjobs.image_reading import Cataloguer, pack, read, unpack
from rayjobs.pretrain import local_name

__all__ = [
    "Counts",
    "EmbedConfig",
    "EmbedResult",
    "Replicas",
    "catalogue_parts",
    "embed_parts",
    "embed_sampled",
    "embed_sources",
    "shard_size",
]

_FEW = 256  # images: more of them are worth another encoder, as large ones make small shards
_WORK = 2**34  # weights times images that a core does in ten to sixty seconds


@dataclass(frozen=True)
class Counts:
    """What an embedding came to, in images."""

    images: int
    distinct: int
    encoded: int
    workers: int


@dataclass(frozen=True)
class EmbedConfig:
    """What an embedding is asked for.

    Attributes:
        sources: as a user types them (see `medlabel.data.listing`).
        out: folder or bucket for the table.
        home: where what can be made again is kept: shards, catalogues, the phantom CLIP.
        clips: models, as a user types them (see `medlabel.teacher.clip`).
        size: pixels, for MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's files.
        column: the image column of Parquet files.
        precision: fp32, fp16 or bf16.
    """

    sources: tuple[str, ...]
    out: str
    home: Path
    clips: tuple[str, ...] = ("phantom",)
    size: int = 28
    data_root: Path | None = None
    column: str | None = None
    precision: str = "fp32"
    replicas: Replicas = field(default_factory=Replicas)


@dataclass(frozen=True)
class EmbedResult:
    """What came of one model: counts of images, and the seconds that encoding took."""

    clip: str
    images: int
    distinct: int
    encoded: int
    reused: int
    rejected: int
    seconds: float
    workers: int


def embed_sources(
    request: EmbedConfig, on_progress: OnProgress = ignore_progress
) -> list[EmbedResult]:
    """Embed sources by models, doing only what is missing, and write the table to `request.out`."""
    for name in request.clips:
        check_clip(name, request.precision)
    out, home = Store(request.out), Store(str(request.home))
    out.check_writable()
    parts = list_sources(
        request.sources, request.size, request.data_root, request.column, on_progress
    )
    on_progress("starting", 0, 1)
    connect()
    request.replicas.fitted(shards=1)  # raises before the work, not after it
    on_progress("starting", 1, 1)
    progress = partial(on_progress, "cataloguing")
    catalogues = catalogue_parts(parts, home / "catalogues", progress)
    summaries: list[EmbedResult] = []
    rejects: dict[str, str] = {}
    for name in request.clips:
        clip = _load(name, request, on_progress)
        table = EmbeddingTable(home / "embeddings", clip.key)
        start = time.perf_counter()
        progress = partial(on_progress, "embedding")
        counts = embed_parts(clip, parts, catalogues, table, request.replicas, progress)
        seconds = time.perf_counter() - start
        progress = partial(on_progress, "writing")
        mine = export(out, clip.key, parts, catalogues, table, progress)
        rejects |= mine
        reused = counts.images - counts.encoded - len(mine)
        summaries.append(
            EmbedResult(
                name, counts.images, counts.distinct, counts.encoded, reused,
                len(mine), seconds, counts.workers,
            )
        )  # fmt: skip
    write_rejects(out, rejects, {part.source for part in parts})
    out.write_json(
        EXPORT_MANIFEST,
        {"sources": request.sources, "models": [asdict(summary) for summary in summaries]},
    )
    return summaries


def _load(name: str, request: EmbedConfig, on_progress: OnProgress) -> Clip:
    return load_clip(local_name(name, request.home, on_progress), "cpu", request.precision)


class _Encoder:
    """One replica of the model. Its weights come through Ray's object store, not over a disk."""

    def __init__(
        self, shared: list[ray.ObjectRef[Clip]], table: EmbeddingTable, batch: int
    ) -> None:
        self._clip = ray.get(shared[0]).to(own_device())
        self._table, self._batch = table, batch

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        raw = unpack(row)
        parts = [self._clip.embed_images(stack, self._batch) for stack in raw.stacks]
        embeddings = np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)
        self._table.write(raw.embedded(embeddings))
        return {"images": len(raw.digests) + len(raw.rejected), "encoded": len(raw.digests)}


def embed_sampled(
    clip: Clip,
    images: Mapping[str, NDArray[np.uint8]],
    table: EmbeddingTable,
    on_progress: StageProgress = ignore_progress,
) -> tuple[NDArray[np.float16], int]:
    """Embeddings float16 [N, D] in the order of `images`, and how many had to be encoded for it.

    Args:
        images: by id, uint8 [S, S] or [S, S, 3], all of one size.
    """
    digests = to_digests([digest_image(image) for image in images.values()])
    everything = Catalogue(digests, (None,) * len(digests))
    (rows,), _ = missing_rows([everything], table.contents())
    pixels = list(images.values())
    size = shard_size(clip, Replicas().fitted(shards=1)[1])
    shards = [rows[start : start + size] for start in range(0, len(rows), size)]
    if shards:
        packed = [pack(_drawn(digests[cut], [pixels[row] for row in cut])) for cut in shards]
        _encode(clip, table, packed, len(rows), Replicas(), on_progress)
    return table.gather(table.contents(), digests).embeddings, len(rows)


def _drawn(digests: NDArray[np.bytes_], images: Sequence[NDArray[np.uint8]]) -> RawShard:
    colour = any(image.ndim == 3 for image in images)
    stack = [np.repeat(i[..., None], 3, 2) if colour and i.ndim == 2 else i for i in images]
    return RawShard((np.stack(stack),), digests, to_digests([]), ())


def embed_parts(
    clip: Clip,
    parts: Sequence[Part],
    catalogues: Sequence[Catalogue],
    table: EmbeddingTable,
    replicas: Replicas,
    on_progress: StageProgress = ignore_progress,
) -> Counts:
    """Make sure that the table holds every image of these parts."""
    missing, distinct = missing_rows(catalogues, table.contents())
    todo = sum(len(rows) for rows in missing)
    images = sum(part.count for part in parts)
    if not todo:
        return Counts(images, distinct, 0, 0)
    size = shard_size(clip, replicas.fitted(shards=1)[1])
    items: list[dict[str, Any]] = [
        {"part": part, "rows": rows, "framing": clip.framing, "size": size}
        for part, rows in zip(parts, missing, strict=True)
        if len(rows)
    ]
    shards = sum(ceil(len(item["rows"]) / min(size, _FEW)) for item in items)
    workers, encoded = _encode(clip, table, items, todo, replicas, on_progress, shards)
    return Counts(images, distinct, encoded, workers)


def shard_size(clip: Clip, gpus: float) -> int:
    """Images a shard: all that a file is worth on a GPU, and some seconds' work on a CPU."""
    if gpus:
        return SHARD_SIZE
    return min(SHARD_SIZE, max(64, 1 << int(log2(_WORK / clip.image_weights))))


def catalogue_parts(
    parts: Sequence[Part], store: Store, on_progress: StageProgress = ignore_progress
) -> list[Catalogue]:
    """The catalogue of each part, in order; those that `store` has are not made again."""
    kept = CatalogueStore(store)
    known = kept.read(parts)
    todo = [part for part in parts if part.key not in known]
    if todo:
        total = sum(part.count for part in todo)
        made = blocks([{"part": part} for part in todo]).map(
            cast(Any, Cataloguer), fn_constructor_kwargs={"kept": kept}, num_cpus=WORKING,
            compute=ActorPoolStrategy(min_size=1, max_size=min(len(todo), cpus())),
        )  # fmt: skip
        drain(made, total, "reading the images", on_progress)
        known |= kept.read(todo, final=False)
    return [known[part.key] for part in parts]


def _encode(
    clip: Clip,
    table: EmbeddingTable,
    items: Sequence[dict[str, Any]],
    todo: int,
    replicas: Replicas,
    on_progress: StageProgress,
    shards: int | None = None,
) -> tuple[int, int]:
    """Run readers beside encoders until all is written; returns encoders, and images encoded."""
    workers, gpus, batch = replicas.fitted(len(items) if shards is None else shards)
    with a_block_a_row():
        rows = blocks(items)
        if shards is not None:
            readers = TaskPoolStrategy(min(cpus(), len(items)))
            rows = rows.flat_map(read, num_cpus=READING, compute=readers)
        encoded = rows.map(
            cast(Any, _Encoder),
            fn_constructor_kwargs={
                "shared": [ray.put(clip.to("cpu"))],
                "table": table,
                "batch": batch,
            },
            compute=ActorPoolStrategy(size=workers),
            num_cpus=working_cpus(gpus),
            num_gpus=gpus,
        )
        return workers, drain(encoded, todo, "embedding", on_progress)["encoded"]
