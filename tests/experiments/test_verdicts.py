from io import BytesIO

import pandas as pd
import pytest
from support_verdicts import GUESSING, READ

from medlabel.errors import MedlabelError
from medlabel.experiments.verdicts import (
    LabellingVerdict,
    read_verdict,
    read_verdicts,
    write_verdict,
    write_verdicts,
)
from medlabel.storage.store import Store


def test_a_folder_has_a_verdict_or_none(tmp_path):
    store = Store(str(tmp_path))
    assert read_verdict(store) is None
    write_verdict(store, GUESSING)
    assert read_verdict(store) == GUESSING
    store.write_json("verdict.json", {"level": "sure"})
    with pytest.raises(MedlabelError, match="damaged: it holds no verdict"):
        read_verdict(store)


def test_verdicts_of_a_sweep_are_kept_whole_and_as_a_plain_table(tmp_path):
    store = Store(str(tmp_path))
    assert read_verdicts(store) == []
    rows = [
        LabellingVerdict("a-vs-b", READ, "phantom", "robust", "small"),
        LabellingVerdict("a-vs-c", GUESSING, "phantom", "robust", "small"),
    ]
    write_verdicts(store, rows)
    assert read_verdicts(store) == rows
    frame = pd.read_csv(BytesIO(store.read("verdicts.csv")))
    assert frame["verdict"].tolist() == ["read", "guessing"]
    assert frame["estimate"].isna().tolist() == [False, True]
