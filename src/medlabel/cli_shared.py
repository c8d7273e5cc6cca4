"""What every command has in common: where things are kept, and bars for who waits."""

import os
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

__all__ = ["StageBars", "console", "default_home"]

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
_IMAGE_STAGES = ("cataloguing", "embedding", "writing", "annotating")


def default_home() -> Path:
    """Where what can be made again is kept: MEDLABEL_HOME, else `~/.cache/medlabel`."""
    return Path(os.environ.get("MEDLABEL_HOME", Path.home() / ".cache" / "medlabel"))


class _Rate(ProgressColumn):
    """Steps a second, for the stages whose steps are images."""

    def render(self, task: RichTask) -> Text:
        """What is shown right of the bar."""
        speed = task.finished_speed or task.speed
        images = task.fields["stage"] in _IMAGE_STAGES
        return Text(f"{speed:,.0f} images/s" if images and speed else "")


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
            self._bars[stage] = self._progress.add_task(_STAGES[stage], total=None, stage=stage)
        self._progress.update(self._bars[stage], completed=done, total=total if done else None)
