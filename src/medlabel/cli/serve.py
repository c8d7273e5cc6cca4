"""`medlabel serve` as the command line has it. Heavy imports wait inside, so that help is quick."""

from typing import Annotated

import typer

from medlabel.student.decision import AUTO_ABOVE

__all__ = ["serve_command"]


def serve_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Folders of finished runs, or of bundles; the first answers unless asked.",
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; a token is needed beyond loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    token_file: Annotated[
        str | None,
        typer.Option(
            help="File with the token that clients send; else the variable MEDLABEL_TOKEN is it."
        ),
    ] = None,
    auto_above: Annotated[
        float, typer.Option(min=0, max=1, help="Below this probability a label is for review.")
    ] = AUTO_ABOVE,
    replicas: Annotated[int, typer.Option(min=1, help="Copies; one a core is the most.")] = 1,
    state: Annotated[
        str | None,
        typer.Option(
            help="Folder for corrections and audit lines. \\[default: ~/.local/share/medlabel]"
        ),
    ] = None,
    label_studio: Annotated[
        str | None,
        typer.Option(help="Address of the Label Studio whose images may be read."),
    ] = None,
    label_studio_token_file: Annotated[
        str | None,
        typer.Option(help="File with its token; else the variable LABEL_STUDIO_API_KEY is it."),
    ] = None,
) -> None:
    """Serve students: images in; labels, probabilities and doubts out; a page to correct them."""
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
