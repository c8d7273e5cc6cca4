from dataclasses import astuple, fields, make_dataclass, replace
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support import write_npz

from medlabel.data import listing
from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing import NpzPart, Part, PhantomPart, digest_of, list_parts
from medlabel.data.sources import open_source
from medlabel.errors import MedlabelError


def png(level, size=(8, 6)):
    buffer = BytesIO()
    Image.new("L", size, level).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "scans"
    (root / "deep").mkdir(parents=True)
    for name, level in (("a.png", 1), ("deep/b.png", 2), ("c.png", 3)):
        (root / name).write_bytes(png(level))
    (root / ".hidden").write_bytes(b"x")
    return root


@pytest.mark.parametrize("colour", [False, True])
def test_an_npz_is_streamed_just_as_it_is_read_whole(tmp_path, colour, monkeypatch):
    monkeypatch.setattr("medlabel.data.listing._CHUNK", 7 * 28 * 28)
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


def test_a_folder_is_listed_deeply_and_in_order(folder):
    (part,) = list_parts(str(folder))
    assert [part.image_id(row) for row in range(part.count)] == [
        "scans/all/a.png", "scans/all/c.png", "scans/all/deep/b.png",
    ]  # fmt: skip
    assert list(part.read(np.array([0, 2]))) == [png(1), png(2)]


def test_a_pattern_lists_the_files_that_match(folder):
    (folder / "note.txt").write_text("x")
    (part,) = list_parts(f"{folder}/**/*.png")
    assert part.names == ("a.png", "c.png", "deep/b.png")
    (part,) = list_parts(f"{folder}/d*/?.png")
    assert (part.image_id(0), list(part.read())) == ("scans/all/deep/b.png", [png(2)])
    with pytest.raises(MedlabelError, match="nothing in it"):
        list_parts(f"{folder}/*.dcm")


def test_an_address_says_where_an_image_is(folder, dark):
    (part,) = list_parts(str(folder))
    assert part.address(2) == f"{folder}/deep/b.png"
    assert list_parts(str(dark))[1].address(3) == f"{dark}#val/3"
    assert list_parts("phantom:breastmnist")[0].address(0) == "phantom:breastmnist#train/0"


def test_a_single_file_is_a_source(folder):
    (part,) = list_parts(str(folder / "a.png"))
    assert (part.image_id(0), list(part.read())) == ("a/all/a.png", [png(1)])


def test_a_large_folder_is_many_parts(folder, monkeypatch):
    monkeypatch.setattr("medlabel.data.listing.FILES", 2)
    assert [part.count for part in list_parts(str(folder))] == [2, 1]


def test_a_file_that_vanished_is_an_error_of_its_own(folder):
    (part,) = list_parts(str(folder))
    (folder / "c.png").unlink()
    contents = list(part.read())
    assert contents[0] == png(1)
    assert isinstance(contents[1], ImageError)
    assert contents[2] == png(2)


def test_no_more_of_a_large_file_is_read_than_the_limit(folder, monkeypatch):
    monkeypatch.setattr("medlabel.data.listing._MAX_FILE", len(png(1)))
    (folder / "b.png").write_bytes(png(1) + b"x")
    (part,) = list_parts(str(folder))
    contents = list(part.read())
    assert isinstance(contents[1], ImageError)
    assert contents[1].kind == Fault.TOO_LARGE
    assert contents[0] == png(1)


def test_a_rewritten_file_changes_the_key_of_its_part(folder):
    before = list_parts(str(folder))[0].key
    assert list_parts(str(folder))[0].key == before
    (folder / "a.png").write_bytes(png(1, (9, 9)))
    assert list_parts(str(folder))[0].key != before


@pytest.mark.parametrize(
    "column",
    [
        pa.array([png(1), png(2), None], pa.binary()),
        pa.array([{"bytes": png(1), "path": "x"}, {"bytes": png(2), "path": "y"}, None]),
    ],
    ids=["bytes", "struct"],
)
def test_parquet_cells_hold_files(tmp_path, column):
    pq.write_table(
        pa.table({"scan": column, "n": [1, 2, 3]}), tmp_path / "t.parquet", row_group_size=2
    )
    first, second = list_parts(str(tmp_path / "t.parquet"))
    assert list(first.read()) == [png(1), png(2)]
    assert isinstance(next(second.read()), ImageError)
    assert (first.image_id(1), second.image_id(0)) == ("t/all/t.parquet#1", "t/all/t.parquet#2")


def test_parquet_cells_hold_pixels(tmp_path):
    images = np.arange(2 * 4 * 4, dtype=np.uint8).reshape(2, 4, 4)
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    pq.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    (part,) = list_parts(str(tmp_path / "t.parquet"))
    np.testing.assert_array_equal(np.stack(list(part.read())), images)


