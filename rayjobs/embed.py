"""Encode, with Ray Data, the images that the embedding table does not have yet.

`embed_sampled` takes images that the driver holds in memory (those of a run), `embed_sources` any
number of images, of which no process ever holds more than a shard. Both cut the missing images into
shards, and an encoder turns each shard into one file of the table. A file is written whole or not
at all, so after a crash the next run does exactly the remaining shards.
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
from ray.data import ActorPoolStrategy, Dataset, TaskPoolStrategy

from medlabel.data.listing import Part
from medlabel.errors import MedlabelError
from medlabel.storage.addresses import place_in_file
from medlabel.storage.digests import digest_image, to_digests
from medlabel.storage.home import home_store
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.teacher.clip import Clip, check_clip, load_clip
from medlabel.teacher.digest_catalogue import Catalogue, CatalogueStore, RawShard, missing_rows
from medlabel.teacher.embedding_export import EXPORT_MANIFEST, export, write_rejects
from medlabel.teacher.embeddings import SHARD_SIZE, EmbeddingTable
from medlabel.teacher.names.caption_faults import warn_of
from rayjobs.cluster import connect, prepare_worker
from rayjobs.image_pipeline import (
    CATALOGUER_CPUS,
    READER_CPUS,
    Replicas,
    cluster_cpus,
    drain,
    list_sources,
    one_block_per_item,
    one_block_per_row,
    replica_cpus,
)
from rayjobs.image_reading import Cataloguer, pack, read, unpack
from rayjobs.pretrain import local_name

__all__ = [
    "EmbedConfig",
    "EmbedResult",
    "EncodedCounts",
    "Encoder",
    "Replicas",
    "catalogue_parts",
    "count_shards",
    "embed_parts",
    "embed_sampled",
    "embed_sources",
    "map_encoders",
    "shard_size",
]

_MIN_SHARD = 256  # images per encoder at least: large encoders have small shards
_CPU_WORK = 2**34  # weights times images: ten to sixty seconds of a CPU core


@dataclass(frozen=True)
class EmbedConfig:
    """Options of `embed_sources`.

    Attributes:
        sources: as a user types them (see `medlabel.data.listing`).
        out: folder or bucket to write the table of embeddings to.
        home: folder of embeddings, catalogues and the phantom CLIP, for all jobs to reuse.
        clips: models, as a user types them (see `medlabel.teacher.clip`).
        size: side in pixels of the images of MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's files.
        image_column: column of Parquet files that holds the images.
        precision: fp32, fp16 or bf16.
        replicas: how the encoders are placed on the cluster.
        prune: whether to remove the embeddings of images that the sources do not hold.
    """

    sources: tuple[str, ...]
    out: str
    home: Path
    clips: tuple[str, ...] = ("phantom",)
    size: int = 28
    data_root: Path | None = None
    image_column: str | None = None
    precision: str = "fp32"
    replicas: Replicas = field(default_factory=Replicas)
    prune: bool = False


@dataclass(frozen=True)
class EmbedResult:
    """Counts of images for one model, and the seconds that encoding took.

    Attributes:
        clip: the model, as the user typed it.
        images: in the sources.
        distinct: different contents among them.
        encoded: now.
        reused: whose embedding was in the table before, or which equal another image.
        rejected: that could not be read, decoded or framed.
        seconds: of encoding.
        workers: encoders that worked at the same time.
        own_range: of those encoded now, how many have more than 8 bits and no window and were
            scaled each by its own range of values.
        others: embeddings in the table of images that the sources do not hold now.
    """

    clip: str
    images: int
    distinct: int
    encoded: int
    reused: int
    rejected: int
    seconds: float
    workers: int
    own_range: int = 0
    others: int = 0


def embed_sources(
    config: EmbedConfig, on_progress: OnProgress = ignore_progress
) -> list[EmbedResult]:
    """Embed sources by models, as far as that is not done yet, and write the table.

    Raises:
        MedlabelError: an unknown model, a source that cannot be listed, a folder that cannot be
            written, too few resources in the cluster, or a worker that failed.
    """
    for name in config.clips:
        check_clip(name, config.precision)
    out, home = Store(config.out), home_store(config.home)
    out.check_writable()
    parts = list_sources(
        config.sources, config.size, config.data_root, config.image_column, on_progress,
        left_out=(config.out, str(config.home)),
    )  # fmt: skip
    places = _claim(out, parts)
    on_progress("starting", 0, 1)
    connect()
    config.replicas.fitted(shards=1)  # raises before the images are read
    on_progress("starting", 1, 1)
    progress = partial(on_progress, "cataloguing")
    catalogues = catalogue_parts(parts, home / "catalogues", progress)
    results: list[EmbedResult] = []
    rejects: dict[str, str] = {}
    for name in config.clips:
        clip_path = local_name(name, config.home, on_progress)
        clip = load_clip(clip_path, "cpu", config.precision)
        warn_of(clip.remarks)
        result, new = _embed_by(name, clip, parts, catalogues, out, home, config, on_progress)
        results.append(result)
        rejects |= new
    write_rejects(out, rejects, {part.source for part in parts})
    models = [asdict(result) for result in results]
    manifest = {"sources": config.sources, "models": models, "places": places}
    out.write_json(EXPORT_MANIFEST, manifest)
    return results


def _claim(out: Store, parts: Sequence[Part]) -> dict[str, str]:
    """Where each source is that a folder holds embeddings of, by name, with those of now.

    Raises:
        MedlabelError: the folder has embeddings of another source of the same name, which would be
            replaced.
    """
    before = out.read_json(EXPORT_MANIFEST) if out.exists(EXPORT_MANIFEST) else {}
    places: dict[str, str] = dict(before.get("places", {}))
    for part in parts:
        place = part.folder or place_in_file(part.address(0))[0]
        if places.setdefault(part.source, place) != place:
            raise MedlabelError(
                f"{out.uri} holds embeddings of another source called {part.source} "
                f"({places[part.source]}): choose another --out"
            )
    return places


def _embed_by(
    name: str,
    clip: Clip,
    parts: Sequence[Part],
    catalogues: Sequence[Catalogue],
    out: Store,
    home: Store,
    config: EmbedConfig,
    on_progress: OnProgress,
) -> tuple[EmbedResult, dict[str, str]]:
    """Embed by one model and write its table; also returns the rejects (see `export`)."""
    table = EmbeddingTable(home / "embeddings", clip.key)
    start = time.perf_counter()
    progress = partial(on_progress, "embedding")
    counts = embed_parts(clip, parts, catalogues, table, config.replicas, progress)
    seconds = time.perf_counter() - start
    progress = partial(on_progress, "writing")
    rejects, others = export(out, clip.key, parts, catalogues, table, progress, prune=config.prune)
    reused = counts.images - counts.encoded - len(rejects)
    result = EmbedResult(
        name, counts.images, counts.distinct, counts.encoded, reused,
        len(rejects), seconds, counts.workers, counts.own_range, others,
    )  # fmt: skip
    return result, rejects


class Encoder:
    """One replica of the model on a worker; its weights come through Ray's object store."""

    def __init__(
        self, shared: list[ray.ObjectRef[Clip]], table: EmbeddingTable, batch: int
    ) -> None:
        self._clip = ray.get(shared[0]).to(prepare_worker())
        self._table, self._batch = table, batch

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Embed a shard and write it to the table; returns counts of images."""
        raw = unpack(row)
        parts = [self._clip.embed_images(stack, self._batch) for stack in raw.stacks]
        embeddings = np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)
        if len(raw):
            self._table.write(raw.embedded(embeddings))
        counts = {"images": len(raw), "encoded": len(raw.digests)}
        return {**counts, "own_range": raw.own_range}


def map_encoders(
    shards: Dataset,
    clip: Clip,
    table: EmbeddingTable,
    fitted: tuple[int, float, int],
    encoder: type[Encoder],
) -> Dataset:
    """The pipeline that maps packed shards by encoders, as `Replicas.fitted` says."""
    workers, gpus, batch = fitted
    shared = [ray.put(clip.to("cpu"))]
    return shards.map(
        cast(Any, encoder),
        fn_constructor_kwargs={"shared": shared, "table": table, "batch": batch},
        compute=ActorPoolStrategy(size=workers),
        num_cpus=replica_cpus(gpus),
        num_gpus=gpus,
    )


def embed_sampled(
    clip: Clip,
    images: Mapping[str, NDArray[np.uint8]],
    table: EmbeddingTable,
    on_progress: StageProgress = ignore_progress,
) -> tuple[NDArray[np.float16], int]:
    """Embeddings float16 [N, D] in the order of `images`, and how many had to be encoded for it.

    Args:
        clip: the model.
        images: by id, uint8 [S, S] or [S, S, 3], all of one size.
        table: what it has is reused, and the new embeddings are added to it.
        on_progress: called with the number of encoded images.
    """
    digests = to_digests([digest_image(image) for image in images.values()])
    everything = Catalogue(digests, (None,) * len(digests))
    (rows,), _ = missing_rows([everything], table.contents())
    pixels = list(images.values())
    size = shard_size(clip, Replicas().fitted(shards=1)[1])
    cuts = [rows[start : start + size] for start in range(0, len(rows), size)]
    if cuts:
        packed = [pack(_in_memory(digests[cut], [pixels[row] for row in cut])) for cut in cuts]
        with one_block_per_row():
            fitted = Replicas().fitted(len(packed))
            encoded = map_encoders(one_block_per_item(packed), clip, table, fitted, Encoder)
            drain(encoded, len(rows), "embedding", on_progress)
    return table.gather(table.contents(), digests).embeddings, len(rows)


def _in_memory(digests: NDArray[np.bytes_], images: Sequence[NDArray[np.uint8]]) -> RawShard:
    """A shard of images that need not be read; all in colour if any of them is."""
    colour = any(image.ndim == 3 for image in images)
    stack = [np.repeat(i[..., None], 3, 2) if colour and i.ndim == 2 else i for i in images]
    return RawShard((np.stack(stack),), digests, to_digests([]), ())


@dataclass(frozen=True)
class EncodedCounts:
    """Counts of `embed_parts`: images, different contents, images encoded now, and encoders.

    And how many of those encoded now were scaled by their own range of values.
    """

    images: int
    distinct: int
    encoded: int
    workers: int
    own_range: int


def embed_parts(
    clip: Clip,
    parts: Sequence[Part],
    catalogues: Sequence[Catalogue],
    table: EmbeddingTable,
    replicas: Replicas,
    on_progress: StageProgress = ignore_progress,
) -> EncodedCounts:
    """Read, decode and encode all images of some parts that the table does not have."""
    missing, distinct = missing_rows(catalogues, table.contents())
    total = sum(len(rows) for rows in missing)
    images = sum(part.count for part in parts)
    if not total:
        return EncodedCounts(images, distinct, 0, 0, 0)
    size = shard_size(clip, replicas.fitted(shards=1)[1])
    items: list[dict[str, Any]] = [
        {"part": part, "rows": rows, "framing": clip.framing, "size": size}
        for part, rows in zip(parts, missing, strict=True)
        if len(rows)
    ]
    fitted = replicas.fitted(count_shards([item["rows"] for item in items], size))
    with one_block_per_row():
        readers = TaskPoolStrategy(min(cluster_cpus(), len(items)))
        shards = one_block_per_item(items).flat_map(read, num_cpus=READER_CPUS, compute=readers)
        encoded = map_encoders(shards, clip, table, fitted, Encoder)
        done = drain(encoded, total, "embedding", on_progress)
    return EncodedCounts(images, distinct, done["encoded"], fitted[0], done["own_range"])


def count_shards(rows: Sequence[NDArray[np.integer]], size: int) -> int:
    """How many encoders some rows per part can keep busy, in shards of `size` images."""
    return sum(ceil(len(mine) / min(size, _MIN_SHARD)) for mine in rows)


def shard_size(clip: Clip, gpus: float) -> int:
    """Images per shard: as many as a file should hold on a GPU, some seconds' work on a CPU."""
    if gpus:
        return SHARD_SIZE
    return min(SHARD_SIZE, max(64, 1 << int(log2(_CPU_WORK / clip.image_weights))))


def catalogue_parts(
    parts: Sequence[Part], store: Store, on_progress: StageProgress = ignore_progress
) -> list[Catalogue]:
    """The catalogue of each part, in order. Those that `store` has are reused."""
    kept = CatalogueStore(store)
    known = kept.read(parts)
    missing = [part for part in parts if part.key not in known]
    if missing:
        total = sum(part.count for part in missing)
        written = one_block_per_item([{"part": part} for part in missing]).map(
            cast(Any, Cataloguer), fn_constructor_kwargs={"kept": kept}, num_cpus=CATALOGUER_CPUS,
            compute=ActorPoolStrategy(min_size=1, max_size=min(len(missing), cluster_cpus())),
        )  # fmt: skip
        drain(written, total, "reading the images", on_progress)
        known |= kept.read(missing, final=False)
    return [known[part.key] for part in parts]
