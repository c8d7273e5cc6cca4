"""How often `medlabel label` reads, hashes and decodes each image, counted in every process.

`python -m benchmarks.label_reads [--quick] [--images 20000] [--pool 5000] [--code PATH]` renders
many small PNG files, labels them, and prints a table. With `--code` the same is counted for the
code of another checkout, an older one for instance.

What is counted does not depend on how the code is laid out: files that fsspec reads, SHA-256 sums
of the bytes of a PNG file, and images that Pillow decodes. A process adds one byte, or for reads
one line, to a file of its own per event, so nothing is lost when Ray ends its workers. The teacher
is the one in `MEDLABEL_HOME`, and trained there if it is missing; embeddings are not reused.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["count_events", "install_counters", "main"]

_COUNTS = "MEDLABEL_COUNTS"  # the folder of counts, for the processes that count
_PNG = b"\x89PNG"
_CODE = Path(__file__).parents[1]


def install_counters() -> None:
    """Make this process count reads, hashes and decodes in the folder that `_COUNTS` names.

    Ray sends it to its workers by value, so it must not use anything else of this module.
    """
    import hashlib
    import os

    from PIL.PngImagePlugin import PngImageFile

    from medlabel.data.listing.folder import Folder

    def counter(kind: str) -> "Callable[[bytes], object]":
        path = f"{os.environ['MEDLABEL_COUNTS']}/{kind}-{os.getpid()}"
        file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        return lambda data: os.write(file, data)

    read, hashed, decoded = counter("read"), counter("hashed"), counter("decoded")
    read_file, sha256, load_end = Folder.read, hashlib.sha256, PngImageFile.load_end

    def counted_read(self: Any, name: str, most: int) -> bytes:
        if name.endswith(".png"):
            read(f"{self._root}/{name}\n".encode())
        return read_file(self, name, most)

    def counted_sha256(data: Any = b"", *args: Any, **kwargs: Any) -> Any:
        if bytes(data[:4]) == b"\x89PNG":
            hashed(b".")
        return sha256(data, *args, **kwargs)

    def counted_load_end(self: Any) -> None:
        decoded(b".")
        load_end(self)

    Folder.read = counted_read  # type: ignore[method-assign]  # it counts, and does the same
    hashlib.sha256 = counted_sha256  # type: ignore[assignment]  # it counts, and does the same
    PngImageFile.load_end = counted_load_end  # type: ignore[method-assign]  # as above


def count_events(folder: Path) -> dict[str, int]:
    """The sums of the files of counts in a folder, and the most reads of any one image."""
    paths: Counter[str] = Counter()
    for file in folder.glob("read-*"):
        paths.update(file.read_text(encoding="utf-8").splitlines())
    return {
        "reads": paths.total(),
        "hashes": sum(file.stat().st_size for file in folder.glob("hashed-*")),
        "decodes": sum(file.stat().st_size for file in folder.glob("decoded-*")),
        "images read twice or more": sum(count > 1 for count in paths.values()),
        "most reads of one image": max(paths.values(), default=0),
    }


def render_files(folder: Path, count: int) -> None:
    """PNG files of phantoms of two classes; no two files are equal, and they are always the same.

    Rendering so many takes minutes, so 200 per class are rendered and marked with their number.
    """
    import numpy as np
    from PIL import Image

    from medlabel.data.sources import open_source

    looks = [open_source(f"phantom:{name}").splits["train"].images for name in _SETS]
    folder.mkdir(parents=True)
    for number in range(count):
        image = looks[number % 2][number // 2 % 200].copy()
        image[0, :4] = np.frombuffer(number.to_bytes(4, "big"), dtype=np.uint8)
        Image.fromarray(image).save(folder / f"{number:06d}.png")


_SETS = ("chestmnist", "breastmnist")


@contextmanager
def _fresh_home(home: Path) -> Iterator[Path]:
    """A home with the teachers of another, and no embeddings or catalogues."""
    (home / "clip").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "clip").symlink_to((home / "clip").absolute())
        yield Path(folder)


def measure(images: Path, code: Path, pool: int, home: Path) -> dict[str, Any]:
    """Label the images by the code of a checkout, in a process of its own, and count."""
    with _fresh_home(home) as fresh, tempfile.TemporaryDirectory() as scratch:
        counts, out = Path(scratch) / "counts", Path(scratch) / "out"
        counts.mkdir()
        environment = os.environ | {
            _COUNTS: str(counts),
            "MEDLABEL_HOME": str(fresh),
            "PYTHONPATH": f"{code / 'src'}{os.pathsep}{code}",
        }
        command = [
            sys.executable, "-P", __file__, "--child", "label", str(images), "--classes",
            "chest,breast", "--recipe", "adam", "--pool", str(pool), "--out", str(out),
        ]  # fmt: skip
        start = time.perf_counter()
        subprocess.run(command, env=environment, cwd=scratch, check=True)
        seconds = time.perf_counter() - start
        return {
            "code": code.name,
            **count_events(counts),
            "seconds": round(seconds, 1),
            "annotations": json.loads((out / "annotate.json").read_text(encoding="utf-8"))[
                "counts"
            ]["annotations"],
            "digest of labels": hashlib.sha256(_labels(out)).hexdigest()[:16],
        }


def _labels(out: Path) -> bytes:
    """Name, label and probabilities of every image, in the order of names, as bytes."""
    import pandas as pd

    table = pd.read_parquet(out / "annotations")
    table["uri"] = table["uri"].str.rpartition("/")[2]
    columns = [name for name in map(str, table) if name in ("uri", "label") or name[:2] == "p_"]
    return table.sort_values("uri")[columns].to_csv(index=False, float_format="%.9g").encode()


def _child(arguments: list[str]) -> None:
    """Run a command of the medlabel that is on the path while all its processes count."""
    import logging
    import runpy

    install_counters()
    import rayjobs  # noqa: F401  (its settings must be there before Ray is imported)

    import ray  # isort: skip

    ray.init(
        address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
        runtime_env={"worker_process_setup_hook": install_counters},
    )  # fmt: skip
    sys.argv = ["medlabel", *arguments]
    runpy.run_module("medlabel.cli", run_name="__main__")


def main() -> None:
    """Count, and print the table."""
    if sys.argv[1:2] == ["--child"]:
        _child(sys.argv[2:])
        return
    from benchmarks.common import finish
    from medlabel.storage.home import default_home

    parser = argparse.ArgumentParser(description="Reads, hashes and decodes of medlabel label")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--pool", type=int, default=5_000)
    parser.add_argument("--code", type=Path, default=_CODE, help="a checkout of medlabel")
    parser.add_argument("--quick", action="store_true", help="1,000 images, a pool of 400")
    options = parser.parse_args()
    if options.quick:
        options.images, options.pool = 1_000, 400
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "scans"
        render_files(images, options.images)
        finish([measure(images, options.code, options.pool, default_home())])


if __name__ == "__main__":
    main()
