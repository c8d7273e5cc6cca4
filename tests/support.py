"""Helpers that tests import."""

import hashlib
from pathlib import Path

import numpy as np
import torch

from medlabel import phantoms
from medlabel.teacher.phantom_clip import PretrainingConfig
from medlabel.teacher.phantom_store import keep
from medlabel.teacher.phantom_training import Pretraining
from medlabel.teacher.zoo.weights import phantom_folder


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


def write_alien_modules(folder: Path) -> Path:
    """A folder with modules that are called like ours, and like what we import."""
    text = "raise SystemExit(f'{__file__} was imported in place of the real one')\n"
    for name in ("fsspec", "numpy", "rich", "token", "typer"):
        (folder / f"{name}.py").write_text(text)
    for name in ("medlabel", "rayjobs", "serving"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(text)
    return folder


def keep_small_teacher(home: Path) -> None:
    """Keep in `home`, as the default phantom CLIP, one that was trained for seconds.

    It knows a breast from a chest and a blood cell, and little else.
    """
    looks = ("chestmnist", "breastmnist", "bloodmnist")
    config = PretrainingConfig(steps=60, batch_size=48, phantoms_per_look=128)
    drawn = {
        flag: phantoms.draw_look(phantoms.LOOKS[flag], config.phantoms_per_look, config.seed)
        for flag in looks
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    training = Pretraining(config, drawn)
    while not training.done:
        training.step()
    torch.set_num_threads(threads)
    folder = phantom_folder(home)
    folder.parent.mkdir(parents=True, exist_ok=True)
    keep(folder, config, training.state_dict())
