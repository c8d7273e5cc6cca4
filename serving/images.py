"""What the door says of files that it cannot take: the decoder's reason, with an HTTP status."""

import numpy as np
from numpy.typing import NDArray

from medlabel.data.decoding import Fault, ImageError, decode_image, decode_stack, is_stack

__all__ = ["Budget", "Refused", "open_images"]

_STATUS = {
    Fault.UNSUPPORTED: 415,
    Fault.TOO_LARGE: 413,
    Fault.DAMAGED: 422,
    Fault.UNSUITABLE: 422,
}


class Refused(Exception):
    """A request that cannot be answered: an HTTP status and a reason of one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Budget:
    """What the files of one request may unfold to together."""

    def __init__(self, images: int, pixels: int = 2**28) -> None:
        self._images, self._pixels, self._most = images, pixels, images

    @property
    def images(self) -> int:
        """So many images are left."""
        return self._images

    def check(self) -> None:
        """`Refused` when nothing is left: what is known to be too much is not even decoded."""
        if self._images <= 0:
            raise Refused(413, f"more than {self._most:,} images in a request: send it in parts")
        if self._pixels < 0:
            raise Refused(413, "too many pixels in one request: send it in parts")

    def waste(self, pixels: int) -> None:
        """Count what was decoded of a file for nothing."""
        self._pixels -= pixels

    def spend(self, image: NDArray[np.uint8]) -> None:
        """Count an image; `Refused` when there were too many, or too large ones."""
        self._images -= 1
        self._pixels -= image.shape[0] * image.shape[1]
        if self._images < 0:
            raise Refused(413, f"more than {self._most:,} images in a request: send it in parts")
        if self._pixels < 0:
            raise Refused(413, "too many pixels in one request: send it in parts")


def open_images(data: bytes, budget: Budget) -> list[NDArray[np.uint8]]:
    """The image in `data`, or those of a stack: decoded whole, grey [H, W] or RGB [H, W, 3].

    Raises:
        Refused: it cannot be used, or is more than the request's `budget` allows.
    """
    budget.check()
    try:
        images = decode_stack(data, budget.images) if is_stack(data) else [decode_image(data)]
    except ImageError as error:
        budget.waste(error.pixels)
        raise Refused(_STATUS[error.kind], error.reason) from error
    for image in images:
        budget.spend(image)
    return images
