"""The loop on real images: every pair of four sources and all four at once, both recipes.

`python -m benchmarks.pairs [--quick]`: teacher, robust student and paper student on each task, as a
table, and as box plots in `pairs.png` in the output folder.
"""

import argparse
from itertools import combinations

import pandas as pd
from matplotlib.figure import Figure

from benchmarks.common import FILES, arguments, finish, measure_run
from medlabel.figures import to_png
from medlabel.store import Store

CROSS_MODALITY = [p for p in combinations(FILES, 2) if set(p) != {"chest", "pneumonia"}]
PER_CLASS = 625  # all of the NIH file's training images; the two large sets give no more either
COLOURS = {"teacher": "#999999", "robust": "#0072B2", "paper": "#D55E00"}  # Okabe & Ito's


def folder(options: argparse.Namespace, classes: tuple[str, ...], recipe: str) -> str:
    """Where the run of a task with a recipe lies."""
    return f"{options.out}/{'-'.join(classes)}-{recipe}"


def box_plots(options: argparse.Namespace, tasks: list[tuple[str, ...]]) -> Figure:
    """Accuracy over the seeds of teacher, robust student and paper student, a panel a task."""
    figure = Figure(figsize=(2.1 * len(tasks), 3.6), layout="constrained")
    panels = figure.subplots(1, len(tasks), squeeze=False)[0]
    for panel, classes in zip(panels, tasks, strict=True):
        tables = {
            recipe: Store(folder(options, classes, recipe)).read_table("results.parquet")
            for recipe in ("robust", "paper")
        }
        series = {"teacher": tables["robust"]["teacher_accuracy"]}
        series |= {recipe: table["student_accuracy"] for recipe, table in tables.items()}
        boxes = panel.boxplot(
            [100 * values for values in series.values()], patch_artist=True, widths=0.7
        )
        for box, who in zip(boxes["boxes"], series, strict=True):
            box.set_facecolor(COLOURS[who])
        panel.set_xticks(range(1, len(series) + 1), list(series), rotation=45)
        panel.set_title("\n".join(classes) if len(classes) < 3 else "all\nfour", fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("right on held-out real images, %")
    return figure


def main() -> None:
    """Run every task with both recipes, print the table and draw it."""
    options = arguments("Real pairs, both recipes", "runs/pairs")
    tasks: list[tuple[str, ...]] = [("chest", "breast")]
    if not options.quick:
        tasks = [*combinations(FILES, 2), tuple(FILES)]
    rows = []
    for classes in tasks:
        for recipe in ("robust", "paper"):
            rows.append(
                measure_run(
                    list(classes),
                    recipe,
                    folder(options, classes, recipe),
                    options,
                    per_class=PER_CLASS,
                )
            )
            print(rows[-1], flush=True)
    Store(options.out).write("pairs.png", to_png(box_plots(options, tasks)))
    frame = pd.DataFrame(rows)
    easy = frame["task"].isin([" / ".join(pair) for pair in CROSS_MODALITY])
    teacher = frame[easy & (frame["recipe"] == "robust")]["teacher"].mean()
    finish(rows, mean_teacher_cross_modality=round(float(teacher), 4))


if __name__ == "__main__":
    main()
