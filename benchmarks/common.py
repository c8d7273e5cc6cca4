"""What the benchmarks share: where the real images are, their options, and tables of results."""

import argparse
import os
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel.storage.strict_json import to_json

__all__ = ["arguments", "class_of", "finish", "png_of", "print_table"]

FILES = {
    "chest": "chestmnist-nih1000.npz",
    "breast": "breastmnist.npz",
    "pneumonia": "pneumoniamnist.npz",
    "blood": "bloodmnist-pbc6000.npz",
}


def arguments(
    description: str,
    out: str,
    extend: Callable[[argparse.ArgumentParser], None] | None = None,
    seeds: int = 30,
) -> argparse.Namespace:
    """`--quick`, `--data-root`, `--out` and `--seeds`, as all benchmarks on real images take.

    `extend` may add a benchmark's own.
    """
    here = Path(__file__).parents[2] / "shared/medmnist"
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a few seeds: under a minute")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--out", default=out, help="folder for the runs; finished parts are reused")
    parser.add_argument(
        "--data-root", type=Path, default=Path(os.environ.get("MEDLABEL_TEST_IMAGES", here))
    )
    if extend is not None:
        extend(parser)
    options = parser.parse_args()
    options.out += "-quick" if options.quick else ""
    return options


def class_of(name: str, root: Path) -> str:
    """`chest=/path/chestmnist-nih1000.npz`: one class of a task, from the real images."""
    path = root / FILES[name]
    if not path.exists():
        sys.exit(f"{path}: no such file; CONTRIBUTING.md says where benchmarks look for images")
    return f"{name}={path}"


def png_of(image: NDArray[np.uint8], kind: str = "PNG") -> bytes:
    """An image as a file, a PNG or what Pillow calls `kind`."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print rows of the same columns as a Markdown table."""
    body = [[str(value) for value in row.values()] for row in rows]
    lines = [list(rows[0]), ["---"] * len(rows[0]), *body]
    print("\n".join(f"| {' | '.join(line)} |" for line in lines), flush=True)


def finish(rows: list[dict[str, Any]], **figures: Any) -> None:
    """Print the rows as a Markdown table, and last one line of JSON."""
    print_table(rows)
    print(to_json({**figures, "rows": rows}))
