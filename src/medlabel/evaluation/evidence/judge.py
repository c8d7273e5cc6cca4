"""From signals to a verdict in words: what was found, and what to do about it.

The thresholds were chosen on half of the situations of `benchmarks/guessing` and are reported on
the other half (docs/guessing.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medlabel.evaluation.evidence.estimate import Estimated
from medlabel.student.verdict import AccuracyEstimate, Evidence, Example, Level, Verdict

__all__ = ["DOUBT_ABOVE", "GUESS_ABOVE", "advice_for", "level_of", "verdict_from"]

DOUBT_ABOVE = 0.15  # weight of useless situations among the most similar ones
GUESS_ABOVE = 0.7
_GUESS_UNKNOWN = 0.5  # the same where every name is unknown
_AGREE_UNKNOWN = 0.4  # agreement below which nothing speaks for labels by unknown names
_READ_FROM = 0.7  # estimated accuracy below which no labelling is called read
_TOO_WIDE = 0.6  # width of a 90 % interval from which there is no estimate
_SOME_DOUBT = 0.25  # up to it very confident labels of a doubtful task are accepted
_DOUBTFUL_AUTO = 0.99

_ABOUT_WORDS = {
    "unknown_words", "caption_similarity", "wordings",
    "captions_alike", "captions_cut", "captions_unread",
}  # fmt: skip
"""Evidence for which other words may be the remedy."""
_ANOTHER = (
    "Try another teacher, for instance `--clip hf-hub:OWNER/NAME` of a model for your images."
)
_CAPTIONS = (
    "Describe the classes in other words: `--captions FILE.yaml`, or NAME=a caption in words."
)
_ANSWERS = (
    "Label some images yourself and retrain: `medlabel audit plan`, then `medlabel retrain`. "
    "Twenty examples of each class help, 150 answers tell how good the labels are."
)
_AUDIT = "Check 100 labels to know the accuracy: `medlabel audit plan` chooses them."


def level_of(estimated: Estimated, all_unknown: bool = False, agreement: float = 1.0) -> Level:
    """The verdict that an estimate supports: nothing below 0.7 is read.

    Where the teacher has learned no name at all, the verdict is at best doubtful, and guessing if
    teachers that were trained apart contradict each other.

    Args:
        estimated: for the task.
        all_unknown: whether the words of every class are unknown.
        agreement: of the teachers, 0 by chance and 1 if perfect; NaN if there is only one.
    """
    most = _GUESS_UNKNOWN if all_unknown else GUESS_ABOVE
    if estimated.useless >= most or (all_unknown and agreement < _AGREE_UNKNOWN):
        return "guessing"
    doubted = estimated.useless > DOUBT_ABOVE or estimated.accuracy < _READ_FROM
    return "doubtful" if doubted or all_unknown else "read"


def verdict_from(
    level: Level,
    evidence: Sequence[Evidence],
    estimated: Estimated | None,
    examples: Sequence[Example] = (),
    no_estimate_because: str = "",
) -> Verdict:
    """Put a verdict into words.

    Args:
        level: of the verdict.
        evidence: the pieces; those that speak against the labels are put first.
        estimated: None if the accuracy cannot be estimated.
        examples: at most three.
        no_estimate_because: the reason if there is no estimate.
    """
    estimate, reason = _estimate(estimated, no_estimate_because)
    order: Mapping[str, int] = {"guessing": 0, "doubtful": 1, "read": 2}
    pieces = sorted(evidence, key=lambda piece: order[piece.level])
    worst = next((piece for piece in pieces if piece.level != "read"), None)
    return Verdict(
        level,
        _summary(level, worst),
        tuple(pieces),
        advice_for(level, pieces),
        estimate,
        reason,
        _DOUBTFUL_AUTO if level == "doubtful" and _only_some(estimated) else None,
        tuple(examples),
    )


def _estimate(estimated: Estimated | None, reason: str) -> tuple[AccuracyEstimate | None, str]:
    """The estimate, or None and why there is none; an interval of nearly everything is none."""
    if estimated is None:
        return None, reason
    low, high = estimated.low, estimated.high
    if high - low <= _TOO_WIDE:
        return AccuracyEstimate(estimated.accuracy, low, high), ""
    return None, (
        f"In comparable tasks anything from {low:.0%} to {high:.0%} of the labels were right: "
        "check 100 labels with `medlabel audit plan`."
    )


def _only_some(estimated: Estimated | None) -> bool:
    return estimated is not None and estimated.useless <= _SOME_DOUBT


def _summary(level: Level, worst: Evidence | None) -> str:
    if level == "read":
        return "The teacher reads these images: independent evidence agrees with its labels."
    reason = f" {_with_class(worst)}" if worst is not None else ""
    if level == "doubtful":
        return f"It is doubtful whether the teacher reads these images.{reason}"
    return f"The teacher is guessing.{reason}"


def _with_class(piece: Evidence) -> str:
    if piece.class_name is None or piece.class_name in piece.sentence:
        return piece.sentence
    return f"{piece.class_name}: {piece.sentence}"


def advice_for(level: Level, pieces: Sequence[Evidence]) -> tuple[str, ...]:
    """Return what to do next, the likeliest help first; nothing for labels that were read."""
    if level == "read":
        return ()
    against = {piece.name for piece in pieces if piece.level != "read"}
    words = against & _ABOUT_WORDS
    known = (_CAPTIONS, _ANOTHER) if words else (_ANOTHER, _CAPTIONS)
    return (*known, _ANSWERS) if level == "guessing" else (_AUDIT, *known, _ANSWERS)
