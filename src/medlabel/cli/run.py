"""`medlabel run`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from medlabel.cli.options import (
    Adjust,
    Captions,
    Clips,
    DataRoot,
    GpusPerWorker,
    Home,
    Looks,
    Out,
    PerClass,
    RecipeName,
    Seeds,
    StudentName,
    TaskSize,
    Vote,
    Workers,
)
from medlabel.cli.shared import StageBars, add_looks, console, say_captions, say_verdict, warn
from medlabel.cli.syntax import epilog

if TYPE_CHECKING:
    import pandas as pd

    from medlabel.student.verdict import Verdict
    from rayjobs.run import RunResult

__all__ = ["add_run"]

_Task = Annotated[
    str, typer.Argument(metavar="TASK", help="The classes to tell apart: chestmnist,breastmnist.")
]
_Scores = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Table of your own teacher's scores (Parquet or CSV), used in its place.",
    ),
]
_CeilingSeeds = Annotated[
    int,
    typer.Option(
        min=0,
        help="Number of samples on which a student is also trained on true labels, to compare.",
    ),
]


def add_run(app: typer.Typer) -> None:
    """Add `run` to the command line."""
    words = ("TASK", "CLASS", "SOURCE", "MODEL", "SETS", "STEPS", "RECIPE", "STUDENT")
    app.command("run", epilog=epilog(*words))(_run)


def _run(
    task: _Task,
    out: Out,
    home: Home,
    clip: Clips = None,
    vote: Vote = "mean",
    scores: _Scores = None,
    captions: Captions = "table",
    adjust: Adjust = None,
    recipe: RecipeName = "robust",
    student: StudentName = None,
    seeds: Seeds = 30,
    per_class: PerClass = None,
    size: TaskSize = None,
    data_root: DataRoot = None,
    looks: Looks = None,
    ceiling_seeds: _CeilingSeeds = 3,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
) -> None:
    """Train students on a teacher's labels, evaluate them on held-out images, write a report."""
    from medlabel.experiments.verdicts import read_verdict
    from medlabel.jobs.options import caption_warnings, captions_read, run_config
    from medlabel.storage.store import Store
    from rayjobs.run import run

    add_looks(looks)
    config = run_config(
        task, out, clip=clip or "phantom", vote=vote, scores=scores, recipe=recipe, student=student,
        seeds=seeds, per_class=per_class, size=size, captions=captions, adjust=adjust or (),
        data_root=data_root, ceiling_seeds=ceiling_seeds, workers=workers,
        gpus_per_worker=gpus_per_worker, home=home,
    )  # fmt: skip
    say_captions(captions_read(config))
    for warning in caption_warnings(config):
        warn(warning)
    with StageBars() as bars:
        outcome = run(config, bars.advance)
    _print_outcome(outcome, read_verdict(Store(config.out)))


def _print_outcome(outcome: "RunResult", verdict: "Verdict | None") -> None:
    console.print(_summary_table(outcome.results))
    console.print(f"{outcome.encoded:,} images embedded, {outcome.fitted:,} students trained")
    console.print(f"student: {outcome.bundle}", soft_wrap=True)
    console.print(f"report:  {outcome.report}", soft_wrap=True)
    say_verdict(verdict)
    for warning in () if verdict else outcome.diagnostics.warnings:
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
