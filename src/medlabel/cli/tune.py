"""`medlabel tune`: a part of the roof, in a file of its own."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from medlabel.cli.shared import StageBars, console
from medlabel.storage.home import default_home

if TYPE_CHECKING:
    from rayjobs.tune.job import TuneResult

__all__ = ["add_tune"]


def add_tune(app: typer.Typer) -> None:
    """Give the command line its `tune`."""

    @app.command("tune")
    def tune_command(
        spec: Annotated[
            Path, typer.Argument(help="A YAML file: sources, tasks, trials, search, space.")
        ],
        out: Annotated[str, typer.Option(help="Folder or bucket for the results.")],
        workers: Annotated[
            int | None, typer.Option(min=1, help="Trials at a time; all the cluster's if unset.")
        ] = None,
        gpus_per_fit: Annotated[
            float | None, typer.Option(min=0, max=1, help="Such as 0.1; a quarter if unset.")
        ] = None,
        data_root: Annotated[
            Path | None, typer.Option(help="Folder of MedMNIST's npz files.")
        ] = None,
        track: Annotated[
            list[str] | None,
            typer.Option(help="Tell trials to mlflow or wandb as well; TensorBoard always."),
        ] = None,
    ) -> None:
        """Search for a student and a recipe without truth, refit the best, and judge the choice."""
        from medlabel.experiments.sweep_spec import read_sweep
        from medlabel.experiments.tune_spec import TuneSpec
        from rayjobs.tune.job import TuneConfig, tune

        settings = TuneConfig(
            read_sweep(spec, TuneSpec),
            out,
            default_home(),
            data_root,
            workers=workers,
            gpus=gpus_per_fit,
            track=tuple(track or ()),
        )
        with StageBars() as shown:
            outcome = tune(settings, shown.advance)
        _print_outcome(outcome)


def _print_outcome(outcome: "TuneResult") -> None:
    table = Table("", "recipe", title=f"{len(outcome.trials)} trials, judged by held-out truth")
    for column in ("agreement", "accuracy", "gain"):
        table.add_column(column, justify="right")
    for row in outcome.comparison.to_dict("records"):
        gain = "" if row["gain"] != row["gain"] else f"{row['gain']:+.4f}"
        figures = f"{row['agreement']:.3f}", f"{row['accuracy']:.4f}", gain
        table.add_row(str(row["who"]), str(row["recipe"]), *figures)
    console.print(table)
    for bundle in outcome.bundles:
        console.print(f"student: {bundle}", soft_wrap=True)
    console.print(f"report:  {outcome.report}", soft_wrap=True)
