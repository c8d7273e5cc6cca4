"""Why a file is refused, and the limits that every format shares."""

from contextvars import ContextVar
from enum import StrEnum

from medlabel.errors import MedlabelError

__all__ = [
    "COLOURS",
    "MAX_PIXELS",
    "TOO_DEEP",
    "Fault",
    "ImageError",
    "check_frames",
    "check_pixels",
    "declared_pixels",
]

MAX_PIXELS = 4096 * 4096
declared_pixels = ContextVar("promised_pixels", default=0)  # by the header that was checked last
TOO_DEEP = "more than 8 bits a channel: window it to 8 bits first, as you want it seen"
COLOURS = "colours that are neither grey nor RGB (such as CMYK): save it as RGB first"


class Fault(StrEnum):
    """What is wrong with a file that is refused."""

    UNSUPPORTED = "unsupported"  # no format, or no transfer syntax, that can be read here
    TOO_LARGE = "too_large"  # more than MAX_PIXELS
    DAMAGED = "damaged"  # empty, cut short or contradicting itself
    UNSUITABLE = "unsuitable"  # whole, but not one image of 8 bits in grey or RGB


class ImageError(MedlabelError):
    """A file that is no image we can use: its `kind`, and a `reason` of one line.

    Neither holds anything that may name a patient: of a DICOM file's header no more than sizes
    and the public name of a transfer syntax. `pixels` are those that may have been decoded before
    it turned out.
    """

    def __init__(self, kind: Fault, reason: str, pixels: int = 0) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.pixels = kind, reason, pixels

    def __reduce__(self) -> tuple[type["ImageError"], tuple[Fault, str, int]]:
        """Let it travel between Ray's workers whole."""
        return ImageError, (self.kind, self.reason, self.pixels)


def check_pixels(width: int, height: int) -> None:
    """Refuse what a header promises before any of it is decoded; sizes in pixels."""
    if width * height > MAX_PIXELS:
        raise ImageError(
            Fault.TOO_LARGE,
            f"{width}x{height} is too many pixels: at most {MAX_PIXELS:,} (such as 4096x4096)",
        )
    declared_pixels.set(width * height)


def check_frames(count: int) -> None:
    """Refuse all but one frame: which of them were the image would be a guess."""
    if count > 1:
        raise ImageError(Fault.UNSUITABLE, f"{count} frames: send one image a file")
