"""Whether two versions of the code gave the same results, bit for bit.

`python tools/same_results.py BEFORE AFTER` compares two folders that hold the outputs of the same
commands: runs, sweeps, searches, annotations, embeddings and bundles. Tables are compared value by
value without the columns that name keys, versions, times and durations; networks tensor by tensor.
File names that hold hashes of keys may differ: such files are compared as a set. Prints one row
per kind of file and every difference; the exit code is 1 if there is any.
"""

import argparse
import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from safetensors.numpy import load_file

UNSTABLE = re.compile(
    "versions?|time|seconds|.*_seconds|bundle|weights|teacher_model|captions|key|recipe_hash"
)
RENAMED = {"unlikeness": "ood_score", "doubts": "review_reasons", "draws": "seeds"}
RENAMED_FILES = {"judged.parquet": "evaluated.parquet"}
REASONS = {"unsure": "low_confidence", "unlike": "out_of_distribution"}
HASH = re.compile(r"[0-9a-f]{8,64}")


def table_digest(path: Path) -> str:
    """The SHA-256 of a table's stable columns, sorted by name, with rows in their order."""
    table = pq.read_table(path).to_pandas().rename(columns=RENAMED)
    if "review_reasons" in table:
        table["review_reasons"] = [
            ",".join(REASONS.get(reason, reason) for reason in str(reasons).split(","))
            for reasons in table["review_reasons"]
        ]
    digest = hashlib.sha256()
    for name in sorted(column for column in table if not UNSTABLE.fullmatch(column)):
        digest.update(name.encode())
        column = table[name]
        if name in ("recipe", "student"):  # a recipe of a search is named by a hash of its fields
            column = column.astype(str).str.replace(HASH, "*", regex=True)
        digest.update(_column_bytes(column))
    return digest.hexdigest()


def _column_bytes(column: "pd.Series[Any]") -> bytes:
    if column.dtype.kind in "iufb":
        return np.ascontiguousarray(column.to_numpy()).tobytes()
    return "\0".join(
        value.tobytes().hex() if isinstance(value, np.ndarray) else str(value) for value in column
    ).encode()


def tensor_digest(path: Path) -> str:
    """The SHA-256 of a safetensors file's names and values."""
    digest = hashlib.sha256()
    for name, value in sorted(load_file(path).items()):
        digest.update(f"{name} {value.dtype} {value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    return digest.hexdigest()


KINDS: dict[str, Callable[[Path], str]] = {
    ".parquet": table_digest,
    ".safetensors": tensor_digest,
}


def digests(root: Path, skip: list[str]) -> dict[str, Counter[str]]:
    """Digests of the files below a folder, by path with hashes written as `*`."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix in KINDS and path.is_file() and not any(word in name for word in skip):
            found[HASH.sub("*", _today(name))][KINDS[path.suffix](path)] += 1
    return found


def _today(name: str) -> str:
    """The path with the file's name of today."""
    folder, _, file = name.rpartition("/")
    return f"{folder}/{RENAMED_FILES.get(file, file)}"


def main() -> int:
    """Compare two folders and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--skip", nargs="*", default=["home/", "timings", "fits.parquet"])
    options = parser.parse_args()
    before, after = (digests(root, options.skip) for root in (options.before, options.after))
    differ = 0
    for name in sorted(before | after):
        old, new = before.get(name, Counter()), after.get(name, Counter())
        if old != new:
            differ += 1
            print(f"DIFFERS  {name}: {(old - new).total()} of {old.total()} are not the same")
    same = sum((before[name] & after.get(name, Counter())).total() for name in before)
    print(f"{same} tables and networks are the same bit for bit, {differ} names differ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
