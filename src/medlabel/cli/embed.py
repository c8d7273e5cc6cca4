"""`medlabel embed`."""

from typing import TYPE_CHECKING, Annotated

import typer

from medlabel.cli.options import (
    Clips,
    DataRoot,
    GpusPerWorker,
    Home,
    ImageColumn,
    Out,
    Size,
    Sources,
    Workers,
)
from medlabel.cli.shared import StageBars, console, say, warn
from medlabel.cli.syntax import epilog

if TYPE_CHECKING:
    from rayjobs.embed import EmbedResult

__all__ = ["add_embed"]

_Dtype = Annotated[str, typer.Option(help="Data type of the model: fp32, fp16 or bf16.")]
_Prune = Annotated[
    bool,
    typer.Option(
        "--prune", help="Remove the embeddings of images that the sources do not hold now."
    ),
]
_BatchSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of images per batch.", show_default="256 on a GPU, 64 on a CPU"
    ),
]


def add_embed(app: typer.Typer) -> None:
    """Add `embed` to the command line."""
    app.command("embed", epilog=epilog("MODEL"))(_embed)


def _embed(
    sources: Sources,
    out: Out,
    home: Home,
    clip: Clips = None,
    size: Size = 28,
    data_root: DataRoot = None,
    image_column: ImageColumn = None,
    dtype: _Dtype = "fp32",
    batch_size: _BatchSize = None,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    prune: _Prune = False,
) -> None:
    """Embed every image of the sources with each model, once, and write one table."""
    from rayjobs.embed import EmbedConfig, Replicas, embed_sources

    config = EmbedConfig(
        tuple(sources), out, home, tuple(clip or ["phantom"]), size, data_root, image_column,
        dtype, Replicas(workers, gpus_per_worker, batch_size), prune,
    )  # fmt: skip
    with StageBars() as bars:
        summaries = embed_sources(config, bars.advance)
    for summary in summaries:
        _print_summary(summary, prune)
    console.print(f"table: {out}", soft_wrap=True)


def _print_summary(summary: "EmbedResult", prune: bool = False) -> None:
    from medlabel.data.decoding import own_range_sentence

    rate = f", {summary.encoded / summary.seconds:,.0f} images/s" if summary.encoded else ""
    console.print(
        f"{summary.clip}: {summary.images:,} images ({summary.distinct:,} distinct), "
        f"{summary.encoded:,} encoded, {summary.reused:,} reused, {summary.rejected:,} rejected, "
        f"{summary.seconds:.1f} s{rate}, {summary.workers} workers",
        soft_wrap=True,
        highlight=False,
    )
    if summary.others:
        what = "removed (--prune)" if prune else "kept; --prune removes them"
        say(f"{summary.others:,} embeddings of images that the sources do not hold now: {what}")
    if summary.own_range:
        warn(own_range_sentence(summary.own_range))
