"""The commands about annotations, as a person would call them, without Ray."""

import csv
import sys
from collections import Counter

import pytest
from support_annotations import annotate_folder
from support_verdicts import GUESSING

from medlabel.cli import app as cli
from medlabel.reports.annotation_summary import AnnotationSummary
from rayjobs.annotate import AnnotateResult


@pytest.fixture
def medlabel(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["medlabel", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return end.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def out(tmp_path):
    return annotate_folder(tmp_path).uri


def test_an_audit_from_plan_to_guarantee(medlabel, out, tmp_path):
    code, output, _ = medlabel("audit", "plan", out, "--answers", 12, "--precision", 0.7)
    assert (code, "fill in the answers" in output) == (0, True)
    _, output, _ = medlabel("audit", "report", out)
    assert output.startswith("Nothing is guaranteed: no person has answered yet.")
    labels = tmp_path / "labels.csv"
    assert medlabel("export", out, "--out", labels)[0] == 0
    with labels.open(newline="") as file:
        answers = [(row["uri"], row["label"]) for row in csv.DictReader(file)]
    with (tmp_path / "answers.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("uri", "answer"), *answers])
    code, output, _ = medlabel("audit", "report", out, tmp_path / "answers.csv")
    assert "With 95% confidence, at least 70.0% of 12 labels are right" in output


def test_too_few_answers_are_reported_before_anybody_gives_them(medlabel, out):
    _, output, _ = medlabel("audit", "plan", out, "--answers", 100)
    assert "100 answers cannot guarantee 99.0%" in output
    assert "that takes 299" in output


def test_an_explanation_shows_the_provenance_and_reproduces_the_label(medlabel, out):
    code, output, _ = medlabel("explain", out, "03.png")
    assert code == 0
    assert "Computed again: the same label and the same probabilities, bit for bit." in output
    assert "weights" in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("explain", "{out}", "gone.png"), "no annotation of gone.png"),
        (
            ("export", "{out}", "--out", "a.xlsx"),
            ".csv, .parquet, .json, or to be that of a new folder",
        ),
        (("audit", "report", "{out}"), "nothing is guaranteed of"),
        (("audit", "plan", "{out}", "--precision", "99"), "give a share between 0 and 1"),
        (("annotate", "x", "--model", "nowhere", "--out", "{out}2"), "nowhere is not a bundle"),
    ],
)
def test_a_mistake_is_one_line(medlabel, out, arguments, reason):
    code, _, errors = medlabel(*[text.format(out=out) for text in arguments])
    assert (code, errors.count("\n")) == (2, 1)
    assert reason in errors


def test_labelling_ends_with_the_counts(medlabel, monkeypatch, tmp_path):
    counts = AnnotationSummary(
        labels=Counter(chest=1780, breast=0),
        automatic=Counter(chest=1500),
        reasons=Counter(broken=20),
    )
    asked = []
    result = AnnotateResult(1780, counts, "summary/index.html", ("be careful",))
    monkeypatch.setattr("rayjobs.label.label_sources", lambda c, _: asked.append(c) or result)
    names = ("--classes", "chest, breast", "--size", 64, "--data-root", tmp_path)
    code, output, _ = medlabel("label", "scans", *names, "--out", tmp_path / "labels")
    assert code == 0
    reads, chest, _, absent, counted, *_ = filter(None, output.splitlines())
    assert reads == "The teacher reads:"
    assert chest.startswith("  chest: a chest X-ray of an adult | ")
    assert absent == "warning: None of the 1,780 images was labelled 'breast'."
    assert counted.startswith("1,780 annotations, 20 rejects; 1,500 automatic, 280 for review")
    assert "warning: be careful" in output
    assert (asked[0].classes, asked[0].size) == (("chest", "breast"), 64)


def test_a_verdict_takes_the_place_of_warnings(medlabel, monkeypatch):
    counts = AnnotationSummary(labels=Counter(hand=9), own_range=1)
    result = AnnotateResult(9, counts, "summary/index.html", ("be careful",), GUESSING)
    monkeypatch.setattr("rayjobs.annotate.annotate_sources", lambda config, _: result)
    code, output, _ = medlabel("annotate", "scans", "--model", "bundle", "--out", "labels")
    assert code == 0
    assert "be careful" not in output
    assert output.count("1 image has more than 8 bits per pixel and no window") == 1
    assert output.index("summary: ") < output.index("GUESSING: The teacher has never learned")
    assert output.strip().endswith("next: Answer twenty images.")


def test_a_name_may_be_spelled_out_and_an_ambiguous_one_must(medlabel, monkeypatch, tmp_path):
    asked = []
    result = AnnotateResult(0, AnnotationSummary(), "summary/index.html")
    monkeypatch.setattr("rayjobs.label.label_sources", lambda c, _: asked.append(c) or result)
    spelled = "sick=pneumoniamnist#1,0, chest"
    _, output, _ = medlabel("label", "x", "--classes", spelled, "--out", tmp_path / "out")
    assert asked[0].class_names == ("sick", "chest")
    assert "  sick: a chest X-ray of a child with pneumonia | a pediatric" in output
    code, _, errors = medlabel(
        "label", "x", "--classes", "pneumonia,chest", "--out", tmp_path / "out"
    )
    assert (code, len(asked)) == (2, 1)
    assert len(errors.strip().splitlines()) == 1
    assert "pneumonia=pneumoniamnist" in errors
    assert "pneumonia=chestmnist#6" in errors
