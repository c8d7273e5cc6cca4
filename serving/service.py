"""What the application does, whatever carries it: no Ray, and of HTTP no more than a request."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

import numpy as np
from starlette.requests import Request

from medlabel.errors import MedlabelError
from medlabel.student.bundle import Bundle
from serving.annotate import Job, annotate
from serving.audit_log import Audit
from serving.batching import Batcher
from serving.corrections import Corrections
from serving.images import Budget, Refused
from serving.registry import Place, Registry
from serving.schemas import Annotation, Answer, RefusedFile, ServeArgs
from serving.telemetry import Telemetry
from serving.uploads import Gate, Limits, Upload, read_uploads

__all__ = ["AnnotateOptions", "Service", "request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BYTES = 2**16  # a file of more counts as several when a batch is gathered
_CHUNK = 64  # files of one request that go into a batch at once, so that others get their turn

Results = list[Annotation | RefusedFile]


@dataclass(frozen=True)
class AnnotateOptions:
    """What a request asks for beside its files."""

    request_id: str
    bundle: str | None = None
    auto_above: float | None = None
    thumbnails: bool = False


class Service:
    """One copy of the application: its students, its batches, its notes.

    Args:
        args: the settings.
        name: of this copy, among its notes.
        folder: for audit lines and corrections.
        load: gives the student that lies at a place.
    """

    def __init__(
        self,
        args: ServeArgs,
        name: str,
        folder: Path,
        load: Callable[[Place], Awaitable[Bundle]],
    ) -> None:
        self.args, self._load = args, load
        self.shelf = Registry(args.bundles)
        self._retired: dict[str, list[str]] = {}
        self._first: Bundle | None = None
        self.telemetry = Telemetry(name)
        self.corrections = Corrections(folder / "corrections.sqlite")
        self._audit = Audit(folder, name)
        self._limits = Limits(int(args.max_body_mib * 2**20), args.max_images, args.max_sending_s)
        self.gate = Gate(int(args.max_held_mib * 2**20))
        self._batcher: Batcher[Job, Results] = Batcher(self._work, args.max_batch_size, _size)

    async def offer(self, uris: Sequence[str]) -> None:
        """Offer these bundles from now on; what is being answered is still by the old ones."""
        shelf = Registry(uris)
        self._first = await self._load(shelf.default)  # before anybody can ask for it
        self._retired |= {model.id: model.classes for model in self.shelf.models}
        self.shelf = shelf

    def classes(self, bundle_id: str) -> list[str]:
        """The classes of a student, of one too whose labels people still look at; else none."""
        return self.shelf.classes(bundle_id) or self._retired.get(bundle_id, [])

    async def check(self) -> None:
        """Have the first student label an image of nothing; `Refused` with 503 if it cannot."""
        try:
            bundle = await self.find(None)
            side = (bundle.size, bundle.size)
            shape = side if bundle.student.channels == 1 else (*side, 3)
            await asyncio.to_thread(bundle.predict, np.zeros((1, *shape), np.uint8))
        except (MedlabelError, OSError, RuntimeError) as error:
            raise Refused(503, "the first student cannot answer: see the log") from error

    async def annotate_request(self, request: Request, asked: AnnotateOptions) -> Answer:
        """Label the files of a request.

        Raises:
            Refused: there is nothing in it that could be labelled.
        """
        bundle = await self.find(asked.bundle)
        uploads, held = await read_uploads(request, self._limits, self.gate)
        try:
            return Answer.model_construct(
                request_id=asked.request_id, results=await self.annotate(uploads, bundle, asked)
            )
        finally:
            self.gate.release(held)

    async def annotate(
        self, uploads: Sequence[Upload], bundle: Bundle, asked: AnnotateOptions
    ) -> Results:
        """Label files, in their order; large requests go through in turns with others."""
        above = self.args.auto_above if asked.auto_above is None else asked.auto_above
        job = Job(bundle, uploads, Budget(self.args.max_images), above, asked.thumbnails)
        if len(uploads) <= _CHUNK:
            results = await self._batcher(job)
        else:
            results = []
            for start in range(0, len(uploads), _CHUNK):
                part = replace(job, uploads=uploads[start : start + _CHUNK])
                results += await self._batcher(part)
        self.telemetry.labelled(results)
        self._audit.write(asked.request_id, results)
        return results

    async def find(self, bundle_id: str | None = None) -> Bundle:
        """The student of that id, or the one that answers where none is named.

        Raises:
            Refused: there is none, or it cannot be loaded.
        """
        place = self.shelf.find(bundle_id)
        if place is None:
            raise Refused(404, "no student of that id is served here: see /models")
        if place is self.shelf.default and self._first is not None:
            return self._first
        try:
            return await self._load(place)
        except MedlabelError as error:
            raise Refused(503, f"this student cannot be loaded: {error}") from error

    def _work(self, jobs: Sequence[Job]) -> list[Results]:
        self.telemetry.batch(sum(len(job.uploads) for job in jobs))
        return annotate(jobs)

    def close(self) -> None:
        """Stop the thread and close the notes."""
        self._batcher.close()
        self._audit.close()


def request_id(request: Request) -> str:
    """The client's own id of a request if it is a plain one, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid4())


def _size(job: Job) -> int:
    """Files, and stacks for more than one by their bytes: 1,024 images of 28x28 are 13."""
    return sum(1 + len(upload.data) // _BYTES for upload in job.uploads)
