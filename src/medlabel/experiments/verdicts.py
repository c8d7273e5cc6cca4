"""The verdicts of a folder: of a run or of labels one, of a sweep or a search one per labelling.

| file | content |
| --- | --- |
| `verdict.json` | a verdict (`medlabel.student.verdict`) |
| `verdicts.json` | verdicts of many labellings, each with its task, teacher, recipe and student |
| `verdicts.csv` | the same for people, without the evidence |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from medlabel.errors import MedlabelError
from medlabel.experiments.run_folder import VERDICT
from medlabel.storage.store import Store
from medlabel.student.verdict import Verdict

__all__ = ["LabellingVerdict", "read_verdict", "read_verdicts", "write_verdict", "write_verdicts"]

VERDICTS = "verdicts.json"


@dataclass(frozen=True)
class LabellingVerdict:
    """The verdict on one labelling among many.

    Attributes:
        task: its title.
        verdict: on the student's labels, over its seeds.
        teacher: name of the teacher; like the next two, empty where there is only one.
        recipe: name of the recipe.
        student: architecture of the student.
    """

    task: str
    verdict: Verdict
    teacher: str = ""
    recipe: str = ""
    student: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Task, teacher, recipe and student."""
        return self.task, self.teacher, self.recipe, self.student

    @property
    def name(self) -> str:
        """The same in one line."""
        return ", ".join(filter(None, self.key))


def read_verdict(store: Store) -> Verdict | None:
    """The verdict in a folder; None if the folder has none.

    Raises:
        MedlabelError: the file is damaged.
    """
    if not store.exists(VERDICT):
        return None
    try:
        return Verdict.from_json(store.read_json(VERDICT))
    except ValueError as error:
        raise MedlabelError(f"{store.path(VERDICT)} is damaged: it holds no verdict") from error


def write_verdict(store: Store, verdict: Verdict) -> None:
    """Write the verdict of a folder."""
    store.write_json(VERDICT, verdict.to_json())


def read_verdicts(store: Store) -> list[LabellingVerdict]:
    """The verdicts of a sweep or a search, in the order in which they were written."""
    if not store.exists(VERDICTS):
        return []
    return [
        LabellingVerdict(**{**row, "verdict": Verdict.from_json(row["verdict"])})
        for row in store.read_json(VERDICTS)
    ]


def write_verdicts(store: Store, rows: Sequence[LabellingVerdict]) -> None:
    """Write the verdicts of a sweep or a search, as JSON and as CSV."""
    store.write_json(VERDICTS, [asdict(row) for row in rows])
    frame = pd.DataFrame([_plain(row) for row in rows])
    store.write_utf8(VERDICTS.replace(".json", ".csv"), frame.to_csv(index=False))


def _plain(row: LabellingVerdict) -> dict[str, Any]:
    """A row of `verdicts.csv`."""
    verdict, estimate = row.verdict, row.verdict.estimate
    return {
        **dict(zip(("task", "teacher", "recipe", "student"), row.key, strict=True)),
        "verdict": verdict.level,
        "estimate": estimate.accuracy if estimate else None,
        "low": estimate.low if estimate else None,
        "high": estimate.high if estimate else None,
        "auto_above": verdict.auto_above,
        "summary": verdict.summary,
    }
