"""Files are tried in a child process, which is ended when a file takes too long."""

from __future__ import annotations

import logging
import multiprocessing
import resource
import warnings
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.decoding.dicom_reference import dicom_pixels
from benchmarks.decoding.picture_reference import jpeg_pixels, png_pixels, tiff_pixels

__all__ = ["Outcome", "Worker", "compared", "decoded"]

_MEMORY = 6 * 2**30  # bytes of address space
_HALF = 0.5 + 1e-6  # what rounding to whole levels may change
_CODECS = 2.5  # between two conversions of the colours or two implementations of a codec


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        kind: "equal", "close", "wrong", "unchecked", "refused", "crashed" or "hung".
        detail: the largest difference, the reason of the refusal, or the error.
        readable: whether the reference reads it as one image.
    """

    kind: str
    detail: str
    readable: bool


_SLOW = Outcome("unchecked", "the reference takes too long", False)


def decoded(data: bytes) -> NDArray[np.uint8] | Outcome:
    """The image as medlabel reads it, or why there is none."""
    from medlabel.data.decoding import ImageError, decode_image

    try:
        return decode_image(data)
    except ImageError as error:
        return Outcome("refused", error.reason, False)
    except Exception as error:
        return Outcome("crashed", repr(error)[:200], False)


def compared(found: NDArray[np.uint8] | Outcome, data: bytes) -> Outcome:
    """What medlabel made of a file, beside what the reference makes of it."""
    expected, why = _reference(data)
    if isinstance(found, Outcome):
        return replace(found, readable=expected is not None)
    if expected is None:
        return Outcome("unchecked", why, False)
    if found.shape != expected.shape:
        return Outcome("wrong", f"shape {found.shape} instead of {expected.shape}", True)
    difference = float(abs(found - expected).max())
    kind = "equal" if difference <= _HALF else "close" if difference <= _CODECS else "wrong"
    return Outcome(kind, f"{difference:.2f}", True)


def _reference(data: bytes) -> tuple[NDArray[Any] | None, str]:
    read = dicom_pixels
    if data[128:132] != b"DICM":
        starts = {b"\x89PNG": png_pixels, b"\xff\xd8\xff": jpeg_pixels}
        starts |= dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0"), tiff_pixels)
        read = next((read for start, read in starts.items() if data.startswith(start)), read)
    try:
        return read(data), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"[:120]


def _serve(pipe: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    warnings.simplefilter("ignore")
    logging.disable()
    while (path := pipe.recv()) is not None:
        data = Path(path).read_bytes()
        found = decoded(data)
        pipe.send(found if isinstance(found, Outcome) else _SLOW)
        pipe.send(compared(found, data))


class Worker:
    """A child process that tries one file after another."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._context = multiprocessing.get_context("spawn")
        self._start()

    def _start(self) -> None:
        self._pipe, other = self._context.Pipe()
        self._process: BaseProcess = self._context.Process(target=_serve, args=(other,))
        self._process.start()
        other.close()

    def outcome(self, path: Path) -> Outcome:
        """Try one file; a child that hangs or dies is replaced."""
        self._pipe.send(str(path))
        result = Outcome("hung", f"more than {self._seconds:.0f} s", False)
        try:
            for _ in range(2):  # medlabel, then the reference
                if not self._pipe.poll(self._seconds):
                    break
                result = self._pipe.recv()
            else:
                return result
        except EOFError:
            result = Outcome("crashed", "the process died", False)
        self.close()
        self._start()
        return result

    def close(self) -> None:
        """End the child."""
        self._process.kill()
        self._process.join()
        self._pipe.close()
