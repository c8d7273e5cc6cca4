"""The figures of `benchmarks.noise`, from its rows: what noise does to students, and what is seen.

| file | what it shows |
| --- | --- |
| `noise.png` | a student's accuracy over the share of wrong labels, a panel a task |
| `diagnostics.png` | a student's true accuracy over a signal that needs no truth |
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from medlabel.reports.figures import to_png
from medlabel.storage.store import Store

__all__ = ["noise_figure", "task_figure", "trust_figure", "write_plots"]

Rows = Sequence[Mapping[str, Any]]

COLOURS = {"robust": "#0072B2", "adam": "#009E73", "paper": "#D55E00"}  # Okabe & Ito's
MARKERS = {"symmetric": "o", "image": "s", "image-soft": "D", "skewed": "^"}
KINDS = {
    "symmetric": "wrong at random",
    "image": "wrong where a weak model errs",
    "image-soft": "the same, with its scores",
    "skewed": "wrong mostly in one class",
}


def write_plots(rows: Rows, folder: str) -> None:
    """Write both figures into a folder."""
    Store(folder).write("noise.png", to_png(noise_figure(rows)))
    Store(folder).write("diagnostics.png", to_png(trust_figure(rows)))


def noise_figure(rows: Rows) -> Figure:
    """Mean accuracy (line, dots) and worst seed (thin bar below) over the teacher's mistakes."""
    frame = _named(rows)
    tasks = list(dict.fromkeys(frame["task"]))
    figure = Figure(figsize=(4 * len(tasks), 3.8), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False, sharey=True)[0]
    for panel, task in zip(panels, tasks, strict=True):
        panel.axline((0, 100), slope=-1, color="#999999", linestyle="--", label="teacher")
        for recipe, colour in COLOURS.items():
            part = frame[(frame["task"] == task) & (frame["recipe"] == recipe)]
            _dots(panel, part, recipe, colour)
        panel.set_title(task, fontsize=10)
        panel.set_xlabel("wrong labels, %")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("right on held-out real images, %")
    panels[0].legend(fontsize=8, loc="lower left")
    figure.legend(handles=_kinds(frame), fontsize=8, loc="outside lower center", ncols=4)
    return figure


def _kinds(frame: pd.DataFrame) -> list[Line2D]:
    """The markers of the kinds of noise that there are, for a legend."""
    return [
        Line2D([], [], color="#555555", marker=marker, linestyle="none", label=KINDS[kind])
        for kind, marker in MARKERS.items()
        if (frame["kind"] == kind).any()
    ]


def _named(rows: Rows) -> pd.DataFrame:
    """Rows of the named recipes, with the kind of noise and the share [percent] of mistakes."""
    frame = pd.DataFrame(rows)
    frame = frame[frame["recipe"].isin(list(COLOURS))]
    kind = frame["noise"].str.replace(r"-\d+$", "", regex=True)
    return frame.assign(kind=kind, wrong=100 * (1 - frame["teacher"]))


def _dots(panel: Axes, part: pd.DataFrame, recipe: str, colour: str) -> None:
    """A recipe's rows; a marker says which kind of noise, and random mistakes are joined."""
    for kind, marker in MARKERS.items():
        some = part[part["kind"] == kind].sort_values("wrong")
        mean, worst = 100 * some["student"], 100 * some["worst"]
        style = "-" if kind == "symmetric" else "none"
        panel.vlines(some["wrong"], worst, mean, color=colour, linewidth=0.8)
        (line,) = panel.plot(some["wrong"], mean, color=colour, marker=marker, linestyle=style)
        line.set_markerfacecolor(colour if kind == "symmetric" else "white")
        line.set_label(recipe if kind == "symmetric" else "_" + recipe)  # _: not in the legend


def task_figure(frame: pd.DataFrame) -> Figure:
    """Accuracy over draws of teacher and students: a panel a task, a box each; rows are units."""
    tasks = list(dict.fromkeys(frame["task"]))
    figure = Figure(figsize=(1.5 * len(tasks), 3.6), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for panel, task in zip(panels, tasks, strict=True):
        mine = frame[frame["task"] == task]
        series = {"teacher": mine.drop_duplicates("seed")["teacher_accuracy"]}
        series |= {str(name): rows["student_accuracy"] for name, rows in mine.groupby("recipe")}
        names = [name for name in ("teacher", *COLOURS) if name in series]
        boxes = panel.boxplot([100 * series[name] for name in names], patch_artist=True, widths=0.7)
        for box, name in zip(boxes["boxes"], names, strict=True):
            box.set_facecolor(COLOURS.get(name, "#999999"))
        panel.set_xticks(range(1, len(names) + 1), names, rotation=60)
        panel.set_title(task.replace("-", "\n"), fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("right on held-out real images, %")
    return figure


def trust_figure(rows: Rows, signal: str = "~neighbours") -> Figure:
    """True accuracy of each row over a signal; rows that a run would warn of are crosses."""
    frame = _named(rows).dropna(subset=[signal])
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    panel = figure.subplots()
    for flagged, marker in ((False, "o"), (True, "x")):
        for recipe, colour in COLOURS.items():
            part = frame[(frame["recipe"] == recipe) & (frame["flagged"] == flagged)]
            name = recipe if not flagged else None
            panel.scatter(
                part[signal], 100 * part["student"], color=colour, marker=marker, label=name
            )
    panel.set_xlabel("like images get the same label (kappa; no truth needed)")
    panel.set_ylabel("right on held-out real images, %")
    panel.legend(fontsize=8, title="x: the run warns", title_fontsize=8)
    panel.spines[["top", "right"]].set_visible(False)
    return figure
