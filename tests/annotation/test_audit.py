import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from support_annotations import sign_folder

from medlabel.annotation.audit import (
    guaranteed_labels,
    plan_audit,
    possible_answers,
    read_answers,
    report_audit,
)
from medlabel.annotation.audit_history import alpha_spent
from medlabel.annotation.audit_report import report_of, sentences
from medlabel.annotation.guarantee import AuditDesign
from medlabel.annotation.table import AnnotationTable, DecodedPiece, Origin
from medlabel.errors import MedlabelError
from medlabel.storage.digests import to_digests
from medlabel.storage.store import Store
from medlabel.student.decision import Assessment

ORIGIN = Origin.of("b1", {}, 0.9, "v", "t")
DESIGN = AuditDesign(60, precision=0.9)


def annotated(tmp_path, strange=0, classes=("even", "odd")):
    """Two pieces of 200 annotations; labels go by the number, and all are right by `truth`.

    The first `strange` of each piece are unlike what was learned.
    """
    store, rng = Store(str(tmp_path / "out")), np.random.default_rng(0)
    for start in (0, 200):
        sure = rng.uniform(0.5, 1, 200)
        even = np.arange(200) % 2 == 0
        found = np.stack([np.where(even, sure, 1 - sure), np.where(even, 1 - sure, sure)], axis=1)
        prepared = DecodedPiece(
            start, tuple(f"/a/{start + n}.png" for n in range(200)), ("s",) * 200,
            np.zeros((200, 28, 28), np.uint8), np.zeros(200, np.float32),
            to_digests([b"d" * 16] * 200), (None,) * 200, np.ones(200, bool),
            np.zeros(200, bool), np.arange(200) % 256, np.zeros(200, bool),
        )  # fmt: skip
        table = AnnotationTable(store)
        unlike = np.where(np.arange(200) < strange, 2, 0.5).astype(np.float32)
        assessment = Assessment(found.astype(np.float32), unlike, calibrated=True)
        table.write(prepared, assessment, classes, ORIGIN)
    sign_folder(store, ORIGIN)
    return store


@pytest.fixture
def store(tmp_path):
    return annotated(tmp_path)


def truth(uri):
    return "odd" if int(uri.rsplit("/", 1)[1].split(".")[0]) % 2 else "even"


