"""The commands about teachers and their training images: `models`, `fetch` and `phantoms`."""

from pathlib import Path
from typing import Annotated

import typer

from medlabel.cli.options import DataRoot, Home, Looks, Size
from medlabel.cli.shared import StageBars, add_looks, console
from medlabel.cli.syntax import epilog
from medlabel.errors import MedlabelError

__all__ = ["add_model_commands"]


def add_model_commands(app: typer.Typer) -> None:
    """Add `models`, `fetch` and `phantoms` to the command line."""
    app.command("models", epilog=epilog("MODEL"))(_models)
    app.command("fetch", epilog=epilog("MODEL"))(_fetch)
    app.command("phantoms")(_phantoms)


def _models(
    home: Home,
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL", help="Models to describe.", show_default="phantom and the paper's"
        ),
    ] = None,
) -> None:
    """List teachers: parameters, input size, work per image, and whether they are downloaded."""
    from medlabel.teacher.zoo.facts import DEFAULT_MODELS, describe_model, models_table

    with console.status("building the architectures, without weights"):
        facts = [describe_model(name, home) for name in names or DEFAULT_MODELS]
    console.print(models_table(facts))


def _fetch(
    items: Annotated[
        list[str],
        typer.Argument(
            metavar="ITEM",
            help="What to download: models, MedMNIST sets, [b]all-models[/b] or [b]all-sets[/b].",
        ),
    ],
    home: Home,
    size: Size = 28,
    data_root: DataRoot = None,
) -> None:
    """Download and verify weights and data sets, to work without a network afterwards."""
    from medlabel.teacher.zoo.fetch import DownloadFolders, expand_items, fetch, fetched_table
    from medlabel.teacher.zoo.weights import VerifiedFile

    def train(name: str) -> None:
        _train_phantom(home, name)

    places = DownloadFolders(home, data_root, size)
    outcomes: dict[str, VerifiedFile | MedlabelError | OSError] = {}
    for item in expand_items(items, places):
        console.print(f"{item} ...", highlight=False, soft_wrap=True)
        try:
            outcomes[item] = fetch(item, places, train)
        except (MedlabelError, OSError) as error:
            outcomes[item] = error
            console.print(f"  {error}", style="red", markup=False, soft_wrap=True)
    console.print(fetched_table(outcomes))
    failed = [item for item, outcome in outcomes.items() if not isinstance(outcome, VerifiedFile)]
    if failed:
        raise MedlabelError(f"{len(failed)} of {len(outcomes)} failed: {', '.join(failed)}")


def _train_phantom(home: Path, name: str) -> None:
    from medlabel.teacher.phantom_clip import pretraining_named
    from rayjobs.cluster import one_line_errors
    from rayjobs.pretrain import ensure_phantom_clip

    with StageBars() as bars, one_line_errors("training the phantom CLIP"):
        ensure_phantom_clip(home, pretraining_named(name), bars.advance)


def _phantoms(
    look: Annotated[
        str,
        typer.Argument(
            metavar="SET",
            help="The set to draw, such as breastmnist, or one of your own (--looks).",
        ),
    ],
    out: Annotated[Path, typer.Option(help="PNG file for the picture.")],
    beside: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="MedMNIST set or npz file of real images to compare."),
    ] = None,
    columns: Annotated[int, typer.Option(min=1, max=64, help="Number of images per row.")] = 12,
    size: Size = 28,
    data_root: DataRoot = None,
    looks: Looks = None,
) -> None:
    """Draw a contact sheet of phantoms, one row per class, with real images below them."""
    from medlabel.reports.contact_sheet import phantom_sheet

    add_looks(looks)
    out.write_bytes(phantom_sheet(look, beside, columns, size, data_root))
    console.print(f"picture: {out}", soft_wrap=True)
