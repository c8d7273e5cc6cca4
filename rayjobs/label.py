"""From unlabelled images and the names of classes to annotations: teacher, student, annotation.

A pool of images is sampled from the sources and scored by the teacher with the captions of the
class names. A student is trained on the scores and annotates all images. The sources are listed
once. An image of the pool is read twice, once for teacher and student and once to be annotated, and
every other image once. A job that was stopped goes on: embeddings in the table, a finished student
and finished annotations are reused.

Nobody knows how many images of each class there are, so no recipe balances the classes. An image
that belongs to none of the classes still gets one of their names, and is sent to review if it is
out of the distribution of the pool.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from medlabel.data.class_names import refuse_reserved
from medlabel.data.listing import Part
from medlabel.data.sources import is_public
from medlabel.errors import MedlabelError
from medlabel.evaluation.evidence.judge_labels import for_bundle, judge_labels, with_faults
from medlabel.experiments import run_folder as runs
from medlabel.experiments.verdicts import write_verdict
from medlabel.storage.folders import refuse_other_kinds
from medlabel.storage.progress import OnProgress, StageProgress, ignore_progress
from medlabel.storage.store import Store, refuse_different
from medlabel.student.bundle import load_bundle
from medlabel.student.decision import AUTO_ABOVE, check_auto_above
from medlabel.student.provenance import learned_from, pool_provenance
from medlabel.student.recipes import Recipe
from medlabel.student.verdict import Verdict
from medlabel.teacher.adjust import NO_ADJUSTMENT
from medlabel.teacher.caption_sets import check_caption_sets, files_in
from medlabel.teacher.clip import check_clip
from medlabel.teacher.names.meanings import name_and_meaning
from medlabel.teacher.task_captions import captions_by_names
from medlabel.teacher.zoo.weights import named_digest, without_path
from medlabel.versions import STUDENT
from rayjobs.annotate import AnnotateConfig, AnnotateResult, annotate_parts
from rayjobs.fit import CellRows, Workload, fit_cells
from rayjobs.image_pipeline import Replicas, list_sources
from rayjobs.pool import Pool, embed_pool, sample_rows
from rayjobs.scoring import (
    TeacherScores,
    embed_classes,
    image_table,
    load_teacher,
    score_by_captions,
    start_ray,
)

__all__ = ["LabelConfig", "label_sources"]

_MANIFEST = "label.json"
_BUNDLE_CONFIG = f"{runs.BUNDLE}/config.json"
_STUDENT = "student"
_OTHER = "other labels"
_READS = "teacher_reads"  # the captions by class, in the manifest
_CLIP_FILE = "clip_sha256"  # of the files of a teacher that is given as a path


@dataclass(frozen=True)
class LabelConfig:
    """Options of `label_sources`.

    Attributes:
        sources: as a user types them (see `medlabel.data.listing`).
        classes: names of the classes, by which the captions are looked up, each NAME or
            NAME=MEANING (see `medlabel.teacher.names.meanings`).
        out: folder or bucket to write the student and the annotations to.
        home: folder of embeddings and the phantom CLIP, for all jobs to reuse.
        recipe: how the student is trained.
        clip: the teacher, as a user types it (see `medlabel.teacher.clip`).
        captions: caption sets joined by commas (see `medlabel.teacher.caption_sets`).
        auto_above: the lowest calibrated probability at which a label needs no review.
        pool: maximum number of images to train the student on, sampled at random.
        side: side in pixels of the images that the student sees.
        seed: of the sample and the student.
        size: side in pixels of the images of MedMNIST flags and phantoms.
        data_root: folder of MedMNIST's files.
        image_column: column of Parquet files that holds the images.
        replicas: how encoders and annotators are placed on the cluster.
        prune: whether to remove the labels of images that the sources do not hold.
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
    image_column: str | None = None
    replicas: Replicas = field(default_factory=Replicas)
    prune: bool = False

    @property
    def captions_read(self) -> dict[str, tuple[str, ...]]:
        """What the teacher reads for each class, by its name.

        Raises:
            MedlabelError: a name is ambiguous, or two mean the same.
        """
        return captions_by_names(self.classes, self.captions)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, without the meanings that a user spelled out."""
        return tuple(name_and_meaning(text)[0] for text in self.classes)


def label_sources(config: LabelConfig, on_progress: OnProgress = ignore_progress) -> AnnotateResult:
    """Train the student unless `config.out` has one, and annotate all images with it.

    Raises:
        MedlabelError: an option or a source is wrong, `config.out` holds something else, or a
            worker failed.
    """
    _check(config)
    store = Store(config.out)
    _refuse_occupied(store)
    store.check_writable()
    parts = list_sources(
        config.sources, config.size, config.data_root, config.image_column, on_progress,
        left_out=(config.out, str(config.home)),
    )  # fmt: skip
    _claim(store, config)
    if not store.exists(_BUNDLE_CONFIG):
        verdict = _train(store / _STUDENT, parts, config, on_progress)
        write_verdict(store, verdict)
        public = all(_is_public(source) for source in config.sources)
        kept = for_bundle(verdict, public=public)
        runs.publish(store / _STUDENT, config.seed, to=store, verdict=kept)
    annotate = AnnotateConfig(
        sources=config.sources, bundle=store.path(runs.BUNDLE), out=config.out,
        auto_above=config.auto_above, size=config.size, data_root=config.data_root,
        image_column=config.image_column, replicas=config.replicas, prune=config.prune,
    )  # fmt: skip
    return annotate_parts(annotate, load_bundle(annotate.bundle), parts, on_progress)


def _is_public(source: str) -> bool:
    """Whether everybody may see a source's images; a folder that is called as a set is no set."""
    return is_public(source) and not os.path.lexists(source)


