"""Assess a task: ask the teachers, compute the signals, and give the verdict.

    verdict = assess(images, ids, captions, [main, other, third])

The first teacher is the one that labels. If it is one of the phantom teachers, whose behaviour was
calibrated, the accuracy is estimated; for any other model the phantom teachers are witnesses, and
`assess_other` compares their answers with its own.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medlabel.evaluation.evidence.estimate import Estimated, shipped_estimator
from medlabel.evaluation.evidence.judge import level_of, verdict_from
from medlabel.evaluation.evidence.reading import Witness, changed_views, read_task
from medlabel.evaluation.evidence.signals import (
    FAR,
    Observation,
    beyond_chance,
    compute_evidence_signals,
    observe,
)
from medlabel.student.verdict import Evidence, Example, Level, Verdict
from medlabel.teacher.names.learned_words import unlearned_words, words_learned

__all__ = ["IMAGES", "assess", "assess_other"]

IMAGES = 400
"""Images of a task that are looked at; more change the signals by less than a point."""

Images = NDArray[np.uint8]
_AGREE = 0.8  # agreement of two models, 0 by chance, from which they confirm each other
_DISAGREE = 0.4
_NOT_CALIBRATED = (
    "The estimate was calibrated for the phantom teachers, and this is another model: check 100 "
    "labels with `medlabel audit plan`."
)


def assess(
    images: Images,
    ids: Sequence[str],
    captions: Mapping[str, Sequence[str]],
    witnesses: Sequence[Witness],
) -> Verdict:
    """Give the verdict on the labels of a phantom teacher.

    Args:
        images: of the task, uint8 [N, S, S] or [N, S, S, 3]; `IMAGES` are enough.
        ids: of the images.
        captions: those of each class, by its name.
        witnesses: the teacher that labels, and phantom teachers of other seeds after it.
    """
    estimated, level, evidence, seen = _examine(images, captions, witnesses)
    names = list(captions)
    looks = witnesses[0].world.looks
    examples = tuple(_examples(images, ids, names, seen, looks))
    pieces = [*evidence, _about_shares(seen[0].labels, names)]
    return verdict_from(level, pieces, estimated, examples)


def assess_other(
    images: Images,
    ids: Sequence[str],
    captions: Mapping[str, Sequence[str]],
    labels: NDArray[np.int64],
    witnesses: Sequence[Witness],
) -> Verdict:
    """Give the verdict on the labels of any other model, with the phantom teachers as witnesses.

    They confirm the labels where they read the task themselves and agree. Where they do not know
    the classes, nothing independent speaks for the labels, so that the verdict is doubtful.

    Args:
        images: of the task, uint8 [N, S, S] or [N, S, S, 3].
        ids: of the images.
        captions: those of each class, by its name.
        labels: the model's label of each image, int64 [N].
        witnesses: phantom teachers.
    """
    _, theirs, evidence, seen = _examine(images, captions, witnesses)
    # Not Cohen's kappa, which is 0 where both give all images the same one label.
    agreement = beyond_chance(float(np.mean(labels == seen[0].labels)), len(captions))
    piece = _second_opinion(agreement, theirs)
    kept = [each for each in evidence if each.name in ("unknown_words", "repetition")]
    empty = any(each.name == "repetition" for each in kept)
    level: Level = "guessing" if empty else piece.level
    names = list(captions)
    voters = [replace(seen[0], labels=labels), *seen]  # the labels judged here are the model's
    examples = tuple(_examples(images, ids, names, voters, witnesses[0].world.looks))
    pieces = [piece, *kept, _about_shares(labels, names)]
    return verdict_from(level, pieces, None, examples, _NOT_CALIBRATED)


def _examine(
    images: Images, captions: Mapping[str, Sequence[str]], witnesses: Sequence[Witness]
) -> tuple[Estimated, Level, list[Evidence], list[Observation]]:
    """The estimate and the level of the first witness's labels, the evidence, what each saw."""
    readings = [read_task(witness, images, captions) for witness in witnesses]
    learned = words_learned(captions)
    views = changed_views(witnesses[0].clip, images)
    signals = compute_evidence_signals(readings, views, learned)
    seen = [observe(reading) for reading in readings]
    estimator = shipped_estimator(alone=len(witnesses) == 1)
    estimated = estimator.estimate(signals, len(captions))
    unknown = all(each == "none" for each in learned.values())
    level = level_of(estimated, all_unknown=unknown, agreement=signals["agreement"])
    copies = list(_about_repetition(images))
    pieces = [*copies, *_about_words(captions), *_about_images(signals, seen)]
    return estimated, "guessing" if copies else level, pieces, seen


def _second_opinion(agreement: float, theirs: Level) -> Evidence:
    if theirs != "read":
        sentence = (
            "No independent teacher knows these classes: the built-in phantom teachers cannot "
            "confirm the labels."
        )
        return Evidence("second_opinion", "doubtful", sentence, agreement)
    if agreement >= _AGREE:
        sentence = "The built-in phantom teachers know these classes and give the same labels."
        return Evidence("second_opinion", "read", sentence, agreement)
    level: Level = "guessing" if agreement < _DISAGREE else "doubtful"
    many = "most" if level == "guessing" else "some"
    sentence = (
        f"The built-in phantom teachers know these classes and label {many} images otherwise."
    )
    return Evidence("second_opinion", level, sentence, agreement)


