"""Does every public test file come out as the standards say, or refused for a true reason?

    python -m benchmarks.decoding                    # the files that come with pydicom
    python -m benchmarks.decoding FOLDER ... --list  # any folders; also prints a line per file

pydicom and Pillow have more test files in their source archives (`pip download --no-deps
--no-binary :all: pydicom pillow`): unpack these and name the folders. With imagecodecs installed,
more TIFF files have a reference.

Each file is decoded in a child process with a time limit, and compared with arithmetic that shares
no code with medlabel. Prints how many are equal, how many are refused for each reason, and every
one that is wrong; the exit code is 1 if any is. "Close" are differences of at most two grey levels
between two implementations of a lossy codec or of the conversion from luma and chroma.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

import pydicom.data

from benchmarks.common import print_table
from benchmarks.decoding.worker import Outcome, Worker

_NOT_IMAGES = "not a PNG, JPEG, TIFF, DICOM or npy"


def main() -> None:
    """Try all files and print the tables."""
    options = _options()
    files = sorted(p for folder in options.folders for p in folder.rglob("*") if p.is_file())
    worker = Worker(options.seconds)
    outcomes: list[tuple[Path, Outcome]] = []
    for path in files:
        outcomes.append((path, worker.outcome(path)))
        if options.list:
            print(path, *(str(value) for value in vars(outcomes[-1][1]).values()), sep="\t")
    worker.close()
    sys.exit(_report(outcomes))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare decoding with independent arithmetic.")
    own = Path(pydicom.data.__file__).parent
    parser.add_argument("folders", nargs="*", type=Path, default=[own])
    parser.add_argument("--seconds", type=float, default=60, help="limit per file")
    parser.add_argument("--list", action="store_true", help="print a line per file")
    return parser.parse_args()


def _report(outcomes: list[tuple[Path, Outcome]]) -> int:
    """Print the tables; returns how many files are wrong, at most 1."""
    images = [(path, o) for path, o in outcomes if not o.detail.startswith(_NOT_IMAGES)]
    counts = Counter(outcome.kind for _, outcome in images)
    print_table([{"outcome": kind, "files": count} for kind, count in counts.most_common()])
    print(f"{len(outcomes) - len(images)} other files are none of the formats\n")
    refused = [outcome for _, outcome in images if outcome.kind == "refused"]
    reasons = Counter(_kind_of(outcome.detail) for outcome in refused)
    also = Counter(_kind_of(outcome.detail) for outcome in refused if outcome.readable)
    if refused:
        print_table([_row(*reason, also) for reason in reasons.most_common()])
    bad = [(p, o) for p, o in images if o.kind in ("wrong", "crashed", "hung", "unchecked")]
    for path, outcome in bad:
        print(outcome.kind, path, outcome.detail, sep="\t")
    return int(any(outcome.kind != "unchecked" for _, outcome in bad))


def _row(reason: str, count: int, also: Counter[str]) -> dict[str, str | int]:
    return {"refused because": reason, "files": count, "read by the reference": also[reason]}


def _kind_of(reason: str) -> str:
    return re.sub(r"\d[\d,.]*", "N", reason)


if __name__ == "__main__":
    main()
