"""Reading a request's body: the limit holds whatever the header says."""

import asyncio

import pytest
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request

from serving.images import RequestError
from serving.uploads import BodyLimits, Limits, MemoryLimit, read_uploads


def _read(chunks, limit=100, content_type="application/octet-stream", cut=False, memory=None):
    """Read a request of these chunks; also how many of them were left."""
    memory = memory or MemoryLimit(10**9)
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if cut else {"type": "http.request"})
    left = iter(messages)

    async def receive():
        return next(left)

    headers = [(b"content-type", content_type.encode()), (b"content-length", b"1")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    try:
        uploads, held = asyncio.run(read_uploads(request, Limits(limit, 3, 5), memory))
        assert memory.used == held
        return uploads, len(list(left))
    except RequestError as refused:
        assert memory.used == 0
        return refused, len(list(left))


def _form(name='name="file"; filename="x.png"', data=b"pixels"):
    head = f"--edge\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode()
    return head + data + b"\r\n--edge--\r\n"


FORM = "multipart/form-data; boundary=edge"


def test_body_is_joined():
    (upload,), left = _read([b"ab", b"", b"c"])
    assert (upload.name, upload.data, left) == ("", b"abc", 0)


def test_form_gives_its_file():
    whole = _form()
    (upload,), _ = _read([whole[:50], whole[50:]], 1000, FORM)
    assert (upload.name, upload.data) == ("x.png", b"pixels")


def test_large_file_of_a_form_stays_in_memory(monkeypatch):
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", None)
    data = bytes(3 * 2**20)
    assert _read([_form(data=data)], 2**22, FORM)[0][0].data == data


@pytest.mark.parametrize("kind", ["application/octet-stream", FORM])
def test_reading_stops_at_the_limit(kind):
    refused, unread = _read([_form()[:70], bytes(60), bytes(60), bytes(60)], 100, kind)
    assert (refused.status, unread) == (413, 3)


@pytest.mark.parametrize(
    ("chunks", "kind", "reason"),
    [
        ([], "image/png", "nothing was sent"),
        ([], FORM, "no file"),
        ([_form(data=b"")], FORM, "nothing was sent"),
        ([_form('name="other"; filename="x.png"')], FORM, "no file"),
        ([_form('name="file"')], FORM, "no file"),
        ([_form('filename="x.png"')], FORM, "form that is refused"),
        ([b"junk"], FORM, "form that is refused"),
        ([_form()], "multipart/form-data", "form that is refused"),
    ],
)
def test_bodies_without_an_image_are_refused(chunks, kind, reason):
    refused, _ = _read(chunks, 1000, kind)
    assert refused.status == 400
    assert reason in refused.reason


def test_upload_that_is_cut_short_is_refused():
    refused, _ = _read([b"ab"], cut=True)
    assert (refused.status, refused.reason) == (400, "the upload was cut short")


def _parts(count):
    return b"".join(_form(data=b"x" * n)[:-10] for n in range(1, count + 1)) + b"--edge--\r\n"


def test_form_may_have_several_files_but_not_more_than_allowed():
    uploads, _ = _read([_parts(3)], 10_000, FORM)
    assert [len(upload.data) for upload in uploads] == [1, 2, 3]
    refused, _ = _read([_parts(4)], 10_000, FORM)
    assert refused.status == 413


def test_a_slow_sender_is_refused():
    async def receive():
        await asyncio.sleep(30)

    request = Request({"type": "http", "method": "POST", "headers": []}, receive)
    with pytest.raises(RequestError) as refused:
        asyncio.run(read_uploads(request, Limits(10, 1, 0.01), MemoryLimit(100)))
    assert refused.value.status == 408


def test_a_slow_sender_is_refused_at_other_routes_too():
    sent = []

    async def receive():
        await asyncio.sleep(30)

    async def send(message):
        sent.append(message)

    async def reading(scope, receive, send):
        await Request(scope, receive).body()

    app = ExceptionMiddleware(BodyLimits(reading, {}, MemoryLimit(100), seconds=0.01))
    scope = {"type": "http", "method": "POST", "path": "/corrections", "headers": []}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 408


def test_who_waits_after_its_body_is_not_hurried():
    messages = iter([{"type": "http.request", "body": b"x"}])

    async def receive():
        message = next(messages, None)
        await asyncio.sleep(0 if message else 0.05)
        return message or {"type": "http.disconnect"}

    async def waiting(scope, receive, send):
        assert (await receive())["body"] == b"x"
        assert (await receive())["type"] == "http.disconnect"

    app = BodyLimits(waiting, {}, MemoryLimit(100), seconds=0.01)
    asyncio.run(app({"type": "http", "path": "/corrections"}, receive, None))


def test_a_body_that_exceeds_the_memory_is_refused():
    memory = MemoryLimit(5)
    memory.acquire(3)
    with pytest.raises(RequestError) as refused:
        memory.acquire(3)
    assert (refused.value.status, memory.used) == (503, 3)
