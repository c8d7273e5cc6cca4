"""Train medlabel's small CLIP on phantoms: Ray tasks draw, Ray Train trains.

The result is a folder in open_clip's `local-dir:` format, named for all that decides the weights.
It is kept and reused. A training whose worker or driver was killed goes on from its checkpoint.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
from ray.exceptions import RayError
from ray.train import Checkpoint, CheckpointConfig, FailureConfig, LoggingConfig, RunConfig
from ray.train.torch import TorchTrainer

from medlabel import phantoms
from medlabel.phantoms.own import add_looks
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.teacher import phantom_store
from medlabel.teacher.phantom_clip import PretrainingConfig
from medlabel.teacher.phantom_store import draw_phantoms, ensure_trained, training_folder
from medlabel.teacher.phantom_training import LabelledPhantoms, Pretraining
from rayjobs.cluster import connect, one_line_errors

__all__ = ["ensure_phantom_clip", "local_name"]

_STATE = "state.pt"


def ensure_phantom_clip(
    home: Path | str,
    config: PretrainingConfig | None = None,
    on_progress: OnProgress = ignore_progress,
    checkpoint_every: int = 50,
) -> str:
    """The folder of the small CLIP, `{home}/clip/phantom-XXXXXXXXXXXX`; trained now if need be.

    Args:
        home: where medlabel keeps what can be computed again. On a cluster, a disk all nodes see.
        config: how to train; the default is what `--clip phantom` means.
        on_progress: called with ("drawing" or "training", done, total), from a second thread.
        checkpoint_every: steps between two checkpoints; no weight depends on it.

    Raises:
        MedlabelError: where `home` cannot be written.
    """

    def train(folder: Path, config: PretrainingConfig, on_progress: OnProgress) -> dict[str, Any]:
        connect()
        with one_line_errors("training the phantom teacher"):
            drawn = _draw(config, on_progress)
            return _train(folder, config, drawn, on_progress, checkpoint_every)

    return ensure_trained(home, config or PretrainingConfig(), train, on_progress)


def local_name(name: str, home: Path | str, on_progress: OnProgress = ignore_progress) -> str:
    """What `load_clip` takes: a phantom CLIP by its folder, trained with Ray now if need be."""
    return phantom_store.local_name(name, home, on_progress, ensure_phantom_clip)


# --- Drawing -------------------------------------------------------------------------------------


@ray.remote(num_cpus=1)
def _draw_look(flag: str, config: PretrainingConfig) -> LabelledPhantoms:
    """All phantoms of one look, and the kind of each."""
    return draw_phantoms(flag, config)


def _draw(config: PretrainingConfig, on_progress: OnProgress) -> dict[str, Any]:
    """References to the phantoms of every look, drawn by one Ray task per look."""
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
def _watched(progress: Any, total: int, on_progress: OnProgress) -> Iterator[None]:
    """While the block runs, call `on_progress` twice a second with the steps done."""
    over = threading.Event()

    def watch() -> None:
        with suppress(RayError):  # the training itself says what is wrong
            while not over.wait(0.5):
                on_progress("training", ray.get(progress.read.remote()), total)

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
    training = training_folder(folder)
    progress = ray.remote(num_cpus=0)(_ProgressFile).remote()
    trainer = TorchTrainer(
        _train_loop,
        train_loop_config={
            "config": config, "drawn": drawn, "progress": progress,
            "checkpoint_every": checkpoint_every,
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
    with _watched(progress, config.steps, on_progress):
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
        settings["progress"].write.remote(training.steps_done)
        if training.steps_done % settings["checkpoint_every"] == 0 and not training.done:
            _report(training, loss)
    _report(training, loss)


def _report(training: Pretraining, loss: float) -> None:
    """Hand Ray Train the state so far."""
    metrics = {"step": training.steps_done, "loss": loss}
    with tempfile.TemporaryDirectory() as folder:
        buffer = BytesIO()  # `torch.save` to a file hides the errors of the operating system
        torch.save(training.state_dict(), buffer)
        (Path(folder) / _STATE).write_bytes(buffer.getvalue())
        ray.train.report(metrics, checkpoint=Checkpoint.from_directory(folder))


def _read(checkpoint: Checkpoint) -> dict[str, Any]:
    """The state in a checkpoint; tensors and numbers only, no pickled code."""
    with checkpoint.as_directory() as folder:
        state: dict[str, Any] = torch.load(Path(folder) / _STATE, weights_only=True)
    return state
