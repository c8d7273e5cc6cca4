"""A machine learning backend for Label Studio: add `http://HOST:PORT/label-studio` to a project.

| route | what Label Studio expects |
| --- | --- |
| `GET health` | JSON within a second, under any load |
| `POST setup` | the model version; refused if no student has a project's classes |
| `POST predict` | a prediction per task, in order; `[]` where there is none |
| `GET versions` | the students |
| `POST webhook` | a response within a second; the person's label is stored afterwards |

A project's predictions come from the first student whose classes are all choices of one of its
questions (`config`); other choices are for people ("unclear"). `image_reader` reads the images. A
student whose teacher was guessing (`medlabel.student.verdict`) predicts nothing: Label Studio would
preselect its labels.
"""

import asyncio
import logging
import math
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, BackgroundTasks, Body

from medlabel.storage.digests import hex_digest
from medlabel.student.bundle import Bundle
from serving.images import RequestError
from serving.label_studio.config import Project, find_project, read_questions
from serving.label_studio.image_reader import ImageReader, ImageReadError
from serving.schemas import Annotation, Correction
from serving.service import AnnotateOptions, Service
from serving.uploads import Reservation, Upload

__all__ = ["make_backend"]

_log = logging.getLogger(__name__)
_TIMEOUT = 80.0  # seconds; Label Studio waits 100 for all tasks of a request
_CONCURRENT = 8  # images that are read from Label Studio at the same time
_RETRY_AFTER = (2.0, 20.0)  # seconds before reading a labelled image is tried again
_LABELLED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")

Json = Annotated[dict[str, Any], Body()]


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
        return {"model_version": backend.find(body.get("schema"))[0]}

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

    def find(self, label_config: object) -> tuple[str, Project]:
        """Id of the first student whose classes a project asks for, and the question.

        Raises:
            RequestError: there is none, or several questions ask for its classes.
        """
        questions = read_questions(label_config)
        for model in self._service.registry.models:
            if (project := find_project(questions, model.classes)) is not None:
                return model.id, project
        raise RequestError(400, "no student here has classes that are all choices of this project")

    async def predict(self, body: dict[str, Any]) -> list[Any]:
        """A prediction per task, in order; `[]` if the image was not read, or not in time."""
        version, project = self.find(body.get("label_config"))
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
                known = math.isfinite(annotation.confidence)  # NaN is not JSON
                predictions[index] = {
                    "model_version": version,
                    "score": annotation.confidence if known else None,
                    "result": [project.region(annotation.label)],
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

        If the image cannot be read, the correction has its URL as file name and no SHA-256. Several
        ticks are not one class: they are not stored, but logged and counted.
        """
        try:
            version, project = self.find(body["project"].get("label_config"))
            annotation, task = body["annotation"], body["task"]
            labels = project.labels(annotation.get("result"))
            url, number = _image_url(task, project), task.get("id")
        except (KeyError, TypeError, AttributeError, RequestError) as error:
            self._leave_out(
                "not_understood", f"a webhook that is not understood: {_loggable(error)}"
            )
            return
        if annotation.get("was_cancelled") or not labels:
            return
        if len(labels) > 1:
            about = f"task {number}: {len(labels)} choices are ticked, which is not one class"
            self._leave_out("several_choices", about)
            return
        correction = Correction.model_construct(
            sha256="",
            index=0,
            file=_file_name(url, task),
            bundle=version,
            predicted="",
            confidence=0.0,
            label=labels[0][:200],
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

    def _leave_out(self, reason: str, sentence: str) -> None:
        self._service.telemetry.left_out(reason)
        _log.warning("Label Studio: %s", sentence)

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
    url = url.encode(errors="backslashreplace").decode()  # JSON can hold half a character
    if url.startswith("data:"):
        return f"data:{hex_digest(url)}"
    if len(url) > 255:
        return f"{url[:180]} {hex_digest(url)}"
    return url
