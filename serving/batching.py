"""Batches jobs without a timer: what arrives while a batch is computed makes the next one.

`ray.serve.batch` waits until a batch is full or a time has passed. A student takes about a
millisecond, so either wait costs more than it saves: an idle replica should start at once, and a
busy one finds its next batch already waiting.
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
    """Computes jobs in batches, in a thread of its own, so that the event loop stays free.

    Args:
        compute: returns the results of a batch of jobs, in their order.
        max_size: maximum total size of a batch; a larger job is a batch of its own.
        size: returns the size of a job.
    """

    def __init__(
        self, compute: Callable[[Sequence[J]], Sequence[R]], max_size: int, size: Callable[[J], int]
    ) -> None:
        self._compute, self._max_size, self._size = compute, max_size, size
        self._waiting: deque[tuple[J, asyncio.Future[R]]] = deque()
        self._thread = ThreadPoolExecutor(1, "batch")
        self._running: asyncio.Task[None] | None = None

    async def __call__(self, job: J) -> R:
        """The job's result; raises what the computation of its batch raised."""
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await future

    def close(self) -> None:
        """Stop the thread when it is done."""
        self._thread.shutdown(wait=False)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while batch := self._next():
                jobs = [job for job, _ in batch]
                try:
                    results = await loop.run_in_executor(self._thread, self._compute, jobs)
                except Exception as error:  # of any kind: every job of the batch must get it
                    self._fail(batch, error)
                else:
                    for (_, future), result in zip(batch, results, strict=True):
                        if not future.done():
                            future.set_result(result)
        finally:
            self._running = None

    def _next(self) -> list[tuple[J, asyncio.Future[R]]]:
        """The next batch, without jobs whose client has disconnected."""
        batch: list[tuple[J, asyncio.Future[R]]] = []
        room = self._max_size
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
