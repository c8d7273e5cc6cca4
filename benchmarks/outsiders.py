"""What a bundle makes of images of other kinds, and of held-out images of its own.

`python -m benchmarks.outsiders BUNDLE=KIND,KIND ... [--data-root DIR] [--auto-above 0.9]`, for
instance

    medlabel run tasks/phantom-demo.yaml --seeds 1 --out runs/demo
    python -m benchmarks.outsiders runs/demo=drawn:chestmnist,drawn:breastmnist

Prints, for each bundle and kind of images, how many there are, the share that is labelled `auto`,
the share that is out of distribution, and the time that it takes to assess an image with the
detector of outsiders and without. KIND names what is the bundle's own: `real:chest`,
`drawn:breastmnist` and so on. The images are the validation and test splits of the real sets, drawn
images of all looks and of those that nothing in medlabel has learned, random textures and shapes,
and the bundle's own images inverted, turned and upside down.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.common import FILES, print_table
from benchmarks.unseen_looks import UNSEEN, unseen
from medlabel import phantoms
from medlabel.data.framing import chroma_of
from medlabel.student.bundle import Bundle, find_bundle, load_bundle
from medlabel.student.decision import AUTO_ABOVE, review_reasons
from medlabel.student.outsiders.junk import junk

_MOST, _SEED = 300, 987  # images of a kind; seed of the drawings, which no task uses
Images = NDArray[np.uint8]


def kinds_of_images(root: Path) -> Iterator[tuple[str, Images]]:
    """Yield the name of each kind, and its images [N, S, S] or [N, S, S, 3]."""
    rng = np.random.default_rng(0)
    for name, file in FILES.items():
        with np.load(root / file, allow_pickle=False) as data:
            held = np.concatenate([data["val_images"], data["test_images"]])
        yield f"real:{name}", held[rng.permutation(len(held))[:_MOST]]
    for flag in phantoms.LOOKS:
        yield f"drawn:{flag}", phantoms.draw(flag, _MOST, _SEED)
    for flag in UNSEEN:
        yield f"unseen:{flag}", unseen(flag, _MOST // 3, _SEED)[0]
    yield "junk", junk(rng, _MOST, colour=False)
    yield "coloured junk", junk(rng, _MOST, colour=True)


def rows_of(
    bundle: Bundle, own: list[str], root: Path, auto_above: float
) -> Iterator[dict[str, object]]:
    """Yield a row per kind of images."""
    mine = list[Images]()
    for name, images in kinds_of_images(root):
        part = "own" if name in own else "other"
        if name in own:
            mine.append(np.stack([bundle.square(image) for image in images]))
        yield {"kind": name, "part": part, **shares(bundle, images, auto_above)}
    held = np.concatenate(mine)
    for name, images in (
        ("own, inverted", 255 - held),
        ("own, turned", np.rot90(held, axes=(1, 2))),
        ("own, upside down", held[:, ::-1]),
    ):
        yield {"kind": name, "part": "altered", **shares(bundle, images, auto_above)}


def shares(bundle: Bundle, images: Images, auto_above: float) -> dict[str, Any]:
    """Number of images, and the shares of them that are labelled `auto` or out of distribution."""
    squares = np.stack([bundle.square(image) for image in images])
    chroma = np.array([chroma_of(image) for image in images], dtype=np.float32)
    reasons = review_reasons(bundle.assess(squares, chroma), auto_above)
    out = ["out_of_distribution" in found for found in reasons]
    auto = [not found for found in reasons]
    return {
        "n": len(images),
        "auto": round(float(np.mean(auto)), 3),
        "out": round(float(np.mean(out)), 3),
    }


def microseconds(bundle: Bundle, images: Images, rounds: int = 15) -> float:
    """The shortest time to assess an image, of some rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        bundle.assess(images)
        times.append(time.perf_counter() - start)
    return min(times) / len(images) * 1e6


def main() -> int:
    """Print the table of each bundle."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundles", nargs="+", metavar="BUNDLE=KIND,KIND")
    here = Path(__file__).parents[2] / "shared/medmnist"
    parser.add_argument("--data-root", type=Path, default=here)
    parser.add_argument("--auto-above", type=float, default=AUTO_ABOVE)
    options = parser.parse_args()
    for given in options.bundles:
        folder, _, own = given.partition("=")
        bundle = load_bundle(find_bundle(folder))
        if bundle.calibration is None:
            sys.exit(f"{folder} has no calibration")
        rows = list(rows_of(bundle, own.split(","), options.data_root, options.auto_above))
        print_table(rows)
        means = pd.DataFrame(rows).groupby("part")[["auto", "out"]].mean()
        print(f"{folder}: means over kinds\n{means.round(4).to_string()}")
        batch = np.stack([bundle.square(image) for image in phantoms.draw("breastmnist", 256, 1)])
        without = replace(bundle, calibration=replace(bundle.calibration, outsiders=None))
        slow, fast = microseconds(bundle, batch), microseconds(without, batch)
        print(f"assessing takes {slow:.0f} us per image, {fast:.0f} us without the detector\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
