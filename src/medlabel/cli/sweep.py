"""`medlabel sweep`: a part of the roof, in a file of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from medlabel.cli.shared import StageBars, console
from medlabel.storage.home import default_home

if TYPE_CHECKING:
    from rayjobs.sweep.estimate import Estimate
    from rayjobs.sweep.job import SweepResult

__all__ = ["add_sweep"]


def add_sweep(app: typer.Typer) -> None:
    """Give the command line its `sweep`."""

    @app.command("sweep")
    def sweep_command(
        spec: Annotated[
            Path, typer.Argument(help="A YAML file: sources, tasks, teachers, recipes, seeds.")
        ],
        out: Annotated[str, typer.Option(help="Folder or bucket for the results.")],
        dry_run: Annotated[
            bool, typer.Option("--dry-run", help="Print the plan and what it will take.")
        ] = False,
        workers: Annotated[
            int | None, typer.Option(min=1, help="Fits at a time; all the cluster's if unset.")
        ] = None,
        gpus_per_fit: Annotated[
            float | None, typer.Option(min=0, max=1, help="Such as 0.1; a quarter if unset.")
        ] = None,
        data_root: Annotated[
            Path | None, typer.Option(help="Folder of MedMNIST's npz files.")
        ] = None,
        seconds_per_fit: Annotated[
            float | None, typer.Option(min=0, help="For --dry-run: stated, not measured.")
        ] = None,
        images_per_second: Annotated[
            float | None, typer.Option(min=0.001, help="For --dry-run: of all encoders together.")
        ] = None,
    ) -> None:
        """Every task by every teacher, recipe and student, with all seeds: tables and a report."""
        from medlabel.experiments.sweep_spec import read_sweep
        from rayjobs.sweep.estimate import Rates, estimate
        from rayjobs.sweep.job import SweepConfig, sweep

        settings = SweepConfig(
            read_sweep(spec), out, default_home(), data_root, workers=workers, gpus=gpus_per_fit
        )
        with StageBars() as shown:
            if dry_run:
                rates = Rates(seconds_per_fit, images_per_second)
                found = estimate(settings, rates, shown.advance)
            else:
                outcome = sweep(settings, shown.advance)
        if dry_run:
            _print_estimate(found)
        else:
            _print_outcome(outcome)


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
    console.print(f"encoded {outcome.encoded} images, fitted {outcome.fitted} cells")
    console.print(f"report:  {outcome.report}", soft_wrap=True)
    if failed := len(outcome.failures):
        console.print(
            f"warning: {failed} cells could not be fitted, the first: "
            f"{outcome.failures['reason'].iloc[0]}; run the same command to try them again",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
