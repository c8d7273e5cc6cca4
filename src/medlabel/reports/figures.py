"""The figures of a report, as matplotlib figures from arrays and tables.

| figure | what it shows |
| --- | --- |
| `random_images` | random images with their labels (the paper's figure 3) |
| `curves` | loss and agreement with the pseudo-labels by epoch (figure 5) |
| `side_by_side` | test images with the teacher's label and the student's (figure 6) |
| `box_plots` | student minus teacher over the seeds (figure 7) |
| `confusion_matrices` | which classes teacher and student confuse |
| `contact_sheet` | rows of images, each with a name: phantoms above real images |

Nothing here keeps state between calls. Colours are those of Okabe and Ito, which colour-blind
readers can distinguish, and are never the only mark: ticks, line styles and marker shapes differ
as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import zip_longest
from textwrap import shorten, wrap
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

__all__ = [
    "box_plots",
    "confusion_matrices",
    "contact_sheet",
    "curves",
    "outcomes",
    "random_images",
    "side_by_side",
    "to_png",
]

BETTER, WORSE, NEITHER, INK = "#0072B2", "#D55E00", "#757575", "#1f2328"
FIXED, BROKEN, BOTH_WRONG, BOTH_RIGHT = "fixed", "broken", "both wrong", "both right"

# edge colour, line style and legend text, in the order in which images are shown
_FRAMES: dict[str, tuple[str, Literal["-", "--", ":"], str]] = {
    FIXED: (BETTER, "-", "the student fixes a wrong label"),
    BROKEN: (WORSE, "--", "the student breaks a right label"),
    BOTH_WRONG: (NEITHER, ":", "both wrong"),
    BOTH_RIGHT: ("none", "-", ""),
}
_RIGHT, _WRONG = "\u2713", "\u2717"
_DPI = 150
_MOST_PIXELS = 30_000  # of a side; matplotlib refuses 65,536, and browsers less
_MOST_NAMED = 40  # classes of a confusion matrix that has names and numbers


def to_png(figure: Figure) -> bytes:
    """A figure as PNG on white; equal figures give equal bytes."""
    buffer, dpi = BytesIO(), min(_DPI, _MOST_PIXELS / max(figure.get_size_inches()))
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", bbox_inches="tight")
    return buffer.getvalue()


def outcomes(
    labels: NDArray[np.int64], teacher: NDArray[np.floating], student: NDArray[np.floating]
) -> NDArray[np.str_]:
    """How the student changed the label of each image.

    Args:
        labels: true classes, int64 [N].
        teacher: scores [N, K].
        student: probabilities [N, K].

    Returns:
        str [N]: "fixed" (the teacher is wrong and the student right), "broken" (the reverse),
        "both wrong" or "both right".
    """
    teacher_right = teacher.argmax(axis=1) == labels
    student_right = student.argmax(axis=1) == labels
    cases = [student_right & ~teacher_right, teacher_right & ~student_right, ~teacher_right]
    return np.select(cases, [FIXED, BROKEN, BOTH_WRONG], BOTH_RIGHT)


def random_images(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    seed: int = 0,
    n: int = 9,
) -> Figure:
    """At most `n` random images, uint8 [N, S, S] or [N, S, S, 3], each below its class's name."""
    chosen = np.random.default_rng(seed).permutation(len(images))[:n]
    columns = min(3, len(chosen))
    figure = _figure(2.1 * columns, 2.3 * -(-len(chosen) // columns))
    for axes, row in zip(_grid(figure, len(chosen), columns), chosen, strict=True):
        _show(axes, images[row])
        _title(axes, _wrapped(classes[labels[row]], 24), size=10)
    return figure


def curves(history: pd.DataFrame, best_epoch: int) -> Figure:
    """Loss and agreement with the pseudo-labels by epoch, for training and validation.

    Args:
        history: one row per epoch: `epoch`, `train_loss`, `train_accuracy`, `validation_loss`,
            `validation_accuracy`, where accuracy is agreement with the teacher's labels.
        best_epoch: the epoch whose weights were kept; it is marked.
    """
    figure = _figure(9.5, 3.7)
    left, right = figure.subplots(1, 2)
    _curve_pair(left, history, "loss", best_epoch)
    _curve_pair(right, history, "accuracy", best_epoch)
    _title(left, "Loss")
    _title(right, "Agreement with the pseudo-labels")
    _agreement_axis(right, history)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, **_PLAIN)
    return figure


def side_by_side(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    teacher: NDArray[np.floating],
    student: NDArray[np.floating],
    classes: Sequence[str],
    *,
    seed: int = 0,
    n: int = 24,
) -> Figure:
    """Test images with the labels of teacher and student; disagreements first, then random ones.

    Args:
        images: uint8 [N, S, S] or [N, S, S, 3].
        labels: true classes [N].
        teacher: scores [N, K].
        student: probabilities [N, K].
        classes: K names.
        seed: of the random choice of images.
        n: largest number of images.
    """
    outcome = outcomes(labels, teacher, student)
    differ = teacher.argmax(axis=1) != student.argmax(axis=1)
    chosen = _choose(outcome, differ, seed, n)
    roomy = max(len(name) for name in classes) > 14
    columns = min(4 if roomy else 6, len(chosen))
    rows = -(-len(chosen) // columns)
    figure = _figure(
        max(5.5, (2.62 if roomy else 1.75) * columns), (2.4 if roomy else 2.1) * rows + 0.5
    )
    for axes, row in zip(_grid(figure, len(chosen), columns), chosen, strict=True):
        _show(axes, images[row])
        _frame(axes, outcome[row])
        guesses = {"teacher": teacher[row].argmax(), "student": student[row].argmax()}
        lines = [
            f"{who}: {_short(classes[guess], 24)} {_RIGHT if guess == labels[row] else _WRONG}"
            for who, guess in guesses.items()
        ]
        axes.set_xlabel("\n".join(lines), fontsize=8.5, color=INK, parse_math=False)
    _frame_legend(figure)
    return figure


def box_plots(results: pd.DataFrame) -> Figure:
    """Student minus teacher over the seeds, in accuracy and macro-F1, in percentage points."""
    figure = _figure(9.5, 4.0)
    for axes, (column, name) in zip(
        figure.subplots(1, 2), (("accuracy", "accuracy"), ("macro_f1", "macro-F1")), strict=True
    ):
        gain = 100 * (results[f"student_{column}"] - results[f"teacher_{column}"]).to_numpy(float)
        _gain_panel(axes, gain)
        mean = f"{gain.mean():+.2f}".replace("-", "\u2212")
        over = "one seed" if len(gain) == 1 else f"mean of {len(gain)} seeds"
        _title(axes, f"Gain in {name}: {mean} points, {over}")
    return figure


def confusion_matrices(
    teacher: NDArray[np.int64], student: NDArray[np.int64], classes: Sequence[str]
) -> Figure:
    """Confusion matrices of teacher and student; of many classes without names and numbers.

    Args:
        teacher: counts int64 [K, K], true class by row, label by column.
        student: the same for the student.
        classes: K names.
    """
    named = len(classes) <= _MOST_NAMED
    side = max(3.0, 0.47 * len(classes)) if named else 9.0
    margin = 0.07 * min(22, max(len(name) for name in classes)) if named else 0.5
    figure = _figure(2 * side + margin + 0.9, side + margin + 0.7)
    left, right = figure.subplots(1, 2, sharey=True)
    _matrix(left, teacher, classes)
    _matrix(right, student, classes)
    left.set_ylabel("true class", color=INK)
    _title(left, "Teacher")
    _title(right, "Student")
    return figure


# ---------------------------------------------------------------- parts of figures

_PLAIN: dict[str, Any] = {"frameon": False, "fontsize": 9, "labelcolor": INK}


def contact_sheet(rows: Mapping[str, NDArray[np.uint8]]) -> Figure:
    """One row of images per name, each uint8 [n, S, S] or [n, S, S, 3]."""
    columns = max(len(images) for images in rows.values())
    figure = _figure(0.55 * columns + 2, 0.55 * len(rows))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip_longest(line, images):
            if image is None:
                axes.set_axis_off()
            else:
                _show(axes, image)
        line[0].set_ylabel(_wrapped(name, 22), rotation=0, ha="right", va="center", fontsize=8)
    return figure


def _figure(width: float, height: float) -> Figure:
    """An empty figure, inches, whose layout makes room for its own texts."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def _grid(figure: Figure, n: int, columns: int) -> Iterator[Axes]:
    """The first `n` axes of a grid, row by row; the rest of the last row is left blank."""
    cells = figure.subplots(-(-n // columns), columns, squeeze=False).ravel()
    for axes in cells[n:]:
        axes.set_axis_off()
    yield from cells[:n]


def _show(axes: Axes, image: NDArray[np.uint8]) -> None:
    """Show one image with unchanged pixels, without ticks or frame."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def _title(axes: Axes, text: str, size: float = 11) -> None:
    axes.set_title(text, fontsize=size, color=INK, parse_math=False)


def _wrapped(name: str, width: int) -> str:
    """A class's name on at most three lines."""
    return "\n".join(wrap(name, width, max_lines=3, placeholder=" \u2026")) or name


def _short(name: str, width: int) -> str:
    """A class's name on one line, truncated if it is too long."""
    if len(name) <= width:
        return name
    cut = shorten(name, width, placeholder="\u2026")
    return cut if len(cut) > width // 2 else name[: width - 1] + "\u2026"


def _choose(
    outcome: NDArray[np.str_], differ: NDArray[np.bool_], seed: int, n: int
) -> NDArray[np.int64]:
    """At most `n` rows, first those on which the two differ, grouped by outcome.

    Fixed and broken labels take turns, so that a few of one kind are not lost among many of the
    other.
    """
    order = np.random.default_rng(seed).permutation(len(outcome))
    kinds, apart = outcome[order], differ[order]
    turn = np.arange(len(order))
    for kind in _FRAMES:
        members = apart & (kinds == kind)
        turn[members] = np.arange(members.sum())
    chosen = order[np.lexsort((turn, ~apart))][:n]
    rank = [list(_FRAMES).index(kind) for kind in outcome[chosen]]
    return np.asarray(chosen[np.argsort(rank, kind="stable")], dtype=np.int64)


def _frame(axes: Axes, outcome: str) -> None:
    """Frame an image by how the student changed the teacher's label."""
    colour, style, _ = _FRAMES[outcome]
    if colour == "none":
        return
    axes.spines[:].set(visible=True, color=colour, linewidth=3.5, linestyle=style)


def _frame_legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=3.5, label=text)
        for colour, style, text in _FRAMES.values()
        if text
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=3, **_PLAIN)


