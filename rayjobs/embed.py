"""Encode, with Ray Data, the images that the embedding table does not have yet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from numpy.typing import NDArray
from ray.data import ActorPoolStrategy
from ray.data.extensions import ArrowTensorArray

from medlabel.clip import Clip
from medlabel.device import default_device
from medlabel.embeddings import EmbeddingTable
from medlabel.sources import Source
from medlabel.tasks import gather_images
from rayjobs.cluster import one_line_errors

__all__ = ["embed"]

SHARD = 512  # images a block: some seconds of work for a large model, a file that is worth writing
Progress = Callable[[int, int], None]


class _Encoder:
    """One replica of the model. Its weights come through Ray's object store, not over a disk."""

    def __init__(self, shared: list[ray.ObjectRef[Clip]]) -> None:
        self._clip = ray.get(shared[0]).to(default_device())

    def __call__(self, batch: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        embeddings = self._clip.embed_images(np.array(batch["image"]))
        return {"image_id": batch["image_id"], "embedding": embeddings.astype(np.float16)}


def embed(
    clip: Clip,
    sources: Mapping[str, Source],
    image_ids: Sequence[str],
    table: EmbeddingTable,
    on_progress: Progress = lambda done, total: None,
) -> int:
    """Make sure that the table holds these images; returns how many had to be encoded."""
    there = table.read(image_ids)
    missing = sorted(set(image_ids) - there.keys(), key=_order)
    if not missing:
        return 0
    replicas, gpus = _replicas(len(missing))
    blocks = [_block(sources, shard) for shard in _shards(missing)]
    encoded = ray.data.from_arrow(blocks).map_batches(
        _Encoder,
        fn_constructor_kwargs={"shared": [ray.put(clip)]},
        batch_size=None,
        compute=ActorPoolStrategy(size=replicas),
        num_cpus=1,
        num_gpus=gpus,
    )
    done = 0
    with one_line_errors("embedding"):
        for batch in encoded.iter_batches(batch_size=None, batch_format="numpy"):
            table.write(batch["image_id"].tolist(), np.asarray(batch["embedding"]))
            done += len(batch["image_id"])
            on_progress(done, len(missing))
    return len(missing)


def _replicas(images: int) -> tuple[int, int]:
    """Replicas, one a GPU or else a CPU, but none that would be idle; and GPUs for each."""
    total = ray.cluster_resources()
    gpus = int(total.get("GPU", 0))
    most = gpus or int(total.get("CPU", 1))
    size = max(1, min(most, -(-images // SHARD)))
    return size, 1 if gpus else 0


def _order(image_id: str) -> tuple[str, int]:
    folder, index = image_id.rsplit("/", 1)
    return folder, int(index)


def _shards(image_ids: Sequence[str]) -> Iterator[list[str]]:
    """Blocks of at most SHARD images, each of one source and split."""
    for _, group in groupby(image_ids, key=lambda image_id: image_id.rsplit("/", 1)[0]):
        ids = list(group)
        yield from (ids[start : start + SHARD] for start in range(0, len(ids), SHARD))


def _block(sources: Mapping[str, Source], image_ids: list[str]) -> pa.Table:
    name = image_ids[0].rsplit("/", 2)[0]
    own = {spec: source for spec, source in sources.items() if source.name == name}
    images = gather_images(own, image_ids)
    return pa.table({"image_id": image_ids, "image": ArrowTensorArray.from_numpy(images)})
