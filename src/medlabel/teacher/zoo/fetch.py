"""Download and verify models and MedMNIST sets ahead of runs without a network.

Downloads are made by open_clip and medmnist. Files that exist are verified and not downloaded
again; a damaged file is reported and left for its owner to delete.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from medlabel.data.sources import (
    MEDMNIST_FLAGS,
    SIZES,
    default_data_root,
    download_medmnist,
    is_npz,
    medmnist_file,
)
from medlabel.errors import MedlabelError
from medlabel.teacher.clip import base_name, load_clip
from medlabel.teacher.phantom_clip import is_phantom
from medlabel.teacher.zoo.facts import DEFAULT_MODELS, clip_config, with_tilde
from medlabel.teacher.zoo.weights import LocalFile, VerifiedFile, find_local_weights, verify_file

__all__ = ["SHORTHANDS", "DownloadFolders", "expand_items", "fetch", "fetched_table"]

SHORTHANDS = {"all-models": DEFAULT_MODELS, "all-sets": MEDMNIST_FLAGS}


@dataclass(frozen=True)
class DownloadFolders:
    """The folders of downloads, and the image size of MedMNIST sets.

    Attributes:
        home: the cache folder of medlabel.
        data_root: folder of MedMNIST's files, or None for `default_data_root()`.
        size: side of the images in pixels.
    """

    home: Path
    data_root: Path | None = None
    size: int = 28


def expand_items(items: Iterable[str], places: DownloadFolders) -> list[str]:
    """Replace shorthands such as `all-sets` by their items, and check that each can be fetched.

    Raises:
        MedlabelError: a model, set or image size is unknown.
    """
    if places.size not in SIZES:
        raise MedlabelError(f"size {places.size} is not one of {', '.join(map(str, SIZES))}")
    wanted = [one for item in items for one in SHORTHANDS.get(item, (item,))]
    for item in wanted:
        if item.startswith("phantom:") or is_npz(item):
            raise MedlabelError(f"{item}: nothing to fetch: it is drawn, or a file of your own")
        if item not in MEDMNIST_FLAGS:
            _check_model_name(item, places.home)
    return list(dict.fromkeys(wanted))


def _check_model_name(item: str, home: Path) -> None:
    try:
        find_local_weights(item, home)
    except MedlabelError as error:
        others = f"{', '.join(SHORTHANDS)}, {', '.join(MEDMNIST_FLAGS)}"
        raise MedlabelError(f"{error}; or fetch one of {others}") from error


def fetch(
    item: str, places: DownloadFolders, train_phantom: Callable[[str], object]
) -> VerifiedFile:
    """Download one item unless it is on this machine, and verify it.

    Args:
        item: a MedMNIST flag or the name of a model.
        places: folders and image size.
        train_phantom: called with the name of a phantom CLIP; trains it into `places.home` unless
            it is there.

    Raises:
        MedlabelError: the download failed, or the file on this machine is damaged.
    """
    if item in MEDMNIST_FLAGS:
        return _fetch_set(item, places)
    if not is_phantom(base_name(item)):
        return _fetch_model(item, places.home)
    train_phantom(base_name(item))
    return _check_model(item, places.home)


def _fetch_set(flag: str, places: DownloadFolders) -> VerifiedFile:
    import medmnist

    root = places.data_root or default_data_root()
    path = medmnist_file(flag, places.size, root)
    if not path.exists():
        download_medmnist(flag, places.size, root)
    stated = medmnist.INFO[flag]["MD5" if places.size == 28 else f"MD5_{places.size}"]
    return verify_file(LocalFile(path, path, stated, "md5", "MedMNIST"))


def _fetch_model(name: str, home: Path) -> VerifiedFile:
    """Verify before loading, so that a damaged file is reported; load what may be incomplete."""
    here = find_local_weights(name, home)
    checked = verify_file(here) if here else None
    if here and here.expected_digest and checked and not _text_needs_hub(name):
        return checked
    load_clip(name, "cpu")
    return (
        checked if checked and find_local_weights(name, home) == here else _check_model(name, home)
    )


def _check_model(name: str, home: Path) -> VerifiedFile:
    weights = find_local_weights(name, home)
    if weights is None:
        raise MedlabelError(f"{name} was loaded, but its weights are not in the expected place")
    return verify_file(weights)


def _text_needs_hub(name: str) -> bool:
    """Whether the text tower needs more from the Hub than weights: a tokenizer, a configuration."""
    config = None if Path(base_name(name)).is_file() else clip_config(name)
    text = config["text_cfg"] if config else {}
    return name.startswith("hf-hub:") or any(key.startswith("hf_") for key in text)


# --- Output for the terminal ---------------------------------------------------------------------


def fetched_table(outcomes: Mapping[str, VerifiedFile | MedlabelError | OSError]) -> Table:
    """Return the outcome for each item as a table for the terminal."""
    table = Table(title="On this machine")
    for column in ("item", "size", "SHA-256", "verified by", "lies in"):
        table.add_column(column, overflow="fold", justify="right" if column == "size" else "left")
    for item, outcome in outcomes.items():
        table.add_row(item, *_cells(outcome))
    return table


def _cells(outcome: VerifiedFile | MedlabelError | OSError) -> Sequence[str]:
    if not isinstance(outcome, VerifiedFile):
        return "-", "-", "failed, see above", "-"
    size = f"{outcome.size / 1e6:,.1f} MB"
    return size, outcome.sha256[:12], outcome.verified_by, with_tilde(outcome.location)
