"""Kill random workers during a sweep, and compare its table with an undisturbed one's.

`python -m benchmarks.sweep_chaos [--quick]`: sweeps of three phantom pairs, of which a worker that
fits is killed (SIGKILL) every three to eight seconds: starting one takes that long. A cell whose
worker died six times is given up and reported; then the same command is given once more, and left
alone. The last line has how many tables were identical, and how many at the first call.
"""

import random
import shutil
import threading
import time
from pathlib import Path

import psutil

from benchmarks.common import arguments, finish
from medlabel.experiments.sweep_spec import SweepSpec
from medlabel.storage.home import default_home
from medlabel.storage.store import Store
from rayjobs.sweep.job import SweepConfig, sweep

FLAGS = ("chestmnist", "breastmnist", "bloodmnist")


def kill_workers(over: threading.Event, killed: list[int], rng: random.Random) -> None:
    """Until it is over, kill one of this process's fitting workers every three to eight seconds."""
    while not over.wait(rng.uniform(3, 8)):
        fitting = [
            child
            for child in psutil.Process().children(recursive=True)
            if any("_fit_cell" in part for part in child.cmdline())
        ]
        if fitting:
            chosen = rng.choice(fitting)
            chosen.kill()
            killed.append(chosen.pid)


def main() -> None:
    """Run one sweep undisturbed, then the others under fire."""
    options = arguments("Sweeps whose workers are killed", "runs/sweep-chaos")
    spec = SweepSpec.model_validate(
        {
            "name": "chaos",
            "sources": [f"phantom:{flag}" for flag in FLAGS],
            "recipes": "paper",
            "seeds": 4,
            "per_class": 100,
        }
    )
    out = Store(options.out)
    rows, tables = [], []
    for run in range(3 if options.quick else 21):
        folder = out / f"run-{run}"
        shutil.rmtree(folder.path(), ignore_errors=True)
        over, killed = threading.Event(), list[int]()
        thread = threading.Thread(target=kill_workers, args=(over, killed, random.Random(run)))
        if run:
            thread.start()
        start = time.perf_counter()
        outcome = sweep(SweepConfig(spec, folder.uri, Path(default_home())))
        over.set()
        if run:
            thread.join()
        given_up = len(outcome.failures)
        if given_up:
            sweep(SweepConfig(spec, folder.uri, Path(default_home())))
        tables.append(folder.read("results.parquet"))
        rows.append(
            {
                "run": run,
                "killed": len(killed),
                "given up": given_up,
                "seconds": round(time.perf_counter() - start, 1),
                "identical": tables[-1] == tables[0],
            }
        )
        print(rows[-1], flush=True)
    identical = sum(bool(row["identical"]) for row in rows[1:])
    at_once = sum(bool(row["identical"]) and not row["given up"] for row in rows[1:])
    finish(rows, disturbed=len(rows) - 1, identical=identical, at_the_first_call=at_once)


if __name__ == "__main__":
    main()
