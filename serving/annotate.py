"""Files in, labels out: all the computing of a batch, without Ray and without HTTP."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel.storage.digests import hex_digest
from medlabel.student.bundle import Bundle
from medlabel.student.decision import Assessment, review_reasons
from serving.images import Budget, Refused, open_images
from serving.schemas import Annotation, RefusedFile
from serving.uploads import Upload

__all__ = ["Job", "annotate"]

_THUMBNAIL = 96  # pixels
_AT_ONCE = 1024  # images that a student sees at once: stacks of a batch may hold many more

Result = Annotation | RefusedFile


@dataclass(frozen=True, slots=True)
class Job:
    """Files of one request, which student is asked, and what the request may still unfold to."""

    bundle: Bundle
    uploads: Sequence[Upload]
    budget: Budget
    auto_above: float
    thumbnails: bool = False


@dataclass(slots=True)
class _Opened:
    """A file on its way: its images as the student sees them, or why there are none."""

    job: Job
    upload: Upload
    digest: str
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    thumbnails: list[str | None] = field(default_factory=list)
    refused: Refused | None = None


def annotate(jobs: Sequence[Job]) -> list[list[Result]]:
    """Label the files of each job; one that is refused does not spoil its batch.

    Images of different jobs go through a student together, wherever it is the same student.
    """
    opened = [[_open(job, upload) for upload in job.uploads] for job in jobs]
    by_bundle: dict[int, list[_Opened]] = {}
    for file in (file for files in opened for file in files if file.images):
        by_bundle.setdefault(id(file.job.bundle), []).append(file)
    labelled: dict[int, list[Annotation]] = {}
    for files in by_bundle.values():
        labelled |= _label(files)
    return [[one for file in files for one in _results(file, labelled)] for files in opened]


def _open(job: Job, upload: Upload) -> _Opened:
    opened = _Opened(job, upload, hex_digest(upload.data))
    try:
        images = open_images(upload.data, job.budget)
    except Refused as refused:
        opened.refused = refused
        return opened
    opened.images = [job.bundle.square(image) for image in images]
    opened.thumbnails = [_thumbnail(one) if job.thumbnails else None for one in images]
    return opened


def _label(files: Sequence[_Opened]) -> dict[int, list[Annotation]]:
    """Annotations of files that go to one student, by the file's id."""
    bundle = files[0].job.bundle
    labelled: dict[int, list[Annotation]] = {}
    for some in _portions(files):
        assessment = bundle.assess(np.stack([image for file in some for image in file.images]))
        start = 0
        for file in some:
            rows = slice(start, start + len(file.images))
            start = rows.stop
            labelled[id(file)] = _annotations(file, bundle, assessment[rows])
    return labelled


def _portions(files: Sequence[_Opened]) -> Iterator[list[_Opened]]:
    """Files in portions of at most so many images; a stack of more is one of its own."""
    portion: list[_Opened] = []
    held = 0
    for file in files:
        if portion and held + len(file.images) > _AT_ONCE:
            yield portion
            portion, held = [], 0
        portion.append(file)
        held += len(file.images)
    yield portion


def _annotations(file: _Opened, bundle: Bundle, assessment: Assessment) -> list[Annotation]:
    found = review_reasons(assessment, file.job.auto_above)
    chances = assessment.probabilities.tolist()
    best = assessment.probabilities.argmax(axis=1).tolist()
    unlike = assessment.ood_score.tolist()
    return [
        Annotation.model_construct(  # our own values: there is nothing to check
            file=file.upload.name,
            index=index,
            sha256=file.digest,
            label=bundle.classes[best[index]],
            confidence=chances[index][best[index]],
            probabilities=dict(zip(bundle.classes, chances[index], strict=True)),
            decision="review" if found[index] else "auto",
            review_reasons=list(found[index]),
            ood_score=unlike[index] if unlike[index] == unlike[index] else None,  # not NaN
            bundle=bundle.id,
            thumbnail=file.thumbnails[index],
        )
        for index in range(len(chances))
    ]


def _results(file: _Opened, labelled: dict[int, list[Annotation]]) -> Sequence[Result]:
    if file.refused is None:
        return labelled[id(file)]
    refused = file.refused
    return [
        RefusedFile(
            file=file.upload.name, sha256=file.digest, status=refused.status, error=refused.reason
        )
    ]


def _thumbnail(image: NDArray[np.uint8]) -> str:
    """A small PNG as a data: URL, for pages that cannot show a TIFF or a DICOM file."""
    small = Image.fromarray(image)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    small.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
