"""Annotates the files of a batch of requests. It uses neither Ray nor HTTP."""

import base64
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel.data.framing import chroma_of
from medlabel.storage.digests import hex_digest
from medlabel.student.bundle import Bundle
from medlabel.student.decision import Assessment, review_reasons
from serving.images import Budget, RequestError, open_images
from serving.schemas import Annotation, RefusedFile
from serving.uploads import Upload

__all__ = ["Job", "annotate"]

_THUMBNAIL = 96  # pixels
_MAX_FORWARD = 1024  # images in one forward pass: the stacks of a batch may hold many more

Result = Annotation | RefusedFile


@dataclass(frozen=True, slots=True)
class Job:
    """Files of one request, and how they are annotated.

    Attributes:
        bundle: the student.
        uploads: the files.
        budget: images and pixels that the request may still decode to.
        auto_above: a label of a lower probability is for review.
        thumbnails: whether each annotation gets a small PNG of its image.
    """

    bundle: Bundle
    uploads: Sequence[Upload]
    budget: Budget
    auto_above: float
    thumbnails: bool = False


@dataclass(slots=True)
class _OpenedFile:
    """A decoded file: its images as the student's input, or the error that prevented them."""

    job: Job
    upload: Upload
    digest: str
    images: list[NDArray[np.uint8]] = field(default_factory=list)
    chroma: list[float] = field(default_factory=list)
    thumbnails: list[str | None] = field(default_factory=list)
    own_range: list[bool] = field(default_factory=list)
    error: RequestError | None = None


def annotate(jobs: Sequence[Job]) -> list[list[Result]]:
    """The results of each job, in the order of its files.

    A file that cannot be used does not affect the others. Images of different jobs for the same
    student share its forward passes.
    """
    opened = [[_open(job, upload) for upload in job.uploads] for job in jobs]
    by_bundle: dict[int, list[_OpenedFile]] = {}
    for file in (file for files in opened for file in files if file.images):
        by_bundle.setdefault(id(file.job.bundle), []).append(file)
    annotations: dict[int, list[Annotation]] = {}
    for files in by_bundle.values():
        annotations |= _annotate_files(files)
    return [[one for file in files for one in _results(file, annotations)] for files in opened]


def _open(job: Job, upload: Upload) -> _OpenedFile:
    opened = _OpenedFile(job, upload, hex_digest(upload.data))
    try:
        decoded = open_images(upload.data, job.budget)
    except RequestError as error:
        opened.error = error
        return opened
    images = [image.pixels for image in decoded]
    opened.own_range = [image.own_range for image in decoded]
    opened.images = [job.bundle.square(image) for image in images]
    opened.chroma = [chroma_of(image) for image in images]
    opened.thumbnails = [_thumbnail(image) if job.thumbnails else None for image in images]
    return opened


def _annotate_files(files: Sequence[_OpenedFile]) -> dict[int, list[Annotation]]:
    """Annotations of files of one student, by `id` of the file."""
    bundle = files[0].job.bundle
    annotations: dict[int, list[Annotation]] = {}
    for portion in _portions(files):
        images = np.stack([image for file in portion for image in file.images])
        chroma = [value for file in portion for value in file.chroma]
        assessment = bundle.assess(images, np.array(chroma, dtype=np.float32))
        start = 0
        for file in portion:
            rows = slice(start, start + len(file.images))
            start = rows.stop
            annotations[id(file)] = _annotations(file, bundle, assessment[rows])
    return annotations


def _portions(files: Sequence[_OpenedFile]) -> Iterator[list[_OpenedFile]]:
    """Portions of at most `_MAX_FORWARD` images; a larger stack is a portion of its own."""
    portion: list[_OpenedFile] = []
    count = 0
    for file in files:
        if portion and count + len(file.images) > _MAX_FORWARD:
            yield portion
            portion, count = [], 0
        portion.append(file)
        count += len(file.images)
    yield portion


def _annotations(file: _OpenedFile, bundle: Bundle, assessment: Assessment) -> list[Annotation]:
    reasons = review_reasons(assessment, file.job.auto_above)
    probabilities = assessment.probabilities.tolist()
    predicted = assessment.probabilities.argmax(axis=1).tolist()
    scores = [None if math.isnan(score) else score for score in assessment.ood_score.tolist()]
    return [
        Annotation.model_construct(  # our own values need no validation, which takes time
            file=file.upload.name,
            index=index,
            sha256=file.digest,
            label=bundle.classes[predicted[index]],
            confidence=probabilities[index][predicted[index]],
            probabilities=dict(zip(bundle.classes, probabilities[index], strict=True)),
            decision="review" if reasons[index] else "auto",
            review_reasons=list(reasons[index]),
            ood_score=scores[index],
            bundle=bundle.id,
            thumbnail=file.thumbnails[index],
            own_range=file.own_range[index],
        )
        for index in range(len(probabilities))
    ]


def _results(file: _OpenedFile, annotations: dict[int, list[Annotation]]) -> Sequence[Result]:
    if file.error is None:
        return annotations[id(file)]
    name, error = file.upload.name, file.error
    return [RefusedFile(file=name, sha256=file.digest, status=error.status, error=error.reason)]


def _thumbnail(image: NDArray[np.uint8]) -> str:
    """A small PNG as a data: URL, for browsers, which cannot show a TIFF or a DICOM file."""
    small = Image.fromarray(image)
    small.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BICUBIC)
    buffer = BytesIO()
    small.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
