"""A machine learning backend for Label Studio: add `http://HOST:PORT/label-studio` to a project.

| route | what Label Studio expects |
| --- | --- |
| `GET health` | JSON within a second, under any load |
| `POST setup` | the model version; refused if no student has a project's classes |
| `POST predict` | a prediction per task, in order; `[]` where there is none |
| `GET versions` | the students |
| `POST webhook` | a response within a second; the person's label is stored afterwards |

A project's predictions come from the first student whose classes are all among its choices; other
choices are for people ("unclear"). `image_reader` reads the images. A student whose teacher was
guessing (`medlabel.student.verdict`) predicts nothing: Label Studio would preselect its labels.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import uuid4
from xml.etree import ElementTree

from fastapi import APIRouter, BackgroundTasks, Body

from medlabel.storage.digests import hex_digest
from medlabel.student.bundle import Bundle
from serving.corrections import choice
from serving.images import RequestError
from serving.label_studio.image_reader import ImageReader, ImageReadError
from serving.schemas import Annotation, Correction
from serving.service import AnnotateOptions, Service
from serving.uploads import Reservation, Upload

__all__ = ["Project", "make_backend", "read_config"]

_log = logging.getLogger(__name__)
_TIMEOUT = 80.0  # seconds; Label Studio waits 100 for all tasks of a request
_CONCURRENT = 8  # images that are read from Label Studio at the same time
_RETRY_AFTER = (2.0, 20.0)  # seconds before reading a labelled image is tried again
_MAX_XML = 2**20
_LABELLED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")

Json = Annotated[dict[str, Any], Body()]


@dataclass(frozen=True)
class Project:
    """A labelling configuration: names of its tags, key of the image in a task, choices."""

    from_name: str
    to_name: str
    key: str
    choices: tuple[str, ...]


def read_config(xml: object) -> Project:
    """Parse a labelling configuration with an image and choices for it.

    Raises:
        RequestError: it is something else.
    """
    if not isinstance(xml, str) or len(xml) > _MAX_XML or "<!" in xml.replace("<!--", ""):
        raise RequestError(400, "not a labelling configuration")
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314  (no declarations: nothing to expand)
    except ElementTree.ParseError as error:
        raise RequestError(400, f"a labelling configuration that is not XML: {error}") from None
    image, choices = root.find(".//Image"), root.find(".//Choices")
    if image is None or choices is None:
        raise RequestError(400, "the labelling configuration needs an Image and Choices")
    names = [one.get("alias") or one.get("value") or "" for one in choices.iter("Choice")]
    key = (image.get("value") or "$image").removeprefix("$")
    return Project(choices.get("name") or "", image.get("name") or "", key, tuple(names))


def make_backend(service: Service, reader: ImageReader) -> APIRouter:
    """The routes, for the API to include."""
    router = APIRouter(prefix="/label-studio", tags=["Label Studio"], include_in_schema=False)
    backend = _Backend(service, reader)

    @router.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "medlabel"}

    @router.get("/versions")
    async def versions() -> dict[str, list[str]]:
        return {"versions": [model.id for model in service.registry.models]}

    @router.post("/setup")
    async def setup(body: Json) -> dict[str, str]:
        return {"model_version": backend.student_for(read_config(body.get("schema")))}

    @router.post("/predict")
    async def predict(body: Json) -> dict[str, list[Any]]:
        return {"results": await backend.predict(body)}

    @router.post("/webhook")
    async def webhook(body: Json, tasks: BackgroundTasks) -> dict[str, str]:
        if body.get("action") in _LABELLED:
            tasks.add_task(backend.store_label, body)
        return {"status": "ok"}

    return router


class _Backend:
    def __init__(self, service: Service, reader: ImageReader) -> None:
        self._service, self._reader = service, reader

    def student_for(self, project: Project) -> str:
        """Id of the first student whose classes are all choices of the project."""
        for model in self._service.registry.models:
            if set(model.classes) <= set(project.choices):
                return model.id
        raise RequestError(400, "no student here has classes that are all choices of this project")

    async def predict(self, body: dict[str, Any]) -> list[Any]:
        """A prediction per task, in order; `[]` if the image was not read, or not in time."""
        project = read_config(body.get("label_config"))
        version = self.student_for(project)
        bundle = await self._service.get_bundle(version)
        tasks = body.get("tasks")
        urls = [_image_url(task, project) for task in tasks] if isinstance(tasks, list) else []
        predictions: list[Any] = [[] for _ in urls]
        if bundle.verdict is not None and bundle.verdict.level == "guessing":
            _log.warning("Label Studio: no predictions by %s: its teacher was guessing", version)
            return predictions
        semaphore = asyncio.Semaphore(_CONCURRENT)

        async def predict_one(index: int) -> None:
            async with semaphore:
                annotation = await self._annotate(urls[index], bundle)
            if annotation is not None:
                region = choice(annotation.label, project.from_name, project.to_name)
                predictions[index] = {
                    "model_version": version,
                    "score": annotation.confidence,
                    "result": [region],
                }

        pending = [asyncio.create_task(predict_one(index)) for index in range(len(urls))]
        if pending:
            _, late = await asyncio.wait(pending, timeout=_TIMEOUT)
            for task in late:
                task.cancel()
        return predictions

    async def _annotate(self, url: object, bundle: Bundle) -> Annotation | None:
        """The annotation of the image at a URL; None, and a line in the log, if there is none."""
        try:
            return await self._read_and_annotate(url, bundle)
        except (ImageReadError, RequestError) as error:
            _log.warning("Label Studio: %s", error)
            return None

    async def _read_and_annotate(self, url: object, bundle: Bundle) -> Annotation | None:
        with Reservation(self._service.memory) as reservation:
            upload = Upload("", await self._reader.read(url, reservation.acquire))
            (result, *more) = await self._service.annotate(
                [upload], bundle, AnnotateOptions(str(uuid4()))
            )
        return result if isinstance(result, Annotation) and not more else None

    async def store_label(self, body: dict[str, Any]) -> None:
        """Store the label that a person gave in Label Studio, then add the student's label to it.

        If the image cannot be read, the correction has its URL as file name and no SHA-256.
        """
        try:
            project = read_config(body["project"].get("label_config"))
            annotation, task = body["annotation"], body["task"]
            label = _choice_of(annotation.get("result"), project)
            if label is None or annotation.get("was_cancelled"):
                return
            version = self.student_for(project)
            url = _image_url(task, project)
        except (KeyError, TypeError, AttributeError, RequestError) as error:
            _log.warning(
                "Label Studio: a webhook that is not understood (%s)", type(error).__name__
            )
            return
        correction = Correction.model_construct(
            sha256="",
            index=0,
            file=_file_name(url, task),
            bundle=version,
            predicted="",
            confidence=0.0,
            label=label[:200],
            who=f"Label Studio user {annotation.get('completed_by')}"[:100],
        )
        corrections, classes = self._service.corrections, self._service.classes(version)
        stored = await asyncio.to_thread(corrections.add, correction, classes)
        found = await self._annotate_with_retries(url, version)
        if found is not None:
            prediction = {"predicted": found.label, "confidence": found.confidence}
            image = {"sha256": found.sha256, "bundle": found.bundle}
            complete = correction.model_copy(update=prediction | image)
            await asyncio.to_thread(corrections.add, complete, classes, stored.id)

    async def _annotate_with_retries(self, url: object, version: str) -> Annotation | None:
        """The student's annotation of an image that may not be readable at once."""
        for pause in (*_RETRY_AFTER, None):
            try:
                bundle = await self._service.get_bundle(version)
                return await self._read_and_annotate(url, bundle)
            except Exception as error:  # of any kind: the person's label is stored already
                _log.warning("Label Studio: %s", _loggable(error))
                if pause is None or getattr(error, "permanent", False):
                    return None
            await asyncio.sleep(pause)
        return None


def _loggable(error: Exception) -> str:
    """Our own reasons; the type alone of other errors, whose text may contain anything."""
    ours = isinstance(error, (ImageReadError, RequestError))
    return str(error) if ours else type(error).__name__


def _image_url(task: Any, project: Project) -> object:
    data = task.get("data") if isinstance(task, dict) else None
    return data.get(project.key) if isinstance(data, dict) else None


def _file_name(url: object, task: Any) -> str:
    """A name for an image whose SHA-256 is not known yet: its URL, without pixels and if short."""
    if not isinstance(url, str):
        return f"task {task.get('id')}"[:255]
    if url.startswith("data:"):
        return f"data:{hex_digest(url)}"
    if len(url) > 255:
        return f"{url[:180]} {hex_digest(url)}"
    return url


def _choice_of(result: Sequence[dict[str, Any]] | None, project: Project) -> str | None:
    for region in result or ():
        if region.get("from_name") == project.from_name and region.get("type") == "choices":
            labels = region["value"]["choices"]
            return str(labels[0]) if labels else None
    return None
