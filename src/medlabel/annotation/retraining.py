"""Correction flows back: people's answers join the next training. Here a pool is made of them.

The next student learns from the annotations of the last one (its probabilities are the scores) and
from what people said about some of the images, whose labels count as human labels. Images that
people say are of no class are left out. Nothing here sees a source's true labels.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray
from scipy.stats import binomtest

from medlabel.annotation.answers import Answered, Answers, find_answered
from medlabel.annotation.audit import names_of
from medlabel.annotation.explain import layout_of, parts_of
from medlabel.annotation.table import MANIFEST, AnnotationTable, Piece, signed_pieces
from medlabel.data.decoding import ImageError
from medlabel.data.listing import Part, digest_of, pixels_of
from medlabel.errors import MedlabelError
from medlabel.storage.digests import hex_digest
from medlabel.storage.store import Store
from medlabel.student.bundle import Bundle, load_bundle
from medlabel.student.human_labels import UNLABELED, HumanLabels

__all__ = [
    "FOLDS",
    "PAGE",
    "AnswerImpact",
    "TrainingSet",
    "folds_of",
    "make_training_set",
    "write_page",
]

PAGE = "report/index.html"

FOLDS = 3  # of the answers: each is judged by a student that has not learned from it
FEWEST = 10  # answers, or there is nothing to learn from and nothing to judge by


@dataclass(frozen=True)
class TrainingSet:
    """What the next student learns from: N images.

    Attributes:
        images: as the last student sees them, uint8 [N, S, S] or [N, S, S, 3].
        scores: its probabilities, float32 [N, K].
        human_labels: what people said.
        digests: of the images' contents [N].
        bundle: the last student.
        facts: where all this comes from, as plain JSON.
        left_out: answers that are not learned from, by what is the matter with them.
    """

    images: NDArray[np.uint8]
    scores: NDArray[np.float32]
    human_labels: HumanLabels
    digests: NDArray[np.str_]
    bundle: Bundle
    facts: Mapping[str, Any]
    left_out: Mapping[str, int]

    def sentences(self) -> list[str]:
        """What became of the answers, in words."""
        counts = self.facts["answers"]
        told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        lines = [f"{sum(counts.values()):,} images have an answer: {told}."]
        return lines + [f"{n:,} answers are {what}: left out." for what, n in self.left_out.items()]


@dataclass(frozen=True)
class AnswerImpact:
    """What answers bought: how many of them three ways of labelling agree with.

    Attributes:
        answers: of a class, an image and its copies once; each was judged by students that had not
            seen its image.
        before: the annotations as they were.
        without: students that learned from the annotations alone.
        learned: students that learned from the other answers too.
        fixed: answers that only `learned` agrees with, of it and `without`.
        broken: those that only `without` agrees with.
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
        said: NDArray[np.int64],
        before: NDArray[np.int64],
        without: NDArray[np.int64],
        learned: NDArray[np.int64],
    ) -> "AnswerImpact":
        """Count, given four rows of labels [N]."""
        old, new = without == said, learned == said
        counts = (before == said, old, new, new & ~old, old & ~new)
        return cls(len(said), *(int(count.sum()) for count in counts))

    @property
    def chance(self) -> float:
        """How likely so uneven a split of fixed and broken is if answers buy nothing."""
        changed = self.fixed + self.broken
        return float(binomtest(self.fixed, changed).pvalue) if changed else 1.0

    def sentences(self) -> list[str]:
        """In words."""

        def share(count: int) -> str:
            return f"{count:,} of {self.answers:,} ({count / self.answers:.1%})"

        return [
            f"The answers agree with {share(self.before)} of the annotations as they were.",
            f"Trained again without answers: {share(self.without)}; with the other answers: "
            f"{share(self.learned)}.",
            f"Answers fixed {self.fixed:,} labels and broke {self.broken:,}; so uneven a "
            f"split would come by chance with probability {self.chance:.2g}.",
            "Each answer was judged by a student that had seen neither it nor its image. Answers "
            "that people gave where they pleased are no fair sample of all images: an audit's are.",
        ]


