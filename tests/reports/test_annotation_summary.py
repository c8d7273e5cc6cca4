import numpy as np
import pytest
from support_verdicts import GUESSING

from medlabel.annotation.table import AnnotationTable, DecodedPiece, Origin
from medlabel.experiments.verdicts import write_verdict
from medlabel.reports.annotation_summary import PAGE, report_annotations, summarise_annotations
from medlabel.storage.digests import to_digests
from medlabel.storage.store import Store
from medlabel.student.decision import Assessment

ORIGIN = Origin.of("b1", {}, 0.75, "v", "t")


@pytest.fixture
def table(tmp_path):
    """Two pieces of three images, of which one is a reject."""
    table = AnnotationTable(Store(str(tmp_path)))
    for start, confident, reason in ((0, (0.9, 0.5, 0.6), None), (3, (0.8, 0.8, 0.7), "<broken>")):
        bright = np.array(confident, dtype=np.float32)
        prepared = DecodedPiece(
            start, tuple(f"/a/{start + n}.png" for n in range(3)), ("s",) * 3,
            np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.float32),
            to_digests([b"d" * 16] * 3), (None, None, reason), np.ones(3, bool),
            np.zeros(3, bool), np.arange(3), np.array([False, True, True]),
        )  # fmt: skip
        chances = np.stack([1 - bright, bright], axis=1)
        assessment = Assessment(chances, np.array([0.5, 0.5, 2], np.float32), calibrated=True)
        table.write(prepared, assessment, ("dark", "bright"), ORIGIN)
    return table


def test_sums_are_those_of_all_pieces(table):
    seen = summarise_annotations(table, table.pieces())
    assert (seen.annotations, seen.rejects) == (5, 1)
    assert (seen.labels["bright"], seen.automatic["bright"]) == (4, 3)
    assert seen.labels["dark"] == 1  # at one half the first wins
    assert seen.reviews == {"low_confidence": 2, "out_of_distribution": 1}
    assert seen.decisions() == {"auto": 3, "review": 2, "review_reasons": dict(seen.reviews)}
    assert seen.histogram.sum() == 5
    assert [image.uri for image in seen.uncertain[:2]] == ["/a/1.png", "/a/2.png"]


def test_the_page_says_how_many_images_have_no_window(table, tmp_path):
    seen = summarise_annotations(table, table.pieces())
    assert seen.own_range == 3
    report_annotations(Store(str(tmp_path)), seen, {}, {})
    page = Store(str(tmp_path)).read(PAGE).decode()
    assert "3 images have more than 8 bits per pixel and no window" in page
    report_annotations(Store(str(tmp_path)), summarise_annotations(table, []), {}, {})
    assert "no window" not in Store(str(tmp_path)).read(PAGE).decode()


def test_a_class_without_images_is_named_first_and_keeps_its_row(table, tmp_path):
    seen = summarise_annotations(table, table.pieces(), ("bright", "dark", "<grey>"))
    assert seen.labels == {"bright": 4, "dark": 1, "<grey>": 0}
    assert (seen.annotations, seen.absent) == (5, ("<grey>",))
    assert seen.absence_sentence == "None of the 5 images was labelled '<grey>'."
    report_annotations(Store(str(tmp_path)), seen, {}, {})
    page = Store(str(tmp_path)).read(PAGE).decode()
    text = page[page.index("<h1>") :]
    assert text.index("None of the 5 images was labelled") < text.index("5 images have a label")
    assert "<tr><th>&lt;grey&gt;</th><td>0</td><td>0</td><td>0</td></tr>" in page
    assert summarise_annotations(table, [], ("bright", "dark")).absent == ()


def test_the_page_says_what_there_is_and_that_nothing_is_guaranteed(table, tmp_path):
    seen = summarise_annotations(table, table.pieces())
    thumbnails = {"/a/1.png": np.zeros((28, 28), np.uint8)}
    path = report_annotations(Store(str(tmp_path)), seen, thumbnails, {"bundle": "b1"})
    with open(path) as file:
        page = file.read()
    assert "5 images have a label, and 3 of these labels need no review; 1 images" in page
    assert "nothing is guaranteed" in page
    assert page.count("data:image/png;base64,") == 1
    assert "&lt;broken&gt;" in page
    assert "<broken>" not in page


def test_the_page_starts_with_the_verdict_of_its_folder(table, tmp_path):
    store, seen = Store(str(tmp_path)), summarise_annotations(table, table.pieces())
    report_annotations(store, seen, {}, {})
    assert "Can these labels be trusted?" not in store.read(PAGE).decode()
    write_verdict(store, GUESSING)
    report_annotations(store, seen, {}, {})
    page = store.read(PAGE).decode()
    assert page.index("Do not use these labels") < page.index("No person has checked")
