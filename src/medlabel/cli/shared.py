"""What every command shares: the console, warnings, and the progress bars."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

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
from rich.table import Table
from rich.text import Text

from medlabel.errors import TeacherWarning

if TYPE_CHECKING:
    from medlabel.experiments.verdicts import LabellingVerdict
    from medlabel.student.verdict import Level, Verdict

__all__ = [
    "StageBars",
    "add_looks",
    "console",
    "say",
    "say_captions",
    "say_verdict",
    "say_verdicts",
    "show_teacher_warnings",
    "warn",
]

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
    "verdict": "Judging the teacher's labels",
    "fitting": "Training students",
    "ceiling": "Training on true labels",
    "baselines": "Evaluating baselines",
    "reporting": "Writing the report",
    "measuring": "Timing a few fits",
    "tuning": "Running trials",
    "judging": "Comparing with true labels",
}
_AT_ONCE = 0.5  # seconds
_EVIDENCE = 4  # pieces that the terminal shows; the report shows all
_IMAGE_STAGES = ("cataloguing", "embedding", "writing", "annotating")


def say(*lines: str) -> None:
    """Print lines as they are: no markup, no colours, no wrapping."""
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def say_captions(captions_by_class: Mapping[str, Sequence[str]], teacher: str = "") -> None:
    """Print what a teacher, named where there are several, reads for each class, a line each."""
    from medlabel.teacher.task_captions import caption_lines

    if captions_by_class:
        say(
            f"The teacher {teacher}".strip() + " reads:",
            *(f"  {line}" for line in caption_lines(captions_by_class)),
        )


def warn(text: str) -> None:
    """Print a warning."""
    console.print(f"warning: {text}", style="yellow", markup=False, soft_wrap=True)


def show_teacher_warnings() -> None:
    """From now on print each `TeacherWarning` as a line, once; others are left to Python."""
    others, shown = warnings.showwarning, set[str]()
    warnings.simplefilter("always", TeacherWarning)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, TeacherWarning):
            others(message, category, filename, lineno, file, line)
        elif (text := str(message)) not in shown:
            shown.add(text)
            warn(text)

    warnings.showwarning = show


def say_verdict(verdict: "Verdict | None") -> None:
    """Print a verdict, if there is one: light, word, sentence, evidence, and what to do next.

    Colours are left out where the output is no terminal or NO_COLOR is set; symbol and word say
    the same.
    """
    from medlabel.reports.verdict_words import accuracy_sentence, review_sentence, subject

    if verdict is None:
        return
    _say_light(verdict.level, verdict.summary)
    _say_beside(Text(" "), accuracy_sentence(verdict))
    _say_beside(Text(" "), review_sentence(verdict))
    for piece in verdict.evidence[:_EVIDENCE]:
        about = f"{subject(piece)}: " if subject(piece) else ""
        _say_beside(Text("  ").append(_symbol(piece.level)), f"{about}{piece.sentence}")
    if len(verdict.evidence) > _EVIDENCE:
        _say_beside(Text("   "), f"({len(verdict.evidence) - _EVIDENCE} more in the report)")
    for step in verdict.advice:
        _say_beside(Text("  next:"), step)


def say_verdicts(rows: "Sequence[LabellingVerdict]") -> None:
    """Print the verdicts of a sweep or a search: how many of each kind, and the worst of them."""
    from medlabel.reports.verdict_words import counts_sentence

    if len(rows) == 1:
        say_verdict(rows[0].verdict)
    elif rows:
        say(counts_sentence(rows))
        worst = sorted(rows, key=lambda row: row.verdict.level != "guessing")
        for row in [row for row in worst if row.verdict.level != "read"][:_EVIDENCE]:
            _say_light(row.verdict.level, f"{row.name}: {row.verdict.summary}")


def _say_light(level: "Level", sentence: str) -> None:
    """Print the symbol and the word of a verdict, and a sentence beside them."""
    from medlabel.reports.verdict_words import LIGHTS

    word = Text(f" {LIGHTS[level].word.upper()}:", style=f"bold {LIGHTS[level].colour}")
    _say_beside(_symbol(level).append(word), sentence)


def _symbol(level: "Level") -> Text:
    from medlabel.reports.verdict_words import LIGHTS

    light = LIGHTS[level]
    known = console.encoding.lower().startswith("utf")
    return Text(light.symbol if known else light.ascii, style=f"bold {light.colour}")


def _say_beside(head: Text, sentence: str) -> None:
    """Print a sentence beside a head; a terminal wraps it below itself, a file does not wrap it."""
    if not console.is_terminal:
        console.print(head, Text(sentence), soft_wrap=True)
        return
    grid = Table.grid(padding=(0, 1))
    grid.add_row(head, Text(sentence))
    console.print(grid)


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
