"""From the name of a CLIP to the model: architecture, weights, activation and preprocessing.

The same weights with GELU and with QuickGELU are two models, and no file of weights says which of
the two it was trained with. What decides is:

| name | activation | preprocessing |
| --- | --- | --- |
| ARCHITECTURE:TAG | what open_clip states for the tag, else for the architecture | the tag's |
| ARCHITECTURE:PATH | the architecture's: QuickGELU for `…-quickgelu` | that of all its tags |
| a folder, hf-hub:OWNER/NAME | its `open_clip_config.json` | the same |
| PATH of OpenAI's format | QuickGELU | OpenAI's |

Nothing is guessed from the spelling of a path. What had to be assumed is returned as a remark,
which becomes a `TeacherWarning` where the model is put to use.
"""

import json
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

import open_clip  # isort: skip

from medlabel.errors import MedlabelError

__all__ = ["PAPER_MODELS", "PREPROCESSING", "LoadedClip", "load_model", "resolve_clip"]

PAPER_MODELS = {
    name: f"{name.replace('/', '-')}-quickgelu"
    for name in (
        *("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"),
        *("ViT-B/32", "ViT-B/16", "ViT-L/14"),
    )
}
PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
"""The fields of open_clip's preprocessing that are stated for each tag."""

_QUICK = "-quickgelu"
_OPENAI_EXTRAS = ("input_resolution", "context_length", "vocab_size")


@dataclass(frozen=True)
class LoadedClip:
    """A model, its tokenizer, and what decides it besides its weights.

    Attributes:
        model: with its weights.
        tokenizer: maps captions to token ids.
        architecture: open_clip's name or configuration, and the activation.
        remarks: sentences on what had to be assumed, because the file does not say it.
    """

    model: nn.Module
    tokenizer: Callable[[list[str]], Tensor]
    architecture: str
    remarks: tuple[str, ...] = ()


def resolve_clip(name: str) -> tuple[str, str | None]:
    """Return open_clip's name of a model and its weights: a tag, a file, or None on the Hub.

    >>> resolve_clip("ViT-L/14")
    ('ViT-L-14-quickgelu', 'openai')

    Args:
        name: of a model that is neither `phantom` nor a checkpoint in OpenAI's format.

    Raises:
        MedlabelError: the model is unknown, or its weights are missing or unknown.
    """
    if Path(name).is_dir():
        return f"local-dir:{name}", None
    if name.startswith("hf-hub:"):
        return name, None
    if name in PAPER_MODELS:
        return PAPER_MODELS[name], "openai"
    typed, _, weights = name.partition(":")
    architecture = typed.replace("/", "-")
    if architecture not in open_clip.list_models():
        raise MedlabelError(
            f"unknown model {name!r}: choose phantom, {', '.join(PAPER_MODELS)}, an open_clip "
            "ARCHITECTURE:TAG, hf-hub:OWNER/NAME, or the path of a checkpoint"
        )
    known = open_clip.is_pretrained_cfg(architecture, weights)
    if not weights or not (known or Path(weights).is_file()):
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none known"
        wrong = f"{weights!r} is neither a tag nor a file" if weights else "needs its weights named"
        raise MedlabelError(
            f"model {name!r}: {wrong}; write {typed}:TAG with a tag of {tags}, or {typed}:PATH"
        )
    return architecture, weights


def load_model(name: str) -> LoadedClip:
    """Load a model by its name.

    Args:
        name: as for `resolve_clip`, or the path of a checkpoint in OpenAI's format.

    Raises:
        MedlabelError: the model is unknown, its file is damaged, or the download failed.
    """
    path = Path(name)
    return _load_openai_file(path) if path.is_file() else _create(*resolve_clip(name))


