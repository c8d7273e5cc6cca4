"""Train medlabel's small CLIP on phantoms: Ray tasks draw, Ray Train trains.

The result is a folder in open_clip's `local-dir:` format, named for all that decides the weights.
It is kept and reused. A training whose worker or driver was killed goes on from its checkpoint.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from filelock import FileLock
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, LoggingConfig, RunConfig
from ray.train.torch import TorchTrainer

from medlabel import phantoms
from medlabel.errors import MedlabelError
from medlabel.phantoms.own import add_looks
from medlabel.storage.digests import hex_digest
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.teacher.clip import base_name
from medlabel.teacher.phantom_clip import (
    PretrainingConfig,
    is_phantom,
    pretraining_named,
    save_clip,
)
from medlabel.teacher.phantom_training import LabelledPhantoms, Pretraining, clip_from_state
from medlabel.teacher.zoo.weights import phantom_folder
from rayjobs.cluster import connect, one_line_errors

__all__ = ["ensure_phantom_clip", "local_name"]

_WEIGHTS = "open_clip_model.safetensors"
_CARD = "medlabel.json"
_STATE = "state.pt"


def ensure_phantom_clip(
    home: Path | str,
    config: PretrainingConfig | None = None,
    on_progress: OnProgress = ignore_progress,
    checkpoint_every: int = 50,
) -> str:
    """The folder of the small CLIP, `{home}/clip/phantom-XXXXXXXXXXXX`; trained now if need be.

    Args:
        home: where medlabel keeps what can be made again. On a cluster, a disk all nodes see.
        config: how to train; the default is what `--clip phantom` means.
        on_progress: called with ("drawing" or "training", done, total), from a second thread.
        checkpoint_every: steps between two checkpoints; no weight depends on it.

    Raises:
        MedlabelError: where `home` cannot be written.
    """
    config = config or PretrainingConfig()
    folder = phantom_folder(home, config)
    if not _is_whole(folder):
        with _alone(folder):
            if not _is_whole(folder):
                _train_into(folder, config, on_progress, checkpoint_every)
    return str(folder)


def local_name(name: str, home: Path | str, on_progress: OnProgress = ignore_progress) -> str:
    """What `load_clip` takes: a phantom CLIP by its folder, trained now if need be."""
    base = base_name(name)
    if not is_phantom(base):
        return name
    folder = ensure_phantom_clip(home, pretraining_named(base), on_progress)
    return folder + name.removeprefix(base)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: of two drivers that want the same model, one trains it."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{folder}.lock")
        lock.acquire()
    except OSError as error:
        raise MedlabelError(
            f"cannot keep the phantom CLIP in {folder.parent}: {error.strerror}; "
            "name a folder that can be written"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _is_whole(folder: Path) -> bool:
    """Whether the folder holds a finished model whose weights are those its card names."""
    try:
        card = json.loads((folder / _CARD).read_text())
        digest = hex_digest((folder / _WEIGHTS).read_bytes())
    except (OSError, ValueError):
        return False
    return bool(card.get("sha256") == digest)


def _train_into(
    folder: Path, config: PretrainingConfig, on_progress: OnProgress, checkpoint_every: int
) -> None:
    """Draw, train, and keep the result."""
    connect()
    with one_line_errors("training the phantom teacher"):
        drawn = _draw(config, on_progress)
        state = _train(folder, config, drawn, on_progress, checkpoint_every)
    _finish(folder, config, state)
    shutil.rmtree(_training_folder(folder), ignore_errors=True)


def _finish(folder: Path, config: PretrainingConfig, state: dict[str, Any]) -> None:
    """Write the model and its card beside the folder's place, then move them there at once."""
    fresh = folder.with_name(f"{folder.name}.partial")  # a killed driver may have left one
    shutil.rmtree(fresh, ignore_errors=True)
    save_clip(clip_from_state(config, state), fresh, config)
    digest = hex_digest((fresh / _WEIGHTS).read_bytes())
    card = {"trained_on": "phantoms", "config": asdict(config), "sha256": digest}
    (fresh / _CARD).write_text(json.dumps(card, indent=2) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)


