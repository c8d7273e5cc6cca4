"""From unlabelled images and names of classes to labels: teacher, student and annotation in a row.

As many images as the student is to learn from are drawn, embedded, and scored by the captions of
the names; a student learns from the scores; it labels them all. Each step does only what is
missing. Nobody knows how many images of each class there are, so no recipe is told that they are
equally many. An image of no class is given one of the names nevertheless, and sent to review if it
is unlike what the student learned.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.data.decoding import ImageError
from medlabel.data.framing import CentreSquare
from medlabel.data.listing import Part, pixels_of
from medlabel.errors import MedlabelError
from medlabel.experiments import run_folder as runs
from medlabel.storage.digests import hex_digest
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.decision import AUTO_ABOVE, check_auto_above
from medlabel.student.provenance import versions, with_key
from medlabel.student.recipes import Recipe
from medlabel.teacher.caption_sets import captions_in, check_caption_sets
from medlabel.teacher.catalogue import Catalogue
from medlabel.teacher.clip import check_clip
from medlabel.teacher.embeddings import EmbeddingTable, embed_captions
from medlabel.teacher.zero_shot import class_embeddings, score
from rayjobs.annotate import AnnotateConfig, AnnotateResult, annotate_sources
from rayjobs.cluster import connect
from rayjobs.embed import catalogue_parts, embed_parts
from rayjobs.fit import Unit, Workload, fit_cells
from rayjobs.image_pipeline import Replicas, list_sources
from rayjobs.scoring import load_teacher

__all__ = ["LabelConfig", "label_sources"]

_ASKED = "label.json"
_FEWEST = 10  # images a class, or there is nothing to learn from


@dataclass(frozen=True)
class LabelConfig:
    """What is to be labelled with which names.

    Attributes:
        sources: as a user types them (see `medlabel.data.listing`).
        classes: names of the classes; the captions are looked up by them.
        out: folder or bucket for the student and the annotations.
        home: where what can be made again is kept: embeddings, catalogues, the phantom CLIP.
        recipe: how the student is trained.
        clip: the teacher, as a user types it (see `medlabel.teacher.clip`).
        captions: caption sets joined by commas (see `medlabel.teacher.caption_sets`).
        auto_above: the least calibrated probability of a label that no human has to see.
        pool: the student learns from at most so many images, drawn at random.
        side: of the student's images in pixels.
        seed: of the draw and the student.
        size: pixels, for MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's files.
        column: the image column of Parquet files.
    """

    sources: tuple[str, ...]
    classes: tuple[str, ...]
    out: str
    home: Path
    recipe: Recipe
    clip: str = "phantom"
    captions: str = "table"
    auto_above: float = AUTO_ABOVE
    pool: int = 5000
    side: int = 28
    seed: int = 0
    size: int = 28
    data_root: Path | None = None
    column: str | None = None


def label_sources(wish: LabelConfig, on_progress: OnProgress = ignore_progress) -> AnnotateResult:
    """Make the student unless it is there, and label everything with it."""
    if len(set(wish.classes)) < 2 or "" in wish.classes:
        raise MedlabelError("name two classes or more: --classes chest,breast")
    check_caption_sets(wish.captions)
    check_clip(wish.clip, "fp32")
    check_auto_above(wish.auto_above)
    store = Store(wish.out)
    refuse_other_kinds(store, _ASKED)
    if not store.exists(_ASKED) and store.exists(f"{runs.BUNDLE}/config.json"):
        raise MedlabelError(
            f"{store.uri} holds a student already: choose another --out, or label with it: "
            f"medlabel annotate ... --model {store.path(runs.BUNDLE)}"
        )
    store.check_writable()
    list_sources(wish.sources, wish.size, wish.data_root, wish.column, on_progress)
    _claim(store, wish)
    if not store.exists(f"{runs.BUNDLE}/config.json"):
        _make_student(store, wish, on_progress)
    order = AnnotateConfig(
        wish.sources, store.path(runs.BUNDLE), wish.out, wish.auto_above, wish.size,
        wish.data_root, wish.column,
    )  # fmt: skip
    return annotate_sources(order, on_progress)


def _claim(store: Store, wish: LabelConfig) -> None:
    """Take a folder for these classes and this student, or go on with the same."""
    decisive = {
        "classes": list(wish.classes), "clip": wish.clip, "captions": wish.captions,
        "recipe": json.loads(json.dumps(asdict(wish.recipe))), "pool": wish.pool,
        "side": wish.side, "seed": wish.seed,
    }  # fmt: skip
    if store.exists(_ASKED):
        refuse_different(store, store.read_json(_ASKED), decisive, "other labels (they differ")
    store.write_json(_ASKED, decisive)


def _make_student(store: Store, wish: LabelConfig, on_progress: OnProgress) -> None:
    """Ask the teacher about some of the images, and fit a student on them."""
    parts = list_sources(wish.sources, wish.size, wish.data_root, wish.column, on_progress)
    on_progress("starting", 0, 1)
    connect()
    on_progress("starting", 1, 1)
    clip = load_teacher(wish.clip, wish.home, on_progress)
    home = Store(str(wish.home))
    progress = partial(on_progress, "cataloguing")
    catalogues = catalogue_parts(parts, home / "catalogues", progress)
    table, drawn = EmbeddingTable(home / "embeddings", clip.key), _draw(catalogues, wish)
    some = [entry.only(rows) for entry, rows in zip(catalogues, drawn, strict=True)]
    embed_parts(clip, parts, some, table, Replicas(), partial(on_progress, "embedding"))
    places, images = _look(parts, drawn, wish.side)
    digests = np.array([catalogues[part].digests[row] for part, row in places], dtype="S16")
    shard = table.gather(table.contents(), digests)
    seen = np.array([reason is None for reason in shard.reasons])  # too thin for a CLIP, say
    images, digests, embeddings = images[seen], digests[seen], shard.embeddings[seen]
    captions = [_captions(wish.captions, name) for name in wish.classes]
    texts = EmbeddingTable(home / "captions", clip.key)
    means = class_embeddings(captions, partial(embed_captions, texts, embed=clip.embed_texts))
    scores = score(embeddings, means, clip.logit_scale)
    _check_pool(scores, wish.classes)
    recipe = replace(wish.recipe, balanced=False)
    facts = {"name": wish.clip, "model": clip.key, "captions": captions, "adjust": []}
    workload = Workload(
        images, scores, wish.classes, recipe, recipe.student, _provenance(facts, recipe, digests)
    )
    rows = np.arange(len(images))
    student, unit = store / "student", Unit(wish.seed, rows, rows)
    fit_cells(student, workload, [unit], partial(on_progress, "fitting"))
    runs.publish(student, wish.seed, to=store)


def _captions(caption_sets: str, name: str) -> tuple[str, ...]:
    """The captions of a class in all of some sets."""
    found = [text for one in caption_sets.split(",") for text in captions_in(one, name)]
    return tuple(dict.fromkeys(found))


def _draw(catalogues: Sequence[Catalogue], wish: LabelConfig) -> list[NDArray[np.int64]]:
    """Rows of each part to learn from: readable ones, at random, in order."""
    readable = [
        np.flatnonzero([reason is None for reason in entry.reasons]) for entry in catalogues
    ]
    ends = np.cumsum([len(rows) for rows in readable])
    rng = np.random.default_rng(wish.seed)
    chosen = np.sort(rng.permutation(int(ends[-1]))[: wish.pool])
    places = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    starts = [0, *ends[:-1]]
    return [rows[mine - first] for rows, mine, first in zip(readable, places, starts, strict=True)]


def _look(
    parts: Sequence[Part], rows: Sequence[NDArray[np.int64]], side: int
) -> tuple[list[tuple[int, int]], NDArray[np.uint8]]:
    """Part and row of each image that can be decoded, and the images; grey if all of them are."""
    places, images = list[tuple[int, int]](), list[NDArray[np.uint8]]()
    for place, image in _squares(parts, rows, CentreSquare(side, 3)):
        places.append(place)
        images.append(image)
    if not images:
        raise MedlabelError("none of the images can be decoded: see medlabel embed for the reasons")
    stack = np.stack(images)
    grey = (stack == stack[..., :1]).all()
    return places, stack[..., 0] if grey else stack


def _squares(
    parts: Sequence[Part], rows: Sequence[NDArray[np.int64]], square: CentreSquare
) -> Iterator[tuple[tuple[int, int], NDArray[np.uint8]]]:
    for number, (part, mine) in enumerate(zip(parts, rows, strict=True)):
        if not len(mine):
            continue
        for row, content in zip(mine.tolist(), part.read(mine), strict=True):
            try:
                yield (number, row), square(pixels_of(content))
            except ImageError:
                continue


def _check_pool(scores: NDArray[np.float32], classes: Sequence[str]) -> None:
    counts = np.bincount(scores.argmax(axis=1), minlength=len(classes))
    few = [name for name, count in zip(classes, counts, strict=True) if count < _FEWEST]
    if few:
        raise MedlabelError(
            f"the teacher takes fewer than {_FEWEST} images for {', '.join(few)}: leave that class "
            "out, name it otherwise, or take another --clip"
        )


def _provenance(
    teacher: dict[str, Any], recipe: Recipe, digests: NDArray[np.bytes_]
) -> dict[str, Any]:
    pool = hex_digest(digests.tobytes(), 16)
    facts = with_key({"teacher": teacher, "recipe": asdict(recipe), "pool": pool})
    return {**facts, "versions": versions()}
