"""The command line: the roof. It may import everything, and nothing imports it.

Heavy imports wait inside the commands, so that `medlabel --help` answers at once.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from medlabel import __version__
from medlabel.cli_annotate import add_annotating
from medlabel.cli_shared import StageBars, console, default_home
from medlabel.cli_sweep import add_sweep
from medlabel.cli_tune import add_tune
from medlabel.errors import MedlabelError
from serving.command import serve_command

if TYPE_CHECKING:
    import pandas as pd

    from rayjobs.embed import Summary
    from rayjobs.run import Outcome

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


@app.command("run")
def run_command(
    task: Annotated[
        str,
        typer.Argument(
            help="Classes to tell apart: [b]chestmnist,breastmnist[/b], "
            "[b]chest=a.npz,breast=b.npz[/b], [b]a=x.npz#0,b=x.npz#1,2[/b], "
            "[b]a=x.npz#3,b=x.npz#!3[/b] (all without label 3), "
            "[b]phantom:chestmnist,phantom:breastmnist[/b], or a YAML file."
        ),
    ],
    out: Annotated[str, typer.Option(help="Folder or bucket for the results.")],
    clip: Annotated[
        list[str] | None,
        typer.Option(
            help="Teacher: phantom, ViT-L/14 (and the paper's others), ARCHITECTURE:TAG, "
            "hf-hub:OWNER/NAME, or the path of a checkpoint. Given twice or more, they vote. "
            "\\[default: phantom]"
        ),
    ] = None,
    vote: Annotated[
        str, typer.Option(help="How several teachers vote: mean or dawid-skene.")
    ] = "mean",
    scores: Annotated[
        Path | None, typer.Option(help="Your own teacher's scores (Parquet or CSV) instead.")
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="How to train: robust, adam, paper, or a YAML file that mixes.")
    ] = "robust",
    student: Annotated[
        str | None,
        typer.Option(
            help="Architecture: small, paper, cnn:16-32-64 (see medlabel.students.cnn), resnet18, "
            "vgg11, alexnet, timm:NAME; resnet18+pretrained. The recipe's own if unset."
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=9999, help="Number of draws.")] = 30,
    per_class: Annotated[
        int | None, typer.Option(min=5, help="At most so many images a class.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the images: 28, 64, 128, 224.")] = None,
    captions: Annotated[
        str,
        typer.Option(
            help="Caption sets, joined by commas: table, paper, templates, descriptions, or a "
            "YAML file of your own."
        ),
    ] = "table",
    adjust: Annotated[
        list[str] | None,
        typer.Option(
            help="What is done to the scores before a student learns from them, in order: "
            "temperature=2, prior, prior=0.3:0.7, em-prior, transduct. Joined by commas, or "
            "given again."
        ),
    ] = None,
    data_root: DataRoot = None,
    ceiling_seeds: Annotated[
        int, typer.Option(min=0, help="Seeds to fit on true labels as well, to compare.")
    ] = 3,
) -> None:
    """Run the whole loop: a teacher's labels, students that learn from them, and a report."""
    from medlabel.adjust import Adjustment, parse_steps
    from medlabel.caption_sets import check_caption_sets
    from medlabel.recipes import recipe_named
    from medlabel.tasks import parse_task
    from rayjobs.run import Settings, run

    check_caption_sets(captions)
    settings = Settings(
        parse_task(task, size),
        out,
        recipe_named(recipe),
        default_home(),
        clips=tuple(dict.fromkeys(clip or ["phantom"])),
        captions=captions,
        scores=scores,
        adjustment=Adjustment(parse_steps(",".join(adjust or [])), vote),
        student=student,
        seeds=seeds,
        per_class=per_class,
        data_root=data_root,
        ceiling_seeds=ceiling_seeds,
    )
    with StageBars() as bars:
        outcome = run(settings, bars.advance)
    _print_outcome(outcome)


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
    from rayjobs.embed import Replicas, Request, embed_sources

    request = Request(
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


def _print_summary(summary: "Summary") -> None:
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
) -> None:
    """Write the report of a finished run, sweep or search anew, without Ray."""
    from medlabel.rebuild import rebuild

    console.print(f"report: {rebuild(run_folder, data_root)}", soft_wrap=True)


app.command("serve")(serve_command)


@app.command("models")
def models_command(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL...", help="Models as --clip takes them.")
    ] = None,
) -> None:
    """List teachers: their size, their input, an image's work, and whether they are here."""
    from medlabel.models import LISTED, describe, models_table

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
    from medlabel.fetch import Places, expand, fetch, fetched_table
    from medlabel.weights import Checked

    places = Places(default_home(), data_root, size)
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


def _train_phantom() -> None:
    from rayjobs.cluster import one_line_errors
    from rayjobs.pretrain import ensure_phantom_clip

    with StageBars() as bars, one_line_errors("training the phantom CLIP"):
        ensure_phantom_clip(default_home(), on_progress=bars.advance)


@app.command("version")
def version_command() -> None:
    """Print the version."""
    console.print(f"medlabel {__version__}", highlight=False)


add_annotating(app)


def _print_outcome(outcome: "Outcome") -> None:
    console.print(_summary_table(outcome.results))
    console.print(f"encoded {outcome.encoded} images, fitted {outcome.fitted} students")
    console.print(f"student: {outcome.bundle}", soft_wrap=True)
    console.print(f"report:  {outcome.report}", soft_wrap=True)
    for warning in outcome.trust.warnings:
        console.print(f"warning: {warning}", style="yellow", markup=False, soft_wrap=True)


def _summary_table(results: "pd.DataFrame") -> Table:
    from medlabel.evaluation import summarise

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


add_sweep(app)
add_tune(app)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    errors = Console(stderr=True)
    try:
        app()
    except (MedlabelError, OSError) as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("stopped; what is finished is kept: run the same command to go on")
        sys.exit(130)


if __name__ == "__main__":
    main()
