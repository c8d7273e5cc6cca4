import re
from base64 import b64decode
from dataclasses import replace
from html import unescape

import numpy as np
import pandas as pd
import pytest
from support_verdicts import DOUBTFUL

from medlabel.reports.page import ReportData, answer, write_report
from medlabel.storage.store import Store

FIGURES = ["box_plots", "confusion_matrices", "curves", "random_images", "side_by_side"]


def results(teacher, student):
    seeds = len(teacher)
    table = pd.DataFrame(
        {"task": "chest-vs-breast", "seed": range(seeds), "n_pool": 1092, "n_test": 468}
    )
    for who, accuracy in (("teacher", teacher), ("student", student)):
        for metric in ("accuracy", "balanced_accuracy", "macro_f1", "auc"):
            table[f"{who}_{metric}"] = accuracy
    return table.assign(teacher_pool_accuracy=0.8, versions="medlabel 0.1.0")


def baselines(seeds, **accuracy):
    return pd.DataFrame(
        {
            "seed": seed,
            "baseline": name.replace("_", " "),
            "accuracy": mean,
            "balanced_accuracy": mean,
            "macro_f1": mean,
            "auc": mean,
        }
        for name, mean in accuracy.items()
        for seed in range(seeds)
    )


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    labels = np.arange(12) % 2
    truth = np.eye(2, dtype=np.float32)[labels]
    teacher = truth.copy()
    teacher[:3] = 1 - teacher[:3]
    return ReportData(
        title="Chest against breast",
        facts={"teacher": "phantom", "seeds": "3"},
        synthetic=False,
        classes=("chest", "breast"),
        results=results([0.97, 0.98, 0.99], [0.99, 0.99, 0.98]),
        baselines=baselines(3, majority_class=0.5, pixel_statistics=0.9, true_labels=0.995),
        history=pd.DataFrame(
            {
                "epoch": [0, 1],
                "train_loss": [1.0, 0.5],
                "train_accuracy": [0.8, 0.9],
                "validation_loss": [1.0, 0.6],
                "validation_accuracy": [0.8, 0.9],
            }
        ),
        best_epoch=1,
        images=rng.integers(0, 256, (12, 8, 8), dtype=np.uint8),
        labels=labels,
        teacher=teacher,
        student=truth,
        shown_seed=0,
        teacher_confusion=np.array([[15, 3], [6, 12]]),
        student_confusion=np.array([[18, 0], [0, 18]]),
    )


@pytest.fixture
def drawn(tmp_path):
    """Write a report and read its page."""

    def write(data):
        path = write_report(data, Store(str(tmp_path / "report")))
        with open(path, encoding="utf-8") as file:
            return file.read()

    return write


@pytest.fixture
def page(drawn, monkeypatch):
    """The same without drawing, which is most of the time."""
    monkeypatch.setattr("medlabel.reports.page.to_png", lambda figure: b"a picture")
    return drawn


