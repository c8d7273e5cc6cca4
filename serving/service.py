"""The service behind the routes: students, batches, corrections and the audit log, without Ray."""

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
from serving.audit_log import AuditLog
from serving.batching import Batcher
from serving.corrections import Corrections
from serving.images import Budget, RequestError
from serving.registry import RegisteredBundle, Registry
from serving.schemas import Annotation, Answer, RefusedFile, ServeArgs
from serving.telemetry import Telemetry
from serving.uploads import Limits, MemoryLimit, Upload, read_uploads
from serving.verdicts import facts_of

__all__ = ["AnnotateOptions", "Service", "request_id"]

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_BYTES = 2**16  # a larger file counts as several when a batch is gathered
_CHUNK = 64  # files of one request in a batch at once, so that other requests get their turn

Results = list[Annotation | RefusedFile]


@dataclass(frozen=True)
class AnnotateOptions:
    """Options of a request besides its files.

    Attributes:
        request_id: appears in the response and in the audit log.
        bundle: id of the student; None for the default.
        auto_above: a label of a lower probability is for review; None for the server's setting.
        thumbnails: whether each annotation gets a small PNG of its image.
    """

    request_id: str
    bundle: str | None = None
    auto_above: float | None = None
    thumbnails: bool = False


class Service:
    """One replica of the application.

    Args:
        args: the settings.
        name: of this replica, in its metrics and its audit log.
        folder: for corrections and the audit log.
        load: loads a bundle.
    """

    def __init__(
        self,
        args: ServeArgs,
        name: str,
        folder: Path,
        load: Callable[[RegisteredBundle], Awaitable[Bundle]],
    ) -> None:
        self.args, self._load = args, load
        self.registry = Registry(args.bundles)
        self._retired_classes: dict[str, list[str]] = {}
        self._default_bundle: Bundle | None = None
        self.telemetry = Telemetry(name)
        self.corrections = Corrections(folder / "corrections.sqlite")
        self._audit_log = AuditLog(folder, name)
        self._limits = Limits(int(args.max_body_mib * 2**20), args.max_images, args.max_sending_s)
        self.memory = MemoryLimit(int(args.max_held_mib * 2**20))
        self._batcher: Batcher[Job, Results] = Batcher(
            self._annotate_batch, args.max_batch_size, _size
        )

    async def set_bundles(self, uris: Sequence[str]) -> None:
        """Serve these bundles from now on; requests in progress are answered by the old ones."""
        registry = Registry(uris)
        self._default_bundle = await self._load(registry.default)  # before a request needs it
        self._retired_classes |= {model.id: model.classes for model in self.registry.models}
        self.registry = registry

    def classes(self, bundle_id: str) -> list[str]:
        """The classes of a student that is or was served; an empty list for an unknown id.

        A student that was replaced counts because people may still correct its labels.
        """
        return self.registry.classes(bundle_id) or self._retired_classes.get(bundle_id, [])

    async def check(self) -> None:
        """Annotate a black image; raise `RequestError` with 503 if the default student cannot."""
        try:
            bundle = await self.get_bundle()
            side = (bundle.size, bundle.size)
            shape = side if bundle.student.channels == 1 else (*side, 3)
            await asyncio.to_thread(bundle.predict, np.zeros((1, *shape), np.uint8))
        except (MedlabelError, OSError, RuntimeError) as error:
            raise RequestError(503, "the default student cannot answer: see the log") from error

    async def annotate_request(self, request: Request, options: AnnotateOptions) -> Answer:
        """Annotate the files of a request.

        Raises:
            RequestError: it has no files, exceeds a limit, or names an unknown student.
        """
        bundle = await self.get_bundle(options.bundle)
        uploads, size = await read_uploads(request, self._limits, self.memory)
        try:
            results = await self.annotate(uploads, bundle, options)
            facts = facts_of(bundle.provenance)
            return Answer.model_construct(request_id=options.request_id, results=results, **facts)
        finally:
            self.memory.release(size)

    async def annotate(
        self, uploads: Sequence[Upload], bundle: Bundle, options: AnnotateOptions
    ) -> Results:
        """Annotate files, in their order; a large request takes turns with others."""
        above = self.args.auto_above if options.auto_above is None else options.auto_above
        job = Job(bundle, uploads, Budget(self.args.max_images), above, options.thumbnails)
        if len(uploads) <= _CHUNK:
            results = await self._batcher(job)
        else:
            results = []
            for start in range(0, len(uploads), _CHUNK):
                part = replace(job, uploads=uploads[start : start + _CHUNK])
                results += await self._batcher(part)
        self.telemetry.annotated(results)
        self._audit_log.write(options.request_id, results)
        return results

    async def get_bundle(self, bundle_id: str | None = None) -> Bundle:
        """The loaded student with this id; the default for None.

        Raises:
            RequestError: 404 for an unknown id, 503 if the student cannot be loaded.
        """
        entry = self.registry.find(bundle_id)
        if entry is None:
            raise RequestError(404, "no student of that id is served here: see /models")
        if entry is self.registry.default and self._default_bundle is not None:
            return self._default_bundle
        try:
            return await self._load(entry)
        except MedlabelError as error:
            raise RequestError(503, f"this student cannot be loaded: {error}") from error

    def _annotate_batch(self, jobs: Sequence[Job]) -> list[Results]:
        self.telemetry.batch(sum(len(job.uploads) for job in jobs))
        return annotate(jobs)

    def close(self) -> None:
        """Stop the batcher's thread and close the audit log."""
        self._batcher.close()
        self._audit_log.close()


def request_id(request: Request) -> str:
    """The client's `X-Request-Id` if it is a plain identifier, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid4())


def _size(job: Job) -> int:
    """The size of a job in a batch: its files, and more for large ones.

    A stack of 1,024 images of 28x28 pixels counts as 13.
    """
    return sum(1 + len(upload.data) // _BYTES for upload in job.uploads)
