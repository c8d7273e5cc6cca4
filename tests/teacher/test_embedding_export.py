from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from support_images import image_folder

from medlabel.data.listing import list_parts
from medlabel.data.listing.rejects import rejects_part
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
    rejects, _ = export(Store(str(tmp_path / "out")), "m", *filled, lambda *p: reported.append(p))
    frame = pq.read_table(tmp_path / "out" / "model=m").to_pandas()
    assert rejects == {"dark/val/0": "bad"}
    assert len(frame) == 69
    assert set(frame["split"]) == {"train", "val", "test"}
    for image_id, row in zip(frame["image_id"], frame["embedding"], strict=True):
        np.testing.assert_array_equal(row, [int(image_id.rsplit("/", 1)[1])] * 4)
    assert reported[-1] == (70, 70)


def ids_in(out):
    return set(pq.read_table(out.path("model=m")).to_pandas()["image_id"])


def test_rows_of_an_earlier_export_are_written_once_and_the_others_are_kept(filled, tmp_path):
    """The split `train` is not listed today, as if its folder could not be read."""
    out, (parts, catalogues, table) = Store(str(tmp_path / "out")), filled
    export(out, "m", *filled)
    before = ids_in(out)
    some = parts[1:], catalogues[1:], table
    found = export(out, "m", *some)
    assert (found.others, ids_in(out)) == (parts[0].count, before)
    assert export(out, "m", *some, prune=True).others == parts[0].count
    assert ids_in(out) == {one for one in before if "/train/" not in one}


def test_a_part_that_has_changed_does_not_leave_rows_twice(filled, tmp_path):
    out, (parts, catalogues, table) = Store(str(tmp_path / "out")), filled
    export(out, "m", *filled)
    changed = [replace(part, fingerprint="new") for part in parts]
    assert export(out, "m", changed, catalogues, table).others == 0
    rows = pq.read_table(out.path("model=m")).to_pandas()["image_id"]
    assert len(rows) == rows.nunique() == 69


def test_nothing_is_pruned_from_a_folder_that_cannot_be_listed(tmp_path):
    out, scans = Store(str(tmp_path / "out")), image_folder(tmp_path / "scans")
    (part,) = list_parts(str(scans))
    entry, table = catalogue(part), EmbeddingTable(Store(str(tmp_path / "table")), "m")
    table.write(Shard(entry.digests, np.zeros((3, 4), np.float16), (None,) * 3))
    export(out, "m", [part], [entry], table)
    gone = [part.only(np.array([0, 1])), rejects_part("scans", part.root, {"deep": "cannot be"})]
    entries = [catalogue(one) for one in gone]
    with pytest.raises(MedlabelError, match="--prune: scans/all/deep cannot be read"):
        export(out, "m", gone, entries, table, prune=True)
    assert export(out, "m", gone, entries, table).others == 1


def test_files_of_others_stay(filled, tmp_path):
    """Of other sources, also such as a pattern would fit, and what is no table of embeddings."""
    out, (parts, catalogues, table) = Store(str(tmp_path / "out")), filled
    others = [
        "model=m/source=dark1/split=all/part-0.parquet",
        "model=m/source=dark[1]/split=all/part-mine.parquet",
    ]
    for name in others:
        out.write(name, b"not ours")
    export(out, "m", [replace(part, source="dark[1]") for part in parts], catalogues, table)
    assert all(out.exists(name) for name in others)


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
    rejects, _ = export(Store(str(tmp_path / "out")), "m", parts, [train, *others], table)
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
    write_rejects(out, export(out, "m", parts, catalogues, table).rejects, {source})
    frame = pq.read_table(tmp_path / "out" / "model=m").to_pandas()
    assert set(frame["image_id"].str.rsplit("/", n=2).str[0]) == {source}
    (found,) = set(frame["source"])
    assert found == source or len(source) == 120
    write_rejects(out, {}, {source})
    assert out.read_table("rejects.parquet").empty
