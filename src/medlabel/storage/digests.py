"""SHA-256 digests: the names of contents, of settings and of files, each made in one way.

>>> hex_digest("chest", 16)
'1d0f7f0a4ef0a1b5'
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DIGEST_BYTES",
    "Digests",
    "digest_bytes",
    "digest_image",
    "hex_digest",
    "to_digests",
]

DIGEST_BYTES = 16  # of SHA-256 that are kept: 2**64 images before two are likely to collide
Digests = NDArray[np.bytes_]


def hex_digest(content: bytes | str, digits: int = 64) -> str:
    """The first hexadecimal digits of the SHA-256 of bytes, or of text in UTF-8."""
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:digits]


def digest_image(image: NDArray[np.uint8]) -> bytes:
    """The 16-byte digest of the pixels and shape of an image, uint8 [H, W] or [H, W, 3]."""
    return digest_bytes(repr(image.shape).encode() + image.tobytes())


def digest_bytes(data: bytes) -> bytes:
    """The 16-byte digest of a file's content, without decoding it."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]


def to_digests(digests: Sequence[bytes]) -> Digests:
    """Digests of 16 bytes each as one array, `S16` [N]."""
    return np.frombuffer(b"".join(digests), dtype=f"S{DIGEST_BYTES}")
