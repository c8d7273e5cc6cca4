"""Bring weights and sets to this machine ahead of a run without a network, and verify them.

The downloads are open_clip's and medmnist's own. What is here already is verified, not downloaded;
a damaged file is named and left for its owner to delete.
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
    """Where things go, and at what size.

    Attributes:
        home: where medlabel keeps what can be made again.
        data_root: folder of MedMNIST's files; its own, when None.
        size: side of the sets' images in pixels.
    """

    home: Path
    data_root: Path | None = None
    size: int = 28


def expand_items(items: Iterable[str], places: DownloadFolders) -> list[str]:
    """The items one by one, each known to be something that can be fetched.

    Raises:
        MedlabelError: an unknown model or set, or a size that MedMNIST does not have.
    """
    if places.size not in SIZES:
        raise MedlabelError(f"size {places.size} is not one of {', '.join(map(str, SIZES))}")
    wanted = [one for item in items for one in SHORTHANDS.get(item, (item,))]
    for item in wanted:
        if item.startswith("phantom:") or item.endswith(".npz"):
            raise MedlabelError(f"{item}: nothing to fetch, it is drawn or yours already")
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
    """Make sure that one item is on this machine, whole.

    Args:
        item: a MedMNIST flag or a model, as a user types it.
        places: where things go.
        train_phantom: trains the phantom CLIP into `places.home` unless it is there, whole.

    Raises:
        MedlabelError: it could not be downloaded, or what is here is damaged.
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
    """Verify before loading, so that a damaged file is named; load what may be incomplete."""
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
        raise MedlabelError(f"{name} was loaded, but its weights are not where they are looked for")
    return verify_file(weights)


def _text_needs_hub(name: str) -> bool:
    """Whether a run needs more than weights from the hub: a tokenizer, a text tower's design."""
    config = None if Path(base_name(name)).is_file() else clip_config(name)
    text = config["text_cfg"] if config else {}
    return name.startswith("hf-hub:") or any(key.startswith("hf_") for key in text)


# --- For people ----------------------------------------------------------------------------------


def fetched_table(outcomes: Mapping[str, VerifiedFile | MedlabelError | OSError]) -> Table:
    """What became of each item, as a table for the terminal."""
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
