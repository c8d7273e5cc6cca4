import numpy as np
import pytest
from support_images import image_folder, png

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing import list_parts
from medlabel.data.listing.files import cut_names, file_parts


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


def test_a_file_that_is_added_or_removed_changes_one_part_or_two():
    names = [f"{number:04}.png" for number in range(5000)]
    stamps = {name: name for name in ["a-new.png", *names]}

    def keys(files):
        return {part.key for part in file_parts("scans", "/scans", files, stamps)}

    before = keys(names)
    assert len(before) > 4
    assert len(keys(["a-new.png", *names]) - before) == 1
    assert len(keys([*names, "a-new.png"]) - before) == 1
    assert len(keys(names[:100] + names[101:]) - before) <= 2
    stamps[names[700]] = "changed"
    assert len(keys(names) - before) == 1


def test_parts_hold_every_name_once_in_order():
    names = [f"{number:05}" for number in range(9000)]
    cut = list(cut_names(names))
    assert [name for group in cut for name in group] == names
    assert all(128 <= len(group) <= 2048 for group in cut[:-1])


def test_some_files_of_a_part_are_a_part(folder):
    (part,) = list_parts(str(folder))
    some = part.only(np.array([0, 2]))
    assert list(some.read()) == [png(1), png(2)]
    assert [some.address(1), some.stamp(1)] == [part.address(2), part.stamp(2)]
    assert len({part.stamp(row) for row in range(3)}) == 3


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
