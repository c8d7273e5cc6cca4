import json
import math

import numpy as np
import pytest

from medlabel.storage.store import Store
from medlabel.storage.strict_json import to_json


def refuse(name):
    raise AssertionError(f"{name} is not JSON")


def strictly(text):
    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("inf")])
def test_numbers_that_are_not_finite_are_null_wherever_they_stand(tmp_path, value):
    facts = {"a": value, "b": [1, (value, {"c": value})], "d": "NaN"}
    expected = {"a": None, "b": [1, [None, {"c": None}]], "d": "NaN"}
    assert strictly(to_json(facts)) == expected
    store = Store(str(tmp_path))
    store.write_json("facts.json", facts)
    assert strictly((tmp_path / "facts.json").read_text()) == store.read_json("facts.json")


def test_other_values_are_written_as_python_writes_them():
    facts = {"b": [1, 0.1, True, None, "ü"], "a": {}}
    assert to_json(facts, indent=2, sort_keys=True) == json.dumps(facts, indent=2, sort_keys=True)


def test_text_with_a_path_that_is_no_utf8_is_written_whole(tmp_path):
    Store(str(tmp_path)).write_utf8("index.html", "<p>ü \udcff</p>")
    assert (tmp_path / "index.html").read_bytes() == "<p>ü \\udcff</p>".encode()
