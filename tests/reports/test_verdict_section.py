import re
from collections import Counter
from dataclasses import replace
from html import unescape

import numpy as np
import pytest
from support_sweeps import made, sweep_folder
from support_verdicts import DOUBTFUL, GUESSING, READ

from medlabel.experiments.verdicts import LabellingVerdict, write_verdict, write_verdicts
from medlabel.reports.annotation_summary import AnnotationSummary, report_annotations
from medlabel.reports.sweep_report import report_sweep
from medlabel.reports.verdict_section import verdict_counts, verdict_section, verdict_table
from medlabel.storage.store import Store


def words(html):
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.mark.parametrize("verdict", [READ, DOUBTFUL, GUESSING], ids=lambda verdict: verdict.level)
def test_a_light_has_a_colour_a_word_and_a_symbol(verdict):
    page = verdict_section(verdict)
    assert f'class="v-lit v-{verdict.level}"' in page
    light = re.search(r'<svg class="v-light".*?</svg>', page, flags=re.S)[0]
    assert light.count("<circle") == 3
    assert light.count("<path") == 1  # the symbol, in the light that is lit
    assert verdict.level in words(page).lower()


def test_a_section_says_why_and_what_to_do():
    text = words(verdict_section(GUESSING))
    for part in (
        "Guessing Do not use these labels The teacher has never learned the word <hand>.",
        "cannot be estimated: the teachers contradict each other.",
        "Every label is sent to review",
        "speaks against the labels hand: The teacher never learned it.",
        "speaks for the labels Like images get like labels.",
        "labelled hand Three teachers give three labels.",
        "What to do next Choose another teacher. Answer twenty images.",
    ):
        assert part in text
    assert "<hand>" not in verdict_section(GUESSING)


def test_an_estimate_is_a_sentence_and_a_bar():
    page = verdict_section(DOUBTFUL)
    assert "An estimated 84 of 100 labels are right." in page
    assert "left: 71.0%; width: 21.0%" in page
    assert 'class="v-bar"' not in verdict_section(GUESSING)


def test_the_weightiest_evidence_is_shown_and_the_rest_folded_away():
    page = verdict_section(DOUBTFUL)
    shown, folded = page.split("<details>", 1)
    assert "Piece 5" in shown
    assert "Piece 6" not in shown
    assert "2 more pieces of evidence" in folded
    assert "0.7" in folded


def test_examples_without_a_picture_say_so():
    page = verdict_section(GUESSING)
    assert page.count("data:image/png;base64,") == 1
    assert "the picture is not part of this page" in page


def test_commands_are_set_as_code_and_nothing_else_is_markup():
    told = replace(DOUBTFUL, advice=("Try `--clip <x>`, not <b>this</b>.",))
    assert "Try <code>--clip &lt;x&gt;</code>, not &lt;b&gt;this" in verdict_section(told)


def test_no_verdict_no_section():
    assert verdict_section(None) == verdict_table([]) == verdict_counts([]) == ""


def test_a_table_starts_with_the_worst_and_can_be_filtered():
    rows = [
        LabellingVerdict(f"task {n}", verdict, "phantom", "robust", "small")
        for n, verdict in enumerate((READ, GUESSING, DOUBTFUL, READ))
    ]
    page = verdict_table(rows, accuracies={rows[0].key: 0.975})
    assert "verdicts.csv" not in page
    text = words(page)
    assert text.index("task 1") < text.index("task 2") < text.index("task 0") < text.index("task 3")
    assert "all 4 guessing 1 doubtful 1 read 2" in text
    assert "97.5 of 100" in text
    assert "robust" not in text  # all rows share it
    assert "Of 4 tasks: 1 guessing 1 doubtful 2 read" in words(verdict_counts(rows))


def test_a_long_table_is_cut_after_the_worst():
    rows = [LabellingVerdict(f"task {n}", READ) for n in range(400)]
    page = verdict_table([*rows, LabellingVerdict("the worst", GUESSING)])
    assert page.count('class="v-row') == 300
    assert "the worst" in page
    assert "The verdicts on 401 tasks, the 300 worst of them: verdicts.csv holds all" in page


def test_a_table_names_what_differs_between_rows():
    rows = [LabellingVerdict("a", READ, "phantom", "robust", name) for name in ("small", "large")]
    text = words(verdict_table(rows))
    assert "student" in text
    assert "large" in text
    assert "phantom" not in text


# ---------------------------------------------------------------- in a real browser


@pytest.fixture
def opened(browser):
    """A page on a phone, without scripts."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, java_script_enabled=False)
    page = context.new_page()

    def call(path):
        page.goto(f"file://{path}")
        return page

    yield call
    context.close()


def test_a_phone_shows_a_verdict_without_scrolling_sideways(opened, tmp_path):
    store = Store(str(tmp_path))
    long = replace(GUESSING.examples[0], image_id="/data/" + "patient" * 30 + ".png")
    write_verdict(store, replace(GUESSING, examples=(long,)))
    seen = AnnotationSummary(Counter(hand=100_000), histogram=np.full(20, 5000))
    page = opened(report_annotations(store, seen, {}, {"bundle": "b" * 80}))
    assert page.locator(".v-light").bounding_box()["y"] < 400  # seen at once
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_verdicts_are_filtered_without_a_script(opened, tmp_path):
    store = Store(str(tmp_path))
    sweep_folder(store, made([0.1, 0.1, -0.3]))
    who = ("phantom", "robust", "small")
    tasks = {"a-vs-b": READ, "a-vs-c": DOUBTFUL, "b-vs-c": GUESSING}
    write_verdicts(store, [LabellingVerdict(task, one, *who) for task, one in tasks.items()])
    page = opened(report_sweep(store))
    rows = page.locator(".v-row:visible .v-task")
    assert rows.all_text_contents() == ["b-vs-c", "a-vs-c", "a-vs-b"]
    page.locator("#v-show-doubtful").check()
    assert rows.all_text_contents() == ["a-vs-c"]
    assert page.evaluate("document.documentElement.scrollWidth") == 390
