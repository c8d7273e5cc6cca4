"""What every command shares: the console, warnings, and the progress bars."""

from pathlib import Path

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

__all__ = ["StageBars", "add_looks", "console", "say", "warn"]

console = Console()
_STAGES = {
    "reading": "Reading images",
    "starting": "Starting Ray",
    "drawing": "Drawing phantoms for the teacher",
    "training": "Training the teacher",
    "listing": "Listing sources",
    "cataloguing": "Hashing images",
    "embedding": "Embedding images",
    "writing": "Writing the table",
    "annotating": "Labelling images",
    "fitting": "Training students",
    "ceiling": "Training on true labels",
    "baselines": "Evaluating baselines",
    "reporting": "Writing the report",
    "measuring": "Timing a few fits",
    "tuning": "Running trials",
    "judging": "Comparing with true labels",
}
_AT_ONCE = 0.5  # seconds
_IMAGE_STAGES = ("cataloguing", "embedding", "writing", "annotating")


def say(*lines: str) -> None:
    """Print lines as they are: no markup, no colours, no wrapping."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning."""
    console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


def add_looks(paths: list[Path] | None) -> None:
    """Register the phantoms that the files named by `--looks` define."""
    if paths:
        from medlabel.phantoms.own import add_look_files

        add_look_files(paths)


class _Rate(ProgressColumn):
    """Images per second since the stage began, for the stages whose steps are images."""

    def render(self, task: RichTask) -> Text:
        """The text to the right of the bar."""
        seconds = task.finished_time or task.elapsed or 0
        done = task.completed - (task.fields["found"] or 0)
        if task.fields["stage"] not in _IMAGE_STAGES or done <= 0 or not seconds:
            return Text("")
        return Text(f"{done / seconds:,.0f} images/s")


class StageBars:
    """One progress bar per stage of a job, added when the stage first reports."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<32}"),
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
        """Set a stage's bar to `done` of `total`; while nothing is done it pulses."""
        if stage not in self._bars:
            bar = self._progress.add_task(_STAGES[stage], total=None, stage=stage, found=None)
            self._bars[stage] = bar
        bar = self._bars[stage]
        task = next(task for task in self._progress.tasks if task.id == bar)
        if done and task.fields["found"] is None:
            # what is reported at once was finished by an earlier call: it does not count as work
            self._progress.update(bar, found=done if (task.elapsed or 0) < _AT_ONCE else 0)
        self._progress.update(bar, completed=done, total=total if done else None)
