"""Encoding through Ray Data against a bare loop, the notebook's way, and what the cores can do.

`python -m benchmarks.embed [--quick]`: for a ViT-B/32 of random weights and for the phantom CLIP,
on the same tiled real images, images per second of

- medlabel's job, from Parquet to the written table, without start-up: from the moment when as
  many shards are written as there are encoders, until the last one is (start-up apart),
- a bare torch loop over the same images in memory, one thread a core as the job has it, before and
  after the job, for the speed of shared machines drifts,
- the notebook's way: PIL and open_clip's transform image by image, the whole stack in memory,

and the share that the job reaches of the matrix product's peak, measured here.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import FILES, arguments, finish
from medlabel.data.listing import list_parts
from medlabel.data.sources import open_source
from medlabel.storage.home import default_home
from medlabel.storage.store import Store
from medlabel.teacher.clip import Clip, load_clip
from medlabel.teacher.digest_catalogue import catalogue
from medlabel.teacher.embeddings import EmbeddingTable
from medlabel.teacher.zoo.facts import describe_model
from rayjobs.cluster import connect
from rayjobs.embed import Replicas, embed_parts, shard_size
from rayjobs.pretrain import ensure_phantom_clip

import open_clip  # isort: skip  (after medlabel.teacher.clip, which sees to torchvision)

os.environ.setdefault("RAY_worker_niceness", "0")  # else whatever runs besides slows the job alone
CORES = os.cpu_count() or 1
BATCH = 64


def tiled(root: Path, count: int) -> NDArray[np.uint8]:
    """Real images repeated to `count`, each a little different: no two are equal."""
    images = open_source(str(root / FILES["pneumonia"])).splits["train"].images
    stack = images[np.arange(count) % len(images)].copy()
    stack[:, 0, :4] = np.arange(count, dtype=">u4").view(np.uint8).reshape(count, 4)
    return stack


def write_parquet(images: NDArray[np.uint8], path: Path, rows: int = 4096) -> Path:
    """The images as Parquet with a tensor column, in row groups."""
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    pq.write_table(pa.table({"image": column}), path, row_group_size=rows)
    return path


def job_rate(clip: Clip, path: Path, workers: int) -> tuple[float, float]:
    """Images a second once all encoders are at work; seconds until the first shard."""
    with tempfile.TemporaryDirectory() as folder:
        table = EmbeddingTable(Store(folder), clip.key)
        parts = list_parts(str(path))
        catalogues = [catalogue(part) for part in parts]
        told: list[tuple[float, int]] = []
        start = time.perf_counter()
        embed_parts(
            clip, parts, catalogues, table, Replicas(workers=workers, batch_size=BATCH),
            lambda done, total: told.append((time.perf_counter(), done)),
        )  # fmt: skip
    told = [(when, done) for when, done in told if done]
    (first, _), (warm, before), (last, after) = told[0], told[workers - 1], told[-1]
    return (after - before) / (last - warm), first - start


class BareLoop:
    """A torch loop over arrays in memory, a process a core with one thread each."""

    def __init__(self, pool: ProcessPoolExecutor, images: NDArray[np.uint8]) -> None:
        self._pool, self._shares = pool, np.array_split(images, CORES)
        self._run([share[:BATCH] for share in self._shares])

    def rate(self) -> float:
        """Images a second of all processes together, each by its own clock."""
        return self._run(self._shares)

    def _run(self, shares: list[NDArray[np.uint8]]) -> float:
        spans = self._pool.map(_loop, shares)
        pairs = zip(shares, spans, strict=True)
        return sum(len(share) / (end - start) for share, (start, end) in pairs)


@contextmanager
def bare_loop(name: str, images: NDArray[np.uint8]) -> Iterator[BareLoop]:
    """Processes that have the model loaded and are warm; gone when the block ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, context, _prepare, (name,)) as pool:
        yield BareLoop(pool, images)


