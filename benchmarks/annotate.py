"""Labelling through Ray Data against a bare torch loop; killed twice on the way, the same table.

`python -m benchmarks.annotate [--quick] [--images 1000000] [--files 50000]`: real images, tiled and
each a little different, in Parquet and some as PNG files, labelled by an untrained student of the
default architecture, three networks as the `robust` recipe has them (weights do not change speed).

- the job: images per second from Parquet to the written table, start-up apart, and with it,
- a bare loop over the same images in memory, one process a core with one thread each, before and
  after,
- the highest resident memory of driver, readers and annotators,
- a second run whose driver is killed twice: its table against the first one's.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.common import arguments, finish
from benchmarks.embed import tiled
from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.networks import Student
from rayjobs.annotate import AnnotateConfig, annotate_sources

CORES = os.cpu_count() or 1
_CHUNK = 65536  # images made at a time
_SAMPLE = 40_000  # images of the bare loop
_KILLS = (0.3, 0.6)  # of the pieces are there when the driver is killed


def prepare(folder: Path, root: Path, images: int, files: int) -> tuple[Path, list[str]]:
    """A bundle, and the images: Parquet in pieces, and a folder of PNG files."""
    torch.manual_seed(0)
    bundle = folder / "bundle"
    student = Student("small", 1, ["chest", "breast"], 28, members=3).eval()
    save_bundle(Store(str(bundle)), student, {"bundle_id": "untrained", "seed": 0})
    path = folder / "tiled.parquet"
    kind = pa.fixed_shape_tensor(pa.uint8(), (28, 28))
    with pq.ParquetWriter(path, pa.schema({"image": kind})) as writer:
        for start in range(0, images, _CHUNK):
            stack = tiled(root, min(start + _CHUNK, images))[start:]
            table = pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(stack)})
            writer.write_table(table, row_group_size=16384)
    if not files:
        return bundle, [str(path)]
    scans = folder / "scans"
    scans.mkdir()
    for number, image in enumerate(tiled(root, files)):
        Image.fromarray(image).save(scans / f"{number:06}.png", compress_level=1)
    return bundle, [str(path), str(scans)]


def bare_rate(bundle: Path, images: NDArray[np.uint8]) -> float:
    """Images a second of a process a core, each by its own clock."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CORES, context) as pool:
        shares = np.array_split(images, CORES)
        return sum(pool.map(_loop, [str(bundle)] * CORES, shares))


def _loop(bundle: str, images: NDArray[np.uint8]) -> float:
    torch.set_num_threads(1)
    student = load_bundle(bundle)
    student.predict(images[:512])
    start = time.perf_counter()
    student.predict(images)
    return len(images) / (time.perf_counter() - start)


class Memory:
    """Watches the resident memory of this process and all below it; the highest, in MB, by kind."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._done.wait(0.5):
            for process in [me, *me.children(recursive=True)]:
                try:
                    kind = _kind(" ".join(process.cmdline()), process == me)
                    size = process.memory_info()
                except psutil.Error:
                    continue
                own = (size.rss - getattr(size, "shared", 0)) / 2**20
                if kind:
                    self.peaks[kind] = round(max(own, self.peaks.get(kind, 0)), 1)


def _kind(title: str, driver: bool) -> str | None:
    if driver:
        return "driver_mb"
    if "Annotator" in title:
        return "annotator_mb"
    return "reader_mb" if "FlatMap" in title else None


def job(sources: list[str], bundle: Path, out: Path) -> dict[str, Any]:
    """Label everything once; rates, memory and sums."""
    told: list[tuple[float, int]] = []

    def listen(stage: str, done: int, total: int) -> None:
        if stage == "annotating" and done:
            told.append((time.perf_counter(), done))

    start = time.perf_counter()
    with Memory() as memory:
        done = annotate_sources(AnnotateConfig(tuple(sources), str(bundle), str(out)), listen)
    seconds = time.perf_counter() - start
    (warm, before), (last, after) = told[min(CORES, len(told)) - 1], told[-1]
    return {
        "images": done.labelled,
        "annotations": done.summary.annotations,
        "rejects": done.summary.rejects,
        "job": round((after - before) / (last - warm)) if last > warm else None,
        "job_with_start": round(done.labelled / seconds),
        **memory.peaks,
    }


def killed_twice(sources: list[str], bundle: Path, out: Path, pieces: int) -> int:
    """Label in a process of its own that is killed at two places; returns how often it started."""
    command = [sys.executable, "-m", "medlabel.cli", "annotate", *sources]
    command += ["--model", str(bundle), "--out", str(out)]
    for share in _KILLS:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None and len(_files(out)) < share * pieces:
            time.sleep(0.2)
        tree = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for orphan in tree:  # as a node's end would
            if orphan.is_running():
                orphan.kill()
        process.wait()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return len(_KILLS) + 1


def _files(out: Path) -> list[Path]:
    return list((out / "annotations").glob("part-*.parquet"))


def same(one: Path, other: Path) -> bool:
    """Whether two tables are equal but for the time when they were begun."""
    names = [sorted(path.name[:48] for path in _files(out)) for out in (one, other)]
    if names[0] != names[1]:
        return False
    pairs = zip(sorted(_files(one)), sorted(_files(other)), strict=True)
    return all(
        pq.read_table(a).drop_columns("time").equals(pq.read_table(b).drop_columns("time"))
        for a, b in pairs
    )


def _extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=50_000)


def main() -> None:
    """Run the benchmark."""
    options = arguments(__doc__ or "", "", _extend)
    images, files = (40_000, 0) if options.quick else (options.images, options.files)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle, sources = prepare(folder, options.data_root, images, files)
        sample = tiled(options.data_root, _SAMPLE // (4 if options.quick else 1))
        bare = [bare_rate(bundle, sample)]
        figures = job(sources[:1], bundle, folder / "calm")
        bare.append(bare_rate(bundle, sample))
        rate = float(np.mean(bare))
        figures |= {"bare_loop": round(rate), "ratio": round((figures["job"] or 0) / rate, 3)}
        if not options.quick:
            everything = job(sources, bundle, folder / "calm")
            figures |= {name: everything[name] for name in ("annotations", "rejects")}
            pieces = len(_files(folder / "calm"))
            figures["starts"] = killed_twice(sources, bundle, folder / "killed", pieces)
            figures["same_table"] = same(folder / "calm", folder / "killed")
    finish([figures], cores=CORES)


if __name__ == "__main__":
    main()
