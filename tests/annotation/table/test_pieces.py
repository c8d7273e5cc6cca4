from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_annotations import grey_folder

from benchmarks.local_annotation import annotate_here, rejects_of, rows_of
from medlabel.annotation.table import MANIFEST, AnnotationTable, signed_pieces
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.student.decision import Assessment


@pytest.fixture
def folder(tmp_path):
    return grey_folder(tmp_path / "scans")


@pytest.fixture
def store(folder, tmp_path):
    """A table of the folder, in two pieces."""
    store = Store(str(tmp_path / "out"))
    annotate_here(store, [str(folder)])
    return store


def files(store):
    return {path.name: path.read_bytes() for path in Path(store.path("annotations")).iterdir()}


def test_rows_and_rejects_are_all_that_came_in(store, folder):
    pieces = AnnotationTable(store).pieces()
    assert [(piece.start, piece.rows) for piece in pieces] == [(0, 3), (4, 2)]
    ((address, reason),) = rejects_of(store).items()
    assert address == f"{folder}/2.png"
    assert "its content is none of them" in reason


def test_a_row_has_its_label_and_where_it_comes_from(store, folder):
    rows = rows_of(store)
    row = rows[f"{folder}/5.png"]
    assert (row["label"], row["decision"], row["review_reasons"]) == (
        "bright",
        "review",
        "out_of_distribution",
    )
    assert row["confidence"] == row["p_bright"] == pytest.approx(200 / 255)
    assert row["p_dark"] == pytest.approx(55 / 255)
    assert (row["bundle"], row["weights"], row["seed"], row["auto_above"]) == ("b1", "f00", 3, 0.75)
    assert (len(row["digest"]), len(row["stamp"]), row["place"]) == (32, 16, 1)
    assert row["ood_score"] == 2
    sure, doubtful = rows[f"{folder}/0.png"], rows[f"{folder}/3.png"]
    assert (sure["label"], sure["decision"], sure["review_reasons"]) == ("dark", "auto", "")
    assert (doubtful["label"], doubtful["decision"], doubtful["review_reasons"]) == (
        "dark", "review", "low_confidence",
    )  # fmt: skip


def test_an_unknown_ood_score_is_null_and_for_review(folder, tmp_path):
    def unknown(images, chroma):
        chances = np.tile(np.float32([0.9, 0.1]), (len(images), 1))
        return Assessment(chances, np.full(len(images), np.nan, np.float32), calibrated=False)

    store = Store(str(tmp_path / "out"))
    annotate_here(store, [str(folder)], assess=unknown)
    rows = rows_of(store).values()
    assert {(row["ood_score"], row["decision"]) for row in rows} == {(None, "review")}


def test_a_table_is_whole_as_it_was_signed_or_not_at_all(store):
    signed, pieces = signed_pieces(store)
    assert (len(signed), len(pieces)) == (64, 2)
    store.remove(f"annotations/{pieces[1].name}")
    with pytest.raises(MedlabelError, match="are incomplete: run the command that wrote them"):
        signed_pieces(store)


def test_a_damaged_file_is_removed_and_its_images_are_labelled_again(store, folder):
    before, manifest = files(store), store.read_json(MANIFEST)
    name = max(before)
    store.write(f"annotations/{name}", before[name][:-9] + b"x" + before[name][-8:])
    with pytest.raises(MedlabelError, match="are incomplete"):
        signed_pieces(store)
    assert AnnotationTable(store).discard_damaged() == 1
    assert annotate_here(store, [str(folder)]).read == 2
    assert (files(store), store.read_json(MANIFEST)) == (before, manifest)


def test_a_piece_is_written_anew_with_some_of_its_entries(store, folder):
    table = AnnotationTable(store)
    first, _ = table.pieces()
    kept = table.keep(first, np.array([True, False, True, False]))
    assert (kept.rows, kept.rejects, kept.stem) == (2, (), first.stem)
    assert sorted(rows_of(store)) == [f"{folder}/{number}.png" for number in (0, 3, 4, 5)]
    assert table.keep(kept, np.array([False, False])) is None
    assert [piece.start for piece in table.pieces()] == [4]


def test_a_file_that_vanishes_while_the_table_is_read_is_looked_for_under_its_new_name(
    store, monkeypatch
):
    """Another process replaces a file between the listing and the reading of it."""
    table = AnnotationTable(store)
    first, second = table.pieces()
    names = table._names

    def listed_too_early():
        found = names()
        if first.name in found:
            AnnotationTable(store).keep(first, np.array([True, True, False, True]))
        return found

    monkeypatch.setattr(table, "_names", listed_too_early)
    assert {(piece.start, piece.rows) for piece in table.pieces()} == {(0, 2), (4, second.rows)}


def test_a_file_of_another_version_is_refused(store):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"uri": ["/a.png"]}), sink)
    AnnotationTable(store)._store.write_checked(
        "part-abc-0", ".parquet", sink.getvalue().to_pybytes()
    )
    with pytest.raises(MedlabelError, match="written by another version of medlabel"):
        AnnotationTable(store).pieces()
