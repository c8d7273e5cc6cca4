"""Gather what arrives while a batch is computed into the next one: nobody waits for a timer.

`ray.serve.batch` waits for a batch to fill or for a time to pass. A student takes about a
millisecond, so either costs more than it saves: an idle copy should begin at once, and a busy one
finds its next batch already waiting.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Batcher"]

J = TypeVar("J")
R = TypeVar("R")


class Batcher(Generic[J, R]):
    """Answers jobs in batches of up to `most`, in a thread: the event loop stays free.

    Args:
        work: answers a batch, one answer a job, in order.
        most: sizes of a batch's jobs together; a larger job goes alone.
        size: of a job.
    """

    def __init__(
        self, work: Callable[[Sequence[J]], Sequence[R]], most: int, size: Callable[[J], int]
    ) -> None:
        self._work, self._most, self._size = work, most, size
        self._waiting: deque[tuple[J, asyncio.Future[R]]] = deque()
        self._thread = ThreadPoolExecutor(1, "batch")
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, job: J) -> R:
        """The job's answer, or what its batch raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    def close(self) -> None:
        """Let the thread end."""
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while batch := self._next():
                jobs = [job for job, _ in batch]
                try:
                    answers = await loop.run_in_executor(self._thread, self._work, jobs)
                except Exception as error:  # whatever it is, those who wait have to hear of it
                    self._fail(batch, error)
                else:
                    for (_, future), answer in zip(batch, answers, strict=True):
                        if not future.done():
                            future.set_result(answer)
        finally:
            self._running = None

    def _next(self) -> list[tuple[J, asyncio.Future[R]]]:
        """Jobs up to a full batch, without those whose client has gone."""
        batch: list[tuple[J, asyncio.Future[R]]] = []
        room = self._most
        while self._waiting and (not batch or self._size(self._waiting[0][0]) <= room):
            job, future = self._waiting.popleft()
            if not future.done():
                room -= self._size(job)
                batch.append((job, future))
        return batch

    @staticmethod
    def _fail(batch: Sequence[tuple[J, asyncio.Future[R]]], error: Exception) -> None:
        for _, future in batch:
            if not future.done():
                future.set_exception(error)
