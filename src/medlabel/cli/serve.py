"""The command `medlabel serve`. Heavy imports are inside it, so that `--help` is quick."""

from typing import Annotated

import typer

from medlabel.cli.options import AutoAbove
from medlabel.student.decision import AUTO_ABOVE

__all__ = ["serve_command"]


def serve_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Folders of finished runs, or of bundles; the first is the default student.",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but loopback needs a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    token_file: Annotated[
        str | None,
        typer.Option(
            help="File with the token that clients must send. \\[default: $MEDLABEL_TOKEN]"
        ),
    ] = None,
    auto_above: AutoAbove = AUTO_ABOVE,
    replicas: Annotated[
        int, typer.Option(min=1, help="Number of replicas; more than one per core gains nothing.")
    ] = 1,
    state: Annotated[
        str | None,
        typer.Option(
            help="Folder for corrections and the audit log. \\[default: ~/.local/share/medlabel]"
        ),
    ] = None,
    label_studio: Annotated[
        str | None,
        typer.Option(help="URL of the Label Studio whose images may be read."),
    ] = None,
    label_studio_token_file: Annotated[
        str | None,
        typer.Option(help="File with its token. \\[default: $LABEL_STUDIO_API_KEY]"),
    ] = None,
) -> None:
    """Serve students over HTTP: they label images, and a web page shows and corrects the labels."""
    from serving.launch.run import serve_run
    from serving.schemas import ServeArgs

    args = ServeArgs(
        bundles=runs,
        auto_above=auto_above,
        min_replicas=replicas,
        state=state,
        token_file=token_file,
        label_studio_url=label_studio,
        label_studio_token_file=label_studio_token_file,
    )
    serve_run(args, host, port)
