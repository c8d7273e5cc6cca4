from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from support import write_npz
from support_annotations import sign

from medlabel.annotation.table import (
    AnnotationTable,
    Layout,
    Origin,
    label_pieces,
    missing_starts,
    read_pieces,
    signed_pieces,
)
from medlabel.data.framing import CentreSquare
from medlabel.data.listing import list_parts
from medlabel.errors import MedlabelError
from medlabel.storage.store import Store
from medlabel.student.decision import Assessment

ORIGIN = Origin.of("b1", {"sha256": "f00", "seed": 3}, 0.75, "medlabel 1", "2026-01-01T00:00:00")
SMALL = Layout(CentreSquare(28, 1), rows=4, batch=4)


def brightness(images, chroma=None):
    """A student of two classes: how dark, how bright."""
    bright = images.reshape(len(images), -1).mean(axis=1) / 255
    chances = np.stack([1 - bright, bright], axis=1).astype(np.float32)
    return Assessment(chances, (bright > 0.7).astype(np.float32) * 2, calibrated=True)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "scans"
    root.mkdir()
    for number in range(6):
        buffer = BytesIO()
        grey = Image.new("L", (40, 30), 40 * number)
        grey.convert("RGB" if number % 2 else "L").save(buffer, "PNG")
        (root / f"{number}.png").write_bytes(buffer.getvalue())
    (root / "2.png").write_bytes(b"broken")
    return root


@pytest.fixture
def written(folder, tmp_path):
    """A table of the folder, in two pieces."""
    (part,) = list_parts(str(folder))
    table = AnnotationTable(Store(str(tmp_path / "out")))
    for prepared in read_pieces(part, [0, 4], SMALL):
        found = label_pieces(prepared.images, prepared.chroma, brightness, SMALL.batch)
        table.write(prepared, found, ("dark", "bright"), ORIGIN)
    return table


@pytest.mark.parametrize(
    ("size", "channels", "rows", "batch"),
    [(28, 1, 8192, 256), (64, 3, 5376, 256), (224, 3, 256, 256), (2000, 3, 32, 32)],
)
def test_pieces_are_as_large_as_memory_allows(size, channels, rows, batch):
    layout = Layout.of(CentreSquare(size, channels))
    assert (layout.rows, layout.batch) == (rows, batch)


def test_a_broken_image_is_a_black_one_with_a_reason(folder):
    (part,) = list_parts(str(folder))
    first, second = read_pieces(part, [0, 4], SMALL)
    assert (first.images.shape, second.images.shape) == ((4, 28, 28), (2, 28, 28))
    assert [reason is None for reason in first.reasons] == [True, True, False, True]
    assert (first.images[2].max(), first.images[3].max()) == (0, 120)
    assert first.addresses[2] == f"{folder}/2.png"


def test_a_label_does_not_depend_on_what_else_is_read():
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    seen = []

    def student(batch, chroma):
        seen.append(len(batch))
        return brightness(batch)

    found = label_pieces(images, np.zeros(6, np.float32), student, 4)
    assert seen == [4, 4]
    np.testing.assert_array_equal(found.probabilities, brightness(images).probabilities)


def test_rows_and_rejects_are_all_that_came_in(written, folder):
    pieces = written.pieces()
    assert [(piece.start, piece.rows) for piece in pieces] == [(0, 3), (4, 2)]
    (address, reason), *more = pieces[0].rejects + pieces[1].rejects
    assert (address, more) == (f"{folder}/2.png", [])
    assert "its content is none of them" in reason


def test_a_row_tells_its_label_and_where_it_comes_from(written, folder):
    row = written.read(written.pieces()[1]).to_pylist()[1]
    assert row["uri"] == f"{folder}/5.png"
    assert (row["label"], row["decision"], row["review_reasons"]) == (
        "bright",
        "review",
        "out_of_distribution",
    )
    assert row["confidence"] == row["p_bright"] == pytest.approx(200 / 255)
    assert row["p_dark"] == pytest.approx(55 / 255)
    assert (row["bundle"], row["weights"], row["seed"], row["auto_above"]) == ("b1", "f00", 3, 0.75)
    assert len(row["digest"]) == 32
    assert row["ood_score"] == 2
    sure, _, doubtful = written.read(written.pieces()[0]).to_pylist()
    assert (sure["label"], sure["decision"], sure["review_reasons"]) == ("dark", "auto", "")
    assert (doubtful["label"], doubtful["decision"], doubtful["review_reasons"]) == (
        "dark", "review", "low_confidence",
    )  # fmt: skip


