"""The jobs on Ray from Python: the options of the command line, with data frames as results.

The command line uses the same configurations and jobs. Each job does only what is missing in its
folder, so the same call continues a job that was stopped. Ray is started on this machine, or joined
at the address in RAY_ADDRESS.
"""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property

import pandas as pd

from medlabel.annotation.table import REJECTS, AnnotationTable, signed_pieces
from medlabel.evaluation.diagnostics import Diagnostics
from medlabel.experiments import run_folder
from medlabel.experiments.verdicts import read_verdict
from medlabel.jobs.options import (
    Address,
    Names,
    annotate_config,
    caption_warnings,
    label_config,
    run_config,
    show_captions,
)
from medlabel.reports.verdict_words import review_sentence
from medlabel.storage.progress import OnProgress, ignore_progress
from medlabel.storage.store import Store
from medlabel.student.bundle import find_bundle
from medlabel.student.decision import AUTO_ABOVE
from medlabel.student.estimator import Student
from medlabel.student.recipes import Recipe
from medlabel.student.verdict import Verdict
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
        """Evidence, without labels, on whether to trust the run: one row (`docs/students.md`)."""
        found: Diagnostics = self.summary.diagnostics
        facts = {key: value for key, value in asdict(found).items() if key != "signals"}
        return pd.DataFrame([{**asdict(found.signals), **facts}])

    @cached_property
    def verdict(self) -> Verdict | None:
        """Whether the labels can be trusted, why, and what to do; None for runs without one."""
        return read_verdict(Store(self.folder))

    @cached_property
    def student(self) -> Student:
        """The best student of the run, chosen without true labels."""
        return Student.from_pretrained(self.folder)


