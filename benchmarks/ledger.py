"""Many units in parallel: each finished one is a line of a file at once, and never computed again.

A recipe whose fields have changed is another unit. After a change of the code, take another folder.
"""

import argparse
import json
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.units import Unit, measure
from medlabel.errors import MedlabelError
from medlabel.storage.strict_json import to_json

__all__ = ["frame_of", "options_of_units", "run_units"]


def options_of_units(parser: argparse.ArgumentParser) -> None:
    """`--only`, `--clip`, `--workers` and `--table`, as benchmarks made of units take."""
    parser.add_argument(
        "--only", nargs="*", default=["*"], help="units to run, TASK/NOISE/RECIPE with wildcards"
    )
    parser.add_argument("--clip", default="phantom", help="the teacher; may end in +views")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--table", action="store_true", help="fit nothing; show what is finished")


def run_units(units: Iterable[Unit], options: argparse.Namespace) -> pd.DataFrame:
    """Fit what is asked for and missing, in order of seed; the table of all that is finished."""
    path = Path(options.out) / "lines.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = {unit.key: unit for unit in sorted(units, key=lambda unit: unit.seed)}
    finished = {line["key"] for line in _lines(path)}
    missing = [
        unit
        for key, unit in wanted.items()
        if key not in finished and any(fnmatchcase(unit.path, only) for only in options.only)
    ]
    if missing and not options.table:
        _fit_missing(missing, path, options.workers)
    lines = [line for line in _lines(path) if line["key"] in wanted]
    if not lines:
        raise SystemExit(f"nothing is finished in {path}: run without --table, or ask --only less")
    return frame_of(lines)


def _fit_missing(missing: Sequence[Unit], path: Path, workers: int) -> None:
    """Fit units in processes of their own; a line is written when its unit is finished."""
    _end_last_line(path)
    start = time.perf_counter()
    context = multiprocessing.get_context("spawn")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped; the same command goes on"))
    pool = ProcessPoolExecutor(min(workers, len(missing)), mp_context=context)
    try:
        pending = {pool.submit(measure, unit): unit for unit in missing}
        for done, future in enumerate(as_completed(pending), start=1):
            line = _line_of(future, pending[future])
            if line is None:
                continue
            with path.open("a", encoding="utf-8") as file:
                file.write(to_json(line) + "\n")
            left = (time.perf_counter() - start) / done * (len(missing) - done)
            print(
                f"{done}/{len(missing)} {pending[future].path} seed {pending[future].seed}: "
                f"teacher {line['teacher_accuracy']:.4f} student {line['student_accuracy']:.4f} "
                f"({line['seconds']:.1f} s, {left / 60:.0f} min left)",
                flush=True,
            )
    finally:
        pool.shutdown(cancel_futures=True)  # whoever stops it waits for two units, not for all


def _line_of(future: Future[dict[str, Any]], unit: Unit) -> dict[str, Any] | None:
    """The row of a unit; None, with a message, for too few images or an impossible noise."""
    try:
        return future.result()
    except MedlabelError as error:
        print(f"left out {unit.path} seed {unit.seed}: {error}", flush=True)
        return None


def _end_last_line(path: Path) -> None:
    """What a killed run left half written stays a line of its own."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")


def _lines(path: Path) -> list[dict[str, Any]]:
    """Finished lines; one that was cut short by a kill is not among them."""
    found = []
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(text))
        except json.JSONDecodeError:
            continue
    return found


def frame_of(lines: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Lines as a table, a row per unit, in order of task, noise, recipe and seed."""
    frame = pd.DataFrame(lines).drop_duplicates("key")
    return frame.sort_values(["task", "noise", "recipe", "seed"], ignore_index=True)