def asked(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [row["uri"] for row in csv.DictReader(file)]


def test_a_plan_asks_about_images_and_does_not_tell_their_labels(store):
    path = plan_audit(store, DESIGN)
    with open(path, encoding="utf-8") as file:
        assert file.readline().strip() == "uri,answer"
    assert len(set(asked(path))) == 60


def test_without_answers_nothing_is_guaranteed(store):
    plan_audit(store, DESIGN)
    report = report_audit(store, {})
    assert sentences(report)[0] == "Nothing is guaranteed: no person has answered yet."
    assert report.thresholds == {"even": None, "odd": None}


def test_right_answers_give_a_guarantee(store):
    report = report_audit(store, {uri: truth(uri) for uri in asked(plan_audit(store, DESIGN))})
    assert (report.whole.coverage, report.answered, report.of_no_class) == (1.0, 60, 0)
    assert "at least 90.0% of 400 labels are right (100.0% of 400)" in sentences(report)[0]
    assert store.read_json("audit/guarantee.json")["thresholds"]["odd"] == report.whole.threshold


def test_what_is_not_answered_and_what_is_of_no_class_counts_as_wrong(store):
    uris = asked(plan_audit(store, DESIGN))
    answers = {uri: truth(uri) for uri in uris[:40]} | dict.fromkeys(uris[:5], "neither")
    report = report_audit(store, answers | {"/other.png": "odd"})
    assert (report.whole.largest.wrong, report.of_no_class, report.not_sampled) == (25, 5, 1)
    assert report.whole.coverage == 0
    message = "\n".join(sentences(report))
    assert "20 without an answer count as wrong" in message
    assert "1 answers are about images that were not sampled" in message


def test_a_plan_by_class_guarantees_by_class(store):
    path = plan_audit(store, AuditDesign(160, precision=0.9, by_class=True))
    answers = {uri: truth(uri) if truth(uri) == "odd" else "odd" for uri in asked(path)}
    report = report_audit(store, answers)
    assert report.thresholds["even"] is None
    assert report.classes["odd"].coverage == 1
    assert report.whole.accepted.images == 200


def test_more_reports_than_planned_are_reported(store):
    uris = asked(plan_audit(store, DESIGN))
    answers = {uri: truth(uri) for uri in uris}
    report_audit(store, dict(list(answers.items())[:50]))
    again = report_audit(store, answers)
    same = report_audit(store, answers)
    assert (again.reports_read, same.reports_read) == (2, 2)
    assert "This is report 2, and 1 planned" in sentences(again)[-1]
    with pytest.raises(MedlabelError, match=r"2 reports were read and 1 planned.*--again"):
        guaranteed_labels(store)


def test_answers_are_read_and_mistakes_in_them_named(store, tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("\ufeffuri,answer,by\n/a/1.png, odd ,me\n/a/2.png,,\n", encoding="utf-8")
    assert read_answers(path) == {"/a/1.png": "odd"}
    path.write_text("uri,answer\n/a/1.png,odd\n/a/1.png,even\n")
    with pytest.raises(MedlabelError, match="line 3: contradicts an earlier answer about"):
        read_answers(path)
    path.write_text("image,label\n")
    with pytest.raises(MedlabelError, match="no column answer and no uri"):
        read_answers(path)
    plan_audit(store, DESIGN)
    with pytest.raises(MedlabelError, match="is not a class: choose from even, odd"):
        report_audit(store, {"/a/1.png": "od"})


def test_an_exact_class_wins_over_a_word_for_no_class(tmp_path):
    store = annotated(tmp_path, classes=("None", "some"))
    uris = asked(plan_audit(store, DESIGN))
    names = {"even": "none", "odd": "SOME"}
    report = report_audit(store, {uri: names[truth(uri)] for uri in uris})
    assert (report.whole.largest.wrong, report.of_no_class) == (0, 0)
    assert report_audit(store, dict.fromkeys(uris, "neither")).of_no_class == 60
    assert possible_answers(store) == ["None", "some", "neither"]


def test_a_guarantee_is_strict_json_and_the_threshold_of_an_empty_set_is_null(store):
    (uri,) = asked(plan_audit(store, AuditDesign(1, max_coverage=0.001)))
    report = report_audit(store, {uri: truth(uri)})
    text = store.read("audit/guarantee.json").decode()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    (empty,) = (part for part in found["classes"].values() if not part["largest"]["images"])
    assert empty["largest"]["threshold"] is None
    assert report_of(found) == report


def test_a_plan_is_made_once_and_for_these_annotations(store):
    with pytest.raises(
        MedlabelError, match=r"nothing is guaranteed of .* run `medlabel audit plan`"
    ):
        report_audit(store, {})
    plan_audit(store, DESIGN)
    with pytest.raises(MedlabelError, match="exists: answer it"):
        plan_audit(store, DESIGN)
    report_audit(store, {})
    assert guaranteed_labels(store).thresholds == {"even": None, "odd": None}
    store.remove(f"annotations/{AnnotationTable(store).pieces()[0].name}")
    for call in (report_audit, lambda store, _: guaranteed_labels(store)):
        with pytest.raises(MedlabelError, match="are incomplete"):
            call(store, {})
    sign_folder(store, ORIGIN)
    for call in (report_audit, lambda store, _: guaranteed_labels(store)):
        with pytest.raises(MedlabelError, match=r"of the labels that the plan asks about have cha"):
            call(store, {})


def changed(store, numbers, start=400, label="even"):
    """Labels of other images, or new ones of images that had some, as `annotate` adds them."""
    table = AnnotationTable(store)
    gone = {f"/a/{number}.png" for number in numbers}
    for piece in table.pieces():
        uris = table.read(piece, ["uri"])["uri"].to_pylist()
        table.keep(piece, np.array([uri not in gone for uri in uris]))
    chances = np.tile(np.float32([0.9, 0.1] if label == "even" else [0.1, 0.9]), (len(numbers), 1))
    count = len(numbers)
    prepared = DecodedPiece(
        start, tuple(f"/a/{number}.png" for number in numbers), ("t",) * count,
        np.zeros((count, 28, 28), np.uint8), np.zeros(count, np.float32),
        to_digests([b"e" * 16] * count), (None,) * count, np.ones(count, bool),
        np.zeros(count, bool), np.arange(count), np.zeros(count, bool),
    )  # fmt: skip
    found = Assessment(chances, np.zeros(count, np.float32), calibrated=True)
    table.write(prepared, found, ("even", "odd"), ORIGIN, generation=2)
    sign_folder(store, ORIGIN)


def test_images_that_are_added_do_not_end_an_audit_and_are_not_covered_by_it(store):
    uris = asked(plan_audit(store, DESIGN))
    answers = {uri: truth(uri) for uri in uris}
    before = report_audit(store, answers)
    changed(store, range(400, 450))
    assert guaranteed_labels(store).notes == (
        "50 labels are newer than the plan: nothing is guaranteed of them, and they go to review.",
    )
    after = report_audit(store, answers)
    assert (after.whole, after.classes) == (before.whole, before.classes)
    assert (after.added, after.gone, after.reports_read) == (50, 0, 1)
    assert sentences(after)[-1].startswith("50 labels are newer than the plan")
    (*_, new) = AnnotationTable(store).pieces()
    assert not guaranteed_labels(store).covers(AnnotationTable(store).read(new)).any()


def test_a_label_that_a_person_was_asked_about_must_not_change(store):
    uris = asked(plan_audit(store, DESIGN))
    report_audit(store, {uri: truth(uri) for uri in uris})
    changed(store, [int(uris[0].rsplit("/", 1)[1].split(".")[0])])
    for call in (report_audit, lambda store, _: guaranteed_labels(store)):
        with pytest.raises(MedlabelError, match=f"1 of the labels .* {uris[0]} first: plan again"):
            call(store, {})


def test_labels_that_are_replaced_or_removed_weaken_what_remains(store):
    """Of 400 labels 40 may be wrong; if 100 others are gone, it is 40 of 300."""
    uris = asked(plan_audit(store, DESIGN))
    answers = {uri: truth(uri) for uri in uris}
    report_audit(store, answers)
    others = [number for number in range(400) if f"/a/{number}.png" not in uris][:100]
    changed(store, others)
    report = report_audit(store, answers)
    assert (report.added, report.gone, report.gone_accepted) == (100, 100, 100)
    assert report.whole.accepted.images == 400
    assert sentences(report)[-1] == (
        "Of the 300 accepted ones that remain, at least 86.7% are right."
    )
    assert guaranteed_labels(store).notes == tuple(sentences(report)[-3:])


def test_a_further_plan_asks_about_others_and_keeps_what_was_answered(store):
    first = asked(plan_audit(store, replace(DESIGN, reports=2)))
    report_audit(store, {uri: truth(uri) for uri in first})
    second = asked(plan_audit(store, DESIGN, again=True))
    assert set(first) != set(second)
    assert asked(store.path("audit-1/plan.csv")) == first
    assert guaranteed_labels(store) is not None  # the last guarantee holds until the next report
    report = report_audit(store, {uri: truth(uri) for uri in second})
    assert report.design.alpha_left == pytest.approx(0.025)
    assert "Earlier plans have spent 2.5% of the error probability" in sentences(report)[-1]


def test_a_plan_that_was_not_reported_on_has_spent_nothing(store):
    plan_audit(store, DESIGN)
    report_audit(store, {})
    plan_audit(store, DESIGN, again=True)
    assert alpha_spent(store) == 0


def test_a_plan_without_its_history_is_refused(store):
    plan_audit(store, DESIGN)
    store.remove("audits.json")
    with pytest.raises(MedlabelError, match=r"audits.json, which counts reports, is missing"):
        report_audit(store, {})
    with pytest.raises(MedlabelError, match=r"audits.json, which counts reports, is missing"):
        plan_audit(store, DESIGN, again=True)


def test_files_of_another_version_are_refused(store):
    plan_audit(store, DESIGN)
    plan = store.read_json("audit/plan.json")
    store.write_json("audit/plan.json", plan | {"design": {"looks": 1}})
    with pytest.raises(MedlabelError, match=r"plan.json was written by another version"):
        report_audit(store, {})
    store.write_json("audits.json", [{"level": 0.05, "looks": []}])
    with pytest.raises(MedlabelError, match=r"audits.json was written by another version"):
        alpha_spent(store)


def test_planning_until_a_guarantee_comes_out_gives_no_more_chances_than_stated(store):
    uris = asked(plan_audit(store, DESIGN))
    report_audit(store, dict.fromkeys(uris, "neither"))
    with pytest.raises(
        MedlabelError, match=r"spent an error probability of 5\.0%.* such as --confidence 0\.9$"
    ):
        plan_audit(store, DESIGN, again=True)
    assert asked(store.path("audit/plan.csv")) == uris
    shutil.rmtree(store.path("audit"))
    with pytest.raises(MedlabelError, match=r"have spent an error probability of 5\.0%"):
        plan_audit(store, DESIGN)
    path = plan_audit(store, replace(DESIGN, confidence=0.9))
    report = report_audit(store, {uri: truth(uri) for uri in asked(path)})
    assert report.whole.level == pytest.approx(0.05)
    assert "With 90% confidence" in sentences(report)[0]


def test_out_of_distribution_images_do_not_reduce_the_guarantee_of_the_others(tmp_path):
    store = annotated(tmp_path, strange=40)
    answers = {}
    for uri in asked(plan_audit(store, AuditDesign(200, precision=0.97))):
        number = int(uri.rsplit("/", 1)[1].split(".")[0])
        answers[uri] = "neither" if number % 200 < 40 else truth(uri)
    report = report_audit(store, answers)
    assert 0 < report.whole.threshold < 1
    assert 280 <= report.whole.accepted.images <= 330  # of 400, 80 of them out of distribution
    assert "except out-of-distribution images" in sentences(report)[0]


def test_another_student_is_not_asked_about_the_same_images(tmp_path):
    one, other = (annotated(tmp_path / name) for name in "ab")
    origin = Origin.of("b1", {"sha256": "c0ffee"}, 0.9, "v", "t")
    sign_folder(other, origin)
    first, second = (asked(plan_audit(store, DESIGN)) for store in (one, other))
    assert first != second
    assert set(first) != set(second)