def _training_folder(folder: Path) -> Path:
    """Where Ray Train keeps its checkpoints until the model is finished."""
    return folder.parent / "training" / folder.name


# --- Drawing -------------------------------------------------------------------------------------


@ray.remote(num_cpus=1)
def _draw_look(flag: str, config: PretrainingConfig) -> LabelledPhantoms:
    """All phantoms of one look, and the kind of each."""
    add_looks(config.looks)
    return phantoms.draw_look(
        phantoms.LOOKS[flag], config.phantoms_per_look, config.seed, spread=config.spread
    )


def _draw(config: PretrainingConfig, on_progress: OnProgress) -> dict[str, Any]:
    """References to the phantoms of every look, drawn by one Ray task a look."""
    add_looks(config.looks)
    drawn = {flag: _draw_look.remote(flag, config) for flag in phantoms.LOOKS}
    waiting = list(drawn.values())
    while waiting:
        _, waiting = ray.wait(waiting, num_returns=1, fetch_local=False)
        on_progress("drawing", len(drawn) - len(waiting), len(drawn))
    return drawn


# --- Training ------------------------------------------------------------------------------------


class _ProgressFile:
    """How many steps are done: written by the worker, read by the driver."""

    def __init__(self) -> None:
        self.done = 0

    def write(self, done: int) -> None:
        """Note the steps done."""
        self.done = done

    def read(self) -> int:
        """The steps done."""
        return self.done


@contextmanager
def _watched(tally: Any, total: int, on_progress: OnProgress) -> Iterator[None]:
    """While the block runs, tell `on_progress` twice a second what the tally says."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            on_progress("training", ray.get(tally.read.remote()), total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _train(
    folder: Path, config: PretrainingConfig, drawn: dict[str, Any],
    on_progress: OnProgress, checkpoint_every: int,
) -> dict[str, Any]:  # fmt: skip
    """Train with Ray Train; the state after the last step."""
    training = _training_folder(folder)
    tally = ray.remote(num_cpus=0)(_ProgressFile).remote()
    trainer = TorchTrainer(
        _train_loop,
        train_loop_config={
            "config": config, "drawn": drawn, "tally": tally, "checkpoint_every": checkpoint_every,
        },
        scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(  # type: ignore[call-arg]  # V2 has logging_config
            name=training.name,
            storage_path=str(training.parent),
            failure_config=FailureConfig(max_failures=2),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )  # fmt: skip
    with _watched(tally, config.steps, on_progress):
        result = trainer.fit()
    on_progress("training", config.steps, config.steps)
    assert result.checkpoint is not None, "the loop reports a checkpoint after its last step"
    return _read(result.checkpoint)


def _train_loop(settings: dict[str, Any]) -> None:
    """What the worker does: resume, step, report a checkpoint now and then.

    One thread: with two, anything else that runs on the machine makes each step many times slower.
    """
    torch.set_num_threads(1)
    add_looks(settings["config"].looks)
    images = {flag: ray.get(reference) for flag, reference in settings["drawn"].items()}
    training = Pretraining(settings["config"], images)
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        training.load_state_dict(_read(checkpoint))
    loss = float("nan")
    while not training.done:
        loss = training.step()
        settings["tally"].write.remote(training.steps_done)
        if training.steps_done % settings["checkpoint_every"] == 0 and not training.done:
            _report(training, loss)
    _report(training, loss)


def _report(training: Pretraining, loss: float) -> None:
    """Hand Ray Train the state so far."""
    metrics = {"step": training.steps_done, "loss": loss}
    with tempfile.TemporaryDirectory() as folder:
        torch.save(training.state_dict(), Path(folder) / _STATE)
        ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))


def _read(checkpoint: Checkpoint) -> dict[str, Any]:
    """The state in a checkpoint; tensors and numbers only, no pickled code."""
    with checkpoint.as_directory() as folder:
        state: dict[str, Any] = torch.load(Path(folder) / _STATE, weights_only=True)
    return state