_loop_clip: Clip | None = None


def _prepare(name: str) -> None:
    global _loop_clip
    torch.set_num_threads(1)
    _loop_clip = load_clip(name, "cpu")


def _loop(images: NDArray[np.uint8]) -> tuple[float, float]:
    assert _loop_clip is not None
    start = time.perf_counter()
    _loop_clip.embed_images(images, BATCH)
    return start, time.perf_counter()


def notebook_rate(clip: Clip, images: NDArray[np.uint8]) -> float:
    """Images a second the notebook's way, with all of torch's threads."""
    config = open_clip.get_model_preprocess_cfg(clip.model)
    transform = open_clip.image_transform(
        clip.size, is_train=False, mean=config["mean"], std=config["std"],
        interpolation=config["interpolation"], resize_mode=config.get("resize_mode"),
    )  # fmt: skip
    encode: Any = clip.model.encode_image
    start = time.perf_counter()
    stack = torch.stack([transform(Image.fromarray(image)) for image in images])
    with torch.inference_mode():
        for batch in stack.split(BATCH):
            encode(batch, normalize=True)
    return len(images) / (time.perf_counter() - start)


def _product(seconds: float) -> tuple[float, float, int]:
    torch.set_num_threads(1)
    matrix = torch.randn(1024, 1024)
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        torch.mm(matrix, matrix)
        done += 1
    return start, time.perf_counter(), done


def peak_flops(workers: int, seconds: float = 3.0) -> float:
    """Floating point operations a second of a matrix product of 1024 by 1024, on all cores."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        list(pool.map(_product, [0.2] * workers))
        spans = list(pool.map(_product, [seconds] * workers))
    span = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    return sum(done for *_, done in spans) * 2 * 1024**3 / span


def random_vit(folder: Path) -> str:
    """A ViT-B/32 of random weights in OpenAI's format, by path."""
    torch.manual_seed(0)
    path = folder / "ViT-B-32.pt"
    torch.save(open_clip.create_model("ViT-B-32-quickgelu").eval().state_dict(), path)
    return str(path)


def measure(name: str, title: str, shards: int, options: argparse.Namespace) -> dict[str, Any]:
    """One model, all ways, in one run."""
    clip = load_clip(name, "cpu")
    images = tiled(options.data_root, shards * shard_size(clip, gpus=0))
    few = images[: max(BATCH, len(images) // 32)]
    with tempfile.TemporaryDirectory() as folder, bare_loop(name, images) as loop:
        path = write_parquet(images, Path(folder) / "images.parquet")
        before = loop.rate()
        rate, startup = job_rate(clip, path, CORES)
        bare = (before + loop.rate()) / 2
        single = {} if options.quick else _scaling(rate, job_rate(clip, path, 1)[0])
    flops = describe_model(name, default_home()).flop or 0
    return {
        "model": title,
        "images": len(images),
        "job": round(rate, 1),
        "bare_loop": round(bare, 1),
        "ratio_to_bare_loop": round(rate / bare, 3),
        "ratio_to_notebook": round(rate / notebook_rate(clip, few), 2),
        "startup_seconds": round(startup, 1),
        **single,
        "share_of_peak": round(rate * flops / peak_flops(CORES), 3),
    }


def _scaling(both: float, one: float) -> dict[str, float]:
    return {"one_worker": round(one, 1), "scaling": round(both / one, 2)}


def main() -> None:
    """Measure both models and print the table."""
    options = arguments("Encoding through Ray Data", "runs/embed")
    connect()
    phantom = ensure_phantom_clip(default_home())
    rows = [measure(phantom, "phantom", 12 if options.quick else 60, options)]
    if not options.quick:  # a dozen images per second on two cores: many minutes
        with tempfile.TemporaryDirectory() as folder:
            rows.append(measure(random_vit(Path(folder)), "ViT-B/32", 12, options))
    finish(rows)


if __name__ == "__main__":
    main()
