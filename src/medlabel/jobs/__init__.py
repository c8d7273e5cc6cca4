"""The jobs on Ray from Python: the same options as the command line's, data frames as results.

The command line calls the same functions. Each job does only what is missing in its folder, so the
same call continues a job that was stopped. Ray is started on this machine, or joined at the address
in RAY_ADDRESS.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import pandas as pd

from medlabel.annotation.table import REJECTS, AnnotationTable, signed_pieces
from medlabel.evaluation.diagnostics import Diagnostics
from medlabel.experiments import run_folder
from medlabel.jobs.options import (
    Address,
    Names,
    annotate_config,
    caption_warnings,
    label_config,
    run_config,
)
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.bundle import find_bundle
from medlabel.student.decision import AUTO_ABOVE
from medlabel.student.estimator import Student
from medlabel.student.recipes import Recipe
from rayjobs.annotate import AnnotateResult, annotate_sources
from rayjobs.label import label_sources
from rayjobs.run import RunResult
from rayjobs.run import run as run_job

__all__ = [
    "Annotations",
    "Run",
    "annotate",
    "annotate_config",
    "caption_warnings",
    "label",
    "label_config",
    "run",
    "run_config",
]


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        folder: the run's folder.
        report: path or URI of its report, an HTML page.
        summary: what the job itself returned.
    """

    folder: str
    report: str
    summary: RunResult

    @property
    def results(self) -> pd.DataFrame:
        """Metrics of teacher and student on held-out images, one row per seed."""
        return self.summary.results

    @cached_property
    def recalls(self) -> pd.DataFrame:
        """Share of each class's images that got its label, one row per seed, class and labeller."""
        return Store(self.folder).read_table(run_folder.RECALLS)

    @cached_property
    def baselines(self) -> pd.DataFrame:
        """Metrics of simple baselines on the same images, one row per seed and baseline."""
        return Store(self.folder).read_table(run_folder.BASELINES)

    @cached_property
    def timings(self) -> pd.DataFrame:
        """Seconds of each fit, one row per seed."""
        return Store(self.folder).read_table(run_folder.TIMINGS)

    @property
    def diagnostics(self) -> pd.DataFrame:
        """Whether to believe the run, judged without labels: one row, see `docs/students.md`."""
        found: Diagnostics = self.summary.diagnostics
        facts = {key: value for key, value in asdict(found).items() if key != "signals"}
        return pd.DataFrame([{**asdict(found.signals), **facts}])

    @cached_property
    def student(self) -> Student:
        """The student that agrees best with what is known without labels."""
        return Student.from_pretrained(self.folder)


@dataclass(frozen=True)
class Annotations:
    """The annotations of some sources, in a folder or bucket.

    Attributes:
        folder: theirs.
        model: path or URI of the student's bundle.
        report: path or URI of their summary, an HTML page.
        summary: what the job itself returned: counts, and what the student's run warned of.
    """

    folder: str
    model: str
    report: str
    summary: AnnotateResult

    @cached_property
    def annotations(self) -> pd.DataFrame:
        """One row per image: uri, label, confidence, decision, … (`medlabel.annotation.table`).

        All of them are read into memory, 300 bytes or more each.
        """
        store = Store(self.folder)
        table, (_, pieces) = AnnotationTable(store), signed_pieces(store)
        frames: list[pd.DataFrame] = [table.read(piece).to_pandas() for piece in pieces]
        return pd.concat(frames, ignore_index=True)

    @cached_property
    def rejects(self) -> pd.DataFrame:
        """The files that could not be read: `uri` and `reason`."""
        return Store(self.folder).read_table(REJECTS)

    @cached_property
    def student(self) -> Student:
        """The student that made them."""
        return Student.from_pretrained(self.model)


