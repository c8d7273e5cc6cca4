"""What the API says about the worth of a student's labels: the verdict, and notices.

The sentences are those of the reports (`medlabel.reports.verdict_words`).
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, JsonValue

from medlabel.reports.verdict_words import accuracy_sentence, review_sentence
from medlabel.student.provenance import NOTICES, LearnedFrom, read_learned_from
from medlabel.student.verdict import AccuracyEstimate, Evidence, Example, Level, Verdict, verdict_of

__all__ = ["EXAMPLE", "FullVerdict", "ShortVerdict", "StudentFacts", "facts_of", "full_verdict"]

_EXAMPLES = 3
EXAMPLE: Mapping[str, JsonValue] = {
    "level": "guessing",
    "summary": "The teacher was guessing: it has never learned two of the six class names.",
    "review": "Every label is sent to review: none is accepted without a person.",
    "advice": ["Try another teacher: `--clip biomedclip`.", "Label twenty images of each class."],
    "auto_above": None,
}


class ShortVerdict(BaseModel):
    """Whether the labels of a student can be believed; `/models` has the evidence."""

    level: Level = Field(
        description="`read`: its teacher read the images. `doubtful`: part of the evidence speaks "
        "against it. `guessing`: it was guessing, and every label is for review."
    )
    summary: str = Field(description="The verdict in one sentence.")
    review: str = Field(description="In one sentence, which labels need a person.")
    advice: list[str] = Field(description="What to do next; empty for `read`.")
    auto_above: float | None = Field(
        description="For `doubtful`: the lowest probability that the evidence supports. Labels "
        "below it are for review, whatever `auto_above` a request asks for."
    )


class FullVerdict(ShortVerdict):
    """The verdict on a student, and why."""

    accuracy: str = Field(
        description="In one sentence, how many labels are estimated to be right, or why that is "
        "unknown."
    )
    estimate: AccuracyEstimate | None = Field(
        description="The estimated accuracy of its labels with its 90 % interval."
    )
    evidence: list[Evidence] = Field(description="What was found, the weightiest first.")
    examples: list[Example] = Field(
        description="At most three images that show what the evidence means, as base64 of a PNG; "
        "only of drawn or public images."
    )


class StudentFacts(BaseModel):
    """What everybody should know who uses the labels of a student."""

    verdict: ShortVerdict | None = Field(
        description="Whether its labels can be believed; null if that was not examined, as for "
        "students of older versions."
    )
    learned_from: LearnedFrom | None = Field(
        description="Whether it learned from drawn images, real ones or both; null if unknown."
    )
    notice: str = Field(description="That it learned from drawn images, in words; else empty.")


def facts_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `StudentFacts`, from the provenance of a student's bundle.

    Raises:
        ValueError: the verdict is damaged.
    """
    origin, verdict = read_learned_from(provenance), verdict_of(provenance)
    return {
        "verdict": None if verdict is None else ShortVerdict(**_fields(verdict)),
        "learned_from": origin,
        "notice": "" if origin is None else NOTICES[origin],
    }


def full_verdict(provenance: Mapping[str, Any]) -> FullVerdict | None:
    """The verdict in the provenance of a student's bundle; None if there is none.

    Raises:
        ValueError: it is damaged.
    """
    verdict = verdict_of(provenance)
    if verdict is None:
        return None
    return FullVerdict(
        **_fields(verdict),
        accuracy=accuracy_sentence(verdict),
        estimate=verdict.estimate,
        evidence=list(verdict.evidence),
        examples=list(verdict.examples[:_EXAMPLES]),
    )


def _fields(verdict: Verdict) -> dict[str, Any]:
    """The fields of a `ShortVerdict`."""
    return {
        "level": verdict.level,
        "summary": verdict.summary,
        "review": review_sentence(verdict),
        "advice": list(verdict.advice),
        "auto_above": verdict.auto_above,
    }