def _create(name: str, weights: str | None) -> LoadedClip:
    settings = _settings(name, weights) if weights else {}
    if weights and _is_torchscript(Path(weights)):
        raise MedlabelError(f"{weights} is a TorchScript archive, as OpenAI's are: give it alone")
    try:
        with warnings.catch_warnings():
            # open_clip compares the tag with the architecture; which of them holds is decided here
            warnings.filterwarnings("ignore", "QuickGELU mismatch")
            model = open_clip.create_model(
                name, weights, require_pretrained=True, weights_only=True, **settings
            )
            tokenizer = open_clip.get_tokenizer(name)
    except Exception as error:  # the Hub, the network and torch raise many kinds
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise MedlabelError(
            f"model {name} could not be loaded ({reason}). Weights are downloaded once, to the "
            "hub's cache; without a network, give the path of a checkpoint, or --clip phantom"
        ) from error
    how = _architecture(name, bool(settings.get("quick_gelu")))
    remarks = _assumptions(name, weights) if weights and not _is_tag(name, weights) else ()
    return LoadedClip(model, tokenizer, how, tuple(remarks))


def _is_tag(architecture: str, weights: str) -> bool:
    return bool(open_clip.is_pretrained_cfg(architecture, weights))


def _settings(architecture: str, weights: str) -> dict[str, Any]:
    """The activation, and the preprocessing where open_clip would not know it."""
    of_architecture = bool(open_clip.get_model_config(architecture).get("quick_gelu", False))
    if _is_tag(architecture, weights):
        of_tag = open_clip.get_pretrained_cfg(architecture, weights)
        return {"quick_gelu": bool(of_tag.get("quick_gelu", of_architecture))}
    published = _published_preprocessing(architecture)
    assumed = {"force_preprocess_cfg": dict(published[0])} if len(published) == 1 else {}
    return {"quick_gelu": of_architecture, **assumed}


def _published_preprocessing(architecture: str) -> list[Mapping[str, Any]]:
    """The different preprocessings of an architecture's published weights."""
    found: list[Mapping[str, Any]] = []
    for tag in open_clip.list_pretrained_tags_by_model(architecture):
        stated = open_clip.get_pretrained_cfg(architecture, tag)
        fields = {field: stated[field] for field in PREPROCESSING}
        found += [] if fields in found else [fields]
    return found


def _assumptions(architecture: str, path: str) -> Iterator[str]:
    """What the name of an architecture leaves open about a file of weights."""
    if f"{architecture}{_QUICK}" in open_clip.list_models():
        tags = open_clip.list_pretrained_tags_by_model(f"{architecture}{_QUICK}")
        others = f", as the published weights {', '.join(tags)} were" if tags else ""
        yield (
            f"{path} does not say which activation it was trained with: GELU is assumed, because "
            f"the name is {architecture}. If it was trained with QuickGELU{others}, write "
            f"{architecture}{_QUICK}:{path}"
        )
    if len(_published_preprocessing(architecture)) > 1:
        yield (
            f"{path} does not say how its images were normalised, and published weights of "
            f"{architecture} differ in it: OpenAI's mean and standard deviation are assumed. An "
            "open_clip folder (open_clip_config.json beside the weights) says it"
        )


def _architecture(name: str, quick_gelu: bool) -> str:
    """Return what decides a model besides its weights: open_clip's name or configuration."""
    if ":" not in name:
        return f"{name}{' with QuickGELU' if quick_gelu else ''}"
    return json.dumps(open_clip.get_model_config(name), sort_keys=True)


# --- OpenAI's format ------------------------------------------------------------------------------


def _load_openai_file(path: Path) -> LoadedClip:
    """Load OpenAI's format: a TorchScript archive or a state dict, always with QuickGELU."""
    try:
        state, remarks = _read_openai_state(path)
        model = open_clip.model.build_model_from_openai_state_dict(
            {key: value for key, value in state.items() if key not in _OPENAI_EXTRAS},
            quick_gelu=True,
            cast_dtype=torch.float32,
        )
    except MedlabelError:
        raise
    except Exception as error:  # an unknown file can fail in any way
        raise MedlabelError(
            f"{path} is not a CLIP checkpoint in OpenAI's format ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}); for open_clip's "
            "own format write ARCHITECTURE:PATH"
        ) from error
    open_clip.set_model_preprocess_cfg(model, {**_openai_preprocess(model)})
    text_length = int(model.positional_embedding.shape[0])
    tokenizer = open_clip.SimpleTokenizer(context_length=text_length)
    return LoadedClip(model.float(), tokenizer, "OpenAI's, from its weights", remarks)


