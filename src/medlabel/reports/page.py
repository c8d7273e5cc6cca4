"""The report of a run: one self-contained HTML page, and its figures as files beside it.

The page starts with the result in one sentence, whether the student wins or loses. It needs no
network, no script and no other file: the figures are embedded.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from medlabel.reports.figures import (
    BOTH_WRONG,
    BROKEN,
    FIXED,
    box_plots,
    confusion_matrices,
    curves,
    outcomes,
    random_images,
    side_by_side,
    to_png,
)
from medlabel.reports.html import render
from medlabel.reports.verdict_section import verdict_section
from medlabel.storage.store import Store
from medlabel.student.verdict import Verdict

__all__ = [
    "MINUS",
    "SYNTHETIC",
    "Entry",
    "Picture",
    "ReportData",
    "Table",
    "answer",
    "number",
    "percents",
    "picture",
    "stamp",
    "write_report",
]

CEILING = "true labels"
SYNTHETIC = "phantoms, not real images"

# what each row of the main table is, and learns from
_NOTES = {
    "student": "trained on the teacher\u2019s labels",
    "teacher": "zero-shot",
    "majority class": "the teacher\u2019s most frequent label, for every image",
    "pixel statistics": "mean and spread of the pixels, trained on the teacher\u2019s labels",
    "embedding clusters": "clusters of the teacher\u2019s embeddings, named by its labels",
    CEILING: "upper bound: trained on true labels, which users do not have",
}
_METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "auc")
_DASH, _SPACE, MINUS = "\u2013", "\u00a0", "\u2212"


@dataclass(frozen=True)
class ReportData:
    """Everything that a report shows.

    Attributes:
        title: heading of the page.
        facts: name and value of the run's settings (teacher, student, seeds, versions).
        synthetic: True for phantoms; every part of the page then says so.
        classes: K names.
        results: `results.parquet`: one row per seed.
        baselines: one row per seed and baseline; may be empty.
        history: one row per epoch, of the seed that is shown.
        best_epoch: the epoch whose weights were kept.
        images: test images of the seed that is shown, uint8 [N, S, S] or [N, S, S, 3].
        labels: their true classes, int64 [N].
        teacher: scores float32 [N, K].
        student: probabilities float32 [N, K].
        shown_seed: the seed whose images and history are shown.
        teacher_confusion: counts int64 [K, K], true class by row, summed over seeds.
        student_confusion: the same for the student.
        warnings: of the label-free diagnostics; a verdict takes their place.
        verdict: on the student's labels; None for runs from before there were verdicts.
    """

    title: str
    facts: Mapping[str, str]
    synthetic: bool
    classes: tuple[str, ...]
    results: pd.DataFrame
    baselines: pd.DataFrame
    history: pd.DataFrame
    best_epoch: int
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    teacher: NDArray[np.float32]
    student: NDArray[np.float32]
    shown_seed: int
    teacher_confusion: NDArray[np.int64]
    student_confusion: NDArray[np.int64]
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Row:
    """A row of the main table: a name, what it learns from, and its metrics as text."""

    who: str
    note: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it."""

    heading: str
    caption: str
    alt: str
    uri: str
    width: int  # CSS pixels at which its smallest text is easy to read


@dataclass(frozen=True)
class Table:
    """A table of texts as a page shows it; each row states whether it is marked as a loss."""

    heading: str
    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[bool, tuple[str, ...]]]


# file name, heading, caption, alternative text, figure
Entry = tuple[str, str, str, str, Figure]


def picture(entry: Entry, store: Store, *, synthetic: bool) -> Picture:
    """Write a figure to `figures/NAME.png`; returns it in the form in which the page embeds it."""
    name, heading, caption, alt, figure = entry
    if synthetic:
        stamp(figure)
    png = to_png(figure)
    store.write(f"figures/{name}.png", png)
    uri = f"data:image/png;base64,{b64encode(png).decode()}"
    return Picture(heading, caption, alt, uri, round(96 * figure.get_figwidth()))


def write_report(data: ReportData, store: Store) -> str:
    """Write `figures/*.png`, then `index.html`; returns the page's full path."""
    pictures = [picture(entry, store, synthetic=data.synthetic) for entry in _figures(data)]
    store.write_utf8("index.html", _page(data, pictures))
    return store.path("index.html")


