"""The figures of `benchmarks.guessing`: what verdicts and estimates are worth, against the truth.

The table has a row per situation: `situation`, `kind`, `classes` (their number), `accuracy` (of the
labels, by true labels), `estimate`, `low` and `high` (NaN if there is no estimate), `verdict`, and
`auto` (share of the labels that are accepted without review); shares from 0 to 1.

| file | what it shows |
| --- | --- |
| `estimates.png` | the estimated accuracy with its 90 % interval over the true accuracy |
| `verdicts.png` | the verdicts by true accuracy, with the share of labels accepted |
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from medlabel.reports.figures import INK, to_png
from medlabel.storage.store import Store

__all__ = ["estimate_figure", "verdict_figure", "write_plots"]

# colour, marker, hatching: of Okabe & Ito, which colour-blind readers can distinguish
_STYLES = {
    "read": ("#009E73", "o", ""),
    "doubtful": ("#E69F00", "s", "//"),
    "guessing": ("#D55E00", "X", "xx"),
}
_EDGES = (0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1)
_TICKS = (0, 0.2, 0.4, 0.6, 0.8, 1)
_GRID = "#e3e5e8"
_MISSING = -0.05  # where situations without an estimate are drawn


def write_plots(frame: pd.DataFrame, folder: str) -> None:
    """Write both figures into a folder."""
    Store(folder).write("estimates.png", to_png(estimate_figure(frame)))
    Store(folder).write("verdicts.png", to_png(verdict_figure(frame)))


# ---------------------------------------------------------------- estimates


def estimate_figure(frame: pd.DataFrame) -> Figure:
    """Estimates with their intervals over the truth; on the diagonal an estimate is right.

    Situations without an estimate stand below the axis. The title says how many intervals hold the
    truth, and how far the estimates are from it on average.
    """
    figure = Figure(figsize=(6.4, 6.2), layout="constrained", facecolor="white")
    panel = figure.subplots()
    panel.plot([0, 1], [0, 1], color="#999999", linestyle="--", linewidth=1, zorder=1)
    panel.axhspan(2 * _MISSING, 0, color="#f1f3f5", zorder=0)
    for verdict, (colour, marker, _) in _STYLES.items():
        some = frame[frame["verdict"] == verdict]
        panel.vlines(some["accuracy"], some["low"], some["high"], color=colour, alpha=0.25, lw=1.2)
        panel.scatter(some["accuracy"], some["estimate"].fillna(_MISSING), s=20, c=colour,
                      marker=marker, alpha=0.6, linewidths=0, zorder=3,
                      label=f"{verdict} ({len(some)})")  # fmt: skip
    _share_axes(panel)
    panel.set_yticks([_MISSING, *_TICKS], ["no estimate", *(f"{tick:.0%}" for tick in _TICKS)])
    panel.set(xlim=(0, 1.01), ylim=(2 * _MISSING, 1.01), aspect="equal")
    panel.set_xlabel("right labels, by true labels", color=INK)
    panel.set_ylabel("right labels, estimated, with the 90 % interval", color=INK)
    panel.set_title(_estimate_title(frame), fontsize=10, color=INK)
    panel.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def _estimate_title(frame: pd.DataFrame) -> str:
    known = frame.dropna(subset=["estimate"])
    if known.empty:
        return f"No estimate in {len(frame)} situations"
    held = known["accuracy"].between(known["low"], known["high"]).mean()
    error = (known["estimate"] - known["accuracy"]).abs().mean()
    return (
        f"{held:.0%} of {len(known)} intervals hold the true accuracy; mean absolute error "
        f"{error:.3f};\nno estimate in {len(frame) - len(known)} situations"
    )


# ---------------------------------------------------------------- verdicts


def verdict_figure(frame: pd.DataFrame) -> Figure:
    """Shares of the verdicts by true accuracy, for two classes and for more; n above each bar.

    Diamonds are the mean share of labels that are accepted without review.
    """
    parts = {
        "two classes": frame[frame["classes"] == 2],
        "three classes or more": frame[frame["classes"] > 2],
    }
    shown = {name: part for name, part in parts.items() if len(part)}
    figure = Figure(figsize=(5.4 * len(shown), 4.2), layout="constrained", facecolor="white")
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for panel, (name, part) in zip(panels, shown.items(), strict=True):
        _stack(panel, part)
        panel.set_title(f"{name}: {len(part)} situations", fontsize=11, color=INK)
        panel.set_xlabel("right labels, by true labels, %", color=INK)
    panels[0].set_ylabel("share of situations (bars), of labels (diamonds)", color=INK)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    return figure


def _stack(panel: Axes, part: pd.DataFrame) -> None:
    """A stacked bar per range of accuracy that situations fall into."""
    bins = pd.cut(part["accuracy"], _EDGES, right=False, labels=_names(_EDGES))
    bins = bins.fillna(_names(_EDGES)[-1])  # an accuracy of 1
    counts = pd.crosstab(bins, part["verdict"]).reindex(columns=list(_STYLES), fill_value=0)
    totals = counts.sum(axis=1)
    places, below = np.arange(len(counts)), np.zeros(len(counts))
    for verdict, (colour, _, hatch) in _STYLES.items():
        share = (counts[verdict] / totals).to_numpy()
        panel.bar(places, share, bottom=below, width=0.8, color=colour, hatch=hatch,
                  edgecolor="white", linewidth=0.5, label=verdict)  # fmt: skip
        below += share
    auto = part.groupby(bins, observed=True)["auto"].mean().reindex(counts.index)
    panel.plot(places, auto, "D", color=INK, markersize=6, markeredgecolor="white", clip_on=False,
               zorder=4, label="labels accepted without review, mean")  # fmt: skip
    for place, total in enumerate(totals):
        panel.text(place, 1.015, str(total), ha="center", fontsize=8, color=INK)
    panel.set_xticks(places, list(counts.index), fontsize=8.5, rotation=40, ha="right")
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.set_ylim(0, 1.07)
    panel.spines[["top", "right"]].set_visible(False)


def _names(edges: Sequence[float]) -> list[str]:
    """`70 to 80`: names of the ranges between these shares, in percent."""
    return [f"{100 * a:.0f} to {100 * b:.0f}" for a, b in pairwise(edges)]


def _share_axes(panel: Axes) -> None:
    """Percent on both axes, on a faint grid."""
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axis.set_ticks(_TICKS)
    panel.grid(color=_GRID, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