def test_a_row_group_is_read_in_pieces_and_only_the_given_rows_are_yielded(tmp_path):
    cells = [png(n) for n in range(700)]
    pq.write_table(pa.table({"image": cells}), tmp_path / "t.parquet")
    (part,) = list_parts(str(tmp_path / "t.parquet"))
    assert list(part.read()) == cells
    rows = np.array([0, 255, 256, 699])
    assert list(part.read(rows)) == [cells[row] for row in rows]


@pytest.mark.parametrize(("side", "at_once"), [(28, 256), (512, 64), (5000, 1)])
def test_of_large_images_few_are_read_at_once(tmp_path, side, at_once):
    kind = pa.fixed_shape_tensor(pa.uint8(), (side, side))
    pq.write_table(pa.schema({"image": kind}).empty_table(), tmp_path / "t.parquet")
    table = pq.ParquetFile(tmp_path / "t.parquet")
    assert listing._rows_at_once(table, 0, "image") == at_once


def test_repeated_files_may_be_a_dictionary(tmp_path):
    column = pa.array([png(1), png(2), png(1)]).dictionary_encode()
    pq.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    (part,) = list_parts(str(tmp_path / "t.parquet"))
    assert list(part.read()) == [png(1), png(2), png(1)]


@pytest.mark.parametrize(("shape", "found"), [((4, 4, 1), (4, 4)), ((4, 4, 3), (4, 4, 3))])
def test_tensors_come_as_images(tmp_path, shape, found):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((2, *shape), np.uint8))
    pq.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    (part,) = list_parts(str(tmp_path / "t.parquet"))
    assert [image.shape for image in part.read()] == [found, found]


@pytest.mark.parametrize("array", [np.ones((1, 4, 4), np.float32), np.ones((1, 4, 4, 4), np.uint8)])
def test_tensors_that_are_no_images_are_rejects(tmp_path, array):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(array)
    pq.write_table(pa.table({"image": column}), tmp_path / "t.parquet")
    (part,) = list_parts(str(tmp_path / "t.parquet"))
    assert next(part.read()).kind == Fault.UNSUPPORTED


def test_tables_and_files_of_a_folder_are_both_listed(folder):
    pq.write_table(pa.table({"image": [png(9)]}), folder / "t.parquet")
    assert [part.count for part in list_parts(str(folder))] == [3, 1]


def test_what_cannot_be_listed_says_why(tmp_path):
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04nothing")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 nothing")
    pq.write_table(pa.table({"a": [b"x"], "b": [b"y"]}), tmp_path / "two.parquet")
    pq.write_table(pa.table({"n": [1]}), tmp_path / "none.parquet")
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "text.parquet")
    pq.ParquetWriter(tmp_path / "empty.parquet", pa.schema({"image": pa.binary()})).close()
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), tmp_path / "rowless.parquet")
    pq.write_table(pa.table({"image": [{"bytes": "text"}]}), tmp_path / "struct.parquet")
    for name, reason in (
        ("absent.npz", "no such file"),
        ("absent/", "no such file or folder"),
        ("bad.npz", "damaged"),
        ("bad.parquet", "not an intact Parquet file"),
        ("two.parquet", "2 columns could hold the images.*--image-column"),
        ("none.parquet", "0 columns could hold"),
        ("text.parquet", "column 'image' holds string, not images"),
        ("empty.parquet", "holds no images"),
        ("rowless.parquet", "holds no images"),
        ("struct.parquet", "holds struct<bytes: string>, not images"),
    ):
        with pytest.raises(MedlabelError, match=reason):
            list_parts(str(tmp_path / name))


def test_a_column_that_is_not_there_is_named(tmp_path):
    pq.write_table(pa.table({"a": [b"x"]}), tmp_path / "t.parquet")
    with pytest.raises(MedlabelError, match=r"no column 'b' \(a\)"):
        list_parts(str(tmp_path / "t.parquet"), image_column="b")


def test_an_unknown_set_is_named():
    with pytest.raises(MedlabelError, match="unknown set 'nosuchset'"):
        list_parts("nosuchset")


def test_equal_content_has_one_digest(folder):
    (folder / "copy.png").write_bytes(png(1))
    (part,) = list_parts(str(folder))
    digests = [digest_of(content) for content in part.read()]
    assert len(digests) == 4
    assert len(set(digests)) == 3


def test_a_key_follows_values_but_not_the_names_of_classes_and_fields():
    part = NpzPart("a", "train", 3, "stamp", "/a.npz")
    names = ["name", "subset", "length", "stamp", "file"]
    other = make_dataclass("Archive", names, namespace={"key": Part.key})
    assert other(*astuple(part)).key == part.key
    changed = [replace(part, **{field.name: "b"}).key for field in fields(part)]
    assert len({part.key, *changed}) == 1 + len(fields(part))
    assert PhantomPart(*astuple(part), 28).key != part.key