def rows(html):
    """Cells of the rows of all tables, as text."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", html, flags=re.S)
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, flags=re.S) for row in found]
    return [[unescape(re.sub(r"<[^>]+>", " ", cell)).strip() for cell in row] for row in cells]


def row_of(html, who):
    return next(row for row in rows(html) if row[0].split("  ")[0].strip() == who)


def test_recall_is_shown_per_class(data, page):
    assert row_of(page(data), "chest") == ["chest", "83.33", "100.00"]
    assert row_of(page(data), "breast") == ["breast", "66.67", "100.00"]


def test_page_and_figures_are_written(data, tmp_path):
    store = Store(str(tmp_path / "report"))
    assert write_report(data, store) == store.path("index.html")
    assert store.list("figures/*") == [f"figures/{name}.png" for name in FIGURES]


def test_page_stands_alone(data, drawn, tmp_path):
    html = drawn(data)
    assert not re.search(r"https?:|<script|<link|@import|src=\"(?!data:)", html)
    embedded = re.findall(r"data:image/png;base64,([^\"]+)\"", html)
    files = {path.read_bytes() for path in (tmp_path / "report" / "figures").glob("*.png")}
    assert {b64decode(picture) for picture in embedded} == files
    assert len(re.findall(r"<img [^>]*alt=\"[^\"]+\"", html)) == len(FIGURES)


def test_same_data_same_page(data, drawn):
    assert drawn(data) == drawn(data)


def test_answer_when_the_student_wins():
    assert answer(results([0.97, 0.98, 0.99], [0.99, 0.99, 0.98])).replace("\u00a0", " ") == (
        "The student labels 98.7 % of held-out images correctly, the teacher 98.0 %, "
        "over 3 seeds; the student is worse than the teacher on 1 of them."
    )


def test_answer_says_plainly_that_the_student_loses():
    text = answer(results([0.95, 0.97], [0.5, 0.6]))
    assert text.startswith("The student is worse than its teacher: ")
    assert "is worse than the teacher on all of them" in text


def test_answer_when_neither_wins():
    text = answer(results([0.95, 0.97], [0.97, 0.95]))
    assert text.startswith("The student is no better than its teacher: ")


def test_answer_of_one_seed_counts_no_losses():
    text = answer(results([0.9], [0.95]))
    assert text.endswith("with one seed.")


@pytest.mark.parametrize(
    ("teacher", "student", "expected"),
    [(0.9801, 0.9804, "98.04"), (0.98, 0.9999, "99.99"), (0.9, 1.0, "100.0")],
)
def test_answer_has_digits_enough(teacher, student, expected):
    assert f"labels {expected}\u00a0%" in answer(results([teacher] * 2, [student] * 2))


def test_answer_is_on_the_page(data, page):
    assert answer(data.results) in page(data)


def test_main_table_has_mean_spread_and_worst_seed(data, page):
    student = row_of(page(data), "student")
    assert student[1:] == ["98.67 \u00b1 0.47", "98.00", "98.67", "98.67", "0.9867"]


def test_ceiling_is_last_and_marked(data, page):
    html = page(data)
    names = [row[0] for row in rows(html) if len(row) == 6][1:]
    assert [name.split("  ")[0] for name in names] == [
        "student", "teacher", "majority class", "pixel statistics", "true labels",
    ]  # fmt: skip
    assert "trained on true labels, which users do not have" in names[-1]


def test_a_baseline_of_fewer_seeds_says_so(data, page):
    html = page(replace(data, baselines=baselines(1, true_labels=0.995)))
    assert "(1 of 3 seeds)" in row_of(html, "true labels")[0]
    assert "\u00b1" not in row_of(html, "true labels")[1]


def test_seed_by_seed_marks_losses(data, page):
    html = page(data)
    assert html.count('<tr class="lost">') == 1
    gains = [row[6] for row in rows(html) if len(row) == 11][1:]
    assert gains == ["+2.00", "+1.00", "\u22121.00"]


def test_synthetic_pages_say_so_everywhere(data, page):
    html = page(replace(data, synthetic=True))
    badges = html.count('<span class="badge">phantoms, not real images</span>')
    assert badges == len(FIGURES) + 3  # and three tables
    assert html.index("Synthetic data.") < html.index("<h1>")


def test_synthetic_figures_say_so_themselves(data, page, monkeypatch):
    texts = []

    def note(figure):
        texts.append([text.get_text() for text in figure.texts])
        return b"a picture"

    monkeypatch.setattr("medlabel.reports.page.to_png", note)
    page(data)
    page(replace(data, synthetic=True))
    assert texts == [[]] * len(FIGURES) + [["phantoms, not real images"]] * len(FIGURES)


def test_real_pages_have_no_banner(data, page):
    html = page(data)
    assert "phantoms, not real images" not in html
    assert "Synthetic" not in html


def test_names_titles_facts_and_warnings_are_escaped(data, page):
    bad = "<b>&\"'"
    html = page(
        replace(data, classes=(bad, "breast"), title=bad, facts={bad: bad}, warnings=(bad,))
    )
    assert "<b>" not in html
    assert html.count("&lt;b&gt;&amp;") >= 6


def test_warnings_are_shown(data, page):
    assert "<li>Only 8 images per class.</li>" in page(
        replace(data, warnings=("Only 8 images per class.",))
    )
    assert "Only 8 images per class." not in page(data)


def test_a_simple_baseline_as_good_as_the_student_is_remarked_upon(data, page):
    better = replace(data, baselines=baselines(3, pixel_statistics=0.999, true_labels=1.0))
    remarks = re.findall(r"<li>(.*?)</li>", page(better))
    assert len(remarks) == 1
    assert "pixel statistics" in remarks[0]
    assert "does as well as" not in page(data)


def test_one_seed_one_epoch_no_baselines_and_no_auc(data, drawn):
    html = drawn(
        replace(
            data,
            results=results([0.9], [0.95]).assign(student_auc=np.nan),
            baselines=pd.DataFrame(),
            history=data.history.head(1),
            best_epoch=0,
        )
    )
    assert row_of(html, "student")[1:] == ["95.00", "95.00", "95.00", "95.00", "\u2013"]
    assert "standard deviation" not in html


def test_a_verdict_takes_the_place_of_warnings(data, page):
    warned = replace(data, warnings=("This task looks undecidable.",))
    assert "looks undecidable" in page(warned)
    assert "Can these labels be trusted?" not in page(warned)
    judged = page(replace(warned, verdict=DOUBTFUL, synthetic=True))
    assert "looks undecidable" not in judged
    assert DOUBTFUL.summary in judged
    assert re.search(r"Can these labels be trusted\?.*phantoms, not real images", judged)
    assert not re.search(r"https?:|<script|<link|@import|src=\"(?!data:)", judged)
