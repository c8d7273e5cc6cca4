"""Image sources: MedMNIST sets, npz files in MedMNIST's layout, and phantoms.

Images are public. True labels are used for one purpose only: `Split.eligible` tells which images
may be sampled for a class. There is no other access to them.
"""

import os
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel import phantoms
from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest_of_pieces
from medlabel.storage.home import user_folder

__all__ = [
    "MEDMNIST_FLAGS",
    "SIZES",
    "SPLITS",
    "Source",
    "Split",
    "check_pixels",
    "default_data_root",
    "download_medmnist",
    "find_npz",
    "is_npz",
    "is_public",
    "medmnist_file",
    "open_source",
    "source_name",
    "unknown_set",
]

SIZES = (28, 64, 128, 224)
SPLITS = ("train", "val", "test")
PHANTOM_COUNTS = {"train": 546, "val": 78, "test": 156}  # those of BreastMNIST
MEDMNIST_FLAGS = (
    *("pathmnist", "chestmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist"),
    *("breastmnist", "bloodmnist", "tissuemnist", "organamnist", "organcmnist", "organsmnist"),
)
_MAX_SIDE = 4096


@dataclass(frozen=True)
class Split:
    """The images of one dataset split, uint8 [N, H, W] (grey) or [N, H, W, 3] (colour)."""

    images: NDArray[np.uint8]
    _labels: NDArray[np.int64] = field(repr=False)

    def eligible(
        self, labels: tuple[int, ...] | None, without: tuple[int, ...] | None = None
    ) -> NDArray[np.int64]:
        """Return the indices of the images that may be sampled for a class, int64 [M].

        In a multi-label set (ChestMNIST: one 0/1 column per finding) the label of a finding is the
        number of its column, and an image may have several labels or none.

        Args:
            labels: an image must have one of these labels; any label if None.
            without: an image must have none of these labels.
        """
        kept = np.ones(len(self.images), dtype=bool) if labels is None else self._having(labels)
        return np.flatnonzero(kept if without is None else kept & ~self._having(without))

    def _having(self, labels: tuple[int, ...]) -> NDArray[np.bool_]:
        if self._labels.shape[1] == 1:
            return np.asarray(np.isin(self._labels[:, 0], labels))
        return np.asarray(self._labels[:, list(labels)].any(axis=1))

    @property
    def labels_per_image(self) -> int:
        """Number of label columns: 1, or the number of findings in a multi-label set."""
        return int(self._labels.shape[1])

    def has_label(self, label: int) -> bool:
        """Whether any image of the split could have this label."""
        if self._labels.shape[1] > 1:
            return bool(0 <= label < self._labels.shape[1])
        return bool(np.any(self._labels == label))


@dataclass(frozen=True)
class Source:
    """A named set of images in three splits: train (for the pool), val and test (held out)."""

    name: str
    splits: Mapping[str, Split]

    @property
    def colour(self) -> bool:
        """Whether the images have three channels."""
        return self.splits["train"].images.ndim == 4

    @property
    def size(self) -> int:
        """Side of the square images in pixels."""
        return int(self.splits["train"].images.shape[1])

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 (hex) of all pixels; sources with equal hashes hold equal images."""
        images = (self.splits[split].images for split in SPLITS)
        pairs = ((repr(some.shape).encode(), some.tobytes()) for some in images)
        return hex_digest_of_pieces(chain.from_iterable(pairs))


def source_name(spec: str) -> str:
    """Return the name of a source in image ids: the flag, `phantom-FLAG`, or the file's stem.

    >>> source_name("phantom:breastmnist"), source_name("scans/chest.npz")
    ('phantom-breastmnist', 'chest')
    """
    if spec.startswith("phantom:"):
        return spec.replace(":", "-")
    return Path(spec).stem if is_npz(spec) else spec


def is_npz(spec: str) -> bool:
    """Whether a source is an npz file, by its name, in capitals or not.

    >>> is_npz("CHEST.NPZ"), is_npz("breastmnist")
    (True, False)
    """
    return spec.lower().endswith(".npz")


def is_public(spec: str) -> bool:
    """Whether everybody may see a source's images: MedMNIST's sets, and drawn images.

    >>> is_public("breastmnist"), is_public("phantom:octmnist"), is_public("scans/")
    (True, True, False)
    """
    return spec.startswith("phantom:") or spec in MEDMNIST_FLAGS


def unknown_set(spec: str) -> str:
    """What to say of a name that is no set's, with the nearest that is one."""
    close = get_close_matches(spec, MEDMNIST_FLAGS, 1)
    return (
        f"unknown set {spec!r}{f' (did you mean {close[0]}?)' if close else ''}: give a path "
        f"that ends in .npz, phantom:FLAG, or one of {', '.join(MEDMNIST_FLAGS)}"
    )


def open_source(spec: str, size: int = 28, data_root: Path | None = None) -> Source:
    """Open a source from its specification.

    Args:
        spec: `breastmnist` (a MedMNIST flag), `PATH.npz`, or `phantom:breastmnist`.
        size: side of the images in pixels; a file's own size must agree with it.
        data_root: folder of MedMNIST's npz files, which are downloaded into it if missing; the
            default is `default_data_root()`.

    Raises:
        MedlabelError: the set is unknown, the file is missing or damaged, or there is no network
            for the download; the message says what to do.
    """
    if size not in SIZES:
        raise MedlabelError(f"size {size} is not one of {', '.join(map(str, SIZES))}")
    if spec.startswith("phantom:"):
        return _draw_phantoms(spec, size)
    return _read_npz(find_npz(spec, size, data_root), source_name(spec), size)


