import numpy as np
import pytest
from support import write_npz

from medlabel.data.listing import list_parts
from medlabel.data.sources import open_source


@pytest.mark.parametrize("colour", [False, True])
def test_an_npz_is_streamed_just_as_it_is_read_whole(tmp_path, colour, monkeypatch):
    monkeypatch.setattr("medlabel.data.listing.arrays.CHUNK", 7 * 28 * 28)
    path = write_npz(tmp_path / "a.npz", colour=colour)
    source = open_source(str(path))
    for part in list_parts(str(path)):
        whole = source.splits[part.split].images
        np.testing.assert_array_equal(np.stack(list(part.read())), whole)
        rows = np.array([0, 3, len(whole) - 1])
        np.testing.assert_array_equal(np.stack(list(part.read(rows))), whole[rows])
        assert part.image_id(3) == f"a/{part.split}/3"


def test_phantoms_are_the_same_wherever_they_are_rendered():
    part = list_parts("phantom:breastmnist")[1]
    whole = open_source("phantom:breastmnist").splits["val"].images
    np.testing.assert_array_equal(np.stack(list(part.read())), whole)


def test_what_a_damaged_npz_does_not_give_is_rejects(tmp_path):
    path = write_npz(tmp_path / "a.npz")
    part = list_parts(str(path))[0]
    data = bytearray(path.read_bytes())
    data[300:310] = b"\xff" * 10
    path.write_bytes(bytes(data))
    contents = list(part.read())
    assert len(contents) == part.count
    assert contents[-1].reason == "a damaged npz file"
    path.unlink()
    assert next(part.read()).reason == "cannot be read: No such file or directory"
