"""The commands about annotations: `label`, `annotate`, `audit`, `retrain`, `explain`, `export`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medlabel.cli.audit import add_audit
from medlabel.cli.encoding import typed
from medlabel.cli.options import (
    Annotations,
    AutoAbove,
    Captions,
    Clip,
    DataRoot,
    Home,
    ImageColumn,
    Out,
    Pool,
    Prune,
    RecipeName,
    Seed,
    Size,
    Sources,
    Workers,
)
from medlabel.cli.shared import StageBars, say, say_captions, say_verdict, warn
from medlabel.cli.syntax import epilog
from medlabel.student.decision import AUTO_ABOVE

if TYPE_CHECKING:
    from medlabel.annotation.explain import Explanation
    from rayjobs.annotate import AnnotateResult

__all__ = ["add_annotation_commands"]


def add_annotation_commands(app: typer.Typer) -> None:
    """Add the commands about annotations to the command line."""
    app.command("label", epilog=epilog("SOURCE", "NAME", "MEANING", "MODEL", "SETS", "RECIPE"))(
        _label
    )
    app.command("annotate", epilog=epilog("SOURCE"))(_annotate)
    add_audit(app)
    app.command("retrain", epilog=epilog("RECIPE"))(_retrain)
    app.command("explain")(_explain)
    app.command("export")(_export)


def _annotate(
    sources: Sources,
    model: Annotated[
        str,
        typer.Option(metavar="FOLDER", help="Folder of a trained student, or of a finished run."),
    ],
    out: Out,
    auto_above: AutoAbove = AUTO_ABOVE,
    size: Size = 28,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    workers: Workers = None,
    prune: Prune = False,
) -> None:
    """Label every image of the sources with a trained student."""
    from medlabel.jobs.options import annotate_config
    from rayjobs.annotate import annotate_sources

    config = annotate_config(
        sources, model, out, auto_above=auto_above, size=size, data_root=data_root,
        image_column=image_column, workers=workers, prune=prune,
    )  # fmt: skip
    with StageBars() as shown:
        result = annotate_sources(config, shown.advance)
    _print_result(result)


def _label(
    sources: Sources,
    classes: Annotated[
        str,
        typer.Option(
            metavar="NAME[=MEANING],…", help="Names of the classes, two or more: chest,breast."
        ),
    ],
    out: Out,
    home: Home,
    clip: Clip = "phantom",
    captions: Captions = "table",
    recipe: RecipeName = "robust",
    pool: Pool = 5000,
    auto_above: AutoAbove = AUTO_ABOVE,
    seed: Seed = 0,
    size: Size = 28,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    prune: Prune = False,
) -> None:
    """Label your own images from the names of the classes: train a student, then annotate."""
    from medlabel.data.tasks import split_classes
    from medlabel.jobs.options import caption_warnings, captions_read, label_config
    from rayjobs.label import label_sources

    config = label_config(
        sources, split_classes(typed(classes)), out, home=home, clip=clip,
        captions=captions, recipe=recipe, pool=pool, auto_above=auto_above, seed=seed, size=size,
        data_root=data_root, image_column=image_column, prune=prune,
    )  # fmt: skip
    say_captions(captions_read(config))
    for text in caption_warnings(config):
        warn(text)
    with StageBars() as shown:
        result = label_sources(config, shown.advance)
    _print_result(result)


def _print_result(result: "AnnotateResult") -> None:
    counts = result.summary
    automatic = counts.automatic.total()
    if counts.absent:
        warn(counts.absence_sentence)
    if counts.own_range:
        warn(f"{counts.own_range_sentence}.")
    say(
        f"{counts.annotations:,} annotations, {counts.rejects:,} rejects; {automatic:,} automatic, "
        f"{counts.annotations - automatic:,} for review; {result.labelled:,} labelled by this call",
        *result.changes.sentences(),
        "Nothing is guaranteed yet: `medlabel audit plan` samples images for a person to check.",
        f"summary: {result.page}",
        *(f"warning: {warning}" for warning in (() if result.verdict else result.warnings)),
    )
    say_verdict(result.verdict)


def _retrain(
    folder: Annotations,
    answers: Annotated[
        list[Path],
        typer.Argument(
            metavar="ANSWERS",
            help="CSV files with people's answers: completed audit plans, corrections from the "
            "service.",
        ),
    ],
    out: Out,
    recipe: RecipeName = "robust",
    pool: Pool = 5000,
    weight: Annotated[
        float,
        typer.Option(help="Weight of an answer in training; the last student's labels weigh 1."),
    ] = 5.0,
    seed: Seed = 0,
) -> None:
    """Train the next student on annotations and people's answers, and measure what they changed."""
    from medlabel.student.recipes import get_recipe
    from rayjobs.retrain import RetrainConfig, retrain

    config = RetrainConfig(folder, tuple(answers), out, get_recipe(recipe), pool, weight, seed)
    with StageBars() as shown:
        result = retrain(config, shown.advance)
    say(
        *result.answers,
        *result.impact.sentences(),
        f"student: {result.bundle}",
        f"report:  {result.page}",
    )
    say_verdict(result.verdict)


def _explain(
    folder: Annotations,
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE", help="Path or URI of the image, or a unique end of it: scans/03.png."
        ),
    ],
) -> None:
    """Show where a label comes from, and compute it again to check that it is reproduced."""
    from medlabel.annotation.explain import explain
    from medlabel.storage.store import Store

    found = explain(Store(folder), image)
    for name, value in found.row.items():
        say(f"{name:<16}{value}")
    say(f"{'file':<16}{found.piece}", "", _reproduction(found))
    if not found.reproduced:
        raise typer.Exit(1)


def _reproduction(found: "Explanation") -> str:
    if not found.same_content:
        return "The image has changed since it was labelled: its digest differs."
    if not found.same_weights:
        return "The student has changed since it labelled the image: its weights differ."
    if found.reproduced:
        return "Computed again: the same label and the same probabilities, bit for bit."
    if found.label == found.row["label"]:
        return f"Computed again: the same label; probabilities differ by {found.difference:.1e}."
    return f"Computed again: {found.label}; probabilities differ by {found.difference:.1e}."


def _export(
    folder: Annotations,
    out: Annotated[
        Path,
        typer.Option(
            help="File to write; its ending decides the format: .csv, .parquet, .json (Label "
            "Studio) or .coco.json. A name without an ending is a new folder with one subfolder "
            "of links per class."
        ),
    ],
    only: Annotated[
        str | None, typer.Option(help="Decision to export: auto or review.", show_default="both")
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(metavar="FILE.yaml", help="File with a line `old: new` per class to rename."),
    ] = None,
    image_root: Annotated[
        str, typer.Option(help="Local folder that is Label Studio's document root.")
    ] = "",
) -> None:
    """Write annotations for other programs; after an audit, its guarantee decides what is auto."""
    from medlabel.annotation.audit import guaranteed_labels
    from medlabel.annotation.export import ExportConfig, export_labels, read_names
    from medlabel.storage.store import Store

    config = ExportConfig(only, read_names(names) if names else None, image_root)
    count = export_labels(Store(folder), out, config)
    guaranteed = guaranteed_labels(Store(folder))
    say(f"{count:,} annotations: {out}", *(guaranteed.notes if guaranteed else ()))
