"""Files in, labels out: all the computing of a batch, without Ray and without HTTP."""

from collections.abc import Sequence
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from medlabel.bundle import Bundle
from serving.images import Refused, open_image
from serving.schemas import Annotation

__all__ = ["annotate"]


def annotate(bundle: Bundle, files: Sequence[bytes]) -> list[Annotation | Refused]:
    """Label each file, or say why not: one that is refused does not spoil its batch."""
    prepared = [_prepare(bundle, data) for data in files]
    images = [image for image in prepared if not isinstance(image, Refused)]
    rows = iter(bundle.predict(np.stack(images)) if images else ())
    return [
        image if isinstance(image, Refused) else _annotation(bundle, data, next(rows))
        for data, image in zip(files, prepared, strict=True)
    ]


def _prepare(bundle: Bundle, data: bytes) -> NDArray[np.uint8] | Refused:
    try:
        return bundle.prepare(open_image(data))
    except Refused as refused:
        return refused


def _annotation(bundle: Bundle, data: bytes, row: NDArray[np.float32]) -> Annotation:
    best = int(row.argmax())
    return Annotation(
        label=bundle.classes[best],
        confidence=float(row[best]),
        probabilities=dict(zip(bundle.classes, map(float, row), strict=True)),
        bundle=bundle.id,
        sha256=sha256(data).hexdigest(),
    )