def find_npz(spec: str, size: int = 28, data_root: Path | None = None) -> Path:
    """Return the npz file of a source; a MedMNIST set is downloaded if it is missing."""
    if is_npz(spec):
        return Path(spec)
    if spec not in MEDMNIST_FLAGS:
        raise MedlabelError(unknown_set(spec))
    root = data_root or default_data_root()
    path = medmnist_file(spec, size, root)
    if not path.exists():
        download_medmnist(spec, size, root)
    return path


def default_data_root() -> Path:
    """Return the folder named by the variable MEDLABEL_DATA_ROOT, else MedMNIST's `~/.medmnist`."""
    named = os.environ.get("MEDLABEL_DATA_ROOT")
    return Path(named) if named else user_folder("MEDLABEL_DATA_ROOT", ".medmnist")


def medmnist_file(flag: str, size: int, root: Path) -> Path:
    """Return the path at which the medmnist package stores a set at this image size."""
    return root / (f"{flag}.npz" if size == 28 else f"{flag}_{size}.npz")


def download_medmnist(flag: str, size: int, root: Path) -> None:
    """Download a MedMNIST set; an incomplete file is removed if the download fails.

    Raises:
        MedlabelError: there is no network, or the file does not have MedMNIST's MD5 digest.
    """
    import medlabel._torchvision  # noqa: F401  (before medmnist, which imports torchvision)
    import medmnist  # isort: skip

    path = medmnist_file(flag, size, root)
    python_class = getattr(medmnist, medmnist.INFO[flag]["python_class"])
    try:
        root.mkdir(parents=True, exist_ok=True)
        # The class also reads the split; "val", because "train" takes up to 13 GB.
        python_class(split="val", root=str(root), size=size, download=True)
    except Exception as error:  # medmnist raises bare RuntimeErrors of many kinds
        with suppress(OSError):  # nothing was written to a read-only folder
            path.unlink(missing_ok=True)
        if isinstance(error.__context__, KeyboardInterrupt):  # medmnist wraps Ctrl-C, too
            raise KeyboardInterrupt from error
        raise MedlabelError(
            f"{path} is missing and could not be downloaded; where there is a network, run "
            f"`medlabel fetch {flag} --size {size} --data-root {root}`, or put {path.name} "
            f"into {root}, or name another folder with --data-root"
        ) from error


def _draw_phantoms(spec: str, size: int) -> Source:
    """Draw phantoms in three splits, labelled like the MedMNIST set that they imitate."""
    look = phantoms.get_look(spec.removeprefix("phantom:"))
    splits = {}
    for split, count in PHANTOM_COUNTS.items():
        seed = zlib.crc32(f"source/{split}".encode())
        images, kinds = phantoms.draw_look(look, count, seed, size)
        splits[split] = Split(images, look.labels(kinds))
    return Source(source_name(spec), splits)


def _read_npz(path: Path, name: str, size: int) -> Source:
    if not path.is_file():
        raise MedlabelError(f"{path}: no such file")
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            _check_members(path, arrays)
            splits = {split: _read_split(path, arrays, split, size) for split in SPLITS}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, MemoryError) as error:
        raise MedlabelError(f"{path}: damaged or not an npz file ({error})") from error
    except ValueError as error:  # numpy's refusal of pickled objects, among others
        raise MedlabelError(f"{path}: {error}".splitlines()[0]) from error
    if len({split.images.shape[1:] for split in splits.values()}) != 1:
        raise MedlabelError(f"{path}: its splits differ in image shape")
    if len({split.labels_per_image for split in splits.values()}) != 1:
        raise MedlabelError(f"{path}: its splits differ in the number of labels per image")
    return Source(name, splits)


def _check_members(path: Path, arrays: Any) -> None:
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise MedlabelError(f"{path}: a single array, not an npz file in MedMNIST's layout")
    wanted = [f"{split}_{kind}" for split in SPLITS for kind in ("images", "labels")]
    missing = [member for member in wanted if member not in arrays.files]
    if missing:
        raise MedlabelError(f"{path}: not in MedMNIST's layout, {', '.join(missing)} missing")


def _read_split(path: Path, arrays: Any, split: str, size: int) -> Split:
    images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    shape = images.shape
    check_pixels(path, split, shape, images.dtype)
    if shape[1] != size:
        advice = (
            f"run with --size {shape[1]}, or write `size: {shape[1]}` in a YAML file"
            if shape[1] in SIZES
            else f"resize them to {', '.join(map(str, SIZES[:-1]))} or {SIZES[-1]} pixels"
        )
        raise MedlabelError(
            f"{path}: images are {shape[1]} pixels wide but the task says {size}; {advice}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or len(labels) != len(images):
        raise MedlabelError(f"{path}: {split}_labels do not hold one row of integers per image")
    return Split(images, labels.reshape(len(images), -1).astype(np.int64))


def check_pixels(path: Path, split: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise a `MedlabelError` unless the images of a split are square and uint8."""
    if dtype != np.uint8 or len(shape) not in (3, 4) or shape[3:] not in ((), (3,)):
        raise MedlabelError(
            f"{path}: {split}_images is {dtype}{list(shape)}, not uint8 [N, H, W] or [N, H, W, 3]"
        )
    if shape[1] != shape[2] or not 1 <= shape[1] <= _MAX_SIDE:
        raise MedlabelError(f"{path}: images of {shape[1]}x{shape[2]} pixels are not square")
