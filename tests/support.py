"""Helpers that tests import."""

import hashlib
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


def write_hub_file(cache: Path, repository: str, name: str, content: bytes) -> Path:
    """A large file as a hub's cache keeps it: named for its SHA-256, linked from a snapshot."""
    kept = cache / f"models--{repository.replace('/', '--')}"
    blob = kept / "blobs" / hashlib.sha256(content).hexdigest()
    link = kept / "snapshots" / "c0ffee" / name
    for folder in (kept / "refs", blob.parent, link.parent):
        folder.mkdir(parents=True, exist_ok=True)
    (kept / "refs" / "main").write_text("c0ffee")
    blob.write_bytes(content)
    link.symlink_to(blob)
    return blob