def _read_openai_state(path: Path) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Return the tensors by name of a file that is OpenAI's by its own content, and remarks.

    OpenAI's own files are TorchScript archives, which torch executes, so load only those that you
    trust. State dicts are read with `weights_only=True`. One is OpenAI's if it holds OpenAI's three
    extra numbers, or 16-bit weights, as OpenAI's have.

    Raises:
        MedlabelError: the file could as well be open_clip's, whose activation, number of heads and
            preprocessing do not follow from the weights.
    """
    if _is_torchscript(path):
        if _uses_gelu(path):
            raise MedlabelError(
                f"{path} is a TorchScript archive with GELU, and none of OpenAI's: save its state "
                "dict, and write ARCHITECTURE:PATH"
            )
        return _read_archive(path), ()
    state, wrapped = _read_state_dict(path)
    if set(_OPENAI_EXTRAS) <= state.keys():
        return state, ()
    if wrapped or not any(value.dtype == torch.float16 for value in state.values()):
        raise MedlabelError(_unclear(path, state))
    return state, (
        f"{path} is read as OpenAI's, with QuickGELU, because its weights have 16 bits. If it was "
        f"trained by open_clip, write ARCHITECTURE:{path}",
    )


def _read_archive(path: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the format is old; it is OpenAI's
        return dict(torch.jit.load(str(path), map_location="cpu").state_dict())


def _read_state_dict(path: Path) -> tuple[dict[str, Tensor], bool]:
    """The weights by name, and whether they stand within the checkpoint of a training."""
    if path.suffix == ".safetensors":
        return dict(open_clip.factory.load_state_dict(str(path))), False
    found = torch.load(path, map_location="cpu", weights_only=True)
    wrapped = "state_dict" in found or next(iter(found)).startswith("module.")
    state = found.get("state_dict", found)
    return {key.removeprefix("module."): value for key, value in state.items()}, wrapped


def _unclear(path: Path, state: Mapping[str, Tensor]) -> str:
    if (path.parent / "open_clip_config.json").is_file():
        return f"{path}: its folder says how to read it: write --clip {path.parent}"
    fitting = _fitting_architectures(state)
    name = fitting[0] if fitting else "ARCHITECTURE"
    return (
        f"{path} holds weights as open_clip writes them, which do not say the activation that they "
        f"were trained with: write {name}:{path}, or {name}{_QUICK}:{path} for QuickGELU, which "
        "OpenAI's have"
    )


def _fitting_architectures(state: Mapping[str, Tensor]) -> list[str]:
    """The architectures with both activations whose weights have these shapes, as far as seen."""
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    patches = shapes.get("visual.conv1.weight", ())
    layers = len({key.split(".")[3] for key in shapes if "visual.transformer.resblocks." in key})
    found = shapes.get("visual.proj"), patches[:1], patches[-1:], layers
    known = open_clip.list_models()
    of_openai = [name for name in known if f"{name}{_QUICK}" in known]
    return [name for name in of_openai if _vision_shapes(name) == found]


def _vision_shapes(architecture: str) -> tuple[Any, ...] | None:
    """The same of an architecture; None where it is no plain vision transformer of open_clip."""
    config = open_clip.get_model_config(architecture)
    vision = config["vision_cfg"]
    if not isinstance(vision.get("layers"), int):
        return None
    width = vision.get("width", 768)
    patch = vision.get("patch_size", 16)
    return (width, config["embed_dim"]), (width,), (patch,), vision["layers"]


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _uses_gelu(archive: Path) -> bool:
    """Whether the program in a TorchScript archive calls GELU; OpenAI's computes QuickGELU."""
    with zipfile.ZipFile(archive) as opened:
        programs = [name for name in opened.namelist() if name.endswith(".py")]
        return any(b"torch.gelu(" in opened.read(name) for name in programs)


def _openai_preprocess(model: Any) -> dict[str, Any]:
    return {
        "size": model.visual.image_size,
        "mean": open_clip.OPENAI_DATASET_MEAN,
        "std": open_clip.OPENAI_DATASET_STD,
        "interpolation": "bicubic",
    }
