"""What every part of a source has: images that are counted, named and read one by one."""

import json
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medlabel.data.decoding import Decoded, Fault, ImageError, decode
from medlabel.storage.digests import digest_bytes, digest_image, hex_digest

CHUNK = 2**24  # bytes of pixels or files in memory at a time
UNREADABLE = "cannot be read"  # the beginning of reasons that may not hold the next time
Content = NDArray[np.uint8] | bytes | ImageError


def digest_of(content: NDArray[np.uint8] | bytes) -> bytes:
    """The 16-byte digest of an image: of its pixels, or of the bytes of its file."""
    return digest_bytes(content) if isinstance(content, bytes) else digest_image(content)


def decoded(content: Content) -> Decoded:
    """The image of a content, and how it was read; raises its `ImageError` if it has none."""
    if isinstance(content, ImageError):
        raise content
    return decode(content) if isinstance(content, bytes) else Decoded(content)


def pixels_of(content: Content) -> NDArray[np.uint8]:
    """The pixels uint8 [H, W] or [H, W, 3] of a content; raises its `ImageError` if it has none."""
    return decoded(content).pixels


def all_rows(contents: Iterator[Content], count: int, damaged: str) -> Iterator[Content]:
    """As many contents as were asked for, though the file should break off or be damaged.

    Args:
        contents: as they are read.
        count: how many there have to be.
        damaged: the reason for those that a damaged file does not give.
    """
    done, reason = 0, damaged
    try:
        for content in contents:
            yield content
            done += 1
    except ImageError as error:
        reason = error.reason
    except OSError as error:
        if error.errno is not None or type(error) is not OSError:  # else a library's, of content
            reason = f"{UNREADABLE}: {error.strerror or error}"
    except (ValueError, EOFError, NotImplementedError, BadZipFile, zlib.error, pa.ArrowException):
        pass
    for _ in range(count - done):
        yield ImageError(Fault.DAMAGED, reason)


@dataclass(frozen=True)
class Part(ABC):
    """Some of the images of a source, numbered from 0.

    Attributes:
        source: name of the source, the first component of ids.
        split: train, val, test or `all`.
        count: number of images.
        fingerprint: changes if the content may have changed (a file's size, time or ETag).
    """

    source: str
    split: str
    count: int
    fingerprint: str

    def image_id(self, row: int) -> str:
        """`source/split/index` of an image."""
        return f"{self.source}/{self.split}/{self.index(row)}"

    def index(self, row: int) -> str:
        """The last component of an image's id."""
        return str(row)

    @abstractmethod
    def address(self, row: int) -> str:
        """The path or URI of an image's file; if it holds several images, `#` and which one."""

    def stamp(self, row: int) -> str:
        """What changes if the content of an image may have changed: a file's size, time or ETag."""
        return self.fingerprint

    @property
    def folder(self) -> str | None:
        """The address of the folder that was listed, as far as it is one."""
        return None

    @property
    def is_rejected(self) -> bool:
        """Whether these are no images, but what could not be listed or is no regular file."""
        return False

    def only(self, rows: NDArray[np.integer]) -> "Part | None":
        """A part of these rows alone; None if a part of this kind is read from its beginning."""
        return None

    @property
    def key(self) -> str:
        """32 hexadecimal digits of its values, whatever classes and fields are called."""
        return hex_digest(json.dumps(astuple(self)), 32)  # no two kinds have values of equal types

    @abstractmethod
    def read(self, rows: NDArray[np.integer] | None = None) -> Iterator[Content]:
        """Read images one after the other: one content per row.

        Args:
            rows: row numbers, ascending; None for all rows.
        """
