import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import write_npz
from support_images import image_folder, png

from medlabel.data.listing import absolute_source, list_all_parts, list_parts
from medlabel.data.listing.source_parts import unique_names
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
    with pytest.raises(MedlabelError, match="no file fits this pattern"):
        list_parts(f"{folder}/*.dcm")


def test_a_pattern_lists_the_npz_files_that_match(tmp_path):
    for name in ("a.npz", "b.npz", "c.NPZ"):
        write_npz(tmp_path / "x.npz").rename(tmp_path / name)
    parts = list_parts(f"{tmp_path}/*.npz")
    assert [part.source for part in parts] == ["a"] * 3 + ["b"] * 3
    with pytest.raises(MedlabelError, match="no file fits this pattern"):
        list_parts(f"{tmp_path}/x*.npz")


def test_what_is_rejected_is_listed_once_whatever_leads_to_it(folder, tmp_path):
    os.mkfifo(folder / "pipe.png")
    (folder / "nothing").symlink_to("absent")
    (tmp_path / "link").symlink_to(folder)
    parts = list_all_parts([str(tmp_path / "link"), str(folder), str(folder / "pipe.png")])
    assert len(ids_of(part for part in parts if part.is_rejected)) == 2


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


def ids_of(parts):
    return [part.image_id(row) for part in parts for row in range(part.count)]


def test_what_is_neither_a_set_nor_a_path_says_both(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MedlabelError, match=r"no such file or folder.*did you mean breastmnist"):
        list_parts("brestmnist")
    with pytest.raises(MedlabelError, match=r"\*\.png: no file fits this pattern"):
        list_parts("*.png")
    with pytest.raises(MedlabelError, match=r"no such file or folder$"):
        list_parts("scans/ward1")
    with pytest.raises(MedlabelError, match=r"no such file or folder$"):
        list_parts("scans/*.png")
    (tmp_path / "scans").mkdir()
    with pytest.raises(MedlabelError, match="nothing in it"):
        list_parts("scans")


def test_a_pattern_may_stand_alone_and_a_real_name_is_no_pattern(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (part,) = list_parts("*.png")
    assert ids_of([part]) == ["scans/all/a.png", "scans/all/c.png"]
    odd = image_folder(folder / "odd[1]*")
    assert ids_of(list_parts("odd[1]*/*.png")) == ["odd[1]*/all/a.png", "odd[1]*/all/c.png"]
    assert list(list_parts(f"{odd}/d?ep/*.png")[0].read()) == [png(2)]


def test_sources_of_one_name_are_told_apart_by_their_paths(tmp_path):
    wards = [image_folder(tmp_path / ward / "images") for ward in ("ward1", "ward2")]
    ids = ids_of(list_all_parts(list(map(str, wards))))
    assert ids[:2] == ["ward1/images/all/a.png", "ward1/images/all/c.png"]
    assert ids[3] == "ward2/images/all/a.png"
    assert len(set(ids)) == 6
    assert ids_of(list_parts(str(wards[0])))[0] == "images/all/a.png"


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["/x/a", "/y/b"], ["a", "b"]),
        (["/x/a", "/x/a"], ["a", "a"]),
        (["/x/s/a", "/y/s/a", "/z/a"], ["x/s/a", "y/s/a", "z/a"]),
        (["/a", "/b/a"], ["a", "b/a"]),
        (["/x/a", "s3://x/a"], ["/x/a", "s3:/x/a"]),
    ],
)
def test_names_are_as_long_as_they_must_be(places, names):
    found = unique_names([(place.rpartition("/")[2], place) for place in places])
    assert [name.lstrip("/") for name in found] == [name.lstrip("/") for name in names]


def test_names_that_no_path_tells_apart_are_numbered():
    assert unique_names([("a", "a"), ("a", "/a")]) == ["a 1", "a 2"]


def test_files_named_one_by_one_are_one_source(folder):
    for number in range(600):
        (folder / f"{number:03}.png").write_bytes(png(number % 256))
    (folder / "pipe").symlink_to("nothing")
    (folder / "000-link.png").symlink_to("000.png")
    done = []
    parts = list_all_parts(
        [str(path) for path in sorted(folder.iterdir()) if path.is_symlink() or path.is_file()],
        on_source=done.append,
    )
    assert len(parts) < 6
    ids = ids_of(parts)
    assert ids[0] == "scans/all/.hidden"
    assert [i for i in ids if "/000" in i] == ["scans/all/000.png"]
    assert sum(part.count for part in parts) == 604
    assert (parts[-1].is_rejected, parts[-1].names) == (True, ("pipe",))
    assert done == list(range(1, len(done) + 1))


def test_no_image_of_several_sources_is_listed_twice(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    again = [folder, f"{folder}/deep", f"{folder}/*.png", tmp_path / "link", folder / "a.png"]
    assert len(ids_of(list_all_parts([str(source) for source in again]))) == 3
    parts = list_all_parts([str(folder / "deep"), str(folder)])
    assert ids_of(parts) == ["deep/all/b.png", "scans/all/a.png", "scans/all/c.png"]
    assert len(list_all_parts(["phantom:breastmnist", "phantom:breastmnist"])) == 3


def test_an_alien_or_damaged_parquet_file_in_a_folder_is_one_reject(folder):
    pq.write_table(pa.table({"patient": ["x"], "age": [1]}), folder / "metadata.parquet")
    (folder / "broken.parquet").write_bytes(b"PAR1 nothing")
    pq.write_table(pa.table({"image": [png(9)]}), folder / "good.PARQUET")
    files, table, rejects = list_parts(str(folder))
    assert (files.count, table.image_id(0)) == (3, "scans/all/good.PARQUET#0")
    reasons = dict(zip(rejects.names, rejects.reasons, strict=True))
    assert reasons["broken.parquet"].startswith("not an intact Parquet file")
    assert reasons["metadata.parquet"].startswith("0 columns could hold the images (patient, age)")
    with pytest.raises(MedlabelError, match=r"metadata.parquet: 0 columns could hold"):
        list_all_parts([str(folder), str(folder / "metadata.parquet")])


def test_one_source_without_images_among_others_is_an_error(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MedlabelError, match="nothing in it"):
        list_all_parts([str(folder), str(tmp_path / "empty")])


def test_endings_may_be_capitals(tmp_path):
    write_npz(tmp_path / "a.npz").rename(tmp_path / "A.NPZ")
    assert {part.source for part in list_parts(str(tmp_path / "A.NPZ"))} == {"A"}
    pq.write_table(pa.table({"image": [png(9)]}), tmp_path / "T.PARQUET")
    assert list(list_parts(str(tmp_path / "T.PARQUET"))[0].read()) == [png(9)]


def test_a_folder_may_be_called_as_a_file(tmp_path):
    image_folder(tmp_path / "x.npz")
    image_folder(tmp_path / "x.parquet")
    assert len(ids_of(list_parts(str(tmp_path / "x.npz")))) == 3
    assert len(ids_of(list_parts(str(tmp_path / "x.parquet")))) == 3


def test_a_source_keeps_its_meaning_in_another_folder(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert absolute_source("deep") == absolute_source("./deep/../deep/") == str(folder / "deep")
    assert absolute_source("*.png") == f"{folder}/*.png"
    for same in ("breastmnist", "phantom:breastmnist", "s3://bucket/x"):
        assert absolute_source(same) == same
