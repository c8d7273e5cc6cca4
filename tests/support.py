"""Helpers that tests import."""

from pathlib import Path

import numpy as np


def write_npz(path: Path, *, level: int = 100, n: int = 40, colour: bool = False, **replaced):
    """A file in MedMNIST's layout: noise around a grey level, labels 0, 1, 2, 0, 1, 2, ..."""
    rng = np.random.default_rng(level)
    arrays = {}
    for split, count in (("train", n), ("val", n // 4), ("test", n // 2)):
        shape = (count, 28, 28, 3) if colour else (count, 28, 28)
        noise = rng.normal(level, 15, shape)
        arrays[f"{split}_images"] = noise.clip(0, 255).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 3).reshape(-1, 1).astype(np.uint8)
    np.savez(path, **(arrays | replaced))
    return path
