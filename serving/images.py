"""Images of a request: decoded within its budget, or an HTTP status and the decoder's reason."""

import numpy as np
from numpy.typing import NDArray

from medlabel.data.decoding import Decoded, Fault, ImageError, decode, decode_stack, is_stack

__all__ = ["Budget", "RequestError", "open_images"]

_STATUS = {
    Fault.UNSUPPORTED: 415,
    Fault.TOO_LARGE: 413,
    Fault.DAMAGED: 422,
    Fault.UNSUITABLE: 422,
}


class RequestError(Exception):
    """A request that cannot be answered: an HTTP status and a reason of one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Budget:
    """The numbers of images and of pixels that the files of one request may decode to, together."""

    def __init__(self, images: int, pixels: int = 2**28) -> None:
        self._images, self._pixels, self._max_images = images, pixels, images

    @property
    def images(self) -> int:
        """Number of images that are left."""
        return self._images

    def check(self) -> None:
        """Raise `RequestError` if nothing is left, so that the next file is not even decoded."""
        if self._images <= 0:
            raise self._too_many_images()
        if self._pixels < 0:
            raise RequestError(413, "too many pixels in one request: send it in parts")

    def count_failed(self, pixels: int) -> None:
        """Count the pixels that were decoded of a file before it turned out to be damaged."""
        self._pixels -= pixels

    def count(self, image: NDArray[np.uint8]) -> None:
        """Count an image; raise `RequestError` if it exceeds the budget."""
        self._images -= 1
        self._pixels -= image.shape[0] * image.shape[1]
        if self._images < 0:
            raise self._too_many_images()
        if self._pixels < 0:
            raise RequestError(413, "too many pixels in one request: send it in parts")

    def _too_many_images(self) -> RequestError:
        reason = f"more than {self._max_images:,} images in a request: send it in parts"
        return RequestError(413, reason)


def open_images(data: bytes, budget: Budget) -> list[Decoded]:
    """Decode a file: one image, or those of a stack.

    Raises:
        RequestError: the file cannot be decoded, or exceeds the request's `budget`.
    """
    budget.check()
    try:
        if is_stack(data):
            images = [Decoded(image) for image in decode_stack(data, budget.images)]
        else:
            images = [decode(data)]
    except ImageError as error:
        budget.count_failed(error.pixels)
        raise RequestError(_STATUS[error.kind], error.reason) from error
    for image in images:
        budget.count(image.pixels)
    return images
