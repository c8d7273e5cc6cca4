"""Facts about a CLIP before it is downloaded: parameters, input size, operations per image.

They are measured on the architecture, built on torch's `meta` device, where tensors have a shape
but no memory. Only checkpoints in OpenAI's format are read, because their architecture is given by
the shapes of their weights.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

import open_clip  # isort: skip

from medlabel.errors import MedlabelError
from medlabel.teacher.clip import PAPER_MODELS, base_name, load_clip, resolve_clip
from medlabel.teacher.phantom_clip import is_phantom, model_settings, pretraining_named
from medlabel.teacher.zoo.weights import LocalFile, find_local_weights, hub_file

__all__ = [
    "DEFAULT_MODELS",
    "ModelInfo",
    "clip_config",
    "describe_model",
    "models_table",
    "with_tilde",
]

DEFAULT_MODELS = (
    "phantom",
    *PAPER_MODELS,
    "hf-hub:microsoft/BiomedCLIP-PubMedBERT_256-vit_base_patch16_224",
)
"""The models that `medlabel models` lists by default."""


@dataclass(frozen=True)
class ModelInfo:
    """Facts about a model; None if they are not known on this machine.

    Attributes:
        name: of the model.
        parameters: number of parameters of both towers.
        image_size: side of the square input in pixels.
        embedding_dim: length of an embedding.
        flop: floating-point operations per image; a multiply-add counts as two.
        weights: the file on this machine, if there is one.
    """

    name: str
    parameters: int | None
    image_size: int | None
    embedding_dim: int | None
    flop: int | None
    weights: LocalFile | None


def describe_model(name: str, home: Path) -> ModelInfo:
    """Return the facts about a model, without using the network.

    Raises:
        MedlabelError: the model is unknown, or its architecture cannot be built.
    """
    weights = find_local_weights(name, home)
    if Path(base_name(name)).is_file():
        model = load_clip(name, "cpu").model.to("meta")
        return ModelInfo(name, _parameters(model), *_measure(model), weights)
    config = clip_config(name)
    if config is None:
        return ModelInfo(name, None, None, None, None, weights)
    try:
        model = _on_meta(config)
        parameters = None if _text_is_elsewhere(config) else _parameters(model)
        return ModelInfo(name, parameters, *_measure(model), weights)
    except Exception as error:  # open_clip and timm raise many kinds
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise MedlabelError(f"the architecture of {name} cannot be built ({reason})") from error


def clip_config(name: str) -> Mapping[str, Any] | None:
    """Return open_clip's `model_cfg` of a model, or None if it is only known on the Hub.

    Raises:
        MedlabelError: the model is unknown, or its configuration file is invalid.
    """
    name = base_name(name)
    if is_phantom(name):
        return model_settings(pretraining_named(name))
    model, _ = resolve_clip(name)
    path: Path | None = Path(name) / "open_clip_config.json"
    if model.startswith("hf-hub:"):
        path = hub_file(model.removeprefix("hf-hub:"), "open_clip_config.json")
    elif not model.startswith("local-dir:"):
        built_in: Mapping[str, Any] = open_clip.get_model_config(model)
        return built_in
    return _read_config(path) if path else None


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))["model_cfg"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MedlabelError(f"{path} is missing or is not open_clip's configuration") from error
    return config


def _text_is_elsewhere(config: Mapping[str, Any]) -> bool:
    """Whether the architecture of the text tower is on the Hub, as BiomedCLIP's is."""
    return "hf_model_name" in config["text_cfg"]


def _on_meta(config: Mapping[str, Any]) -> nn.Module:
    """Build the model on the meta device; a text tower from the Hub gets open_clip's default."""
    wanted = dict(config)
    wanted["vision_cfg"] = {**config["vision_cfg"], "timm_model_pretrained": False}
    kind: Any = open_clip.CustomTextCLIP if wanted.pop("custom_text", False) else open_clip.CLIP
    if _text_is_elsewhere(config):
        wanted["text_cfg"] = {}
        wanted.pop("multimodal_cfg", None)
    elif "multimodal_cfg" in wanted:
        kind = open_clip.CoCa
    with torch.device("meta"):
        model: nn.Module = kind(**wanted)
    return model


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _measure(model: Any) -> tuple[int, int, int]:
    """Return input size in pixels, embedding dimension and FLOP per image of the image tower.

    On the meta device attention is computed by matrix products, all of which are counted.
    """
    size = model.visual.image_size
    side = int(size if isinstance(size, int) else size[0])
    model.eval().requires_grad_(False)
    with FlopCounterMode(display=False) as counter, torch.no_grad(), torch.device("meta"):
        features = model.encode_image(torch.empty(1, 3, side, side))
    if isinstance(features, tuple):  # CoCa's tower also returns its tokens
        features = features[0]
    return side, int(features.shape[-1]), int(counter.get_total_flops())


# --- Output for the terminal ---------------------------------------------------------------------


def models_table(facts: Sequence[ModelInfo]) -> Table:
    """Return the facts as a table for the terminal."""
    table = Table(
        title="What --clip takes",
        caption="GFLOP: per image, image tower only; a multiply-add counts as two. "
        "-: unknown until it is fetched (medlabel fetch MODEL).",
    )
    table.add_column("model", overflow="fold")
    for column in ("parameters", "pixels", "width", "GFLOP"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("weights here", overflow="fold")
    for row in facts:
        table.add_row(
            row.name,
            _or_dash(row.parameters, lambda count: f"{count / 1e6:.1f} M"),
            _or_dash(row.image_size, str),
            _or_dash(row.embedding_dim, str),
            _or_dash(row.flop, lambda flop: _three_digits(flop / 1e9)),
            with_tilde(row.weights.location) if row.weights else "no",
        )
    return table


def _or_dash(figure: int | None, show: Any) -> str:
    return "-" if figure is None else show(figure)


def _three_digits(figure: float) -> str:
    return f"{figure:.0f}" if figure >= 100 else f"{figure:.3g}"


def with_tilde(path: Path) -> str:
    """Return a path with the home directory abbreviated as `~`."""
    try:
        full, own = path.absolute(), Path.home()
    except RuntimeError:  # the user has no home directory
        return str(path.absolute())
    return f"~/{full.relative_to(own)}" if full.is_relative_to(own) else str(full)
