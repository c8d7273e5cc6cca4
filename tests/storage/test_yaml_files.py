import pytest

from medlabel.errors import MedlabelError
from medlabel.storage.yaml_files import read_mapping, read_yaml

TRAPS = [
    "yes",
    "no",
    "on",
    "off",
    "Y",
    "n",
    "null",
    "Null",
    "~",
    "01",
    "010",
    "1.10",
    "1e3",
    "1_000",
    "0x1F",
    "1:30",
    "2020-01-01",
    "2020-13-45",
    ".inf",
    ".nan",
    "=",
    "<<",
    "NA",
    "None",
    "nan",
    "true",
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.yaml"


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: [", "captions .* are not YAML"), (b"\xff", "captions .* are not YAML"),
     (b"a: !secret b", "captions .* are not YAML"), (b"? [a]\n: b", "captions .* are not YAML")],
)  # fmt: skip
def test_invalid_yaml_is_a_one_line_error(path, content, message):
    path.write_bytes(content)
    with pytest.raises(MedlabelError, match=message) as error:
        read_yaml(path, "captions")
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_said(path):
    with pytest.raises(MedlabelError, match=r"cannot read recipe .*a\.yaml: No such file"):
        read_yaml(path, "recipe")


def test_a_list_is_no_mapping(path):
    path.write_text("- a\n")
    assert read_yaml(path, "recipe") == ["a"]
    with pytest.raises(MedlabelError, match="write a base"):
        read_mapping(path, "recipe", "write a base")


@pytest.mark.parametrize("text", TRAPS)
def test_texts_stay_as_they_were_typed(path, text):
    path.write_text(f"{text}: {text}\nlist: [{text}]\nmap: {{{text}: '{text}'}}\n")
    found = read_mapping(path, "names", "")
    assert found == {text: text, "list": [text], "map": {text: text}}


def test_values_that_are_no_texts_have_the_types_of_yaml(path):
    path.write_text("seeds: 3\nname: 3\nspace: {on: [0.1, yes, ~, 5]}\nmap: {seeds: 1, b: 1}\nx:\n")
    assert read_mapping(path, "spec", "", typed=("seeds", "space")) == {
        "seeds": 3, "name": "3", "space": {"on": [0.1, True, None, 5]},
        "map": {"seeds": 1, "b": "1"}, "x": None,
    }  # fmt: skip


def test_aliases_and_merges_still_work_and_may_lead_back(path):
    path.write_text("a: &a {x: 1, y: 2}\nb:\n  <<: *a\n  y: 3\nc: &c [*c]\n")
    found = read_mapping(path, "spec", "")
    assert found["b"] == {"x": "1", "y": "3"}
    assert found["c"][0] is found["c"]


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "{a: 1, 'a': 2}", "k:\n- {a: 1, a: 1}"])
def test_a_key_that_stands_twice_is_an_error(path, text):
    path.write_text(text)
    with pytest.raises(MedlabelError, match=r"spec .*a\.yaml: 'a' stands twice, in lines \d and"):
        read_yaml(path, "spec", typed=("a",))
