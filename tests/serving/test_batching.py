"""What arrives while a batch is computed makes the next one."""

import asyncio
import threading

import pytest

from serving.batching import Batcher


def run(work, jobs, most=10, size=lambda job: 1):
    """Answers to jobs that all come at once, and the batches they went in."""
    batches = []

    def watched(batch):
        batches.append(list(batch))
        return work(batch)

    async def all_of_them():
        batcher = Batcher(watched, most, size)
        try:
            return await asyncio.gather(*map(batcher, jobs), return_exceptions=True)
        finally:
            batcher.close()

    return asyncio.run(all_of_them()), batches


def test_each_gets_its_own_answer():
    answers, _ = run(lambda batch: [10 * job for job in batch], range(25))
    assert answers == [10 * job for job in range(25)]


def test_a_batch_has_no_more_than_is_allowed():
    _, batches = run(list, range(25))
    assert [len(batch) for batch in batches] == [10, 10, 5]


def test_sizes_count_and_a_large_job_goes_alone():
    _, batches = run(list, [4, 4, 4, 30, 1], size=lambda job: job)
    assert batches == [[4, 4], [4], [30], [1]]


def test_an_error_reaches_every_job_of_its_batch_and_no_other():
    def work(batch):
        if 3 in batch:
            raise ValueError("three")
        return list(batch)

    answers, _ = run(work, range(6), most=2)
    assert [isinstance(answer, ValueError) for answer in answers] == [0, 0, 1, 1, 0, 0]


def test_the_event_loop_is_free_meanwhile():
    go = threading.Event()

    async def both():
        batcher = Batcher(lambda batch: [go.wait(10) for _ in batch], 1, lambda job: 1)
        waiting = asyncio.create_task(batcher(0))
        await asyncio.sleep(0.01)
        go.set()  # would never come to this if the batch had the loop
        assert await waiting
        batcher.close()

    asyncio.run(both())


def test_whoever_has_gone_is_not_computed_for():
    done, go = [], threading.Event()

    def work(batch):
        go.wait(10)
        done.extend(batch)
        return list(batch)

    async def leave():
        batcher = Batcher(work, 1, lambda job: 1)
        tasks = [asyncio.create_task(batcher(job)) for job in range(3)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        go.set()
        assert await tasks[0] == 0
        assert await tasks[2] == 2
        with pytest.raises(asyncio.CancelledError):
            await tasks[1]
        batcher.close()

    asyncio.run(leave())
    assert done == [0, 2]
