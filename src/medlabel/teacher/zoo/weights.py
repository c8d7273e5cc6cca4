"""Which file a model's weights are, where it lies, and whether it is what it should be.

Nothing here touches the network: a hub's cache is looked into the way open_clip does.
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
from medlabel.storage.digests import file_digest
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
    "phantom_folder",
    "verify_file",
]

_KINDS = (".safetensors", ".bin", ".pth")  # in open_clip's order of preference
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class LocalFile:
    """A file, and what its maker says of it.

    Attributes:
        path: the file.
        kept_in: what a person would copy to another machine: a repository's folder in the hub's
            cache, a model's folder, or the file itself.
        promise: the digest (hex) it should have; None where nobody states one.
        algorithm: of that digest, a name that hashlib knows.
        digest_source: who states it.
    """

    path: Path
    location: Path
    expected_digest: str | None = None
    algorithm: str = "sha256"
    digest_source: str = "nobody"


@dataclass(frozen=True)
class VerifiedFile:
    """A file found to be whole: its size in bytes, its SHA-256 (hex), and how that is known."""

    location: Path
    size: int
    sha256: str
    verified_by: str


def phantom_folder(home: Path | str, config: PretrainingConfig | None = None) -> Path:
    """Where the small CLIP of this config is kept once it is trained (the default: `phantom`)."""
    name = f"phantom-{fingerprint(config or PretrainingConfig())}"
    return Path(home).absolute() / "clip" / name


def find_local_weights(name: str, home: Path) -> LocalFile | None:
    """The weights of a model as a user types it, or None where this machine has none.

    Args:
        name: see the table in `medlabel.teacher.clip`.
        home: where medlabel keeps what can be made again: the phantom CLIP.

    Raises:
        MedlabelError: an unknown model.
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


def hub_file(repository: str, file: str) -> Path | None:
    """A file of a hub's repository as the cache holds it.

    Raises:
        MedlabelError: no repository can have this name.
    """
    try:
        found = try_to_load_from_cache(repository, file)
    except ValueError as error:
        raise MedlabelError(f"hf-hub:{repository}: {error}".splitlines()[0]) from error
    return Path(found) if isinstance(found, str) else None


def _in_folder(folder: Path) -> LocalFile | None:
    """Weights in an open_clip folder; medlabel's own folders state their digest on a card."""
    names = (HF_SAFE_WEIGHTS_NAME, "open_clip_pytorch_model.safetensors", HF_WEIGHTS_NAME)
    others = [file for kind in _KINDS for file in sorted(folder.glob(f"*{kind}"))]
    files = [file for file in (*(folder / name for name in names), *others) if file.is_file()]
    if not files:
        return None
    try:
        promise = json.loads((folder / "medlabel.json").read_text()).get("sha256")
    except (OSError, ValueError, AttributeError):
        promise = None
    return LocalFile(files[0], folder, promise, digest_source="its card")


def _in_cache(repository: str, file: str) -> LocalFile | None:
    for candidate in _candidates(file):
        if path := hub_file(repository, candidate):
            blob = path.resolve().name  # large files are kept under their SHA-256
            promise = blob if _SHA256.fullmatch(blob) else None
            return LocalFile(path, path.parents[2], promise, digest_source="the hub")
    return None


def _candidates(file: str) -> Iterator[str]:
    """The names that open_clip asks a hub for, in its order: safetensors come first."""
    if file == HF_WEIGHTS_NAME:
        yield HF_SAFE_WEIGHTS_NAME
    elif file.endswith((".bin", ".pth")):
        yield f"{file[:-4]}.safetensors"
    yield file


def verify_file(file: LocalFile) -> VerifiedFile:
    """Read the file whole and compare it with what its maker promises.

    Raises:
        MedlabelError: the file is damaged; the message says what to delete.
    """
    sha256 = file_digest(file.path)
    how = "it loads; nobody states a hash"  # a model's: every other file has a promise
    if file.expected_digest:
        found = sha256 if file.algorithm == "sha256" else file_digest(file.path, file.algorithm)
        label = {"sha256": "SHA-256", "md5": "MD5"}[file.algorithm]
        if found != file.expected_digest:
            raise MedlabelError(
                f"{file.path.resolve()} is damaged: its {label} is {found}, but "
                f"{file.digest_source} states {file.expected_digest}; delete it and fetch it again"
            )
        how = f"{label} that {file.digest_source} states"
    return VerifiedFile(file.location, file.path.stat().st_size, sha256, how)
