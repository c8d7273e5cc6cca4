import os
import random

import pytest

from medlabel.storage.addresses import (
    escaped,
    local_file,
    path_bytes,
    path_text,
    place_in_file,
    unescaped,
)

ODD = (
    *(
        b"/a\xff.png",
        b"/\xc3\xa9.png",
        b"/a\nb",
        b"/a\r",
        b"/\x1b[31m.png",
        b"/end ",
        b"/end\xc2\xa0",
    ),
    *(
        b"/a#3",
        b"/a#val/3",
        b"/a#b.png",
        b"/\\x41",
        b"/\\",
        b"/\\x4\x01",
        b"/%41",
        b"/a::b",
        b"/\\\xff",
    ),
    *("/\u2028\u0085".encode(), b"/\xe2\x80", b"/\xe2\xff\x80\xa8", "/患者.png".encode()),
)


@pytest.mark.parametrize("name", ODD)
def test_an_address_is_text_on_one_line_and_leads_back_to_the_file(name):
    address = escaped(path_text(os.fsdecode(name)))
    assert address.encode().decode() == address.strip()
    assert len(address.splitlines()) == 1
    assert address.isprintable()
    assert os.fsencode(local_file(address)) == path_bytes(unescaped(address)) == name


@pytest.mark.parametrize(
    "name", ["/a b.png", "/100%.png", "/a#b.png", "/x\\y.png", "/é.png", "/a#3/b"]
)
def test_ordinary_names_are_their_own_addresses(name):
    assert escaped(name) == name


def test_addresses_of_different_paths_differ():
    pieces = [b"\\", b"x", b"4", b"1", b"\xff", b"\xe2\x80", b"\xa8", b"\n", b"#", b" ", b"/"]
    rng = random.Random(0)
    paths = {b"".join(rng.choices(pieces, k=rng.randint(1, 7))) for _ in range(3000)}
    texts = [path.decode("utf-8", "surrogateescape") for path in paths]
    assert [unescaped(escaped(text)) for text in texts] == texts


def test_a_place_in_a_file_is_never_the_name_of_another():
    assert place_in_file("/t.parquet#3") == ("/t.parquet", "3")
    assert place_in_file("/t.npz#val/3") == ("/t.npz", "val/3")
    assert place_in_file(escaped("/t.parquet#3")) == ("/t.parquet#3", None)
    assert local_file("/t.parquet#3") is None
    assert local_file("s3://bucket/a.png") is None
