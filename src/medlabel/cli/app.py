"""The command line: the roof. It may import everything, and nothing imports it.

Heavy imports wait inside the commands, so that `medlabel --help` answers at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from medlabel import __version__
from medlabel.cli.annotate import add_annotating
from medlabel.cli.run import run_command
from medlabel.cli.serve import serve_command
from medlabel.cli.shared import Looks, StageBars, add_looks, console
from medlabel.cli.sweep import add_sweep
from medlabel.cli.tune import add_tune
from medlabel.errors import MedlabelError, reason
from medlabel.storage.home import default_home

if TYPE_CHECKING:
    from rayjobs.embed import EmbedResult

app = typer.Typer(
    name="medlabel",
    help="Label medical images without human labour.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


DataRoot = Annotated[
    Path | None, typer.Option(help="Folder of MedMNIST's npz files (missing ones are downloaded).")
]


app.command("run")(run_command)


@app.command("embed")
def embed_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            help="MedMNIST sets, npz files, folders or buckets of PNG, JPEG, TIFF and DICOM "
            "files, Parquet files with an image column, [b]phantom:FLAG[/b]."
        ),
    ],
    out: Annotated[str, typer.Option(help="Folder or bucket for the table.")],
    # typer reads the default, and nothing changes it
    clip: Annotated[list[str], typer.Option(help="A model, as in `run`; give several.")] = [  # noqa: B006
        "phantom"
    ],
    size: Annotated[int, typer.Option(help="Side of MedMNIST's images: 28, 64, 128, 224.")] = 28,
    data_root: DataRoot = None,
    image_column: Annotated[
        str | None, typer.Option(help="Column of Parquet files that holds the images.")
    ] = None,
    precision: Annotated[str, typer.Option(help="Of the encoder: fp32, fp16 or bf16.")] = "fp32",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Copies of the model; one a GPU or CPU if unset.")
    ] = None,
    gpus_per_worker: Annotated[
        float | None, typer.Option(min=0, help="GPUs of each copy, such as 0.5.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Images at once; 256 on a GPU, else 64, if unset.")
    ] = None,
) -> None:
    """Embed every image of some sources once for each model: a table to score anything from."""
    from rayjobs.embed import EmbedConfig, Replicas, embed_sources

    request = EmbedConfig(
        tuple(sources),
        out,
        default_home(),
        tuple(clip),
        size,
        data_root,
        image_column,
        precision,
        Replicas(workers, gpus_per_worker, batch_size),
    )
    with StageBars() as bars:
        summaries = embed_sources(request, bars.advance)
    for summary in summaries:
        _print_summary(summary)
    console.print(f"table: {out}", soft_wrap=True)


def _print_summary(summary: "EmbedResult") -> None:
    rate = f", {summary.encoded / summary.seconds:,.0f} images/s" if summary.encoded else ""
    console.print(
        f"{summary.clip}: {summary.images:,} images ({summary.distinct:,} distinct), "
        f"{summary.encoded:,} encoded, {summary.reused:,} reused, {summary.rejected:,} rejected, "
        f"{summary.seconds:.1f} s{rate}, {summary.workers} workers",
        soft_wrap=True,
        highlight=False,
    )


@app.command("report")
def report_command(
    run_folder: Annotated[
        str, typer.Argument(metavar="RUN", help="Folder of a run, sweep or search.")
    ],
    data_root: DataRoot = None,
    looks: Looks = None,
) -> None:
    """Write the report of a finished run, sweep or search anew, without Ray."""
    from medlabel.reports.rebuild import rebuild

    add_looks(looks)
    console.print(f"report: {rebuild(run_folder, data_root)}", soft_wrap=True)


@app.command("phantoms")
def phantoms_command(
    look: Annotated[str, typer.Argument(help="A look: breastmnist, or one of your own.")],
    out: Annotated[Path, typer.Option(help="The picture, a PNG file.")],
    beside: Annotated[
        str | None, typer.Option(help="Real images to set beside it: a set, an npz file.")
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=64, help="Images in a row.")] = 12,
    size: Annotated[int, typer.Option(help="Side of the images: 28, 64, 128, 224.")] = 28,
    data_root: DataRoot = None,
    looks: Looks = None,
) -> None:
    """Draw a contact sheet: each kind of a look in a row, and real images below."""
    from medlabel.reports.contact_sheet import phantom_sheet

    add_looks(looks)
    out.write_bytes(phantom_sheet(look, beside, columns, size, data_root))
    console.print(f"picture: {out}", soft_wrap=True)


app.command("serve")(serve_command)


@app.command("models")
def models_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL...", help="Models as --clip takes them.")
    ] = None,
) -> None:
    """List teachers: their size, their input, an image's work, and whether they are here."""
    from medlabel.teacher.zoo.facts import LISTED, describe, models_table

    with console.status("building architectures without weights"):
        facts = [describe(name, default_home()) for name in names or LISTED]
    console.print(models_table(facts))


@app.command("fetch")
def fetch_command(
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="ITEM...",
            help="Models as --clip takes them, MedMNIST sets, [b]all-models[/b], [b]all-sets[/b].",
        ),
    ],
    size: Annotated[int, typer.Option(help="Side of the sets' images: 28, 64, 128, 224.")] = 28,
    data_root: DataRoot = None,
) -> None:
    """Download weights and sets ahead of a run without a network, and verify them."""
    from medlabel.teacher.zoo.fetch import DownloadFolders, expand, fetch, fetched_table
    from medlabel.teacher.zoo.weights import Checked

    places = DownloadFolders(default_home(), data_root, size)
    outcomes: dict[str, Checked | MedlabelError | OSError] = {}
    for item in expand(items, places):
        console.print(f"{item} ...", highlight=False, soft_wrap=True)
        try:
            outcomes[item] = fetch(item, places, _train_phantom)
        except (MedlabelError, OSError) as error:
            outcomes[item] = error
            console.print(f"  {error}", style="red", markup=False, soft_wrap=True)
    console.print(fetched_table(outcomes))
    failed = [item for item, outcome in outcomes.items() if not isinstance(outcome, Checked)]
    if failed:
        raise MedlabelError(f"{len(failed)} of {len(outcomes)} failed: {', '.join(failed)}")


def _train_phantom(name: str) -> None:
    from medlabel.teacher.phantom_clip import pretraining_named
    from rayjobs.cluster import one_line_errors
    from rayjobs.pretrain import ensure_phantom_clip

    with StageBars() as bars, one_line_errors("training the phantom CLIP"):
        ensure_phantom_clip(default_home(), pretraining_named(name), bars.advance)


@app.command("version")
def version_command() -> None:
    """Print the version."""
    console.print(f"medlabel {__version__}", highlight=False)


add_annotating(app)
add_sweep(app)
add_tune(app)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    errors = Console(stderr=True)
    try:
        app()
    except (MedlabelError, OSError) as error:
        where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        errors.print(
            f"error: {where}{reason(error)}",
            style="red",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("stopped; what is finished is kept: run the same command to go on")
        sys.exit(130)


if __name__ == "__main__":
    main()
