"""What every command has in common: where things are kept, and bars for who waits."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Task as RichTask
from rich.text import Text

__all__ = ["Looks", "StageBars", "add_looks", "console", "warn"]

Looks = Annotated[
    list[Path] | None,
    typer.Option(
        help="A Python file with looks of your own (docs/phantoms.md). It is run: name only files "
        "that you trust. May be given again."
    ),
]

console = Console()
_STAGES = {
    "reading": "reading the images",
    "starting": "starting Ray",
    "drawing": "drawing phantoms for the teacher",
    "training": "training the teacher on them",
    "listing": "listing the sources",
    "cataloguing": "reading the images once",
    "embedding": "embedding images",
    "writing": "writing the table",
    "annotating": "labelling images",
    "fitting": "fitting students",
    "ceiling": "fitting on true labels, to compare",
    "baselines": "comparing with simple baselines",
    "reporting": "writing the report",
    "measuring": "measuring some fits",
    "tuning": "trying students and recipes",
    "judging": "comparing with the truth",
}
_AT_ONCE = 0.5  # seconds
_IMAGE_STAGES = ("cataloguing", "embedding", "writing", "annotating")


def warn(text: str) -> None:
    """Print a warning."""
    console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


def add_looks(paths: list[Path] | None) -> None:
    """Add the looks of the files that `--looks` names."""
    if paths:
        from medlabel.phantoms.own import add_look_files

        add_look_files(paths)


class _Rate(ProgressColumn):
    """Steps a second since the stage began, for the stages whose steps are images."""

    def render(self, task: RichTask) -> Text:
        """What is shown right of the bar."""
        seconds = task.finished_time or task.elapsed or 0
        done = task.completed - (task.fields["found"] or 0)
        if task.fields["stage"] not in _IMAGE_STAGES or done <= 0 or not seconds:
            return Text("")
        return Text(f"{done / seconds:,.0f} images/s")


class StageBars:
    """One progress bar a stage, made when the stage first speaks."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<36}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Rate(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def __enter__(self) -> "StageBars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, stage: str, done: int, total: int) -> None:
        """Set a stage's bar to `done` of `total`; one that is not yet begun pulses."""
        if stage not in self._bars:
            bar = self._progress.add_task(_STAGES[stage], total=None, stage=stage, found=None)
            self._bars[stage] = bar
        bar = self._bars[stage]
        task = next(task for task in self._progress.tasks if task.id == bar)
        if done and task.fields["found"] is None:  # what is told at once was there before
            self._progress.update(bar, found=done if (task.elapsed or 0) < _AT_ONCE else 0)
        self._progress.update(bar, completed=done, total=total if done else None)
