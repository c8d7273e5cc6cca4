"""Bars for who waits, whose rate is of what was done meanwhile; and verdicts in plain text."""

import io
import warnings

import pytest
from rich.console import Console
from support_verdicts import DOUBTFUL, GUESSING, READ

from medlabel.cli import shared
from medlabel.cli.shared import (
    StageBars,
    _Rate,
    say_verdict,
    say_verdicts,
    show_teacher_warnings,
)
from medlabel.errors import TeacherWarning
from medlabel.experiments.verdicts import LabellingVerdict


@pytest.fixture
def clocked():
    """Bars by a clock that stands until it is set."""
    bars, now = StageBars(), [0.0]
    bars._progress.get_time = lambda: now[0]

    def advance(stage, done, total, at):
        now[0] = at
        bars.advance(stage, done, total)
        return _Rate().render(bars._progress.tasks[-1]).plain

    return advance


def test_a_rate_is_of_the_whole_stage_however_its_steps_came(clocked):
    assert clocked("embedding", 0, 3000, at=0) == ""
    assert clocked("embedding", 2000, 3000, at=10) == "200 images/s"
    assert clocked("embedding", 3000, 3000, at=10.01) == "300 images/s"


def test_what_was_there_before_is_no_work(clocked):
    assert clocked("embedding", 2000, 3000, at=0) == ""
    assert clocked("embedding", 3000, 3000, at=10) == "100 images/s"


def test_stages_of_other_steps_have_no_rate(clocked):
    clocked("fitting", 0, 10, at=0)
    assert clocked("fitting", 5, 10, at=1) == ""


@pytest.fixture
def printed(monkeypatch):
    """What is printed to a file, or to a terminal of 60 columns."""

    def call(function, *arguments, encoding="utf-8", **options):
        raw = io.BytesIO()
        file = io.TextIOWrapper(raw, encoding=encoding)
        monkeypatch.setattr(shared, "console", Console(file=file, width=60, **options))
        function(*arguments)
        file.flush()
        return raw.getvalue().decode(encoding)

    return call


def test_a_verdict_in_a_file_is_plain_text_of_unbroken_lines(printed):
    assert printed(say_verdict, GUESSING).splitlines() == [
        "\u2715 GUESSING: The teacher has never learned the word <hand>.",
        "  The share of right labels cannot be estimated: the teachers contradict each other.",
        "  Every label is sent to review: none is accepted without a person.",
        "  \u2715 hand: The teacher never learned it.",
        "  \u2713 Like images get like labels.",
        "  next: Choose another teacher.",
        "  next: Answer twenty images.",
    ]


def test_at_most_four_pieces_of_evidence_are_printed(printed):
    lines = printed(say_verdict, DOUBTFUL).splitlines()
    assert [line for line in lines if "Piece" in line][-1] == "  ! Piece 4 of the evidence."
    assert "    (3 more in the report)" in lines


def test_a_terminal_has_colours_unless_they_are_not_wanted(printed, monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = {"force_terminal": True, "color_system": "standard", "legacy_windows": False}
    assert "\x1b[1;32m\u2713" in printed(say_verdict, READ, **shown)
    plain = printed(say_verdict, READ, **shown, no_color=True)
    assert "[32m" not in plain
    assert "READ:" in plain
    assert max(map(len, printed(say_verdict, READ, force_terminal=True).splitlines())) < 80


def test_a_terminal_without_ticks_gets_letters(printed):
    assert printed(say_verdict, READ, encoding="ascii").startswith("+ READ: ")


def test_many_verdicts_are_counted_and_the_worst_named(printed):
    rows = [
        LabellingVerdict(f"task {n}", verdict, student="small")
        for n, verdict in enumerate((READ, DOUBTFUL, GUESSING))
    ]
    assert printed(say_verdicts, rows).splitlines() == [
        "Of 3 tasks: 1 read, 1 doubtful, 1 guessing.",
        "\u2715 GUESSING: task 2, small: The teacher has never learned the word <hand>.",
        "! DOUBTFUL: task 1, small: The labels depend on how a class is worded.",
    ]
    assert printed(say_verdicts, rows[:1]).startswith("\u2713 READ: ")
    assert printed(say_verdicts, []) == printed(say_verdict, None) == ""


def test_a_warning_about_a_teacher_is_a_line_that_stands_once(printed):
    def call():
        show_teacher_warnings()
        for text in ("cut [b]", "cut [b]", "alike"):
            warnings.warn(text, TeacherWarning, stacklevel=1)

    assert printed(call).splitlines() == ["warning: cut [b]", "warning: alike"]
