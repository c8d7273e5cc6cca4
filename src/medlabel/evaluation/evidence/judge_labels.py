"""The verdict on the labels of a task, as every job asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medlabel.evaluation.evidence.assess import IMAGES, assess, assess_other
from medlabel.evaluation.evidence.judge import advice_for
from medlabel.evaluation.evidence.witnesses import is_calibrated, witnesses_for
from medlabel.student.verdict import Evidence, Verdict
from medlabel.teacher.names.caption_faults import CaptionFault

__all__ = ["for_bundle", "judge_labels", "with_faults", "with_warnings"]


def judge_labels(
    teachers: Sequence[str],
    images: NDArray[np.uint8],
    ids: Sequence[str],
    captions: Mapping[str, Sequence[str]],
    labels: NDArray[np.int64],
    home: Path,
) -> Verdict:
    """Give the verdict on a teacher's labels, from a sample of the images.

    Args:
        teachers: names of the teachers that labelled, as a user types them; empty for scores that
            the user brought.
        images: uint8 [N, S, S] or [N, S, S, 3], as the student sees them.
        ids: of the images.
        captions: those of each of K classes, by its name.
        labels: the label of each image, int64 [N].
        home: folder of the phantom CLIPs.
    """
    rows = np.sort(np.random.default_rng(0).permutation(len(images))[:IMAGES])
    some, names = images[rows], [ids[row] for row in rows]
    if len(teachers) == 1 and is_calibrated(teachers[0]):
        return assess(some, names, captions, witnesses_for(teachers[0], home))
    witnesses = witnesses_for("", home)
    return assess_other(some, names, captions, labels[rows], witnesses)


def with_warnings(verdict: Verdict, warnings: Sequence[str]) -> Verdict:
    """Add what the students' diagnostics found; with a warning, a verdict is doubtful at best."""
    if not warnings:
        return verdict
    pieces = tuple(Evidence("students", "doubtful", text) for text in warnings)
    found = replace(verdict, evidence=(*pieces, *verdict.evidence))
    if verdict.level != "read":
        return found
    summary = f"The labels are doubtful. {warnings[0]}"
    advice = advice_for("doubtful", found.evidence)
    return replace(found, level="doubtful", summary=summary, advice=advice)


def with_faults(verdict: Verdict, faults: Sequence[CaptionFault]) -> Verdict:
    """Add what the teachers cannot read of the captions, as evidence.

    Where two classes are nearly the same to a teacher, the verdict is doubtful at best.
    """
    if not faults:
        return verdict
    pieces = [
        Evidence(
            f"captions_{fault.kind}", "doubtful", _sentence(fault), fault.value, fault.class_name
        )
        for fault in faults
    ]
    against = [piece for piece in verdict.evidence if piece.level == "guessing"]
    others = [piece for piece in verdict.evidence if piece.level != "guessing"]
    found = replace(verdict, evidence=(*against, *pieces, *others))
    twins = [fault for fault in faults if fault.kind == "alike"]
    if verdict.level != "read" or not twins:
        return found
    summary = f"The labels are doubtful. {_sentence(twins[0])}"
    advice = advice_for("doubtful", found.evidence)
    return replace(found, level="doubtful", summary=summary, advice=advice)


def _sentence(fault: CaptionFault) -> str:
    return f"{fault.sentence[0].upper()}{fault.sentence[1:]}."


def for_bundle(verdict: Verdict, *, public: bool) -> Verdict:
    """The verdict as it travels with a student: without images, unless they are public."""
    return verdict if public else replace(verdict, examples=())
