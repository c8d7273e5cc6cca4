"""`medlabel run`: a part of the roof, in a file of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from medlabel.cli.shared import Looks, StageBars, add_looks, console, warn
from medlabel.storage.home import default_home
from medlabel.teacher.task_captions import class_captions

if TYPE_CHECKING:
    import pandas as pd

    from rayjobs.run import RunResult

__all__ = ["run_command"]

_Task = Annotated[
    str,
    typer.Argument(
        help="Classes to tell apart: [b]chestmnist,breastmnist[/b], "
        "[b]chest=a.npz,breast=b.npz[/b], [b]a=x.npz#0,b=x.npz#1,2[/b], "
        "[b]a=x.npz#3,b=x.npz#!3[/b] (all without label 3), "
        "[b]phantom:chestmnist,phantom:breastmnist[/b], or a YAML file."
    ),
]
_Out = Annotated[str, typer.Option(help="Folder or bucket for the results.")]
_Clips = Annotated[
    list[str] | None,
    typer.Option(
        help="Teacher: phantom, ViT-L/14 (and the paper's others), ARCHITECTURE:TAG, "
        "hf-hub:OWNER/NAME, or the path of a checkpoint. Given twice or more, they vote. "
        "\\[default: phantom]"
    ),
]
_Vote = Annotated[str, typer.Option(help="How several teachers vote: mean or dawid-skene.")]
_Scores = Annotated[
    Path | None, typer.Option(help="Your own teacher's scores (Parquet or CSV) instead.")
]
_Recipe = Annotated[
    str, typer.Option(help="How to train: robust, adam, paper, or a YAML file that mixes.")
]
_Student = Annotated[
    str | None,
    typer.Option(
        help="Architecture: small, paper, cnn:16-32-64, resnet18, vgg11, alexnet, timm:NAME; "
        "resnet18+pretrained. The recipe's own if unset."
    ),
]
_Seeds = Annotated[int, typer.Option(min=1, max=9999, help="Number of draws.")]
_PerClass = Annotated[int | None, typer.Option(min=5, help="At most so many images a class.")]
_Size = Annotated[int | None, typer.Option(help="Side of the images: 28, 64, 128, 224.")]
_Captions = Annotated[
    str,
    typer.Option(
        help="Caption sets, joined by commas: table, paper, templates, descriptions, or a "
        "YAML file of your own."
    ),
]
_Adjust = Annotated[
    list[str] | None,
    typer.Option(
        help="What is done to the scores before a student learns from them, in order: "
        "temperature=2, prior, prior=0.3:0.7, em-prior, transduct. Joined by commas, or "
        "given again."
    ),
]
_DataRoot = Annotated[
    Path | None, typer.Option(help="Folder of MedMNIST's npz files (missing ones are downloaded).")
]
_CeilingSeeds = Annotated[
    int, typer.Option(min=0, help="Seeds to fit on true labels as well, to compare.")
]


def run_command(
    task: _Task,
    out: _Out,
    clip: _Clips = None,
    vote: _Vote = "mean",
    scores: _Scores = None,
    recipe: _Recipe = "robust",
    student: _Student = None,
    seeds: _Seeds = 30,
    per_class: _PerClass = None,
    size: _Size = None,
    captions: _Captions = "table",
    adjust: _Adjust = None,
    data_root: _DataRoot = None,
    looks: Looks = None,
    ceiling_seeds: _CeilingSeeds = 3,
) -> None:
    """Run the whole loop: a teacher's labels, students that learn from them, and a report."""
    from medlabel.data.tasks import parse_task
    from medlabel.student.recipes import recipe_named
    from medlabel.teacher.adjust import Adjustment, parse_steps
    from medlabel.teacher.caption_sets import check_caption_sets
    from medlabel.teacher.task_captions import unknown_captions
    from rayjobs.run import RunConfig, run

    add_looks(looks)
    check_caption_sets(captions)
    settings = RunConfig(
        parse_task(task, size), out, recipe_named(recipe), default_home(),
        tuple(dict.fromkeys(clip or ["phantom"])), captions, scores,
        Adjustment(parse_steps(",".join(adjust or [])), vote),
        student, seeds, per_class, data_root, ceiling_seeds,
    )  # fmt: skip
    if scores is None and captions == "table":
        told = {one.name: class_captions(one) for one in settings.task.classes}
        for warning in unknown_captions(told):
            warn(warning)
    with StageBars() as bars:
        outcome = run(settings, bars.advance)
    _print_outcome(outcome)


def _print_outcome(outcome: "RunResult") -> None:
    console.print(_summary_table(outcome.results))
    console.print(f"encoded {outcome.encoded} images, fitted {outcome.fitted} students")
    console.print(f"student: {outcome.bundle}", soft_wrap=True)
    console.print(f"report:  {outcome.report}", soft_wrap=True)
    for warning in outcome.diagnostics.warnings:
        warn(warning)


def _summary_table(results: "pd.DataFrame") -> Table:
    from medlabel.evaluation.metrics import summarise

    first = results.iloc[0]
    table = Table(
        title=f"{first['task']}: held-out images, {len(results)} seeds "
        f"({first['n_pool']} pool, {first['n_test']} test)"
    )
    for column in ("", "accuracy", "worst seed", "macro-F1"):
        table.add_column(column, justify="left" if not column else "right")
    for row in summarise(results).itertuples():
        table.add_row(
            f"{row.who} ({first[str(row.who)]})",
            f"{row.accuracy:.4f} ± {row.accuracy_spread:.4f}",
            f"{row.worst_accuracy:.4f}",
            f"{row.macro_f1:.4f} ± {row.macro_f1_spread:.4f}",
        )
    return table
