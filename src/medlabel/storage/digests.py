"""SHA-256 digests of contents, settings and files. Every digest of the project is computed here.

>>> hex_digest("chest", 16)
'7ca0d7019158ccd9'
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIGEST_BYTES",
    "Digests",
    "digest_bytes",
    "digest_image",
    "file_digest",
    "hex_digest",
    "hex_digest_of_pieces",
    "to_digests",
]

# Bytes of each SHA-256 that are kept: a collision becomes likely at about 2**64 images.
DIGEST_BYTES = 16
Digests = NDArray[np.bytes_]


def hex_digest(content: bytes | str, digits: int = 64) -> str:
    """Return the first `digits` hexadecimal digits of the SHA-256 of `content`.

    Text is encoded as UTF-8.

    >>> hex_digest(b"chest", 8)
    '7ca0d701'
    """
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:digits]


def hex_digest_of_pieces(pieces: Iterable[bytes]) -> str:
    """Return the SHA-256 (hex) of concatenated pieces, with one piece in memory at a time."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the digest (hex) of a local file, which may be larger than memory.

    Args:
        path: the file.
        algorithm: a name that `hashlib.new` accepts, such as `md5`.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


def digest_image(image: NDArray[np.uint8]) -> bytes:
    """Return the 16-byte digest of an image's shape and pixels, uint8 [H, W] or [H, W, 3]."""
    return digest_bytes(repr(image.shape).encode() + image.tobytes())


def digest_bytes(data: bytes) -> bytes:
    """Return the 16-byte digest of the raw bytes of a file."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def to_digests(digests: Sequence[bytes]) -> Digests:
    """Stack N digests of 16 bytes each into one array of dtype `S16`, shape [N]."""
    return np.frombuffer(b"".join(digests), dtype=f"S{DIGEST_BYTES}")