def make_training_set(
    store: Store, answers: Answers, most: int, weight: float, seed: int
) -> TrainingSet:
    """Gather all answered images of a folder of annotations, and others at random.

    Args:
        store: the folder of annotations.
        answers: what people said.
        most: images to learn from, the answered ones apart.
        weight: of a trusted label.
        seed: of the draw.

    Raises:
        MedlabelError: too few answers are about images that are annotated here, or the images or
            the bundle have changed since.
    """
    signed, pieces = signed_pieces(store)
    manifest, classes = store.read_json(MANIFEST), names_of(store, pieces)
    bundle = load_bundle(manifest["asked"]["bundle"])
    if bundle.provenance.get("sha256") != manifest["origin"]["weights"]:
        raise MedlabelError(f"the bundle in {manifest['asked']['bundle']} is another one by now")
    answered, left_out = find_answered(store, pieces, classes, answers)
    of_class = [one for one in answered if one.label >= 0]
    if (count := len({one.digest for one in of_class})) < FEWEST:
        raise MedlabelError(
            f"the answers name a class for {count} images in {store.uri}: it takes {FEWEST}"
        )
    total = sum(piece.rows for piece in pieces)
    rows = _draw(total, answered, most, seed)
    images, scores, digests = _look(store, manifest["asked"], pieces, rows, bundle, classes)
    labels = np.full(len(rows), UNLABELED, dtype=np.int64)
    labels[np.searchsorted(rows, [one.row for one in of_class])] = [one.label for one in of_class]
    facts = _facts(signed, answered, classes, weight)
    return TrainingSet(
        images, scores, HumanLabels(labels, weight), digests, bundle, facts, left_out
    )


def _draw(total: int, answered: Sequence[Answered], most: int, seed: int) -> NDArray[np.int64]:
    """Rows to learn from, in order: those answered with a class, and others at random."""
    rng = np.random.default_rng(seed)
    asked = np.array([one.row for one in answered])
    others = rng.choice(total, min(total, most + len(asked)), replace=False)
    others = others[~np.isin(others, asked)][:most]
    kept = [one.row for one in answered if one.label >= 0]
    return np.sort(np.concatenate([np.array(kept, dtype=np.int64), others]))


def _look(
    store: Store,
    asked: Mapping[str, Any],
    pieces: Sequence[Piece],
    rows: NDArray[np.int64],
    bundle: Bundle,
    classes: Sequence[str],
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.str_]]:
    """Images [N, ...] of some rows of the table, probabilities [N, K], and digests [N]."""
    parts, table, first = parts_of(asked), AnnotationTable(store), 0
    images, scores, digests = list[NDArray[np.uint8]](), list[NDArray[np.float32]](), list[str]()
    for piece in pieces:
        here = rows[(rows >= first) & (rows < first + piece.rows)] - first
        first += piece.rows
        if not len(here):
            continue
        if piece.key not in parts:
            raise MedlabelError(
                "images have changed since they were labelled: run medlabel annotate again first"
            )
        found = table.read(piece, ["uri", "digest", *(f"p_{name}" for name in classes)]).take(here)
        images += _images(parts[piece.key], piece, found.to_pylist(), bundle)
        scores.append(np.stack([found[f"p_{name}"].to_numpy() for name in classes], axis=1))
        digests += found["digest"].to_pylist()
    return np.stack(images), np.concatenate(scores), np.array(digests)


def _images(
    part: Part, piece: Piece, rows: Sequence[Mapping[str, Any]], bundle: Bundle
) -> Iterator[NDArray[np.uint8]]:
    """What the student sees of some annotated images of a part."""
    end = min(part.count, piece.start + layout_of(bundle).rows)
    places = {part.address(row): row for row in range(piece.start, end)}
    numbers = np.array([places[row["uri"]] for row in rows])
    for row, content in zip(rows, part.read(numbers), strict=True):
        if isinstance(content, ImageError) or digest_of(content).hex() != row["digest"]:
            raise MedlabelError(
                f"{row['uri']} has changed since it was labelled: run medlabel annotate again first"
            )
        yield bundle.square(pixels_of(content))


def _facts(
    signed: str, answered: Sequence[Answered], classes: Sequence[str], weight: float
) -> dict[str, Any]:
    said = {one.digest: classes[one.label] if one.label >= 0 else "neither" for one in answered}
    pairs = sorted(said.items())  # an image and its copies once
    return {
        "annotations": signed,
        "answers": dict(sorted(Counter(said.values()).items())),
        "answers_sha256": hex_digest(json.dumps(pairs)),
        "weight": weight,
    }


def folds_of(training_set: TrainingSet, seed: int) -> list[NDArray[np.int64]]:
    """The rows with a trusted label, in `FOLDS` parts at random; copies stay together."""
    known = np.flatnonzero(training_set.human_labels.known)
    _, image = np.unique(training_set.digests[known], return_inverse=True)
    fold = np.random.default_rng(seed).permutation(int(image.max()) + 1) % FOLDS
    return [known[fold[image] == number] for number in range(FOLDS)]


def write_page(
    store: Store, bought: AnswerImpact, facts: Mapping[str, Any], answers: Sequence[str]
) -> str:
    """Write the page that tells what the answers bought; returns its full path."""
    environment = Environment(
        loader=PackageLoader("medlabel.reports"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    template = environment.get_template("retrain.html.j2")
    page = template.render(bought=bought, facts=facts, answers=answers)
    store.write(PAGE, page.encode())
    return store.path(PAGE)
