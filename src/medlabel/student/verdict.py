"""The verdict on a labelling: can its labels be believed, why, and what should be done.

It is computed without true labels (`medlabel.evaluation.evidence`) and kept with the student, so
that everything that uses the student later decides by it and shows it:

| verdict | meaning | labels accepted without review |
| --- | --- | --- |
| `read` | the teacher read the images | as confident as the user asked |
| `doubtful` | part of the evidence speaks against it | those above `Verdict.auto_above` as well |
| `guessing` | the teacher was guessing | none |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

__all__ = ["AccuracyEstimate", "Evidence", "Example", "Level", "Verdict", "verdict_of"]

Level = Literal["read", "doubtful", "guessing"]
_ABOVE_ALL = 2.0  # no probability reaches it


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence, in words.

    Attributes:
        name: of the signal, such as `unknown_words`.
        level: the verdict that this piece alone would support.
        sentence: what was found, for a reader who knows no statistics.
        value: the figure behind it; None if there is none.
        class_name: the class that it is about; None for the task as a whole.
    """

    name: str
    level: Level
    sentence: str
    value: float | None = None
    class_name: str | None = None


@dataclass(frozen=True)
class Example:
    """An image that shows what the evidence means.

    Attributes:
        image_id: of the image.
        label: the class that it was given.
        sentence: what the example shows.
        png: the image as base64 of a PNG; None where pictures must not travel.
    """

    image_id: str
    label: str
    sentence: str
    png: str | None = None


@dataclass(frozen=True)
class AccuracyEstimate:
    """The estimated accuracy of the labels, from 0 to 1, with its 90 % interval."""

    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class Verdict:
    """A verdict with its evidence.

    Attributes:
        level: `read`, `doubtful` or `guessing`.
        summary: one sentence for people.
        evidence: the pieces, the weightiest first.
        advice: what to do next, a sentence each; empty for `read`.
        estimate: of the labels' accuracy; None where it cannot be estimated.
        no_estimate_because: the reason; empty if there is an estimate.
        auto_above: for `doubtful`, the lowest calibrated probability that the evidence supports;
            None for `read` (the user's own level counts) and for `guessing` (nothing is accepted).
        examples: at most three; left out of bundles unless the images are public or drawn.
    """

    level: Level
    summary: str
    evidence: tuple[Evidence, ...] = ()
    advice: tuple[str, ...] = ()
    estimate: AccuracyEstimate | None = None
    no_estimate_because: str = ""
    auto_above: Annotated[float, Field(ge=0, le=1)] | None = None
    examples: tuple[Example, ...] = ()

    @property
    def doubtful_below(self) -> float:
        """The calibrated probability below which a doubtful verdict supports no label.

        Above 1 if it supports none, and 0 for the other verdicts.
        """
        if self.level != "doubtful":
            return 0.0
        return _ABOVE_ALL if self.auto_above is None else self.auto_above

    def to_json(self) -> dict[str, Any]:
        """Return the content of `verdict.json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: object) -> Verdict:
        """Read what `to_json` returned.

        Raises:
            ValueError: it is no verdict.
        """
        try:
            return _VERDICT.validate_python(content)
        except ValidationError as error:
            raise ValueError("not a verdict") from error


def verdict_of(provenance: Mapping[str, Any]) -> Verdict | None:
    """Read the verdict on a student's labels from the provenance of its bundle.

    The runs of older versions gave no verdict, but warned where a task looked undecidable. Such
    a warning counts as `guessing`, so that no label is accepted.

    Returns:
        The verdict; None for a bundle without a verdict and without warnings.

    Raises:
        ValueError: the verdict is damaged.
    """
    if (content := provenance.get("verdict")) is not None:
        return Verdict.from_json(content)
    if not (warnings := provenance.get("warnings")):
        return None
    return Verdict(
        "guessing",
        "The run that trained this student warned that its classes may not be separable.",
        tuple(Evidence("warning", "guessing", str(line)) for line in warnings),
        ("Review every label, or train a new student: newer versions examine more evidence.",),
        no_estimate_because="the student was trained by a version that did not estimate it",
    )


_VERDICT = TypeAdapter(Verdict)
