import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_images import png

from medlabel.data.decoding import Fault, ImageError
from medlabel.data.listing import list_parts, parquet
from medlabel.errors import MedlabelError


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
    assert parquet._rows_at_once(table, 0, "image") == at_once


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


def test_a_column_that_is_not_there_is_named(tmp_path):
    pq.write_table(pa.table({"a": [b"x"]}), tmp_path / "t.parquet")
    with pytest.raises(MedlabelError, match=r"no column 'b' \(a\)"):
        list_parts(str(tmp_path / "t.parquet"), image_column="b")


def test_a_row_group_that_is_damaged_is_rejects_and_the_others_are_read(tmp_path):
    path = tmp_path / "t.parquet"
    cells = [png(n) for n in range(4)]
    pq.write_table(pa.table({"image": cells}), path, row_group_size=2, compression="gzip")
    start = pq.ParquetFile(path).metadata.row_group(0).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 60] = b"\xff" * 60
    path.write_bytes(bytes(data))
    first, second = list_parts(str(path))
    assert [content.reason for content in first.read()] == ["a damaged Parquet file"] * 2
    assert list(second.read()) == cells[2:]
    path.unlink()
    (content,) = first.read(np.array([1]))
    assert content.reason == "cannot be read: No such file or directory"


def test_a_name_may_hold_wildcards_and_colons(tmp_path):
    pq.write_table(pa.table({"image": [png(1)]}), tmp_path / "a[1]::*.parquet")
    (part,) = list_parts(str(tmp_path / "a[1]::*.parquet"))
    assert list(part.read()) == [png(1)]
    assert part.address(0) == f"{tmp_path}/a[1]::*.parquet#0"


def test_another_column_of_a_file_holds_other_images(tmp_path):
    """They have the same addresses: only their stamps keep one from being taken for the other."""
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"left": [png(1)], "right": [png(2)]}), path)
    (left,) = list_parts(str(path), image_column="left")
    (right,) = list_parts(str(path), image_column="right")
    assert left.address(0) == right.address(0)
    assert left.stamp(0) != right.stamp(0)
