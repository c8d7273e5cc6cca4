import csv
from hashlib import sha256

import pytest
from support_annotations import annotate_folder

from medlabel.annotation.answers import (
    ELSEWHERE,
    NO_CLASS,
    OTHERS,
    STACKED,
    find_answered,
    read_all_answers,
)
from medlabel.annotation.audit import settled
from medlabel.annotation.table import AnnotationTable
from medlabel.errors import MedlabelError
from serving.corrections import as_csv
from serving.schemas import StoredCorrection

CLASSES = ("chest", "breast")
HEAD = "id,at,sha256,index,file,bundle,predicted,confidence,label,who\n"


@pytest.fixture
def store(tmp_path):
    return annotate_folder(tmp_path, twins=1)


def digest_of(path):
    return sha256(path.read_bytes()).hexdigest()


def write(tmp_path, text, name="a.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def answered(store, *paths):
    return placed(store, *paths)[0]


def placed(store, *paths):
    answers = read_all_answers(paths, CLASSES)
    found, left_out = find_answered(store, AnnotationTable(store).pieces(), CLASSES, answers)
    return [(one.row, one.label) for one in found], left_out


def test_an_audits_answers_are_found_by_address_and_copies_with_them(store, tmp_path):
    scans = tmp_path / "scans"
    lines = f"uri,answer\n{scans}/03.png,breast\n{scans}/05.png,neither\n{scans}/00.png,chest\n"
    assert answered(store, write(tmp_path, lines)) == [(0, 0), (3, 1), (5, -1), (12, 0)]


def test_corrections_are_found_by_their_bytes_and_the_last_word_counts(store, tmp_path):
    digest = digest_of(tmp_path / "scans" / "03.png")
    message = "".join(
        f"{n},t,{digest},{index},x.png,b1,chest,0.6,{label},me\n"
        for n, (index, label) in enumerate([(0, "chest"), (0, "breast"), (1, "chest")])
    )
    assert answered(store, write(tmp_path, HEAD + message)) == [(3, 1)]


def test_what_is_not_learned_from_is_counted(store, tmp_path):
    digests = [digest_of(tmp_path / "scans" / f"{n:02}.png") for n in range(4)]
    lines = [
        (digests[0], 0, "breast", '["breast", "chest"]'),
        (digests[1], 0, "bad scan", '["breast", "chest"]'),
        (digests[2], 0, "normal", '["normal", "pneumonia"]'),
        (digests[3], 1, "chest", '["breast", "chest"]'),
        ("", 0, "chest", '["breast", "chest"]'),
        ("f" * 64, 0, "chest", '["breast", "chest"]'),
    ]
    path = tmp_path / "corrections.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("sha256", "index", "label", "classes"), *lines])
    plan = write(tmp_path, "uri,answer\n/gone.png,chest\n")
    found, left_out = placed(store, path, plan)
    assert found == [(0, 1), (12, 1)]
    assert left_out == {ELSEWHERE: 3, STACKED: 1, OTHERS: 1, NO_CLASS: 1}


def test_answers_in_other_words_for_the_same_class_do_not_contradict_each_other(store, tmp_path):
    plan = write(tmp_path, f"uri;answer\n{tmp_path}/scans/03.png;Chest\n")
    digest = digest_of(tmp_path / "scans" / "03.png")
    corrected = write(tmp_path, f"{HEAD}1,t,{digest},0,x,b1,chest,0.6,chest,me\n", "b.CSV")
    assert answered(store, plan, corrected) == [(3, 0)]


def test_a_class_of_any_name_is_corrected_to_by_the_services_file(store, tmp_path):
    """What `GET /corrections.csv` writes is what `medlabel retrain` reads."""
    pairs = ("+ve", "-ve"), ("=a", "'=a"), ("None", "none"), ("?", "unsure"), ("\tx", "\rx")
    for classes in (*pairs, ("a,b", "'")):
        path = write(tmp_path, as_csv([corrected(tmp_path, n, classes) for n in range(3)]))
        answers = read_all_answers([path], classes)
        pieces = AnnotationTable(store).pieces()
        found, left_out = find_answered(store, pieces, classes, answers)
        assert [(one.row, one.label) for one in found][:3] == [(0, 0), (1, 1), (2, -1)]
        assert left_out == {}


def corrected(tmp_path, number, classes):
    """An image that a person gave the class of its number, or none."""
    return StoredCorrection(
        sha256=digest_of(tmp_path / "scans" / f"{number:02}.png"), file="=x.png", bundle="b",
        predicted=classes[0], confidence=0.5, label=(*classes, "neither")[number], who="@me",
        classes=sorted(classes), id=number, at="t",
    )  # fmt: skip


def test_blanks_around_an_address_count_only_if_an_image_is_called_so(store, tmp_path):
    plan = write(tmp_path, f"uri,answer\n {tmp_path}/scans/01.png , chest \n")
    assert answered(store, plan) == [(1, 0)]
    known = {"/a.png ", "/a.png", "/b.png"}
    answers = {"/a.png ": "x", "/a.png": "y", " /b.png": "z", " /c": "w"}
    assert settled(answers, known) == {"/a.png ": "x", "/a.png": "y", "/b.png": "z", " /c": "w"}
    with pytest.raises(MedlabelError, match=r"two answers about /b.png contradict"):
        settled({"/b.png": "x", " /b.png": "y"}, known)


def test_files_that_contradict_each_other_are_refused(store, tmp_path):
    uri = f"{tmp_path}/scans/03.png"
    plan = write(tmp_path, f"uri,answer\n{uri},chest\n")
    digest = digest_of(tmp_path / "scans" / "03.png")
    corrected = write(tmp_path, f"{HEAD}1,t,{digest},0,x,b1,chest,0.6,breast,me\n", "b.csv")
    with pytest.raises(MedlabelError, match=r"one file says 'chest' of .*03\.png and another"):
        answered(store, plan, corrected)
    other = write(tmp_path, f"uri,answer\n{uri},breast\n", "c.csv")
    with pytest.raises(MedlabelError, match="another file says 'chest'"):
        answered(store, plan, other)
    twin = write(tmp_path, f"uri,answer\n{tmp_path}/scans/00.png,chest\n"
                 f"{tmp_path}/scans/twin-0.png,breast\n", "d.csv")  # fmt: skip
    with pytest.raises(MedlabelError, match="about its copy differ"):
        answered(store, twin)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n", "no column answer and no uri"),
        ("sha256,label\n", "no column index"),
        ("uri,answer\n{uri},knee\n", "'knee' about .* is not a class"),
    ],
)
def test_mistakes_in_files_are_one_line(store, tmp_path, text, message):
    path = write(tmp_path, text.format(uri=f"{tmp_path}/scans/03.png"))
    with pytest.raises(MedlabelError, match=message):
        answered(store, path)
    with pytest.raises(MedlabelError, match="No such file"):
        read_all_answers([tmp_path / "gone.csv"], CLASSES)


def test_bytes_that_are_no_text_are_one_line_wherever_they_are(tmp_path):
    path = tmp_path / "corrections.csv"
    path.write_bytes(b"sha256,index,label\n" + b"ab,0,chest\n" * 2000 + b"\xff,0,chest\n")
    with pytest.raises(MedlabelError, match=r"corrections.csv: .*can't decode"):
        read_all_answers([path], CLASSES)
