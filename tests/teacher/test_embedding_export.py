from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from medlabel.data.listing import list_parts
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.teacher.digest_catalogue import Catalogue, catalogue
from medlabel.teacher.embedding_export import export, write_rejects
from medlabel.teacher.embeddings import EmbeddingTable, Shard


@pytest.fixture
def filled(dark, tmp_path):
    """A source, its catalogue, and a table in which row n's embedding is n; val/0 is a reject."""
    parts = list_parts(str(dark))
    catalogues = [catalogue(part) for part in parts]
    table = EmbeddingTable(Store(str(tmp_path / "table")), "m")
    for part, entry in zip(parts, catalogues, strict=True):
        values = np.arange(part.count, dtype=np.float16)[:, None].repeat(4, axis=1)
        reasons = ["bad" if part.split == "val" and n == 0 else None for n in range(part.count)]
        table.write(Shard(entry.digests, values, tuple(reasons)))
    return parts, catalogues, table


def test_every_image_is_a_row_or_a_reject(filled, tmp_path, monkeypatch):
    monkeypatch.setattr("medlabel.teacher.embedding_export._PIECE", 16)
    reported = []
    rejects = export(Store(str(tmp_path / "out")), "m", *filled, lambda *p: reported.append(p))
    frame = pq.read_table(tmp_path / "out" / "model=m").to_pandas()
    assert rejects == {"dark/val/0": "bad"}
    assert len(frame) == 69
    assert set(frame["split"]) == {"train", "val", "test"}
    for image_id, row in zip(frame["image_id"], frame["embedding"], strict=True):
        np.testing.assert_array_equal(row, [int(image_id.rsplit("/", 1)[1])] * 4)
    assert reported[-1] == (70, 70)


def test_what_an_earlier_export_left_is_removed(filled, tmp_path):
    out = Store(str(tmp_path / "out"))
    out.write("model=m/source=dark/split=old/part-0.parquet", b"old")
    out.write("model=m/source=other/split=all/part-0.parquet", b"not ours")
    export(out, "m", *filled)
    assert not out.exists("model=m/source=dark/split=old/part-0.parquet")
    assert out.exists("model=m/source=other/split=all/part-0.parquet")


def test_names_are_taken_as_they_are_not_as_patterns(filled, tmp_path):
    out = Store(str(tmp_path / "out"))
    parts, catalogues, table = filled
    out.write("model=m/source=dark1/split=all/part-0.parquet", b"not ours")
    out.write("model=m/source=dark[1]/split=all/part-0.parquet", b"old")
    export(out, "m", [replace(part, source="dark[1]") for part in parts], catalogues, table)
    assert out.exists("model=m/source=dark1/split=all/part-0.parquet")
    assert not out.exists("model=m/source=dark[1]/split=all/part-0.parquet")


def test_rejects_of_other_sources_stay(tmp_path):
    out = Store(str(tmp_path))
    write_rejects(out, {"a/all/x": "bad", "a/all/y": "bad"}, {"a"})
    write_rejects(out, {"b/all/x": "worse"}, {"b"})
    write_rejects(out, {"a/all/y": "still"}, {"a"})
    frame = out.read_table("rejects.parquet")
    assert frame["image_id"].tolist() == ["a/all/y", "b/all/x"]
    assert frame["reason"].tolist() == ["still", "worse"]


def test_an_unreadable_file_is_a_reject(filled, tmp_path):
    parts, (train, *others), table = filled
    train = Catalogue(train.digests, ("gone", *train.reasons[1:]))
    rejects = export(Store(str(tmp_path / "out")), "m", parts, [train, *others], table)
    assert rejects["dark/train/0"] == "gone"


def test_a_source_that_changed_meanwhile_is_named(filled, tmp_path):
    parts, catalogues, _ = filled
    empty = EmbeddingTable(Store(str(tmp_path / "empty")), "m")
    with pytest.raises(MedlabelError, match="dark changed while"):
        export(Store(str(tmp_path / "out")), "m", parts, catalogues, empty)


@pytest.mark.parametrize("source", ["ward1/images", "50%2F", "é" * 120])
def test_any_name_of_a_source_names_a_folder(filled, tmp_path, source):
    out = Store(str(tmp_path / "out"))
    parts, catalogues, table = filled
    parts = [replace(part, source=source) for part in parts]
    write_rejects(out, export(out, "m", parts, catalogues, table), {source})
    frame = pq.read_table(tmp_path / "out" / "model=m").to_pandas()
    assert set(frame["image_id"].str.rsplit("/", n=2).str[0]) == {source}
    (found,) = set(frame["source"])
    assert found == source or len(source) == 120
    write_rejects(out, {}, {source})
    assert out.read_table("rejects.parquet").empty
