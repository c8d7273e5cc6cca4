"""Train the phantom teachers of the situations: those of the package, and others with gaps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from medlabel.phantoms import LOOKS
from medlabel.storage.progress import OnProgress
from medlabel.teacher.phantom_clip import PretrainingConfig
from medlabel.teacher.phantom_store import draw_phantoms, ensure_trained
from medlabel.teacher.phantom_training import Pretraining

__all__ = ["train_all"]


def train_all(configs: Sequence[PretrainingConfig], home: Path, device: str) -> None:
    """Train each that is not kept, on one device."""

    def train(_: Path, config: PretrainingConfig, on_progress: OnProgress) -> dict[str, object]:
        drawn = {flag: draw_phantoms(flag, config) for flag in LOOKS}
        training = Pretraining(config, drawn, device)
        while not training.done:
            training.step()
            on_progress("training", training.steps_done, config.steps)
        state = training.state_dict()
        model = {name: tensor.cpu() for name, tensor in state["model"].items()}
        return {**state, "model": model}

    for config in track(configs, "training teachers"):
        ensure_trained(home, config, train, lambda *_: None)
