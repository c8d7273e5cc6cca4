import pytest

from medlabel.errors import MedlabelError
from medlabel.storage.yaml_files import read_mapping, read_yaml


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a: [", "captions .* are not YAML"), (b"\xff", "captions .* are not YAML")],
)
def test_invalid_yaml_is_a_one_line_error(tmp_path, content, message):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(MedlabelError, match=message) as error:
        read_yaml(path, "captions")
    assert "\n" not in str(error.value)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(MedlabelError, match=r"cannot read recipe .*a\.yaml: No such file"):
        read_yaml(tmp_path / "a.yaml", "recipe")


def test_a_list_is_no_mapping(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("- a\n")
    assert read_yaml(path, "recipe") == ["a"]
    with pytest.raises(MedlabelError, match="write a base"):
        read_mapping(path, "recipe", "write a base")
