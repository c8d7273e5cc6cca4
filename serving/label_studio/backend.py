"""The backend that Label Studio asks: paste `http://HOST:PORT/label-studio` into its settings.

| route | what Label Studio wants |
| --- | --- |
| `GET health` | JSON within a second, whatever else is going on |
| `POST setup` | the version; refused when no student knows a project's classes |
| `POST predict` | a prediction a task, in order; `[]` where there is none |
| `GET versions` | the students |
| `POST webhook` | an answer within a second; what it says of people's labels is kept afterwards |

A project is answered by the first student whose classes are all among its choices; choices beyond
them are for people ("unclear"). Images are read by `serving/reader.py`.
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
from serving.images import Refused
from serving.label_studio.image_reader import ImageReader, Unreadable
from serving.schemas import Annotation, Correction
from serving.service import AnnotateOptions, Service
from serving.uploads import Held, Upload

__all__ = ["Project", "make_backend", "read_config"]

_log = logging.getLogger(__name__)
_SECONDS = 80.0  # Label Studio waits 100 for all tasks together
_AT_ONCE = 8  # images that are read from Label Studio at the same time
_PAUSES = (2.0, 20.0)  # seconds before a labelled image that cannot be read is tried again
_MOST_XML = 2**20
_LABELLED = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED")

Json = Annotated[dict[str, Any], Body()]


@dataclass(frozen=True)
class Project:
    """What a labelling configuration says: names of its tags, key of the image, choices."""

    from_name: str
    to_name: str
    key: str
    choices: tuple[str, ...]


def read_config(xml: object) -> Project:
    """A configuration with one image and one set of choices for it.

    Raises:
        Refused: it is something else.
    """
    if not isinstance(xml, str) or len(xml) > _MOST_XML or "<!" in xml.replace("<!--", ""):
        raise Refused(400, "not a labelling configuration")
    try:
        root = ElementTree.fromstring(xml)  # noqa: S314  (no declarations: nothing to expand)
    except ElementTree.ParseError as error:
        raise Refused(400, f"a labelling configuration that is no XML: {error}") from None
    image, choices = root.find(".//Image"), root.find(".//Choices")
    if image is None or choices is None:
        raise Refused(400, "the labelling configuration needs an Image and Choices")
    names = [one.get("alias") or one.get("value") or "" for one in choices.iter("Choice")]
    key = (image.get("value") or "$image").removeprefix("$")
    return Project(choices.get("name") or "", image.get("name") or "", key, tuple(names))


def make_backend(service: Service, reader: ImageReader) -> APIRouter:
    """The routes, for the interface to include."""
    router = APIRouter(prefix="/label-studio", tags=["Label Studio"], include_in_schema=False)
    backend = _Backend(service, reader)

    @router.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "UP", "model_class": "medlabel"}

    @router.get("/versions")
    async def versions() -> dict[str, list[str]]:
        return {"versions": [model.id for model in service.shelf.models]}

    @router.post("/setup")
    async def setup(body: Json) -> dict[str, str]:
        return {"model_version": backend.student_for(read_config(body.get("schema")))}

    @router.post("/predict")
    async def predict(body: Json) -> dict[str, list[Any]]:
        return {"results": await backend.predict(body)}

    @router.post("/webhook")
    async def webhook(body: Json, later: BackgroundTasks) -> dict[str, str]:
        if body.get("action") in _LABELLED:
            later.add_task(backend.keep, body)
        return {"status": "ok"}

    return router


class _Backend:
    def __init__(self, service: Service, reader: ImageReader) -> None:
        self._service, self._reader = service, reader

    def student_for(self, project: Project) -> str:
        """Id of the first student that knows only choices of the project."""
        for model in self._service.shelf.models:
            if set(model.classes) <= set(project.choices):
                return model.id
        raise Refused(400, "no student here has classes that are all choices of this project")

    async def predict(self, body: dict[str, Any]) -> list[Any]:
        """A prediction a task, in their order; `[]` for what was not read or not in time."""
        project = read_config(body.get("label_config"))
        version = self.student_for(project)
        bundle = await self._service.find(version)
        tasks = body.get("tasks")
        addresses = [_address(task, project) for task in tasks] if isinstance(tasks, list) else []
        answers: list[Any] = [[] for _ in addresses]
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(place: int) -> None:
            async with turn:
                found = await self._label(addresses[place], bundle)
            if found is not None:
                region = choice(found.label, project.from_name, project.to_name)
                answers[place] = {
                    "model_version": version,
                    "score": found.confidence,
                    "result": [region],
                }

        pending = [asyncio.create_task(one(place)) for place in range(len(addresses))]
        if pending:
            _, late = await asyncio.wait(pending, timeout=_SECONDS)
            for task in late:
                task.cancel()
        return answers

    async def _label(self, address: object, bundle: Bundle) -> Annotation | None:
        """The label of the image at an address; None, and a line in the log, if there is none."""
        try:
            return await self._read_and_label(address, bundle)
        except (Unreadable, Refused) as error:
            _log.warning("Label Studio: %s", error)
            return None

    async def _read_and_label(self, address: object, bundle: Bundle) -> Annotation | None:
        with Held(self._service.gate) as held:
            upload = Upload("", await self._reader.read(address, held.take))
            (result, *more) = await self._service.annotate(
                [upload], bundle, AnnotateOptions(str(uuid4()))
            )
        return result if isinstance(result, Annotation) and not more else None

    async def keep(self, body: dict[str, Any]) -> None:
        """Keep what a person said in Label Studio, at once; then the student's label beside it.

        An image that cannot be read has its address for a name, and no hash.
        """
        try:
            project = read_config(body["project"].get("label_config"))
            annotation, task = body["annotation"], body["task"]
            label = _choice_of(annotation.get("result"), project)
            if label is None or annotation.get("was_cancelled"):
                return
            version = self.student_for(project)
            address = _address(task, project)
        except (KeyError, TypeError, AttributeError, Refused) as error:
            _log.warning(
                "Label Studio: a webhook that is not understood (%s)", type(error).__name__
            )
            return
        said = Correction.model_construct(
            sha256="",
            index=0,
            file=_named(address, task),
            bundle=version,
            predicted="",
            confidence=0.0,
            label=label[:200],
            who=f"Label Studio user {annotation.get('completed_by')}"[:100],
        )
        notes, classes = self._service.corrections, self._service.classes(version)
        stored = await asyncio.to_thread(notes.add, said, classes)
        found = await self._label_in_the_end(address, version)
        if found is not None:
            told = {"sha256": found.sha256, "bundle": found.bundle, "predicted": found.label}
            whole = said.model_copy(update={**told, "confidence": found.confidence})
            await asyncio.to_thread(notes.add, whole, classes, stored.id)

    async def _label_in_the_end(self, address: object, version: str) -> Annotation | None:
        """The student's label of an image that may be readable only a little later."""
        for pause in (*_PAUSES, None):
            try:
                return await self._read_and_label(address, await self._service.find(version))
            except Exception as error:  # what is kept is kept, whatever becomes of this
                _log.warning("Label Studio: %s", _told(error))
                if pause is None or getattr(error, "for_good", False):
                    return None
            await asyncio.sleep(pause)
        return None


def _told(error: Exception) -> str:
    """Our own reasons; of others the kind alone, for they may hold anything."""
    return str(error) if isinstance(error, (Unreadable, Refused)) else type(error).__name__


def _address(task: Any, project: Project) -> object:
    data = task.get("data") if isinstance(task, dict) else None
    return data.get(project.key) if isinstance(data, dict) else None


def _named(address: object, task: Any) -> str:
    """What an image goes by that has no hash yet: its address, if that is short and no pixels."""
    if not isinstance(address, str):
        return f"task {task.get('id')}"[:255]
    if address.startswith("data:"):
        return f"data:{hex_digest(address)}"
    if len(address) > 255:
        return f"{address[:180]} {hex_digest(address)}"
    return address


def _choice_of(result: Sequence[dict[str, Any]] | None, project: Project) -> str | None:
    for region in result or ():
        if region.get("from_name") == project.from_name and region.get("type") == "choices":
            labels = region["value"]["choices"]
            return str(labels[0]) if labels else None
    return None
