"""The reasons for which a file is refused, and the limits shared by all formats."""

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
declared_pixels = ContextVar("declared_pixels", default=0)  # by the last checked header
TOO_DEEP = "more than 8 bits per channel in colour: convert it to 8 bits per channel first"
COLOURS = "a colour space other than grey or RGB (such as CMYK): save it as RGB first"


class Fault(StrEnum):
    """The kinds of reasons for which a file is refused."""

    UNSUPPORTED = "unsupported"  # the format or transfer syntax cannot be read here
    TOO_LARGE = "too_large"  # more than MAX_PIXELS
    DAMAGED = "damaged"  # empty, truncated or inconsistent
    UNSUITABLE = "unsuitable"  # intact, but not a single grey or RGB image


class ImageError(MedlabelError):
    """A file that cannot be used as an image.

    Kind and reason never contain patient data: of a DICOM header they repeat sizes and the public
    name of a transfer syntax at most.

    Attributes:
        kind: the kind of fault.
        reason: one line for the user.
        pixels: how many pixels may have been decoded before the fault was found.
    """

    def __init__(self, kind: Fault, reason: str, pixels: int = 0) -> None:
        super().__init__(reason)
        self.kind, self.reason, self.pixels = kind, reason, pixels

    def __reduce__(self) -> tuple[type["ImageError"], tuple[Fault, str, int]]:
        """Keep all attributes when pickled, as between Ray workers."""
        return ImageError, (self.kind, self.reason, self.pixels)


def check_pixels(width: int, height: int) -> None:
    """Raise an `ImageError` if the declared size, in pixels, exceeds `MAX_PIXELS`."""
    if width * height > MAX_PIXELS:
        raise ImageError(
            Fault.TOO_LARGE,
            f"{width}x{height} is too many pixels: at most {MAX_PIXELS:,} (such as 4096x4096)",
        )
    declared_pixels.set(width * height)


def check_frames(count: int) -> None:
    """Raise an `ImageError` if there are several frames, because choosing one would be a guess."""
    if count > 1:
        raise ImageError(Fault.UNSUITABLE, f"{count} frames: send one image per file")
