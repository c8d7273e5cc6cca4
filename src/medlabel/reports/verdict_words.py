"""A verdict in plain words, for pages and the terminal: no statistics are assumed of the reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from medlabel.experiments.verdicts import LabellingVerdict
from medlabel.student.verdict import AccuracyEstimate, Evidence, Level, Verdict

__all__ = [
    "LIGHTS",
    "Light",
    "accuracy_sentence",
    "counted_labellings",
    "counts_sentence",
    "review_sentence",
    "short_accuracy",
    "subject",
]


@dataclass(frozen=True)
class Light:
    """How a level is shown: never by its colour alone.

    Attributes:
        word: the verdict.
        symbol: one character.
        ascii: the symbol for terminals that know no other characters.
        gloss: what the word means for the reader.
        mark: what a piece of evidence of this level does.
        colour: its name in a terminal.
    """

    word: str
    symbol: str
    ascii: str
    gloss: str
    mark: str
    colour: str


LIGHTS: dict[Level, Light] = {
    "read": Light(
        "Read", "\u2713", "+", "The labels can be used", "speaks for the labels", "green"
    ),
    "doubtful": Light(
        "Doubtful", "!", "!", "Check the labels before you use them", "raises a doubt", "yellow"
    ),
    "guessing": Light(
        "Guessing", "\u2715", "x", "Do not use these labels", "speaks against the labels", "red"
    ),
}


def accuracy_sentence(verdict: Verdict) -> str:
    """How many labels are estimated to be right, or why that is unknown.

    >>> accuracy_sentence(Verdict("read", "", estimate=AccuracyEstimate(0.93, 0.884, 0.962)))
    'An estimated 93 of 100 labels are right. The true number is likely to be between 88 and 97: \
such a range holds it 9 times out of 10.'
    """
    if verdict.estimate is None:
        reason = verdict.no_estimate_because.strip().rstrip(".")
        return f"The share of right labels cannot be estimated{f': {reason}' if reason else ''}."
    low, high = _reach(verdict.estimate)
    return (
        f"An estimated {_of_hundred(verdict.estimate.accuracy)} of 100 labels are right. The true "
        f"number is likely to be between {low} and {high}: such a range holds it 9 times out of 10."
    )


def subject(piece: Evidence) -> str:
    """The class that a piece of evidence is about, unless its sentence names it itself."""
    name = piece.class_name or ""
    return "" if name.lower() in piece.sentence.lower() else name


def short_accuracy(verdict: Verdict) -> str:
    """The estimate for a table or a line: `93 of 100 (88 to 97)`; `unknown` if there is none."""
    if verdict.estimate is None:
        return "unknown"
    low, high = _reach(verdict.estimate)
    return f"{_of_hundred(verdict.estimate.accuracy)} of 100 ({low} to {high})"


def _of_hundred(share: float) -> str:
    """A share as a whole number; only a share of one is 100."""
    return "more than 99" if 0.995 <= share < 1 else f"{100 * share:.0f}"


def _reach(estimate: AccuracyEstimate) -> tuple[int, int]:
    """The interval in whole numbers of a hundred, rounded outwards."""
    return floor(100 * estimate.low + 1e-9), ceil(100 * estimate.high - 1e-9)


def review_sentence(verdict: Verdict) -> str:
    """Which labels need a person."""
    if verdict.level == "read":
        return "Labels with the confidence that you ask for are accepted without review."
    if verdict.level == "doubtful" and verdict.auto_above is not None:
        return (
            f"Only labels with a confidence of {verdict.auto_above:.4g} or more can be accepted "
            "without review."
        )
    return "Every label is sent to review: none is accepted without a person."


def counts_sentence(rows: Sequence[LabellingVerdict]) -> str:
    """How many verdicts there are of each kind: on tasks, or on students if a task has several.

    >>> rows = [LabellingVerdict(task, Verdict("read", "")) for task in ("a", "b")]
    >>> counts_sentence(rows)
    'Of 2 tasks: 2 read, 0 doubtful, 0 guessing.'
    """
    levels = [row.verdict.level for row in rows]
    counts = ", ".join(f"{levels.count(level)} {level}" for level in LIGHTS)
    return f"Of {counted_labellings(rows)}: {counts}."


def counted_labellings(rows: Sequence[LabellingVerdict]) -> str:
    """`2 tasks`, or `4 students` where several students label the same task."""
    what = "task" if len({row.task for row in rows}) == len(rows) else "student"
    return f"{len(rows):,} {what}{'' if len(rows) == 1 else 's'}"
