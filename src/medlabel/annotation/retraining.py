"""The training set of the next student: annotations, corrected by people's answers.

The next student learns from the annotations of the last one (its probabilities are the scores) and
from the answers of people about some of the images, which are its human labels. Images that people
assign to no class are left out. Nothing here sees a source's true labels.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from medlabel.annotation.answer_words import word_for_no_class
from medlabel.annotation.answers import AnsweredImage, Answers, find_answered
from medlabel.annotation.audit import names_of
from medlabel.annotation.images import contents_of
from medlabel.annotation.table import MANIFEST, AnnotationTable, Piece, signed_pieces
from medlabel.data.decoding import ImageError
from medlabel.data.listing import digest_of, pixels_of
from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest
from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, load_bundle
from medlabel.student.human_labels import UNLABELED, HumanLabels

__all__ = [
    "FOLDS",
    "AnswerImpact",
    "TrainingSet",
    "folds_of",
    "make_training_set",
]

FOLDS = 3  # for cross-validation: each answer is compared with a student that did not learn from it
FEWEST = 10  # answers below which there is nothing to learn from, and nothing to evaluate with


@dataclass(frozen=True)
class TrainingSet:
    """What the next student learns from: N images.

    Attributes:
        images: as the last student sees them, uint8 [N, S, S] or [N, S, S, 3].
        scores: the last student's probabilities, float32 [N, K].
        human_labels: people's answers.
        digests: of the images' contents, str [N].
        bundle: the last student.
        sources: of the images.
        of_no_class: number of answers that an image is of none of the classes.
        facts: where all this comes from, as plain JSON.
        left_out: number of answers that cannot be used, by reason.
    """

    images: NDArray[np.uint8]
    scores: NDArray[np.float32]
    human_labels: HumanLabels
    digests: NDArray[np.str_]
    bundle: Bundle
    sources: tuple[str, ...]
    of_no_class: int
    facts: Mapping[str, Any]
    left_out: Mapping[str, int]

    def sentences(self) -> list[str]:
        """How the answers are used, in words."""
        counts = self.facts["answers"]
        by_class = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        lines = [f"{sum(counts.values()):,} images have an answer: {by_class}."]
        return lines + [f"{n:,} answers left out: {why}." for why, n in self.left_out.items()]


@dataclass(frozen=True)
class AnswerImpact:
    """The effect of people's answers: with how many of them three ways of labelling agree.

    Attributes:
        answers: number of answers that name a class, counting an image and its copies once; each
            is compared with students that have not seen its image.
        before: the annotations of the last student agree.
        without: students trained on the annotations alone agree.
        learned: students that also learned from the other answers agree.
        fixed: `learned` agrees and `without` does not.
        broken: `without` agrees and `learned` does not.
    """

    answers: int
    before: int
    without: int
    learned: int
    fixed: int
    broken: int

    @classmethod
    def of(
        cls,
        answers: NDArray[np.int64],
        before: NDArray[np.int64],
        without: NDArray[np.int64],
        learned: NDArray[np.int64],
    ) -> "AnswerImpact":
        """Count, given people's labels and those of three ways of labelling, int64 [N] each."""
        old, new = without == answers, learned == answers
        counts = (before == answers, old, new, new & ~old, old & ~new)
        return cls(len(answers), *(int(count.sum()) for count in counts))

    @property
    def p_value(self) -> float:
        """Two-sided sign test of fixed against broken labels: p if answers have no effect."""
        changed = self.fixed + self.broken
        return float(binomtest(self.fixed, changed).pvalue) if changed else 1.0

    def warnings(self) -> tuple[str, ...]:
        """Say so if the next student is worse than the last one by these answers."""
        if self.learned >= self.before:
            return ()
        return (
            f"The next student is worse than the last one: it agrees with {self.learned:,} of "
            f"{self.answers:,} answers that it had not seen, and the last student with "
            f"{self.before:,}. Keep the last student, unless it had learned from these answers.",
        )

    def sentences(self) -> list[str]:
        """The effect in words; a warning comes first."""

        def share(count: int) -> str:
            return f"{count:,} of {self.answers:,} ({count / self.answers:.1%})"

        return [
            *self.warnings(),
            f"Labels that agree with the answers: {share(self.before)} of the last student's, "
            f"{share(self.without)} after training again without answers, and "
            f"{share(self.learned)} after training with the other answers.",
            f"The answers fixed {self.fixed:,} labels and broke {self.broken:,} "
            f"(sign test, p = {self.p_value:.2g}).",
            "Each answer is compared with a student that has seen neither it nor its image "
            "(cross-validation). Answers about images that people chose themselves are not a "
            "random sample of all images; those of an audit are.",
        ]


