import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_images import image_folder, png

from medlabel.data.listing import list_parts
from medlabel.errors import MedlabelError


@pytest.fixture
def folder(tmp_path):
    return image_folder(tmp_path / "scans")


def test_a_pattern_lists_the_files_that_match(folder):
    (folder / "note.txt").write_text("x")
    (part,) = list_parts(f"{folder}/**/*.png")
    assert part.names == ("a.png", "c.png", "deep/b.png")
    (part,) = list_parts(f"{folder}/d*/?.png")
    assert (part.image_id(0), list(part.read())) == ("scans/all/deep/b.png", [png(2)])
    with pytest.raises(MedlabelError, match="nothing in it"):
        list_parts(f"{folder}/*.dcm")


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


def test_an_unknown_set_is_named():
    with pytest.raises(MedlabelError, match="unknown set 'nosuchset'"):
        list_parts("nosuchset")