def _tidy(axes: Axes) -> None:
    """A plain axis: no box, faint horizontal lines."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e5e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9, colors=INK)


def _curve_pair(axes: Axes, history: pd.DataFrame, quantity: str, best_epoch: int) -> None:
    """One quantity in training and validation, with the epoch that was kept."""
    epochs = history["epoch"].to_numpy()
    axes.axvline(best_epoch, color=NEITHER, linestyle=":", label=f"epoch kept: {best_epoch}")
    for name, colour, style, marker in (
        ("train", BETTER, "-", "o"),
        ("validation", WORSE, "--", "s"),
    ):
        values = history[f"{name}_{quantity}"].to_numpy(float)
        every = max(1, len(epochs) // 12)
        axes.plot(epochs, values, style, color=colour, marker=marker, markersize=4,
                  markevery=every, label=name)  # fmt: skip
    axes.set_xlabel(f"epoch (the first is {epochs.min():g})", fontsize=9, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _tidy(axes)


def _agreement_axis(axes: Axes, history: pd.DataFrame) -> None:
    """Percentages up to 100, from 90 or less."""
    shares = history[["train_accuracy", "validation_accuracy"]].to_numpy(float)
    low = min(0.9, shares[np.isfinite(shares)].min(initial=1.0) - 0.02)
    axes.set_ylim(max(-0.01, low), 1.01)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _gain_panel(axes: Axes, gain: NDArray[np.float64]) -> None:
    """A box plot of gains [percentage points], with one dot per seed and a line at zero."""
    if len(gain) > 1:
        axes.boxplot(
            gain, widths=0.5, showfliers=False, patch_artist=True, zorder=2,
            boxprops={"facecolor": "#eef1f4", "edgecolor": INK},
            medianprops={"color": INK, "linewidth": 2},
        )  # fmt: skip
    across = 1 + np.random.default_rng(0).uniform(-0.14, 0.14, len(gain)) * (len(gain) > 1)
    better = gain >= 0
    axes.scatter(across[better], gain[better], s=26, c=BETTER, alpha=0.75, zorder=3)
    axes.scatter(across[~better], gain[~better], s=30, c=WORSE, marker="v", alpha=0.9, zorder=3)
    axes.axhline(0, color=INK, linewidth=1)
    reach = max(0.5, 1.15 * float(np.abs(gain).max()))
    low, high = min(0.0, gain.min()), max(0.0, gain.max())
    axes.set_ylim(max(-reach, low - 0.12 * reach), min(reach, high + 0.12 * reach))
    axes.set(xlim=(0.4, 1.6), xticks=[])
    axes.set_ylabel("student minus teacher, percentage points", fontsize=9, color=INK)
    _tidy(axes)


def _matrix(axes: Axes, counts: NDArray[np.int64], classes: Sequence[str]) -> None:
    """One confusion matrix: coloured by row share, each cell with count and share."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) > _MOST_NAMED:
        axes.set_xlabel("label given, number of the class", color=INK)
        return
    size, digits = (11, 1) if len(classes) <= 4 else (8.5, 0) if len(classes) <= 8 else (7.5, 0)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] > 0.55 else INK
            text = f"{count:,}\n{shares[row, column]:.{digits}%}"
            axes.text(column, row, text, ha="center", va="center", fontsize=size, color=colour)
    _name_classes(axes, classes)
    axes.set_xlabel("label given", color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_color("#c9cdd2")


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    """Class names on both axes of a matrix; those below are rotated if they would overlap."""
    ticks = range(len(classes))
    style: dict[str, Any] = {"fontsize": 9, "color": INK, "parse_math": False}
    axes.set_yticks(ticks, [_wrapped(name, 22) for name in classes], **style)
    if len(classes) <= 3 and max(map(len, classes)) <= 14:
        axes.set_xticks(ticks, classes, **style)
        return
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(ticks, [_short(name, 24) for name in classes], **style, **turned)
