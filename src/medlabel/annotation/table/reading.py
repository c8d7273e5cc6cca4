"""From the images of some work to pieces of the table: read, decode, and label."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.table.identities import Work
from medlabel.annotation.table.layout import Layout
from medlabel.data.decoding import ImageError
from medlabel.data.framing import chroma_of
from medlabel.data.listing import UNREADABLE, Content, Part, decoded, digest_of
from medlabel.storage.digests import Digests, to_digests
from medlabel.student.decision import Assessment

_NOTHING = bytes(16)


@dataclass(frozen=True)
class DecodedPiece:
    """The N decoded images of a piece, ready to be labelled.

    Attributes:
        start: number of the first image among all that were listed.
        addresses: of the images, N.
        stamps: of the images when they were listed, N.
        images: uint8 [N, S, S] or [N, S, S, 3]; black where decoding failed.
        chroma: how far the images were from grey (`chroma_of`), float32 [N].
        digests: of the contents, N.
        reasons: why decoding failed, N; None where it succeeded.
        final: whether the same would come out of the same listing, bool [N]; not if reading failed.
        unchanged: whether the image has a label that stays, because its content is the same or
            was not read at all, bool [N].
        places: of the images in their batches, int32 [N].
        own_range: whether the image has more than 8 bits and no window, and was scaled by its own
            range of values, bool [N].
    """

    start: int
    addresses: tuple[str, ...]
    stamps: tuple[str, ...]
    images: NDArray[np.uint8]
    chroma: NDArray[np.float32]
    digests: Digests
    reasons: tuple[str | None, ...]
    final: NDArray[np.bool_]
    unchanged: NDArray[np.bool_]
    places: NDArray[np.int32]
    own_range: NDArray[np.bool_]

    @property
    def kept(self) -> NDArray[np.bool_]:
        """Which images become rows of the table, bool [N]: those to be labelled."""
        readable = np.array([reason is None for reason in self.reasons], dtype=bool)
        return readable & ~self.unchanged


def read_pieces(work: Work, layout: Layout) -> Iterator[DecodedPiece]:
    """Read and decode the images of some work, piece by piece."""
    contents = chain.from_iterable(part.read(rows) for part, rows in work.parts)
    origins = ((part, int(row)) for part, rows in work.parts for row in rows)
    for first in range(0, len(work), layout.rows):
        some = slice(first, first + layout.rows)
        previous = work.previous[some]
        here = list(islice(origins, len(previous)))
        yield _decode(int(work.numbers[first]), here, contents, previous, layout)


def _decode(
    start: int,
    origins: list[tuple[Part, int]],
    contents: Iterator[Content],
    previous: Digests,
    layout: Layout,
) -> DecodedPiece:
    count = len(origins)
    images = np.zeros((count, *layout.square.shape), dtype=np.uint8)
    chroma, own_range = np.zeros(count, dtype=np.float32), np.zeros(count, dtype=bool)
    digests, reasons = list[bytes](), list[str | None]()
    for row in range(count):
        content = next(contents)
        digests.append(_NOTHING if isinstance(content, ImageError) else digest_of(content))
        reasons.append(None)
        try:
            image = decoded(content)
            images[row], chroma[row] = layout.square(image.pixels), chroma_of(image.pixels)
            own_range[row] = image.own_range
        except ImageError as error:
            reasons[row] = error.reason
    found = to_digests(digests)
    failed = np.array([(reason or "").startswith(UNREADABLE) for reason in reasons], dtype=bool)
    final = ~failed | np.array([part.is_rejected for part, _ in origins], dtype=bool)
    unchanged = (previous != b"") & ((found == previous) | ((found == b"") & final))
    images[unchanged] = 0
    return DecodedPiece(
        start,
        tuple(part.address(row) for part, row in origins),
        tuple(part.stamp(row) for part, row in origins),
        images, chroma, found, tuple(reasons), final, unchanged,
        places=np.arange(count, dtype=np.int32) % layout.batch,
        own_range=own_range,
    )  # fmt: skip


def label_pieces(
    images: NDArray[np.uint8],
    chroma: NDArray[np.float32],
    assess: Callable[[NDArray[np.uint8], NDArray[np.float32]], Assessment],
    batch: int,
    wanted: NDArray[np.bool_] | None = None,
) -> Assessment:
    """A student's assessment of a piece's images, in batches that are all of one size.

    Args:
        images: uint8 [N, S, S] or [N, S, S, 3].
        chroma: how far they were from grey, float32 [N].
        assess: the student; it is given `batch` images at a time, the last ones padded with black.
        batch: number of images per batch.
        wanted: whose assessment is needed, bool [N]; a batch without any, if it is not the first,
            is left out, and its probabilities are 0. All by default.
    """
    count = -(-len(images) // batch)
    padded = np.zeros((count * batch, *images.shape[1:]), dtype=np.uint8)
    padded[: len(images)] = images
    hues = np.pad(chroma, (0, len(padded) - len(images)))
    needed = np.pad(
        np.ones(len(images), bool) if wanted is None else wanted, (0, -len(images) % batch)
    )
    numbers = np.flatnonzero(needed.reshape(count, batch).any(axis=1)).tolist() or [0]
    found = Assessment.concatenate(
        [
            assess(padded[n * batch : (n + 1) * batch], hues[n * batch : (n + 1) * batch])
            for n in numbers
        ]
    )
    chances = np.zeros((count, batch, found.probabilities.shape[1]), dtype=np.float32)
    ood_score = np.zeros((count, batch), dtype=np.float32)
    chances[numbers] = found.probabilities.reshape(-1, *chances.shape[1:])
    ood_score[numbers] = found.ood_score.reshape(-1, batch)
    whole = replace(
        found, probabilities=chances.reshape(len(padded), -1), ood_score=ood_score.ravel()
    )
    return whole[: len(images)]
