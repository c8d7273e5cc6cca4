"""Does memory grow with the number of images? Peak resident memory of driver and workers.

`python -m benchmarks.embed_memory [--quick]` writes tiled real images as Parquet, 50,000 and
200,000 of them, embeds each with the phantom CLIP in a process of its own, and looks at that
process and all of Ray's below it ten times a second.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.common import arguments, finish
from benchmarks.embed import tiled, write_parquet
from medlabel.storage.home import default_home
from rayjobs.cluster import connect
from rayjobs.pretrain import ensure_phantom_clip

KINDS = ("driver", "encoder", "reader")  # an encoder, or what catalogues before it


def resident(process: psutil.Process) -> int:
    """Bytes in memory that are the process's own: the object store's shared pages count once."""
    info = process.memory_info()
    return int(info.rss - info.shared)


def peaks(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a command; the peak memory in MB of it and of the largest encoder and reader."""
    highest = dict.fromkeys(KINDS, 0)
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    root = psutil.Process(child.pid)
    while child.poll() is None:
        for process in [root, *root.children(recursive=True)]:
            try:
                kind = kind_of(process, root)
                if kind:
                    highest[kind] = max(highest[kind], resident(process))
            except psutil.Error:
                continue
        time.sleep(0.1)
    if child.returncode:
        sys.exit(child.returncode)
    return {f"{kind}_mb": round(value / 2**20) for kind, value in highest.items()}


def kind_of(process: psutil.Process, root: psutil.Process) -> str | None:
    """Which of `KINDS` a process is, by the title that Ray gives it."""
    if process.pid == root.pid:
        return "driver"
    title = " ".join(process.cmdline())
    if "MapWorker" in title or "_Encoder" in title:
        return "encoder"
    return "reader" if "ray::" in title and "lat" in title and "ap" in title else None


def main() -> None:
    """Embed both numbers of images and print the peaks."""
    options = arguments("Memory of an embedding", "runs/embed-memory")
    connect()
    ensure_phantom_clip(default_home())
    rows = []
    for count in (2_000, 8_000) if options.quick else (50_000, 200_000):
        with tempfile.TemporaryDirectory() as folder:
            images = tiled(options.data_root, count)  # in one row group: the least help to a reader
            path = write_parquet(images, Path(folder) / "images.parquet", rows=count)
            del images
            home = Path(folder) / "home"
            home.mkdir()
            (home / "clip").symlink_to(default_home() / "clip")
            program = [sys.executable, "-m", "medlabel.cli", "embed", str(path)]
            command = [*program, "--out", f"{folder}/out"]
            measured = peaks(command, {**os.environ, "MEDLABEL_HOME": str(home)})
            rows.append({"images": count, **measured})
        print(rows[-1], flush=True)
    finish(rows)


if __name__ == "__main__":
    main()