def answer(results: pd.DataFrame) -> str:
    """The result in one sentence, from `results.parquet`; it says so if the student is worse."""
    student, teacher = results["student_accuracy"], results["teacher_accuracy"]
    ours, theirs = percents(student.mean(), teacher.mean())
    over = _losses(len(results), int((student < teacher).sum()))
    if np.isclose(student.mean(), teacher.mean(), rtol=0, atol=1e-9):
        return (
            "The student is no better than its teacher: "
            f"each labels {ours} of held-out images correctly, {over}."
        )
    if student.mean() < teacher.mean():
        return (
            "The student is worse than its teacher: "
            f"it labels {ours} of held-out images correctly, the teacher {theirs}, {over}."
        )
    return f"The student labels {ours} of held-out images correctly, the teacher {theirs}, {over}."


def _losses(seeds: int, lost: int) -> str:
    """Over how many seeds, and on how many of them the student is worse."""
    if seeds == 1:
        return "with one seed"
    count = {0: "none", seeds: "all"}.get(lost, str(lost))
    return f"over {seeds} seeds; the student is worse than the teacher on {count} of them"


# ---------------------------------------------------------------- the page


def _page(data: ReportData, pictures: list[Picture]) -> str:
    return render(
        "report.html.j2",
        data=data,
        answer=answer(data.results),
        verdict=verdict_section(data.verdict, SYNTHETIC if data.synthetic else ""),
        remarks=[*(() if data.verdict else data.warnings), *_baselines_as_good(data)],
        rows=_rows(data),
        recalls=_recalls(data),
        seeds=_seed_rows(data.results),
        pictures=pictures,
        synthetic_note=SYNTHETIC,
    )


def _rows(data: ReportData) -> list[Row]:
    """Student, teacher and the baselines; training on true labels comes last."""
    rows = []
    for who in ("student", "teacher"):
        columns = {name: data.results[f"{who}_{name}"] for name in _METRICS}
        rows.append(Row(who, _NOTES[who], _cells(pd.DataFrame(columns))))
    for name, part in _baselines(data):
        note = _NOTES.get(name, "")
        if len(part) != len(data.results):
            note += f" ({len(part)} of {len(data.results)} seeds)"
        rows.append(Row(name, note.strip(), _cells(part)))
    return rows


def _baselines(data: ReportData) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and rows of each baseline that was evaluated, in the order of the notes."""
    if data.baselines.empty:
        return
    found = list(dict.fromkeys(data.baselines["baseline"]))
    known = [name for name in _NOTES if name in found and name != CEILING]
    last = [CEILING] if CEILING in found else []
    for name in [*known, *(n for n in found if n not in _NOTES), *last]:
        yield name, data.baselines[data.baselines["baseline"] == name]


def _cells(metrics: pd.DataFrame) -> tuple[str, ...]:
    """Accuracy with spread, worst seed, balanced accuracy, macro-F1 [percent]; AUC [0..1]."""
    accuracy = metrics["accuracy"]
    spread = f" \u00b1 {100 * accuracy.std(ddof=0):.2f}" if len(accuracy) > 1 else ""
    return (
        number(100 * accuracy.mean(), 2) + spread,
        number(100 * accuracy.min(), 2),
        number(100 * metrics["balanced_accuracy"].mean(), 2),
        number(100 * metrics["macro_f1"].mean(), 2),
        number(metrics["auc"].mean(), 4),
    )


def _recalls(data: ReportData) -> list[tuple[str, str, str]]:
    """Each class with the recall [percent] of teacher and student."""
    found = (
        matrix.diagonal() / np.maximum(matrix.sum(axis=1), 1)
        for matrix in (data.teacher_confusion, data.student_confusion)
    )
    return [
        (name, number(100 * teacher, 2), number(100 * student, 2))
        for name, teacher, student in zip(data.classes, *found, strict=True)
    ]


def _seed_rows(results: pd.DataFrame) -> list[tuple[bool, tuple[str, ...]]]:
    """The table of seeds: whether the student is worse, and the cells of the row."""
    table: list[tuple[bool, tuple[str, ...]]] = []
    for _, row in results.sort_values("seed").iterrows():
        gain = 100 * (row["student_accuracy"] - row["teacher_accuracy"])
        cells = (
            f"{row['seed']:.0f}",
            f"{row['n_pool']:,.0f}",
            f"{row['n_test']:,.0f}",
            number(100 * row["teacher_pool_accuracy"], 2),
            number(100 * row["teacher_accuracy"], 2),
            number(100 * row["student_accuracy"], 2),
            f"{gain:+.2f}".replace("-", MINUS),
            number(100 * row["teacher_macro_f1"], 2),
            number(100 * row["student_macro_f1"], 2),
            number(row["teacher_auc"], 4),
            number(row["student_auc"], 4),
        )
        table.append((bool(gain < 0), cells))
    return table


def _baselines_as_good(data: ReportData) -> list[str]:
    """A remark for each simple baseline whose mean accuracy is not below the student's."""
    student = data.results["student_accuracy"].mean()
    means = {name: part["accuracy"].mean() for name, part in _baselines(data) if name != CEILING}
    return [
        f"The simple baseline \u201c{name}\u201d is as accurate as the student, or more: "
        "{} against {}.".format(*percents(mean, student))
        for name, mean in means.items()
        if mean >= student
    ]


