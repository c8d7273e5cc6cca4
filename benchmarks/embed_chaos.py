"""Kill encoders, readers and drivers at random: is the table the undisturbed one, bit for bit?

`python -m benchmarks.embed_chaos [--quick]`: one undisturbed embedding of real images (three
sources as they are, one tiled to 40,000 images that all differ), then 20 runs, each from nothing,
in which processes are killed (SIGKILL) at random moments: a worker of Ray's every second or two in
each, and in every second run the driver and all it started, twice; it is started again until it
ends by itself. Each run's table is compared with the undisturbed one, by id.
"""

import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import FILES, arguments, finish
from benchmarks.embed import tiled, write_parquet
from medlabel.storage.home import default_home
from rayjobs.cluster import connect
from rayjobs.pretrain import ensure_phantom_clip


def start(root: Path, files: list[str]) -> subprocess.Popen[bytes]:
    """Embed files with a home of its own, from nothing or from where it was."""
    home = root / "home"
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "clip").exists():
        (home / "clip").symlink_to(default_home() / "clip")
    command = [
        sys.executable,
        "-m",
        "medlabel.cli",
        "embed",
        *files,
        "--out",
        str(root / "out"),
    ]
    return subprocess.Popen(
        command,
        env={**os.environ, "MEDLABEL_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def below(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """All processes that a driver has started; none when it has just ended."""
    try:
        return psutil.Process(driver.pid).children(recursive=True)
    except psutil.Error:
        return []


def ray_workers(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Processes that do the driver's work, not those that hold its cluster together."""
    found = []
    for process in below(driver):
        try:
            title = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if title.startswith("ray::") and "Map" in title:  # Ray Data's operators, by name
            found.append(process)
    return found


def disturbed(root: Path, files: list[str], seed: int, kill_driver: bool) -> dict[str, Any]:
    """One run with kills; what was killed, and how often the driver was started."""
    rng, killed, starts = random.Random(seed), 0, 0
    while True:
        starts += 1
        process = start(root, files)
        doomed = kill_driver and starts <= 2
        end = time.monotonic() + rng.uniform(12, 30)
        while process.poll() is None:
            time.sleep(rng.uniform(0.5, 2))
            workers = ray_workers(process)
            if workers and killed < 4 * starts:
                with suppress(psutil.Error):
                    rng.choice(workers).kill()
                    killed += 1
            if doomed and time.monotonic() > end:
                tree = below(process)
                process.kill()
                for orphan in tree:  # as a node's end would
                    with suppress(psutil.Error):
                        orphan.kill()
        if process.returncode == 0:
            return {"workers_killed": killed, "driver_starts": starts}
        if process.returncode > 0:
            assert process.stderr is not None
            sys.exit(process.stderr.read().decode())


def table_of(root: Path) -> pa.Table:
    """The whole table, by id."""
    (folder,) = (root / "out").glob("model=*")
    return pq.read_table(folder).sort_by("image_id")


def main() -> None:
    """Run them all and print what differed: nothing should."""
    options = arguments("Chaos while embedding", "runs/embed-chaos")
    connect()
    ensure_phantom_clip(default_home())
    files = [str(options.data_root / FILES[name]) for name in ("breast", "pneumonia", "blood")]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        count = 4_000 if options.quick else 40_000
        files.append(
            str(write_parquet(tiled(options.data_root, count), Path(folder) / "tiled.parquet"))
        )
        calm = Path(folder) / "calm"
        if start(calm, files).wait():
            sys.exit("the undisturbed run failed")
        expected = table_of(calm)
        for seed in range(2 if options.quick else 20):
            root = Path(folder) / f"run-{seed}"
            told = disturbed(root, files, seed, kill_driver=seed % 2 == 1)
            got = table_of(root)
            ids = got.column("image_id").to_pylist()
            lost = len(set(expected.column("image_id").to_pylist()) - set(ids))
            doubled = len(ids) - len(set(ids))
            told |= {"lost": lost, "doubled": doubled, "equal": got.equals(expected)}
            rows.append({"run": seed, **told})
            print(rows[-1], flush=True)
    finish(
        rows,
        images=len(expected),
        workers_killed=sum(row["workers_killed"] for row in rows),
        drivers_killed=sum(row["driver_starts"] - 1 for row in rows),
        all_equal=all(row["equal"] for row in rows),
    )


if __name__ == "__main__":
    main()
