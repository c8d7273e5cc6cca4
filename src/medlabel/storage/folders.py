"""What a folder of results holds, so that one kind of work does not write over another's."""

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
    """Refuse a folder that holds something of another kind than `mine`, a name of `KINDS`.

    Raises:
        MedlabelError: it does; their tables, reports and students have the same names.
    """
    for name, what in KINDS.items():
        if name != mine and store.exists(name):
            raise MedlabelError(f"{store.uri} holds {what}: choose another --out")
