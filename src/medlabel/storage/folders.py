"""Recognise what kind of results a folder holds, so that no job overwrites another job's."""

from medlabel.errors import MedlabelError
from medlabel.storage.store import Store

__all__ = ["KINDS", "refuse_other_kinds"]

KINDS = {
    "run.json": "a run",
    "sweep.json": "a sweep",
    "tune.json": "a search",
    "label.json": "the labels of `medlabel label`",
    "retrain.json": "a student that was trained again",
}


def refuse_other_kinds(store: Store, mine: str) -> None:
    """Raise if a folder already holds the results of another kind of job.

    Their tables, reports and bundles have the same file names and would be overwritten.

    Args:
        store: the output folder.
        mine: the manifest of the job that is about to write, a key of `KINDS`.

    Raises:
        MedlabelError: the folder holds the manifest of another kind.
    """
    for name, what in KINDS.items():
        if name != mine and store.exists(name):
            raise MedlabelError(f"{store.uri} holds {what}: choose another --out")
