"""`medlabel tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from medlabel.cli.options import DataRoot, GpusPerWorker, Home, Out, Workers
from medlabel.cli.shared import StageBars, console, say_captions, say_verdicts, warn
from medlabel.cli.syntax import epilog

if TYPE_CHECKING:
    from rayjobs.tune.job import TuneResult

__all__ = ["add_tune"]

_Spec = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC", help="YAML file: a sweep's, with trials, search and space in addition."
    ),
]
_Track = Annotated[
    list[str] | None,
    typer.Option(
        help="Log trials to mlflow or wandb, in addition to TensorBoard. May be repeated.",
        show_default="TensorBoard only",
    ),
]


def add_tune(app: typer.Typer) -> None:
    """Add `tune` to the command line."""
    words = ("SPEC", "SPACE", "TASK", "CLASS", "SOURCE", "MODEL", "RECIPE", "STUDENT")
    app.command("tune", epilog=epilog(*words))(_tune)


def _tune(
    spec: _Spec,
    out: Out,
    home: Home,
    data_root: DataRoot = None,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    track: _Track = None,
) -> None:
    """Search for a student and a recipe without true labels; then evaluate the choice with them."""
    from medlabel.experiments.sweep_spec import (
        captions_of_plan,
        plan,
        read_sweep,
        warnings_of_plan,
    )
    from medlabel.experiments.tune_spec import TuneSpec
    from medlabel.experiments.tune_tables import winner_verdicts
    from medlabel.storage.store import Store
    from rayjobs.tune.job import TuneConfig, tune

    config = TuneConfig(
        read_sweep(spec, TuneSpec), out, home, data_root,
        workers=workers, gpus=gpus_per_worker, track=tuple(track or ()),
    )  # fmt: skip
    units = plan(config.spec)
    for teacher, captions in captions_of_plan(units).items():
        say_captions(captions, teacher)
    for text in warnings_of_plan(units):
        warn(text)
    with StageBars() as shown:
        outcome = tune(config, shown.advance)
    _print_outcome(outcome)
    say_verdicts(list(winner_verdicts(Store(out))))


def _print_outcome(outcome: "TuneResult") -> None:
    title = f"{len(outcome.trials)} trials, evaluated on held-out true labels"
    table = Table("", "recipe", title=title)
    for column in ("agreement", "accuracy", "gain"):
        table.add_column(column, justify="right")
    for row in outcome.comparison.to_dict("records"):
        gain = "" if row["gain"] != row["gain"] else f"{row['gain']:+.4f}"
        figures = f"{row['agreement']:.3f}", f"{row['accuracy']:.4f}", gain
        table.add_row(str(row["who"]), str(row["recipe"]), *figures)
    console.print(table)
    console.print(outcome.choice.sentence())
    for bundle in outcome.bundles:
        console.print(f"student: {bundle}", soft_wrap=True)
    console.print(f"report:  {outcome.report}", soft_wrap=True)
