"""The trained phantom CLIPs that come with the package: `phantom`, `phantom-1` and `phantom-2`.

One file per model, named for all that decides its weights (`fingerprint`), with the float32 weights
and the ids of the words that were learned. The vectors of all other words are those of the model's
initialisation, so they need no room. `tools/ship_phantoms.py` writes the files, and compares them
with a new training before a release.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from medlabel.teacher.phantom_clip import PretrainingConfig, fingerprint

__all__ = ["SHIPPED_SEEDS", "shipped_state", "write_shipped"]

SHIPPED_SEEDS = (0, 1, 2)
"""Seeds of the models in the package: those of `phantom`, `phantom-1` and `phantom-2`."""

_FOLDER = "phantom_weights"
_WORDS = "words"  # beside the weights, which have dots in their names


def shipped_state(config: PretrainingConfig) -> dict[str, Any] | None:
    """Return the state of the finished training, as `clip_from_state` takes it; None if not here.

    >>> shipped_state(PretrainingConfig(seed=77)) is None
    True
    """
    resource = files("medlabel.teacher") / _FOLDER / f"phantom-{fingerprint(config)}.safetensors"
    if not resource.is_file():
        return None
    with as_file(resource) as path:
        read = load_file(path)
    return {"words": read.pop(_WORDS), "model": read}


def write_shipped(
    folder: Path, config: PretrainingConfig, state: Mapping[str, Any], notes: Mapping[str, str]
) -> Path:
    """Write the state of a finished training into a folder of the package's source.

    Args:
        folder: `src/medlabel/teacher/phantom_weights`.
        config: how the model was trained.
        state: `Pretraining.state_dict()` after the last step.
        notes: the file's card, such as the licence and the command.

    Returns:
        The path of the file.
    """
    weights: Mapping[str, Tensor] = state["model"]
    tensors = {name: tensor.detach().contiguous() for name, tensor in weights.items()}
    path = folder / f"phantom-{fingerprint(config)}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(save({**tensors, _WORDS: state[_WORDS]}, dict(notes)))
    return path
