"""Does medlabel know when the teacher is guessing?

    python -m benchmarks.guessing                      # the table, from finished rows
    python -m benchmarks.guessing --train              # the teachers: 57 trainings, best on a GPU
    python -m benchmarks.guessing --measure            # the situations: 30 minutes on two cores
    python -m benchmarks.guessing --write              # the calibration that the package ships

`--extras FOLDER` adds files of further real images (`NAME.npz`, array `images`); the situations
that need one are left out without it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import medlabel.evaluation.evidence as evidence
from benchmarks.common import arguments
from benchmarks.guessing.images import extra_names
from benchmarks.guessing.measure import measure_all, trainings
from benchmarks.guessing.situations import all_situations
from benchmarks.guessing.table import (
    judged,
    read_rows,
    targets,
    to_situations,
    without_each_signal,
)
from benchmarks.guessing.train import train_all
from benchmarks.guessing_plots import write_plots
from medlabel.storage.home import default_home


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--train", action="store_true", help="train the teachers that are missing")
    parser.add_argument("--measure", action="store_true", help="measure what has no row yet")
    parser.add_argument("--write", action="store_true", help="write the package's situations.csv")
    parser.add_argument("--signals", action="store_true", help="take each signal out once")
    parser.add_argument("--extras", type=Path, help="folder of further real images")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="for the trainings")


def main() -> None:
    """Run what is asked for, and print the tables."""
    options = arguments(__doc__ or "", "runs/guessing", _options)
    out, home = Path(options.out), default_home()
    situations = all_situations(extra_names(options.extras))
    situations = situations[:: 40 if options.quick else 1]
    if options.train:
        train_all(trainings(situations), home, options.device)
    if options.measure:
        measure_all(situations, out, home, options.data_root, options.extras, options.workers)
    names = {one.name for one in situations}
    rows = [row for row in read_rows(out / "rows") if row["situation"] in names]
    _print(rows, out, options)


def _print(rows: list[dict[str, object]], out: Path, options: argparse.Namespace) -> None:
    table = to_situations(rows)
    if options.write:
        folder = Path(evidence.__file__).parent
        table.to_csv(folder / "situations.csv", index=False)
    found = judged(rows, table)
    found.to_csv(out / "verdicts.csv", index=False)
    with pd.option_context("display.max_rows", None, "display.width", 200):
        print(_by_kind(found).to_string())
        for name, part in (
            ("all situations, each fold judged by the other nine", found),
            ("the half on which no threshold was chosen", found[found["fold"] % 2 == 1]),
            ("one teacher alone", judged(rows, table, alone=True)),
        ):
            print(f"\n{name}")
            print(targets(part).round(3).to_string(index=False))
        if options.signals:
            print(without_each_signal(rows, table).round(3).to_string(index=False))
    write_plots(found, str(out))


def _by_kind(found: pd.DataFrame) -> pd.DataFrame:
    """Verdicts, true and estimated accuracy, and accepted images per kind of situation."""
    counts = pd.crosstab(found["kind"], found["verdict"])
    means = found.groupby("kind")[["accuracy", "estimate", "auto"]].mean().round(3)
    return found.groupby("kind").size().rename("n").to_frame().join(counts).join(means)


if __name__ == "__main__":
    main()