def make_training_set(
    store: Store, answers: Answers, most: int, weight: float, seed: int
) -> TrainingSet:
    """Gather all answered images of a folder of annotations, and a random sample of the others.

    Args:
        store: the folder of annotations.
        answers: people's answers.
        most: largest number of images without an answer.
        weight: of a human label in training; a pseudo-label has weight 1.
        seed: of the random sample.

    Raises:
        MedlabelError: too few answers are about images that are annotated here, or the images or
            the student have changed since.
    """
    signed, pieces = signed_pieces(store)
    manifest, classes = store.read_json(MANIFEST), names_of(store, pieces)
    address = manifest["asked"][-1]["bundle"]
    bundle = load_bundle(address)
    if bundle.provenance.get("sha256") != manifest["origin"]["weights"]:
        raise MedlabelError(f"the student in {address} has changed since it labelled the images")
    answered, left_out = find_answered(store, pieces, classes, answers)
    of_class = [one for one in answered if one.label >= 0]
    if (count := len({one.digest for one in of_class})) < FEWEST:
        raise MedlabelError(
            f"the answers name a class for {count} images in {store.uri}: at least {FEWEST} are "
            "needed"
        )
    total = sum(piece.rows for piece in pieces)
    rows = _sample(total, answered, most, seed)
    images, scores, digests = _gather(store, manifest["asked"], pieces, rows, bundle, classes)
    labels = np.full(len(rows), UNLABELED, dtype=np.int64)
    labels[np.searchsorted(rows, [one.row for one in of_class])] = [one.label for one in of_class]
    facts = _facts(signed, answered, classes, weight)
    sources = (source for asked in manifest["asked"] for source in asked["sources"])
    of_no_class = len({one.digest for one in answered if one.label < 0})
    return TrainingSet(
        images, scores, HumanLabels(labels, weight), digests, bundle,
        tuple(dict.fromkeys(sources)), of_no_class, facts, left_out,
    )  # fmt: skip


def _sample(
    total: int, answered: Sequence[AnsweredImage], most: int, seed: int
) -> NDArray[np.int64]:
    """Rows to learn from, in order: those answered with a class, and a random sample of others."""
    rng = np.random.default_rng(seed)
    asked = np.array([one.row for one in answered])
    others = rng.choice(total, min(total, most + len(asked)), replace=False)
    others = others[~np.isin(others, asked)][:most]
    kept = [one.row for one in answered if one.label >= 0]
    return np.sort(np.concatenate([np.array(kept, dtype=np.int64), others]))


def _gather(
    store: Store,
    asked: Sequence[Mapping[str, Any]],
    pieces: Sequence[Piece],
    rows: NDArray[np.int64],
    bundle: Bundle,
    classes: Sequence[str],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.str_]]:
    """Images [N, ...], probabilities [N, K] and digests [N] of some rows of the table."""
    table, first = AnnotationTable(store), 0
    images, scores, digests = list[NDArray[np.uint8]](), list[NDArray[np.float32]](), list[str]()
    for piece in pieces:
        here = rows[(rows >= first) & (rows < first + piece.rows)] - first
        first += piece.rows
        if not len(here):
            continue
        found = table.read(piece, ["uri", "digest", *(f"p_{name}" for name in classes)]).take(here)
        images += _images(found.to_pylist(), asked, bundle)
        scores.append(np.stack([found[f"p_{name}"].to_numpy() for name in classes], axis=1))
        digests += found["digest"].to_pylist()
    return np.stack(images), np.concatenate(scores), np.array(digests)


def _images(
    rows: Sequence[Mapping[str, Any]], asked: Sequence[Mapping[str, Any]], bundle: Bundle
) -> Iterator[NDArray[np.uint8]]:
    """Some annotated images, as the student sees them."""
    contents = contents_of([row["uri"] for row in rows], asked)
    for row, content in zip(rows, contents, strict=True):
        if isinstance(content, ImageError):
            raise MedlabelError(
                f"{row['uri']} cannot be read any more ({content.reason}): make it readable, or "
                "remove the labels of images that are gone: `medlabel annotate` with --prune"
            )
        if digest_of(content).hex() != row["digest"]:
            raise MedlabelError(
                f"{row['uri']} has changed since it was labelled: run `medlabel annotate` again "
                "first"
            )
        yield bundle.square(pixels_of(content))


def _facts(
    signed: str, answered: Sequence[AnsweredImage], classes: Sequence[str], weight: float
) -> dict[str, Any]:
    names = (*classes, word_for_no_class(classes))  # the last for -1
    given = {one.digest: names[one.label] for one in answered}
    pairs = sorted(given.items())  # an image and its copies count once
    return {
        "annotations": signed,
        "answers": dict(sorted(Counter(given.values()).items())),
        "answers_sha256": hex_digest(json.dumps(pairs)),
        "weight": weight,
    }


def folds_of(training_set: TrainingSet, seed: int) -> list[NDArray[np.int64]]:
    """The rows with a human label in `FOLDS` random folds; copies of an image share a fold."""
    known = np.flatnonzero(training_set.human_labels.known)
    _, image = np.unique(training_set.digests[known], return_inverse=True)
    fold = np.random.default_rng(seed).permutation(int(image.max()) + 1) % FOLDS
    return [known[fold[image] == number] for number in range(FOLDS)]