def percents(one: float, other: float) -> tuple[str, str]:
    """Two shares as percentages, with enough digits to distinguish them from each other and 1."""
    for digits in (1, 2, 3):
        texts = [f"{100 * share:.{digits}f}" for share in (one, other)]
        whole = [
            text == f"{100:.{digits}f}" and share < 1
            for text, share in zip(texts, (one, other), strict=True)
        ]
        if not any(whole) and (texts[0] != texts[1] or one == other):
            break
    return f"{texts[0]}{_SPACE}%", f"{texts[1]}{_SPACE}%"


def number(value: float, digits: int) -> str:
    """A number with fixed digits; a dash for NaN."""
    return _DASH if np.isnan(value) else f"{value:.{digits}f}"


# ---------------------------------------------------------------- its figures


def _figures(data: ReportData) -> Iterator[Entry]:
    """The figures in the order of the page."""
    yield _changes(data)
    yield from _over_seeds(data)
    yield from _of_one_seed(data)


def _changes(data: ReportData) -> Entry:
    outcome = outcomes(data.labels, data.teacher, data.student)
    fixed, broken, wrong = (f"{(outcome == kind).sum():,}" for kind in (FIXED, BROKEN, BOTH_WRONG))
    return (
        "side_by_side",
        "Labels that the student changed",
        f"Test images of seed {data.shown_seed}, first those on which student and teacher differ. "
        f"Of {len(data.labels):,} labels, the student fixed {fixed} and broke {broken}; both are "
        f"wrong on {wrong}.",
        "Grid of test images, each with the teacher\u2019s label above the student\u2019s.",
        side_by_side(
            data.images,
            data.labels,
            data.teacher,
            data.student,
            data.classes,
            seed=data.shown_seed,
        ),
    )


def _over_seeds(data: ReportData) -> Iterator[Entry]:
    over = _over(len(data.results))
    yield (
        "box_plots",
        "Student minus teacher",
        f"One dot per seed, {over}; above the line the student is better.",
        f"Box plots of the student\u2019s gain in accuracy and macro-F1. {answer(data.results)}",
        box_plots(data.results),
    )
    yield (
        "confusion_matrices",
        "Confusion matrices",
        f"Number of test images, {over}, and their share of the true class.",
        "Confusion matrices of teacher and student, side by side.",
        confusion_matrices(data.teacher_confusion, data.student_confusion, data.classes),
    )


def _of_one_seed(data: ReportData) -> Iterator[Entry]:
    seed = data.shown_seed
    yield (
        "curves",
        "Training curves",
        f"Agreement is with the teacher\u2019s pseudo-labels, not with true labels (seed {seed}).",
        f"Loss and agreement over {len(data.history)} epochs; epoch {data.best_epoch} was kept.",
        curves(data.history, data.best_epoch),
    )
    yield (
        "random_images",
        "Example images",
        f"Random test images of seed {seed} with their true labels.",
        f"Random test images of the classes {', '.join(data.classes)}.",
        random_images(data.images, data.labels, data.classes, seed=seed),
    )


def _over(seeds: int) -> str:
    return "one seed" if seeds == 1 else f"all {seeds} seeds"


def stamp(figure: Figure) -> None:
    """Write on the picture itself that it shows phantoms, as pictures are copied from pages."""
    figure.text(1, -0.01, SYNTHETIC, ha="right", va="top", fontsize=8, style="italic", color="#555")
