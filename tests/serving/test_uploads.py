"""Reading a request's body: the limit holds whatever the header says."""

import asyncio

import pytest
from starlette.requests import Request

from serving.images import Refused
from serving.uploads import read_upload


def _read(chunks, limit=100, content_type="application/octet-stream", cut=False):
    """Read a request of these chunks; also how many of them were taken."""
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if cut else {"type": "http.request"})
    left = iter(messages)

    async def receive():
        return next(left)

    headers = [(b"content-type", content_type.encode()), (b"content-length", b"1")]
    request = Request({"type": "http", "method": "POST", "headers": headers}, receive)
    try:
        return asyncio.run(read_upload(request, limit)), len(list(left))
    except Refused as refused:
        return refused, len(list(left))


def _form(name='name="file"; filename="x.png"', data=b"pixels"):
    head = f"--edge\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode()
    return head + data + b"\r\n--edge--\r\n"


FORM = "multipart/form-data; boundary=edge"


def test_body_is_joined():
    assert _read([b"ab", b"", b"c"]) == (b"abc", 0)


def test_form_gives_its_file():
    whole = _form()
    assert _read([whole[:50], whole[50:]], 1000, FORM)[0] == b"pixels"


def test_large_file_of_a_form_stays_in_memory(monkeypatch):
    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", None)
    data = bytes(3 * 2**20)
    assert _read([_form(data=data)], 2**22, FORM)[0] == data


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
        ([_form('filename="x.png"')], FORM, "malformed form"),
        ([b"junk"], FORM, "malformed form"),
        ([_form()], "multipart/form-data", "malformed form"),
        ([_form()[:-12] + b"\r\n" + _form()], FORM, "malformed form"),
    ],
)
def test_bodies_without_an_image_are_refused(chunks, kind, reason):
    refused, _ = _read(chunks, 1000, kind)
    assert refused.status == 400
    assert reason in refused.reason


def test_upload_that_is_cut_short_is_refused():
    refused, _ = _read([b"ab"], cut=True)
    assert (refused.status, refused.reason) == (400, "the upload was cut short")
