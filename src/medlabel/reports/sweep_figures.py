"""The figures of a sweep: heat maps over pairs of classes, and box plots of the gain."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from medlabel.reports.figures import BETTER, INK, WORSE

__all__ = ["gain_boxes", "heat_maps"]


def heat_maps(
    names: Sequence[str],
    teacher: NDArray[np.float64],
    student: NDArray[np.float64],
    alike: NDArray[np.bool_],
) -> Figure:
    """Three heat maps [K, K]: accuracy of the teacher and of the student, and the student's gain.

    Args:
        names: of the K classes.
        teacher: mean accuracy of each pair, float [K, K] from 0 to 1; NaN if there is no such pair.
        student: the same for the student.
        alike: which pairs share a modality, bool [K, K]; they are framed.
    """
    side = max(3.2, 0.55 * len(names) + 1.2)
    wide = len(names) > 5  # three in a row would be too small to read
    shape = (3, 1) if wide else (1, 3)
    size = (max(6.4, side + 1.5), 3 * side) if wide else (3 * side, side)
    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    panels = figure.subplots(*shape)
    low = 100 * min(np.nanmin(teacher), np.nanmin(student))
    reach = max(1.0, 100 * float(np.nanmax(np.abs(student - teacher))))
    shades: dict[str, Any] = {"cmap": "Blues", "vmin": min(low, 99.0), "vmax": 100}
    _heat(panels[0], names, 100 * teacher, alike, "Teacher, accuracy in %", shades)
    _heat(panels[1], names, 100 * student, alike, "Student, accuracy in %", shades)
    shades = {"cmap": "PuOr", "vmin": -reach, "vmax": reach}
    _heat(panels[2], names, 100 * (student - teacher), alike, "Gain, points", shades, signed=True)
    return figure


def _heat(
    axes: Axes,
    names: Sequence[str],
    values: NDArray[np.float64],
    alike: NDArray[np.bool_],
    title: str,
    shades: dict[str, Any],
    *,
    signed: bool = False,
) -> None:
    """One heat map; only the lower triangle is drawn, so that each pair appears once."""
    shown = np.where(np.tri(len(names), k=-1, dtype=bool), values, np.nan)[1:, :-1]
    picture = axes.imshow(shown, **shades)
    for (row, column), value in np.ndenumerate(shown):
        if np.isnan(value):
            continue
        text = f"{value:+.1f}" if signed else f"{value:.1f}"
        red, green, blue, _ = picture.cmap(picture.norm(value))
        ink = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.5 else INK
        axes.text(column, row, text.replace("-", "\u2212"), ha="center", va="center",
                  fontsize=7.5, color=ink)  # fmt: skip
        if alike[row + 1, column]:
            corner = (column - 0.46, row - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=INK, linewidth=1.6))
    ticks = range(len(names) - 1)
    axes.set_yticks(ticks, names[1:], fontsize=8.5, color=INK, parse_math=False)
    axes.set_xticks(ticks, names[:-1], fontsize=8.5, color=INK, parse_math=False,
                    rotation=40, ha="right", rotation_mode="anchor")  # fmt: skip
    axes.set_title(title, fontsize=11, color=INK)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def gain_boxes(results: pd.DataFrame, title: Sequence[str]) -> Figure:
    """Student minus teacher over all cells, in accuracy and in macro-F1, percentage points.

    Args:
        results: one row per cell.
        title: the columns by which cells are grouped into boxes.
    """
    parts = [
        (" / ".join(map(str, names)), part)
        for names, part in results.groupby(list(title), sort=False)
    ]
    width = max(9.5, 4.0 + 1.1 * len(parts))
    figure = Figure(figsize=(width, 4.6), layout="constrained", facecolor="white")
    for axes, (column, name) in zip(
        figure.subplots(1, 2), (("accuracy", "accuracy"), ("macro_f1", "macro-F1")), strict=True
    ):
        gains = [
            100 * (part[f"student_{column}"] - part[f"teacher_{column}"]).to_numpy(float)
            for _, part in parts
        ]
        _boxes(axes, gains)
        axes.set_xticks(range(1, len(parts) + 1), [label for label, _ in parts], fontsize=8.5,
                        color=INK, parse_math=False, rotation=25, ha="right",
                        rotation_mode="anchor")  # fmt: skip
        axes.set_title(f"Gain in {name}, {len(gains[0]):,} cells per box", fontsize=11, color=INK)
    return figure


def _boxes(axes: Axes, gains: Sequence[NDArray[np.float64]]) -> None:
    axes.boxplot(
        list(gains), widths=0.55, showfliers=False, patch_artist=True, zorder=2,
        boxprops={"facecolor": "#eef1f4", "edgecolor": INK},
        medianprops={"color": INK, "linewidth": 2},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    for place, gain in enumerate(gains, start=1):
        across = place + rng.uniform(-0.2, 0.2, len(gain))
        lost = gain < 0
        axes.scatter(across[~lost], gain[~lost], s=6, c=BETTER, alpha=0.35, zorder=3)
        axes.scatter(across[lost], gain[lost], s=8, c=WORSE, marker="v", alpha=0.5, zorder=3)
        axes.plot(place, gain.mean(), marker="D", color=INK, markersize=5, zorder=4)
    axes.axhline(0, color=INK, linewidth=1)
    axes.set_ylabel("student minus teacher, percentage points", fontsize=9, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e5e8", linewidth=0.8)
    axes.set_axisbelow(True)