def run(
    task: str,
    out: Address,
    *,
    clip: Names = "phantom",
    vote: str = "mean",
    scores: Address | None = None,
    recipe: str | Recipe = "robust",
    student: str | None = None,
    seeds: int = 30,
    per_class: int | None = None,
    size: int | None = None,
    captions: str = "table",
    adjust: Names = (),
    data_root: Address | None = None,
    ceiling_seeds: int = 3,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    home: Address | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Run:
    """Train students on a teacher's labels and compare both on held-out images: `medlabel run`.

    Args:
        task: classes to tell apart: `"chestmnist,breastmnist"`, `"a=x.npz#0,b=x.npz#1"`,
            `"phantom:chestmnist,phantom:breastmnist"`, or the path of a YAML file.
        out: folder or bucket of the run.
        clip: the teacher, as `Teacher.from_pretrained` takes it; several vote.
        vote: how several teachers vote: `"mean"` or `"dawid-skene"`.
        scores: a Parquet or CSV file of your own scores, in place of a teacher.
        recipe: how students are trained, see `Student`.
        student: their architecture; the recipe's own by default.
        seeds: number of random pools and test sets, each with a student of its own.
        per_class: the most images of each class.
        size: side of the images in pixels: 28, 64, 128 or 224.
        captions: caption sets joined by commas, see `Teacher.predict_proba`.
        adjust: what is done to the scores: `"prior"`, `"temperature=2"`, …, in order.
        data_root: folder of MedMNIST's files.
        ceiling_seeds: on so many seeds a student learns from true labels too, to compare.
        workers: fits at a time; as many as the cluster has room for by default.
        gpus_per_worker: of each fit, such as 0.25.
        home: folder of phantom CLIPs and embeddings, by default `MEDLABEL_HOME` or
            `~/.cache/medlabel`.
        on_progress: called with the name of a stage, the units done and the units in all.

    Warns:
        UserWarning: no captions are known for a class, or the diagnostics advise against the run.

    Raises:
        MedlabelError: an option cannot be used, the folder holds something else, or a worker
            failed; what is finished is kept.

    Examples:
        >>> import medlabel as ml
        >>> done = ml.run(
        ...     "phantom:chestmnist,phantom:breastmnist", "runs/drawn", seeds=1, ceiling_seeds=0
        ... )  # doctest: +SKIP
        >>> done.results[["teacher_accuracy", "student_accuracy"]]  # doctest: +SKIP
    """
    config = run_config(
        task, out, clip=clip, vote=vote, scores=scores, recipe=recipe, student=student, seeds=seeds,
        per_class=per_class, size=size, captions=captions, adjust=adjust, data_root=data_root,
        ceiling_seeds=ceiling_seeds, workers=workers, gpus_per_worker=gpus_per_worker, home=home,
    )  # fmt: skip
    _warn(caption_warnings(config))
    summary = run_job(config, on_progress)
    _warn(summary.diagnostics.warnings)
    return Run(config.out, summary.report, summary)


def label(
    sources: Names,
    classes: Sequence[str],
    out: Address,
    *,
    clip: str = "phantom",
    captions: str = "table",
    recipe: str | Recipe = "robust",
    pool: int = 5000,
    auto_above: float = AUTO_ABOVE,
    seed: int = 0,
    size: int = 28,
    data_root: Address | None = None,
    image_column: str | None = None,
    home: Address | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Annotations:
    """Label any number of images by the names of the classes: `medlabel label`.

    Args:
        sources: one or more, as `load_images` takes them, but no arrays.
        classes: names of the classes, two or more.
        out: folder or bucket for the student and the annotations.
        clip: the teacher, as `Teacher.from_pretrained` takes it.
        captions: caption sets joined by commas, see `Teacher.predict_proba`.
        recipe: how the student is trained, see `Student`.
        pool: the most images to learn from, a random sample.
        auto_above: the least confidence at which a label needs no review, 0 to 1.
        seed: of the sample and the student.
        size: side in pixels of MedMNIST's images and of phantoms.
        data_root: folder of MedMNIST's files.
        image_column: name of the image column of Parquet files.
        home: folder of phantom CLIPs and embeddings, by default `MEDLABEL_HOME` or
            `~/.cache/medlabel`.
        on_progress: called with the name of a stage, the units done and the units in all.

    Warns:
        UserWarning: no captions are known for a class.

    Raises:
        MedlabelError: an option or a source cannot be used, the folder holds something else, or a
            worker failed; what is finished is kept.

    Examples:
        >>> import medlabel as ml
        >>> done = ml.label("scans/", ["chest", "breast"], "labels")  # doctest: +SKIP
        >>> done.annotations[["uri", "label", "decision"]]  # doctest: +SKIP
    """
    config = label_config(
        sources, classes, out, clip=clip, captions=captions, recipe=recipe, pool=pool,
        auto_above=auto_above, seed=seed, size=size, data_root=data_root,
        image_column=image_column, home=home,
    )  # fmt: skip
    _warn(caption_warnings(config))
    summary = label_sources(config, on_progress)
    return Annotations(config.out, find_bundle(config.out), summary.page, summary)


def annotate(
    sources: Names,
    model: Address,
    out: Address,
    *,
    auto_above: float = AUTO_ABOVE,
    size: int = 28,
    data_root: Address | None = None,
    image_column: str | None = None,
    workers: int | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Annotations:
    """Label any number of images with a trained student: `medlabel annotate`.

    Args:
        sources: one or more, as `load_images` takes them, but no arrays.
        model: folder of a bundle (`Student.save_pretrained`), or of a finished run.
        out: folder or bucket for the annotations.
        auto_above: the least confidence at which a label needs no review, 0 to 1.
        size: side in pixels of MedMNIST's images and of phantoms.
        data_root: folder of MedMNIST's files.
        image_column: name of the image column of Parquet files.
        workers: copies of the student; one per CPU by default.
        on_progress: called with the name of a stage, the units done and the units in all.

    Raises:
        MedlabelError: an option, a source or the model cannot be used, the folder holds something
            else, or a worker failed; what is finished is kept.

    Examples:
        >>> import medlabel as ml
        >>> done = ml.annotate("scans/", "bundle", "labels")  # doctest: +SKIP
        >>> done.rejects  # doctest: +SKIP
    """
    config = annotate_config(
        sources, model, out, auto_above=auto_above, size=size, data_root=data_root,
        image_column=image_column, workers=workers,
    )  # fmt: skip
    summary = annotate_sources(config, on_progress)
    return Annotations(config.out, config.bundle, summary.page, summary)


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        warnings.warn(text, stacklevel=3)
