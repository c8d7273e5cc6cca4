import re
from dataclasses import replace
from html import unescape

import pytest
from support_verdicts import DOUBTFUL, GUESSING, READ

from medlabel.experiments.verdicts import LabellingVerdict
from medlabel.reports.verdict_section import verdict_counts, verdict_section, verdict_table


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
    text = words(page)
    assert text.index("task 1") < text.index("task 2") < text.index("task 0") < text.index("task 3")
    assert "all 4 guessing 1 doubtful 1 read 2" in text
    assert "97.5 of 100" in text
    assert "robust" not in text  # all rows share it
    assert "Of 4 tasks: 1 guessing 1 doubtful 2 read" in words(verdict_counts(rows))


def test_a_table_names_what_differs_between_rows():
    rows = [LabellingVerdict("a", READ, "phantom", "robust", name) for name in ("small", "large")]
    text = words(verdict_table(rows))
    assert "student" in text
    assert "large" in text
    assert "phantom" not in text
