"""A search killed half-way and restored: its cost, what its winner gains, what agreement knows.

`python -m benchmarks.tune [--quick] [--classes chest,pneumonia] [--recipe adam]`: `medlabel tune`
on real images, in a process of its own; it is killed (SIGKILL) when half of the trials' first draws
are there, and goes on. Each draw is a file with the seconds it took: one that were fitted again
would be another.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmarks.common import arguments, class_of, finish
from medlabel.experiments.tune_spec import MIN_SEEDS
from medlabel.experiments.tune_tables import correlation, read_tune
from medlabel.storage.store import Store

SMALL = {  # the same kinds of choices, cheap ones
    "student": ["small", "cnn:8-16"],
    "learning_rate": {"low": 0.001, "high": 0.03, "log": True},
    "loss": ["cross-entropy", "generalised"],
}


def write_spec(options: argparse.Namespace) -> Path:
    """The spec of the search, as a user writes one."""
    spec: dict[str, Any] = {
        "sources": [class_of(name, options.data_root) for name in options.classes.split(",")],
        "recipes": [options.recipe, *options.also],
        "trials": options.trials,
        "search": options.search,
        "seeds": options.seeds,
        "per_class": 200,
    }
    if options.quick:
        spec |= {"trials": 4, "seeds": MIN_SEEDS, "per_class": 40, "search": ["optuna"]}
        spec |= {"space": SMALL, "recipes": ["adam"], "refit": False}
    path = Path(f"{options.out}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(spec), encoding="utf-8")
    return path


def started(spec: Path, out: str) -> "subprocess.Popen[bytes]":
    """`medlabel tune` in a session of its own, so that it can be killed with all its workers."""
    command = [sys.executable, "-m", "medlabel.cli", "tune", str(spec), "--out", out]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def drawn(store: Store) -> dict[str, bytes]:
    """Each finished draw's facts, its seconds among them."""
    return {name: store.read(name) for name in store.list("units/*/cells/*/cell.json")}


def kill_half_way(process: "subprocess.Popen[bytes]", store: Store, draws: int) -> dict[str, bytes]:
    """Kill the search when so many draws are there; returns those, if it was not faster."""
    while process.poll() is None and len(drawn(store)) < draws:
        time.sleep(0.2)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return drawn(store)


def main() -> None:
    """Search, kill, restore, and tell."""

    def extend(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--trials", type=int, default=64)
        parser.add_argument("--search", nargs="+", default=["optuna", "random"])
        parser.add_argument("--classes", default="chest,pneumonia", help="the hardest real pair")
        parser.add_argument("--recipe", default="adam", help="where the search starts")
        parser.add_argument("--also", nargs="*", default=["robust"], help="only compared with")

    options = arguments("A search killed and restored", "runs/tune-benchmark", extend, seeds=8)
    store, path = Store(options.out), write_spec(options)
    spec = yaml.safe_load(path.read_text(encoding="utf-8"))
    shutil.rmtree(store.path(), ignore_errors=True)
    began = time.perf_counter()
    compared = len(spec["recipes"]) * spec["seeds"]  # their draws come first
    half = compared + MIN_SEEDS * spec["trials"] // 2
    before = kill_half_way(started(path, options.out), store, half)
    killed = time.perf_counter() - began
    if started(path, options.out).wait():
        sys.exit("the restored search failed; run it by hand: medlabel tune")
    after, found = drawn(store), read_tune(store)
    again = sum(after[name] != facts for name, facts in before.items())
    wall = time.perf_counter() - began
    told(found.comparison, {
        "trials": len(found.evaluated),
        "wall_seconds": round(wall, 1),
        "killed_after_seconds": round(killed, 1),
        "draws_before_kill": len(before),
        "draws_after": len(after),
        "draws_fitted_again": again,
        "fit_seconds": round(float(found.evaluated["fit_seconds"].sum()), 1),
        "overhead_seconds_a_trial": overhead(found.cost, found.evaluated, before, after),
        "rank_correlation": round(correlation(found.evaluated), 3),
        "stopped_early": int((found.evaluated["seeds"] < spec["seeds"]).sum()),
    })  # fmt: skip


def overhead(
    cost: Any, judged: pd.DataFrame, before: dict[str, bytes], after: dict[str, bytes]
) -> float:
    """Worker seconds of the restored search that were no fitting, by trial that it still had."""
    fitted = [name for name in after if name not in before]
    seconds = sum(float(yaml.safe_load(after[name])["seconds"]) for name in fitted)
    left = max(1, round(len(judged) * len(fitted) / max(1, len(after))))
    return round(float(cost["workers"] * cost["seconds"]["tuning"] - seconds) / left, 2)


def told(comparison: pd.DataFrame, figures: dict[str, Any]) -> None:
    """The comparison as a table, and all figures as JSON."""
    columns = ["who", "recipe", "student", "seeds", "agreement", "accuracy", "worst", "gain"]
    columns += ["low", "high", "truth_rank", "of"]
    table = comparison[columns].round(4).to_numpy().tolist()
    finish([dict(zip(columns, row, strict=True)) for row in table], **figures)


if __name__ == "__main__":
    main()
