"""What the soak calls a wrong answer, and what a lost request."""

import asyncio

import httpx
import numpy as np
import pytest

from benchmarks import soak

KINDS = soak.kinds_of(np.zeros((soak.STACK, 28, 28), np.uint8))
ONE = {"results": [{"label": "chest", "bundle": "b"}]}


@pytest.mark.parametrize(
    ("kind", "status", "told", "reason"),
    [
        ("one PNG", 200, ONE, None),
        ("one PNG", 200, {"results": [{"error": "no"}]}, "0 labels"),
        ("one PNG", 500, {"detail": "oh"}, "not to be answered so"),
        ("noise", 422, {"detail": "no image"}, None),
        ("noise", 422, {}, "no reason"),
        ("noise", 200, ONE, "not to be answered so"),
        ("good and broken", 200, ONE, "1 labels"),
    ],
)
def test_answers_are_judged_by_what_was_sent(kind, status, told, reason):
    found = soak.wrong(KINDS[kind], httpx.Response(status, json=told))
    assert found is None if reason is None else reason in found


def asked(*answers):
    """What is seen when these come, in order, to one request."""
    left, seen = list(answers), soak.Seen()

    def answer(_request):
        one = left.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    async def ask():
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await soak._ask(client, "one PNG", KINDS["one PNG"], seen)

    asyncio.run(ask())
    assert not left
    return seen


def busy():
    return httpx.Response(503, headers={"retry-after": "0"}, json={"detail": "busy"})


def test_a_request_is_sent_once_more_and_then_it_is_lost():
    once = asked(busy(), httpx.Response(200, json=ONE))
    assert (once.again, once.lost, once.wrong, once.bundles["b"]) == (1, 0, [], 1)
    twice = asked(busy(), busy())
    assert (twice.again, twice.lost, twice.statuses["503"]) == (1, 1, 2)
    broken = asked(httpx.ReadError("gone"), httpx.Response(200, json=ONE))
    assert (broken.again, broken.lost, broken.statuses["ReadError"]) == (1, 0, 1)


def test_503_has_to_say_when_to_come_back():
    silent = asked(httpx.Response(503, json={}), httpx.Response(200, json=ONE))
    assert silent.wrong == ["503 without Retry-After"]