def _check(config: LabelConfig) -> None:
    """Raise a `MedlabelError` for options that cannot work, before any work."""
    if len(set(config.classes)) < 2 or "" in config.classes:
        raise MedlabelError("name two classes or more: --classes chest,breast")
    check_caption_sets(config.captions)
    refuse_reserved(config.class_names)
    _ = config.captions_read  # an ambiguous name is refused
    check_clip(config.clip, "fp32")
    check_auto_above(config.auto_above)


def _refuse_occupied(store: Store) -> None:
    """Raise a `MedlabelError` if the folder is that of another command, or holds a student."""
    refuse_other_kinds(store, _MANIFEST)
    if not store.exists(_MANIFEST) and store.exists(_BUNDLE_CONFIG):
        raise MedlabelError(
            f"{store.uri} holds a student already: choose another --out, or label with it: "
            f"medlabel annotate ... --model {store.path(runs.BUNDLE)}"
        )


def _claim(store: Store, config: LabelConfig) -> None:
    """Reserve a folder for these classes and this student, or go on with the same.

    A student of other version numbers is another one (`medlabel.versions`).
    """
    decisive = {
        "classes": list(config.classes), "clip": config.clip, "captions": config.captions,
        "recipe": json.loads(json.dumps(asdict(config.recipe))), "pool": config.pool,
        "side": config.side, "seed": config.seed, "code_versions": dict(STUDENT),
        _READS: {name: list(texts) for name, texts in config.captions_read.items()},
        _CLIP_FILE: named_digest(config.clip),
    }  # fmt: skip
    if store.exists(_MANIFEST):
        found = store.read_json(_MANIFEST)
        made_before = {name for name in (_READS, _CLIP_FILE) if name not in found}
        refuse_different(
            store, _by_content(found), _by_content(decisive), _OTHER, {_READS, *made_before}
        )
        if _READS in found:
            _refuse_other_captions(store, found[_READS], config.captions_read)
        if store.exists(_BUNDLE_CONFIG):
            return
    store.write_json(_MANIFEST, decisive)


def _by_content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest without the places of files, whose content it has: a file may have been moved."""
    sets = manifest["captions"].split(",")
    captions = ",".join("FILE.yaml" if files_in(part) else part for part in sets)
    moved = {"clip": without_path(manifest["clip"])} if manifest.get(_CLIP_FILE) else {}
    return {**manifest, "captions": captions, **moved}


def _refuse_other_captions(
    store: Store, before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]
) -> None:
    """Raise a `MedlabelError` if the student of a folder learned from other captions."""
    changed = [name for name in now if tuple(before.get(name, ())) != tuple(now[name])]
    if changed:
        raise MedlabelError(
            f"{store.uri} holds {_OTHER} (the captions of {', '.join(changed)} have changed "
            "since): choose another --out"
        )


def _train(
    store: Store, parts: Sequence[Part], config: LabelConfig, on_progress: OnProgress
) -> Verdict:
    """Sample and score the pool, and train the student on it; returns the teacher's verdict."""
    pool, scores = _score_pool(parts, config, on_progress)
    verdict = _judge(config, pool, scores, on_progress)
    progress = partial(on_progress, "fitting")
    _fit(store, pool, scores, config, progress)
    return verdict


def _judge(
    config: LabelConfig, pool: Pool, scores: TeacherScores, on_progress: OnProgress
) -> Verdict:
    """The verdict on the teacher's labels of the pool."""
    on_progress("verdict", 0, 1)
    ids = [digest.hex() for digest in pool.digests.tolist()]
    labels = scores.scores.argmax(axis=1)
    verdict = judge_labels(
        [config.clip], pool.images, ids, config.captions_read, labels, config.home
    )
    on_progress("verdict", 1, 1)
    return with_faults(verdict, scores.faults)


def _score_pool(
    parts: Sequence[Part], config: LabelConfig, on_progress: OnProgress
) -> tuple[Pool, TeacherScores]:
    """Sample the pool, embed it, and score it by the captions of each class."""
    captions = config.captions_read
    start_ray(on_progress)
    clip = load_teacher(config.clip, config.home, on_progress)
    embed_classes(clip, config.home, captions)  # so that its warnings come before the work
    parts = [part for part in parts if not part.is_rejected]
    rows = sample_rows([part.count for part in parts], config.pool, config.seed)
    table, progress = image_table(clip, config.home), partial(on_progress, "embedding")
    pool = embed_pool(parts, rows, clip, table, config.side, config.replicas, progress)
    return pool, score_by_captions(clip, config.home, config.clip, captions, pool.embeddings)


def _fit(
    store: Store,
    pool: Pool,
    scores: TeacherScores,
    config: LabelConfig,
    on_progress: StageProgress,
) -> None:
    """Train the student on the scores of the pool."""
    recipe, classes = replace(config.recipe, balanced=False), config.class_names
    provenance = pool_provenance(scores.facts_with(NO_ADJUSTMENT), recipe, pool.digests)
    provenance["learned_from"] = learned_from(config.sources)
    workload = Workload(pool.images, scores.scores, classes, recipe, recipe.student, provenance)
    rows = np.arange(len(pool.images))
    fit_cells(store, workload, [CellRows(config.seed, rows, rows)], on_progress)