def test_an_unknown_ood_score_is_null_and_for_review(folder, tmp_path):
    (part,) = list_parts(str(folder))
    table = AnnotationTable(Store(str(tmp_path / "out")))
    (prepared,) = read_pieces(part, [0], Layout(CentreSquare(28, 1), rows=8, batch=8))
    chances = brightness(prepared.images).probabilities
    unknown = Assessment(chances, np.full(6, np.nan, np.float32), calibrated=False)
    table.write(prepared, unknown, ("dark", "bright"), ORIGIN)
    rows = table.read(table.pieces()[0]).to_pylist()
    assert {(row["ood_score"], row["decision"]) for row in rows} == {(None, "review")}


def test_a_table_is_whole_as_it_was_signed_or_not_at_all(written, tmp_path):
    store = Store(str(tmp_path / "out"))
    sign(store, ORIGIN)
    signed, pieces = signed_pieces(store)
    assert (len(signed), len(pieces)) == (64, 2)
    written.remove(pieces[1])
    with pytest.raises(MedlabelError, match="are incomplete: run the command that wrote them"):
        signed_pieces(store)


def test_a_damaged_piece_is_missing_again(written, folder, tmp_path):
    (part,) = list_parts(str(folder))
    path = tmp_path / "out" / "annotations" / written.pieces()[1].name
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"x" + whole[-8:])
    pieces = written.pieces()
    assert missing_starts([part], pieces, SMALL) == [[4]]
    assert not path.exists()
    for prepared in read_pieces(part, [4], SMALL):
        written.write(prepared, brightness(prepared.images), ("dark", "bright"), ORIGIN)
    assert path.read_bytes() == whole


def test_what_could_not_be_read_is_tried_again(folder, tmp_path):
    (part,) = list_parts(str(folder))
    (folder / "0.png").unlink()
    table = AnnotationTable(Store(str(tmp_path / "out")))
    for prepared in read_pieces(part, [0], SMALL):
        table.write(prepared, brightness(prepared.images), ("dark", "bright"), ORIGIN)
    (piece,) = table.pieces()
    assert not piece.final
    table.remove(piece)
    assert table.pieces() == []


def test_some_pieces_of_an_npz_are_those_of_all(tmp_path):
    (part, *_) = list_parts(str(write_npz(tmp_path / "a.npz", n=10)))
    whole = list(read_pieces(part, [0, 4, 8], SMALL))
    (some,) = read_pieces(part, [8], SMALL)
    np.testing.assert_array_equal(some.images, whole[2].images)
    assert (len(some.images), some.addresses) == (2, whole[2].addresses)


def test_an_origin_knows_what_a_bundle_tells():
    teacher = {"name": "phantom", "model": "clip-1", "captions": [["a chest"], ["a breast"]]}
    origin = Origin.of("b", {"teacher": teacher, "recipe": {"name": "robust"}}, 0.9, "v", "t")
    assert (origin.teacher, origin.teacher_model, origin.recipe) == ("phantom", "clip-1", "robust")
    assert len(origin.captions) == 32
    assert Origin.of("b", {"teacher": {}}, 0.9, "v", "t").captions == ""


@pytest.mark.parametrize(
    ("provenance", "verdict", "below"),
    [
        ({}, "", 0.0),
        ({"warnings": ["looks undecidable"]}, "guessing", 0.0),
        ({"verdict": {"level": "read", "summary": "x"}}, "read", 0.0),
        ({"verdict": {"level": "doubtful", "summary": "x", "auto_above": 0.97}}, "doubtful", 0.97),
    ],
)
def test_rows_say_which_verdict_they_were_decided_by(provenance, verdict, below):
    origin = Origin.of("b", provenance, 0.9, "v", "t")
    assert (origin.verdict, origin.doubtful_below) == (verdict, below)