@dataclass(frozen=True)
class Annotations:
    """The annotations of some sources, in a folder or bucket.

    Attributes:
        folder: the output folder.
        model: path or URI of the student's bundle.
        report: path or URI of the summary of the annotations, an HTML page.
        summary: what the job itself returned: counts, and the warnings of the student's run.
    """

    folder: str
    model: str
    report: str
    summary: AnnotateResult

    @cached_property
    def annotations(self) -> pd.DataFrame:
        """One row per image: uri, label, confidence, decision, … (`medlabel.annotation.table`).

        All rows are read into memory, at 300 bytes or more per row.
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
    def verdict(self) -> Verdict | None:
        """Whether the labels can be trusted, why, and what to do; None for students without one."""
        return read_verdict(Store(self.folder))

    @cached_property
    def student(self) -> Student:
        """The student that labelled the images."""
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

    Starts Ray on this machine, or joins the cluster in RAY_ADDRESS. The folder `out` keeps what is
    finished: the same call continues a run that was stopped.

    Args:
        task: classes to tell apart: `"chestmnist,breastmnist"`, `"a=x.npz#0,b=x.npz#1"`,
            `"phantom:chestmnist,phantom:breastmnist"`, or the path of a YAML file.
        out: folder or bucket of the run.
        clip: the teacher, as `Teacher.from_pretrained` takes it, or several that vote.
        vote: how several teachers vote: `"mean"` or `"dawid-skene"`.
        scores: a Parquet or CSV file of your own scores, in place of a teacher.
        recipe: how students are trained, see `Student`.
        student: their architecture; by default the recipe's own.
        seeds: number of random pools and test sets, each with a student of its own.
        per_class: maximum number of pool images per class; no limit by default.
        size: side of the images of all sources, and so of the students' input, in pixels: 28, 64,
            128 or 224; by default that of the task, 28.
        captions: caption sets joined by commas, see `Teacher.predict_proba`.
        adjust: adjustments of the scores, applied in order: `"prior"`, `"temperature=2"`, ….
        data_root: folder of MedMNIST's files.
        ceiling_seeds: number of seeds on which a student is also trained on true labels, for
            comparison.
        workers: number of parallel fits; by default as many as the cluster has room for.
        gpus_per_worker: share of a GPU per fit, such as 0.25.
        home: folder of phantom CLIPs and embeddings, by default `MEDLABEL_HOME` or
            `~/.cache/medlabel`.
        on_progress: a function of the name of the stage, the units done and the total, such as
            `lambda stage, done, total: print(stage, done, total)`; by default nothing is printed.

    Returns:
        A `Run`: the data frames `results`, `recalls`, `baselines`, `timings` and `diagnostics`, the
        best `student`, the path of the HTML `report`, and the `folder`.

    Warns:
        UserWarning: no captions are known for a class, or the verdict is not `read`.

    Raises:
        MedlabelError: an option cannot be used, the folder holds something else, or a worker
            failed; what is finished is kept.

    Examples:
        >>> import medlabel as ml
        >>> done = ml.run(  # NIH chest X-rays and PneumoniaMNIST
        ...     "chest=chestmnist.npz,pneumonia=pneumoniamnist.npz",
        ...     "runs/films",
        ...     recipe="adam",
        ...     seeds=3,
        ...     per_class=150,
        ...     adjust="prior",
        ...     captions="table,templates",
        ... )  # doctest: +SKIP
        >>> columns = ["seed", "teacher_accuracy", "student_accuracy"]
        >>> done.results[columns].round(3)  # doctest: +SKIP
           seed  teacher_accuracy  student_accuracy
        0     0             0.933             0.960
        1     1             0.920             0.960
        2     2             0.920             0.943
    """
    config = run_config(
        task, out, clip=clip, vote=vote, scores=scores, recipe=recipe, student=student, seeds=seeds,
        per_class=per_class, size=size, captions=captions, adjust=adjust, data_root=data_root,
        ceiling_seeds=ceiling_seeds, workers=workers, gpus_per_worker=gpus_per_worker, home=home,
    )  # fmt: skip
    show_captions(config)
    _warn(caption_warnings(config))
    summary = run_job(config, on_progress)
    done = Run(config.out, summary.report, summary)
    _warn(_doubts(done.verdict, summary.diagnostics.warnings))
    return done


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
    prune: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Annotations:
    """Label any number of images by the names of the classes: `medlabel label`.

    A teacher scores a random sample of the images, a student is trained on the scores, and it
    labels all images. Starts Ray on this machine, or joins the cluster in RAY_ADDRESS. The same
    call continues a job that was stopped; other options, and `annotate`, need another folder `out`.

    Args:
        sources: one or more paths, patterns or names, as `load_images` takes them; no arrays.
        classes: names of the classes, two or more, each `"NAME"` or `"NAME=MEANING"`
            (`medlabel.teacher.names.meanings`). The captions that the teacher reads for them are
            shown on the standard error, and kept in `label.json`.
        out: folder or bucket for the student and the annotations.
        clip: the teacher, as `Teacher.from_pretrained` takes it.
        captions: caption sets joined by commas, see `Teacher.predict_proba`.
        recipe: how the student is trained, see `Student`; its `balanced` is ignored, because the
            shares of the classes in the sources are unknown.
        pool: maximum number of images to train on, a random sample.
        auto_above: the lowest confidence at which a label needs no review, 0 to 1.
        seed: seed for the sample, and for the student as in `Student`.
        size: side in pixels of MedMNIST's images and of phantoms: 28, 64, 128 or 224. It has no
            effect on files, nor on the student's input, which has 28 pixels per side.
        data_root: folder of MedMNIST's files.
        image_column: name of the image column of Parquet files.
        home: folder of phantom CLIPs and embeddings, by default `MEDLABEL_HOME` or
            `~/.cache/medlabel`.
        prune: whether to remove the labels of images that the sources do not hold now; by default
            they are kept.
        on_progress: a function of the name of the stage, the units done and the total, such as
            `lambda stage, done, total: print(stage, done, total)`; by default nothing is printed.

    Returns:
        `Annotations`: the data frames `annotations` (one row per image) and `rejects` (files that
        could not be read), the `student`, the path of the HTML `report`, and the `folder`.

    Warns:
        UserWarning: no captions are known for a class, or the verdict is not `read`.

    Raises:
        MedlabelError: an option or a source cannot be used, the folder holds something else, or a
            worker failed; what is finished is kept.

    Examples:
        >>> import medlabel as ml
        >>> done = ml.label(
        ...     "scans/", ["chest", "breast"], "labels", recipe="adam"
        ... )  # doctest: +SKIP
        >>> len(done.annotations), len(done.rejects)  # doctest: +SKIP
        (600, 1)
        >>> done.annotations["decision"].value_counts().to_dict()  # doctest: +SKIP
        {'auto': 596, 'review': 4}
    """
    config = label_config(
        sources, classes, out, clip=clip, captions=captions, recipe=recipe, pool=pool,
        auto_above=auto_above, seed=seed, size=size, data_root=data_root,
        image_column=image_column, home=home, prune=prune,
    )  # fmt: skip
    show_captions(config)
    _warn(caption_warnings(config))
    summary = label_sources(config, on_progress)
    _warn(_doubts(summary.verdict))
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
    prune: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> Annotations:
    """Label any number of images with a trained student: `medlabel annotate`.

    Starts Ray on this machine, or joins the cluster in RAY_ADDRESS. The same call continues a job
    that was stopped, and labels files that were added or have changed. Other sources may be added
    to the same folder `out`; another student or other options need another one.

    Args:
        sources: one or more paths, patterns or names, as `load_images` takes them; no arrays.
        model: folder of a bundle (`Student.save_pretrained`), or of a finished run.
        out: folder or bucket for the annotations.
        auto_above: the lowest confidence at which a label needs no review, 0 to 1.
        size: side in pixels of MedMNIST's images and of phantoms: 28, 64, 128 or 224. It has no
            effect on files, nor on the student's input: the student resizes every image itself.
        data_root: folder of MedMNIST's files.
        image_column: name of the image column of Parquet files.
        workers: number of copies of the student; by default one per CPU.
        prune: whether to remove the labels of images that the sources do not hold now; by default
            they are kept.
        on_progress: a function of the name of the stage, the units done and the total, such as
            `lambda stage, done, total: print(stage, done, total)`; by default nothing is printed.

    Returns:
        `Annotations`: the data frames `annotations` (one row per image) and `rejects` (files that
        could not be read), the `student`, the path of the HTML `report`, and the `folder`.

    Warns:
        UserWarning: the verdict on the student is not `read`.

    Raises:
        MedlabelError: an option, a source or the model cannot be used, the folder holds something
            else, or a worker failed; what is finished is kept.

    Examples:
        >>> import medlabel as ml
        >>> done = ml.annotate("scans/", "bundle", "annotated")  # doctest: +SKIP
        >>> done.annotations["decision"].value_counts().to_dict()  # doctest: +SKIP
        {'auto': 593, 'review': 7}
        >>> done.rejects["reason"].tolist()  # doctest: +SKIP
        ['not a PNG, JPEG, TIFF, DICOM or npy, whatever its name says: its content is none of them']
    """
    config = annotate_config(
        sources, model, out, auto_above=auto_above, size=size, data_root=data_root,
        image_column=image_column, workers=workers, prune=prune,
    )  # fmt: skip
    summary = annotate_sources(config, on_progress)
    _warn(_doubts(summary.verdict))
    return Annotations(config.out, config.bundle, summary.page, summary)


def _doubts(verdict: Verdict | None, otherwise: Sequence[str] = ()) -> Sequence[str]:
    """What to warn of: the verdict unless it is `read`; without one, the older warnings."""
    if verdict is None:
        return otherwise
    if verdict.level == "read":
        return ()
    return (f"{verdict.level}: {verdict.summary} {review_sentence(verdict)}",)


def _warn(texts: Sequence[str]) -> None:
    for text in texts:
        warnings.warn(text, stacklevel=3)
