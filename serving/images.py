"""What the door says of an image that it cannot take: the decoder's reason, with an HTTP status."""

from PIL import Image

from medlabel.images import Fault, ImageError, decode_image

__all__ = ["Refused", "open_image"]

_STATUS = {
    Fault.UNSUPPORTED: 415,
    Fault.TOO_LARGE: 413,
    Fault.DAMAGED: 422,
    Fault.UNSUITABLE: 422,
}


class Refused(Exception):
    """A request that is the client's to mend: an HTTP status (4xx) and a reason of one line."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


def open_image(data: bytes) -> Image.Image:
    """The image in `data`, decoded whole, grey or RGB; `Refused` if it cannot be used."""
    try:
        return Image.fromarray(decode_image(data))
    except ImageError as error:
        raise Refused(_STATUS[error.kind], error.reason) from error
