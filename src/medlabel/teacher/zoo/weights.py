"""Find the file of a model's weights on this machine and verify its digest.

Nothing here uses the network: the cache of the Hugging Face Hub is searched as open_clip does.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

import medlabel._torchvision  # noqa: F401  (before open_clip, which imports torchvision)

import open_clip  # isort: skip
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME  # isort: skip

from medlabel.errors import MedlabelError
from medlabel.storage.digests import file_digest, hex_digest
from medlabel.teacher.clip import base_name, resolve_clip
from medlabel.teacher.phantom_clip import (
    PretrainingConfig,
    fingerprint,
    is_phantom,
    pretraining_named,
)

__all__ = [
    "LocalFile",
    "VerifiedFile",
    "find_local_weights",
    "hub_file",
    "named_digest",
    "phantom_folder",
    "verify_file",
    "without_path",
]

_KINDS = (".safetensors", ".bin", ".pth")  # in open_clip's order of preference
_BESIDE = (".json", ".txt", ".model")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LocalFile:
    """A file on this machine and its published digest.

    Attributes:
        path: the file.
        location: what to copy to another machine: the repository's folder in the Hub's cache, the
            model's folder, or the file itself.
        expected_digest: published digest (hex), or None if there is none.
        algorithm: of the digest: `sha256` or `md5`.
        digest_source: who publishes it.
    """

    path: Path
    location: Path
    expected_digest: str | None = None
    algorithm: str = "sha256"
    digest_source: str = "nobody"


@dataclass(frozen=True)
class VerifiedFile:
    """An intact file: its location, size in bytes, SHA-256 (hex), and how it was verified."""

    location: Path
    size: int
    sha256: str
    verified_by: str


def phantom_folder(home: Path | str, config: PretrainingConfig | None = None) -> Path:
    """Return the folder of the phantom CLIP that is trained with this configuration.

    Args:
        home: the cache folder of medlabel.
        config: that of the model `phantom` if None.
    """
    name = f"phantom-{fingerprint(config or PretrainingConfig())}"
    return Path(home).absolute() / "clip" / name


def find_local_weights(name: str, home: Path) -> LocalFile | None:
    """Return the file with the weights of a model, or None if it is not on this machine.

    Args:
        name: of the model; see the table in `medlabel.teacher.clip`.
        home: the cache folder of medlabel, which has the phantom CLIP.

    Raises:
        MedlabelError: the model is unknown.
    """
    name = base_name(name)
    if is_phantom(name):
        return _in_folder(phantom_folder(home, pretraining_named(name)))
    if Path(name).is_file():
        return LocalFile(Path(name), Path(name))
    model, tag = resolve_clip(name)
    if model.startswith("local-dir:"):
        return _in_folder(Path(name))
    if model.startswith("hf-hub:"):
        return _in_cache(model.removeprefix("hf-hub:"), HF_WEIGHTS_NAME)
    address = open_clip.get_pretrained_cfg(model, tag).get("hf_hub")
    if not address:
        return LocalFile(Path(tag or ""), Path(tag or ""))
    repository, _, file = address.rpartition("/")
    return _in_cache(repository, file or HF_WEIGHTS_NAME)


def named_digest(name: str) -> str | None:
    """Return the SHA-256 (hex) of the file or open_clip folder that a model's name gives as a path.

    Of a folder, it covers the weights that open_clip would load, and the small files beside them:
    configuration and tokenizer.

    Args:
        name: as a user types it.

    Returns:
        None for a name that is no path: weights of a tag or on the Hub do not change.
    """
    base = base_name(name)
    path = Path(base)
    if is_phantom(base):
        return None
    if path.is_dir():
        return _folder_digest(path)
    weights = path if path.is_file() else Path(base.partition(":")[2])
    return file_digest(weights) if weights.is_file() else None


def without_path(name: str) -> str:
    """Return what a name says besides the path in it (`named_digest`): architecture and `+views`.

    >>> without_path("ViT-B-32:models/a.pt+views")
    'ViT-B-32:+views'
    """
    base = base_name(name)
    architecture, colon, _ = base.partition(":")
    kept = (
        "" if Path(base).exists() or architecture not in open_clip.list_models() else architecture
    )
    return f"{kept}{colon if kept else ''}{name.removeprefix(base)}"


def _folder_digest(folder: Path) -> str:
    loaded = open_clip.factory._find_checkpoint_in_dir(folder)
    small = [path for path in folder.iterdir() if path.suffix in _BESIDE and path.is_file()]
    files = sorted({*small, *([Path(loaded)] if loaded else [])})
    return hex_digest("".join(f"{path.name} {file_digest(path)}\n" for path in files))


def hub_file(repository: str, file: str) -> Path | None:
    """Return the cached file of a repository on the Hugging Face Hub, or None.

    Raises:
        MedlabelError: the name of the repository is invalid.
    """
    try:
        found = try_to_load_from_cache(repository, file)
    except ValueError as error:
        raise MedlabelError(f"hf-hub:{repository}: {error}".splitlines()[0]) from error
    return Path(found) if isinstance(found, str) else None


def _in_folder(folder: Path) -> LocalFile | None:
    """Return the weights in an open_clip folder; folders by medlabel state their digest."""
    names = (HF_SAFE_WEIGHTS_NAME, "open_clip_pytorch_model.safetensors", HF_WEIGHTS_NAME)
    others = [file for kind in _KINDS for file in sorted(folder.glob(f"*{kind}"))]
    files = [file for file in (*(folder / name for name in names), *others) if file.is_file()]
    if not files:
        return None
    try:
        expected = json.loads((folder / "medlabel.json").read_text(encoding="utf-8")).get("sha256")
    except (OSError, ValueError, AttributeError):
        expected = None
    return LocalFile(files[0], folder, expected, digest_source="its card")


def _in_cache(repository: str, file: str) -> LocalFile | None:
    for candidate in _candidates(file):
        if path := hub_file(repository, candidate):
            blob = path.resolve().name  # the cache names large files by their SHA-256
            expected = blob if _SHA256.fullmatch(blob) else None
            return LocalFile(path, path.parents[2], expected, digest_source="the hub")
    return None


def _candidates(file: str) -> Iterator[str]:
    """Yield the file names that open_clip tries, in its order: safetensors come first."""
    if file == HF_WEIGHTS_NAME:
        yield HF_SAFE_WEIGHTS_NAME
    elif file.endswith((".bin", ".pth")):
        yield f"{file[:-4]}.safetensors"
    yield file


def verify_file(file: LocalFile) -> VerifiedFile:
    """Compute the digest of a file and compare it with the expected one.

    Raises:
        MedlabelError: the file is damaged; the message says what to delete.
    """
    sha256 = file_digest(file.path)
    verified_by = "it loads; no digest is published"  # only models may have none
    if file.expected_digest:
        found = sha256 if file.algorithm == "sha256" else file_digest(file.path, file.algorithm)
        label = {"sha256": "SHA-256", "md5": "MD5"}[file.algorithm]
        if found != file.expected_digest:
            raise MedlabelError(
                f"{file.path.resolve()} is damaged: its {label} is {found}, but "
                f"{file.digest_source} states {file.expected_digest}; delete it and fetch it again"
            )
        verified_by = f"{label} stated by {file.digest_source}"
    return VerifiedFile(file.location, file.path.stat().st_size, sha256, verified_by)