# --- Pieces of evidence ---------------------------------------------------------------------------


def _about_words(captions: Mapping[str, Sequence[str]]) -> Iterator[Evidence]:
    """What the teacher never learned of each class."""
    missing = unlearned_words(captions)
    for name, learned in words_learned(captions).items():
        words = ", ".join(missing[name][:3]) or name
        sentence = f"{name}: the teacher has never learned \u201c{words}\u201d."
        if learned == "none":
            yield Evidence("unknown_words", "guessing", sentence, None, name)
        elif learned == "some" and missing[name]:
            yield Evidence("unknown_words", "doubtful", sentence, None, name)


def _graded(value: float, read: float, guess: float) -> Level:
    """The level of a figure that is better when it is larger."""
    return "read" if value >= read else "guessing" if value < guess else "doubtful"


def _about_images(signals: Mapping[str, float], seen: Sequence[Observation]) -> Iterator[Evidence]:
    """What the images and the other teachers tell."""
    if len(seen) > 1:
        same = float(np.mean([np.mean(a.labels == b.labels) for a, b in combinations(seen, 2)]))
        yield Evidence(
            "agreement", _graded(signals["agreement"], 0.8, 0.4),
            f"Teachers that were trained apart give the same label to {same:.0%} of the images.",
            same,
        )  # fmt: skip
    far = signals["far"]
    yield Evidence(
        "far", _graded(1 - far, 0.8, 0.4),
        f"{far:.0%} of the images look like nothing that the teacher was trained on.", far,
    )  # fmt: skip
    yield Evidence(
        "assigned", _graded(signals["assigned"], 0.6, 0.3),
        f"{signals['assigned']:.0%} of the images look like the class that they were given, when "
        "the teacher may choose among all kinds of images that it knows.", signals["assigned"],
    )  # fmt: skip
    yield Evidence(
        "wordings", _graded(signals["wordings"], 0.6, 0.2),
        "The labels "
        + ("stay" if signals["wordings"] >= 0.6 else "change")
        + " when the classes are described in other words.", signals["wordings"],
    )  # fmt: skip
    if signals["caption_similarity"] > 0.95:
        yield Evidence(
            "caption_similarity", "doubtful",
            "The captions of two classes mean almost the same to the teacher.",
            signals["caption_similarity"],
        )  # fmt: skip


def _about_repetition(images: Images) -> Iterator[Evidence]:
    """Most images are one and the same, such as a black frame: there is nothing to read."""
    different = len({image.tobytes() for image in images})
    if different <= len(images) / 2:
        share = 1 - different / len(images)
        sentence = f"{share:.0%} of the images are copies of others, such as empty frames."
        yield Evidence("repetition", "guessing", sentence, share)


def _about_shares(labels: NDArray[np.int64], names: Sequence[str]) -> Evidence:
    shares = np.bincount(labels, minlength=len(names)) / len(labels)
    largest = int(shares.argmax())
    empty = [name for name, share in zip(names, shares, strict=True) if share < 0.01]
    level: Level = "doubtful" if empty or shares.max() > 0.95 else "read"
    sentence = f"{shares.max():.0%} of the images are labelled \u201c{names[largest]}\u201d"
    if empty:
        sentence += f", hardly any \u201c{', '.join(empty[:3])}\u201d"
    return Evidence("labels", level, f"{sentence}.", float(shares.max()))


# --- Examples ------------------------------------------------------------------------------------


def _examples(
    images: Images,
    ids: Sequence[str],
    names: Sequence[str],
    seen: Sequence[Observation],
    looks: Sequence[str],
) -> Iterator[Example]:
    """An image that is read well, one that the teachers dispute, and one that is far from all."""
    nearness = np.mean([each.nearness for each in seen], axis=0)
    first = seen[0]
    votes = np.stack([each.labels for each in seen])
    agree = (votes == votes[0]).all(axis=0)
    sure = first.scores.max(axis=1) + nearness - 2 * ~agree
    chosen = int(sure.argmax())
    if agree[chosen] and nearness[chosen] > FAR:
        label = names[first.labels[chosen]]
        sentence = (
            "All teachers agree on this one." if len(seen) > 1 else "The teacher is sure here."
        )
        yield _example(images, ids, chosen, label, sentence)
    if not agree.all():
        row = int(np.argmin(agree + first.scores.max(axis=1) * 1e-3))
        others = sorted({names[label] for label in votes[1:, row]} - {names[votes[0, row]]})
        yield _example(
            images, ids, row, names[votes[0, row]],
            f"Another teacher calls this one \u201c{others[0]}\u201d.",
        )  # fmt: skip
    far = int(nearness.argmin())
    if nearness[far] < FAR:
        look = looks[first.drawn[far]].removesuffix("mnist")
        yield _example(
            images, ids, far, names[first.labels[far]],
            f"This one looks like nothing that the teacher was trained on; the nearest is {look}.",
        )  # fmt: skip


def _example(images: Images, ids: Sequence[str], row: int, label: str, sentence: str) -> Example:
    written = io.BytesIO()
    Image.fromarray(images[row]).save(written, "PNG")
    return Example(str(ids[row]), label, sentence, base64.b64encode(written.getvalue()).decode())
