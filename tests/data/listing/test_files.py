import numpy as np
import pytest
from support_images import image_folder, png

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing import list_parts


@pytest.fixture
def folder(tmp_path):
    return image_folder(tmp_path / "scans")


def test_a_folder_is_listed_deeply_and_in_order(folder):
    (part,) = list_parts(str(folder))
    assert [part.image_id(row) for row in range(part.count)] == [
        "scans/all/a.png", "scans/all/c.png", "scans/all/deep/b.png",
    ]  # fmt: skip
    assert list(part.read(np.array([0, 2]))) == [png(1), png(2)]


def test_a_single_file_is_a_source(folder):
    (part,) = list_parts(str(folder / "a.png"))
    assert (part.image_id(0), list(part.read())) == ("a/all/a.png", [png(1)])


def test_a_large_folder_is_many_parts(folder, monkeypatch):
    monkeypatch.setattr("medlabel.data.listing.files.FILES", 2)
    assert [part.count for part in list_parts(str(folder))] == [2, 1]


def test_a_file_that_vanished_is_an_error_of_its_own(folder):
    (part,) = list_parts(str(folder))
    (folder / "c.png").unlink()
    contents = list(part.read())
    assert contents[0] == png(1)
    assert isinstance(contents[1], ImageError)
    assert contents[2] == png(2)


def test_no_more_of_a_large_file_is_read_than_the_limit(folder, monkeypatch):
    monkeypatch.setattr("medlabel.data.listing.files._MAX_FILE", len(png(1)))
    (folder / "b.png").write_bytes(png(1) + b"x")
    (part,) = list_parts(str(folder))
    contents = list(part.read())
    assert isinstance(contents[1], ImageError)
    assert contents[1].kind == Fault.TOO_LARGE
    assert contents[0] == png(1)
