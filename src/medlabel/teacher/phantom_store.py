"""Where phantom CLIPs are kept, and how one is trained in this process where there is none yet.

Those of the seeds 0, 1 and 2 come with the package and need no training.

A finished model is a folder in open_clip's `local-dir:` format, named for all that decides its
weights, with a card that holds the digest of its weights. It appears whole or not at all. The job
on Ray (`rayjobs.pretrain`) keeps its models by the same functions, so either finds the other's.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from medlabel import phantoms
from medlabel.errors import MedlabelError, reason
from medlabel.phantoms.own import add_looks
from medlabel.storage.device import one_thread
from medlabel.storage.digests import hex_digest
from medlabel.storage.home import ADVICE
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.storage.strict_json import to_json
from medlabel.teacher.clip import base_name
from medlabel.teacher.phantom_clip import (
    PretrainingConfig,
    is_phantom,
    pretraining_named,
    save_clip,
)
from medlabel.teacher.phantom_training import LabelledPhantoms, Pretraining, clip_from_state
from medlabel.teacher.shipped_phantoms import shipped_state
from medlabel.teacher.zoo.weights import phantom_folder

__all__ = [
    "EnsureClip",
    "draw_phantoms",
    "ensure_phantom_clip",
    "ensure_trained",
    "is_whole",
    "keep",
    "local_name",
    "train_phantom_clip",
    "training_folder",
]

EnsureClip = Callable[[Path | str, PretrainingConfig, OnProgress], str]
"""Gives the folder of a phantom CLIP, after it has trained the model where none is kept."""

Train = Callable[[Path, PretrainingConfig, OnProgress], Mapping[str, Any]]
"""Trains the model that a folder is for, and gives the state of the finished training."""

_WEIGHTS = "open_clip_model.safetensors"
_CARD = "medlabel.json"
_STATE = "state.pt"
_CHECKPOINT_EVERY = 50  # steps, some seconds; no weight depends on it


def local_name(
    name: str,
    home: Path | str,
    on_progress: OnProgress = ignore_progress,
    ensure: EnsureClip | None = None,
) -> str:
    """The name that `load_clip` takes: of a phantom CLIP its folder, trained first if need be.

    Args:
        name: a model as a user types it (see the table in `medlabel.teacher.clip`).
        home: folder in which phantom CLIPs are kept.
        on_progress: called with ("drawing" or "training", done, total).
        ensure: how a phantom CLIP is trained; in this process when None.
    """
    base = base_name(name)
    if not is_phantom(base):
        return name
    folder = (ensure or ensure_phantom_clip)(home, pretraining_named(base), on_progress)
    return folder + name.removeprefix(base)


def ensure_phantom_clip(
    home: Path | str, config: PretrainingConfig, on_progress: OnProgress = ignore_progress
) -> str:
    """The folder of a phantom CLIP; it is trained now, in this process, where none is at hand.

    The weights are those of the job on Ray, bit for bit. A training takes six minutes or more on
    one CPU core; one that was interrupted continues from its last checkpoint. The models of the
    seeds 0, 1 and 2 are unpacked from the package.

    Args:
        home: folder in which phantom CLIPs are kept.
        config: how the model is trained.
        on_progress: called with ("drawing" or "training", done, total).

    Raises:
        MedlabelError: `home` cannot be written.
    """
    return ensure_trained(home, config, _train, on_progress)


def train_phantom_clip(
    home: Path | str, config: PretrainingConfig, on_progress: OnProgress = ignore_progress
) -> str:
    """As `ensure_phantom_clip`, but a model that is not kept is trained even if it is shipped."""
    return ensure_trained(home, config, _train, on_progress, shipped=False)


def ensure_trained(
    home: Path | str,
    config: PretrainingConfig,
    train: Train,
    on_progress: OnProgress,
    *,
    shipped: bool = True,
) -> str:
    """The folder of a phantom CLIP; where it is not whole, it is filled.

    Args:
        home: folder in which phantom CLIPs are kept.
        config: how the model is trained.
        train: called where the model is neither kept nor in the package.
        on_progress: passed on to `train`.
        shipped: whether the package's own weights may be used.
    """
    folder = phantom_folder(home, config)
    if not is_whole(folder):
        with _locked(folder):
            if not is_whole(folder):
                found = shipped_state(config) if shipped else None
                state = found or train(folder, config, on_progress)
                with _errors_of_keeping(folder):
                    keep(folder, config, state)
                shutil.rmtree(training_folder(folder), ignore_errors=True)
    return str(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: of two processes that need the same model, one trains it."""
    with _errors_of_keeping(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{folder}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _errors_of_keeping(folder: Path) -> Iterator[None]:
    """Turn an error of the operating system into one that says how to name another folder."""
    try:
        yield
    except OSError as error:
        raise MedlabelError(
            f"cannot keep the phantom CLIP in {folder.parent}: {reason(error)}; {ADVICE}"
        ) from error


def is_whole(folder: Path) -> bool:
    """Whether the folder holds a finished model whose weights have the digest on its card."""
    try:
        card = json.loads((folder / _CARD).read_text(encoding="utf-8"))
        digest = hex_digest((folder / _WEIGHTS).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(card.get("sha256") == digest)


def keep(folder: Path, config: PretrainingConfig, state: Mapping[str, Any]) -> None:
    """Write the model of a finished training beside `folder`, then move it there at once.

    Args:
        folder: where the model is kept.
        config: how it was trained.
        state: `Pretraining.state_dict()` after the last step.
    """
    fresh = folder.with_name(f"{folder.name}.partial")  # a killed process may have left one
    shutil.rmtree(fresh, ignore_errors=True)
    save_clip(clip_from_state(config, state), fresh, config)
    digest = hex_digest((fresh / _WEIGHTS).read_bytes())
    card = {"trained_on": "phantoms", "config": asdict(config), "sha256": digest}
    (fresh / _CARD).write_text(to_json(card, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def training_folder(folder: Path) -> Path:
    """Where checkpoints are kept until the model is finished."""
    return folder.parent / "training" / folder.name


def draw_phantoms(flag: str, config: PretrainingConfig) -> LabelledPhantoms:
    """All training images of one look, and the kind of each."""
    add_looks(config.looks)
    return phantoms.draw_look(
        phantoms.LOOKS[flag], config.phantoms_per_look, config.seed, spread=config.spread
    )


def _train(folder: Path, config: PretrainingConfig, on_progress: OnProgress) -> dict[str, Any]:
    """Draw the phantoms and train on them in this process, from the last checkpoint if any.

    With one thread, as the workers of the job have it: sums over several differ in their last bits.
    """
    with one_thread():
        training = Pretraining(config, _draw_all(config, on_progress))
        checkpoint = training_folder(folder) / _STATE
        if checkpoint.exists():
            training.load_state_dict(torch.load(checkpoint, weights_only=True))
        while not training.done:
            training.step()
            on_progress("training", training.steps_done, config.steps)
            if training.steps_done % _CHECKPOINT_EVERY == 0 and not training.done:
                _write_checkpoint(checkpoint, training.state_dict())
        return training.state_dict()


def _draw_all(config: PretrainingConfig, on_progress: OnProgress) -> dict[str, LabelledPhantoms]:
    add_looks(config.looks)
    drawn = dict[str, LabelledPhantoms]()
    for flag in phantoms.LOOKS:
        drawn[flag] = draw_phantoms(flag, config)
        on_progress("drawing", len(drawn), len(phantoms.LOOKS))
    return drawn


def _write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state; what was there before is replaced at once."""
    fresh, buffer = path.with_suffix(".partial"), BytesIO()
    torch.save(dict(state), buffer)  # to a file, it hides the errors of the operating system
    with _errors_of_keeping(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(buffer.getvalue())
        fresh.replace(path)
