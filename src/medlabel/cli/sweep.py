"""`medlabel sweep`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from medlabel.cli.options import DataRoot, GpusPerWorker, Home, Out, Workers
from medlabel.cli.shared import StageBars, console, say_captions, say_verdicts, warn
from medlabel.cli.syntax import epilog

if TYPE_CHECKING:
    from rayjobs.sweep.estimate import Estimate
    from rayjobs.sweep.job import SweepResult

__all__ = ["add_sweep"]

_Spec = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC", help="YAML file with the sources, tasks, teachers, recipes and students."
    ),
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and an estimate of its cost, and stop.")
]
_SecondsPerFit = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Seconds per fit that --dry-run assumes.",
        show_default="measured on a few fits",
    ),
]
_ImagesPerSecond = Annotated[
    float | None,
    typer.Option(
        min=0.001,
        help="Images per second, embedded by all workers together, that --dry-run assumes.",
        show_default="measured",
    ),
]


def add_sweep(app: typer.Typer) -> None:
    """Add `sweep` to the command line."""
    words = ("SPEC", "TASK", "CLASS", "SOURCE", "MODEL", "SETS", "STEPS", "RECIPE", "STUDENT")
    app.command("sweep", epilog=epilog(*words))(_sweep)


def _sweep(
    spec: _Spec,
    out: Out,
    home: Home,
    data_root: DataRoot = None,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    dry_run: _DryRun = False,
    seconds_per_fit: _SecondsPerFit = None,
    images_per_second: _ImagesPerSecond = None,
) -> None:
    """Run every combination of task, teacher, recipe and student with all seeds; compare them."""
    from medlabel.experiments.sweep_spec import (
        captions_of_plan,
        plan,
        read_sweep,
        warnings_of_plan,
    )
    from medlabel.experiments.verdicts import read_verdicts
    from medlabel.storage.store import Store
    from rayjobs.sweep.estimate import Rates, estimate
    from rayjobs.sweep.job import SweepConfig, sweep

    config = SweepConfig(
        read_sweep(spec), out, home, data_root, workers=workers, gpus=gpus_per_worker
    )
    units = plan(config.spec)
    for teacher, captions in captions_of_plan(units).items():
        say_captions(captions, teacher)
    for text in warnings_of_plan(units):
        warn(text)
    with StageBars() as shown:
        if dry_run:
            rates = Rates(seconds_per_fit, images_per_second)
            found = estimate(config, rates, shown.advance)
        else:
            outcome = sweep(config, shown.advance)
    if dry_run:
        _print_estimate(found)
    else:
        _print_outcome(outcome)
        say_verdicts(read_verdicts(Store(out)))


def _print_estimate(found: "Estimate") -> None:
    table = Table("", "", show_header=False, box=None)
    for name, value in found.lines():
        table.add_row(name, value)
    console.print(table)


def _print_outcome(outcome: "SweepResult") -> None:
    board = outcome.leaderboard
    table = Table("teacher", "recipe", "student", title=f"{board['tasks'].iloc[0]} tasks")
    for column in ("teacher, %", "student, %", "gain", "tasks lost"):
        table.add_column(column, justify="right")
    for row in board[board["group"] == board["group"].iloc[0]].to_dict("records"):
        table.add_row(
            *(row["teacher"], row["recipe"], row["student"]),
            f"{100 * row['teacher_accuracy']:.2f}",
            f"{100 * row['student_accuracy']:.2f}",
            f"{100 * row['gain']:+.2f} [{100 * row['low']:+.2f}, {100 * row['high']:+.2f}]",
            str(row["lost"]),
        )
    console.print(table)
    console.print(f"{outcome.encoded:,} images embedded, {outcome.fitted:,} students trained")
    console.print(f"report:  {outcome.report}", soft_wrap=True)
    if failed := len(outcome.failures):
        warn(
            f"{failed} students could not be trained; the first: "
            f"{outcome.failures['reason'].iloc[0]}. Run the same command to try them again"
        )
