"""Images in memory: of a folder, an npz file, a MedMNIST set, phantoms or arrays, without Ray."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.data.decoding import ImageError, own_range_sentence
from medlabel.data.framing import CentreSquare, grey_if_possible
from medlabel.data.listing import decoded, list_parts
from medlabel.data.sources import SPLITS
from medlabel.errors import InvalidArgumentError

__all__ = ["Images", "ImagesLike", "as_images", "load_images"]

Image = NDArray[np.uint8]


class Images(Sequence[Image]):
    """Some images, their ids, and the files that could not be read.

    It is a sequence: `len(images)`, `images[0]` (an array, uint8 [H, W] or [H, W, 3]) and, with a
    slice, a mask or a list of rows, `images[:10]` (`Images` again).

    Args:
        pixels: N arrays uint8 [H, W] (grey) or [H, W, 3] (RGB); their sizes may differ.
        ids: N names, by default "0", "1", …
        uris: N paths or URIs, by default empty.
        rejects: a data frame with the columns `uri` and `reason`.

    Attributes:
        ids: `source/split/index` of each image; the index of a file is its path in the folder.
        uris: path or URI of each image, with `#` and its place where a file holds several.
        rejects: one row per file that could not be read: `uri` and `reason`.

    Raises:
        ValueError: an array is not uint8, or has another shape. (A `MedlabelError`, too.)

    Examples:
        >>> import numpy as np
        >>> import medlabel as ml
        >>> images = ml.Images([np.zeros((40, 30), np.uint8), np.zeros((28, 28, 3), np.uint8)])
        >>> images
        Images(2 images, 0 rejects)
        >>> images[0].shape
        (40, 30)
        >>> images[1:].ids
        ('1',)
    """

    def __init__(
        self,
        pixels: Sequence[Image],
        ids: Sequence[str] | None = None,
        uris: Sequence[str] | None = None,
        rejects: pd.DataFrame | None = None,
    ) -> None:
        self._pixels = tuple(_checked(image, row) for row, image in enumerate(pixels))
        self.ids = tuple(map(str, range(len(self._pixels)))) if ids is None else tuple(ids)
        self.uris = ("",) * len(self._pixels) if uris is None else tuple(uris)
        self.rejects = _reject_table() if rejects is None else rejects
        if not len(self.ids) == len(self.uris) == len(self._pixels):
            raise InvalidArgumentError(
                f"{len(self._pixels)} images, {len(self.ids)} ids and {len(self.uris)} uris: "
                "give one of each per image"
            )

    def __len__(self) -> int:
        return len(self._pixels)

    def __iter__(self) -> Iterator[Image]:
        return iter(self._pixels)

    @overload
    def __getitem__(self, rows: int) -> Image: ...

    @overload
    def __getitem__(self, rows: Any) -> Images: ...

    def __getitem__(self, rows: Any) -> Image | Images:
        if isinstance(rows, int | np.integer):
            return self._pixels[rows]
        chosen = np.arange(len(self))[rows].tolist()
        return Images(
            [self._pixels[row] for row in chosen],
            [self.ids[row] for row in chosen],
            [self.uris[row] for row in chosen],
            self.rejects,
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """One array [N, H, W] or [N, H, W, 3], where all images have the same shape."""
        shapes = sorted({image.shape for image in self._pixels})
        if len(shapes) != 1:
            raise InvalidArgumentError(
                f"images of {len(shapes)} different shapes are no array: use images.squares(28)"
            )
        return np.asarray(np.stack(self._pixels), dtype=dtype)

    def __repr__(self) -> str:
        return f"Images({len(self):,} images, {len(self.rejects):,} rejects)"

    def squares(self, size: int = 28, channels: int | None = None) -> Image:
        """The images as a student sees them: the centre square of each, resized bicubically.

        Args:
            size: side of the squares in pixels.
            channels: 1 for grey, 3 for RGB; by default 3 if any image has a pixel in colour.

        Returns:
            uint8 [N, size, size], or [N, size, size, 3].

        Examples:
            >>> ml.load_images("phantom:breastmnist", split="test").squares(64).shape
            (156, 64, 64)
        """
        if not len(self):
            raise InvalidArgumentError("there are no images: 0 samples, while 1 is required")
        square = CentreSquare(size, channels or 3)
        stack = np.stack([square(image) for image in self._pixels])
        return grey_if_possible(stack) if channels is None else stack


ImagesLike = Images | NDArray[np.uint8] | Sequence[NDArray[np.uint8]]
"""Images, or arrays: uint8 [N, H, W] or [N, H, W, 3], or a list of [H, W] and [H, W, 3]."""


def load_images(
    source: str | os.PathLike[str] | ImagesLike,
    *,
    split: str | None = None,
    size: int = 28,
    data_root: str | os.PathLike[str] | None = None,
    image_column: str | None = None,
) -> Images:
    """Read all images of a source into memory; true labels are never read.

    | source | what is read |
    | --- | --- |
    | `"scans/"`, `"scan.dcm"`, `"s3://bucket/films"`, `"scans/**/*.png"` | PNG, JPEG, TIFF, DICOM |
    | `"films.parquet"` | a column of images |
    | `"mine.npz"` | a file in MedMNIST's layout |
    | `"breastmnist"` | a MedMNIST set, downloaded once |
    | `"phantom:breastmnist"` | drawn images that resemble a MedMNIST set |
    | uint8 [N, H, W] or [N, H, W, 3], a list of [H, W] and [H, W, 3] | arrays |

    Folders and buckets are read with all their subfolders, but without files and folders whose name
    begins with a dot. Images come in the order of their paths, sorted as text, those of Parquet
    files last; in an npz file, in the order `train`, `val`, `test`.

    A file that cannot be read does not stop the others: `images.rejects` lists it with the reason.
    Images of more than 8 bits without a window are scaled each by its own range of values; a Python
    warning says how many they are. All conventions: `docs/pixels.md`.
    For more images than fit in memory use `medlabel.label`, which reads them in pieces on Ray.

    Args:
        source: one of the above.
        split: `"train"`, `"val"` or `"test"` of an npz file, a MedMNIST set or phantoms; all three
            by default.
        size: side in pixels of MedMNIST's images and of phantoms: 28, 64, 128 or 224. It has no
            effect on files and arrays, which keep their own sizes (a student resizes images itself,
            see `size` of `medlabel.Student`).
        data_root: folder of MedMNIST's files, by default `~/.medmnist`.
        image_column: name of the image column of a Parquet file with several.

    Returns:
        The images, with their `ids` and `uris`, and `rejects`, a data frame with the columns `uri`
        and `reason`. Labels are not read. If folders or names of files state them, take them from
        `uris`: `[Path(uri).parent.name for uri in images.uris]`.

    Raises:
        MedlabelError: there is no such source, it holds no images, or a file in MedMNIST's layout
            is damaged.
        ValueError: an array is not uint8 or has another shape, or there is no such split.

    Examples:
        >>> import medlabel as ml
        >>> images = ml.load_images("phantom:breastmnist", split="train")
        >>> images
        Images(546 images, 0 rejects)
        >>> images[0].shape, images.ids[0]
        ((28, 28), 'phantom-breastmnist/train/0')
    """
    if not isinstance(source, str | os.PathLike):
        return as_images(source)
    if split is not None and split not in SPLITS:
        raise InvalidArgumentError(f"unknown split {split!r}: choose from {', '.join(SPLITS)}")
    root = None if data_root is None else Path(data_root)
    parts = list_parts(os.fspath(source), size, root, image_column)
    if split is not None and split not in {part.split for part in parts}:
        raise InvalidArgumentError(f"{source} has no splits: leave `split` out")
    found: list[tuple[Image, str, str]] = []
    own_range = 0
    rejects: list[tuple[str, str]] = []
    for part in parts:
        if split not in (None, part.split):
            continue
        for row, content in enumerate(part.read()):
            try:
                image = decoded(content)
            except ImageError as error:
                rejects.append((part.address(row), error.reason))
                continue
            found.append((image.pixels, part.image_id(row), part.address(row)))
            own_range += image.own_range
    if own_range:
        warnings.warn(own_range_sentence(own_range), stacklevel=2)
    pixels, ids, uris = zip(*found, strict=True) if found else ((), (), ())
    return Images(pixels, ids, uris, _reject_table(rejects))


def as_images(images: ImagesLike) -> Images:
    """Images of arrays; `Images` are returned as they are.

    Args:
        images: uint8 [N, H, W], [N, H, W, 1] or [N, H, W, 3], or a sequence of [H, W] and
            [H, W, 3].

    Raises:
        ValueError: it is something else.
    """
    if isinstance(images, Images):
        return images
    if isinstance(images, str | os.PathLike):
        raise InvalidArgumentError(f"{images!r} is a path: read it first with medlabel.load_images")
    if isinstance(images, np.ndarray) and images.ndim == 3 and images.shape[2] == 3:
        raise InvalidArgumentError(
            f"an array {list(images.shape)} is one image in colour, or grey images three pixels "
            "wide: write array[None] for the one"
        )
    if not isinstance(images, Sequence) and getattr(images, "ndim", 0) not in (3, 4):
        kind = (
            f"an array {list(np.shape(images))}" if hasattr(images, "ndim") else repr(type(images))
        )
        raise InvalidArgumentError(
            f"{kind} holds no images: give uint8 [N, H, W] or [N, H, W, 3], or a list of arrays. "
            "Reshape your data"
        )
    return Images(list(images))


def _checked(image: Any, row: int) -> Image:
    """An image as uint8 [H, W] or [H, W, 3]."""
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[..., 0]
    if pixels.dtype != np.uint8:
        raise InvalidArgumentError(
            f"image {row} is of dtype {pixels.dtype}: convert its pixels to uint8, 0 to 255"
        )
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)) or not pixels.size:
        raise InvalidArgumentError(
            f"image {row} has the shape {list(pixels.shape)}: give [H, W] or [H, W, 3]"
        )
    return pixels


def _reject_table(rows: Sequence[tuple[str, str]] = ()) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=["uri", "reason"], dtype=str)
