"""Modules stay short, and checks are silenced for a reason alone.

Which package may import which is import-linter's contract in pyproject.toml.
"""

import ast
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "rayjobs", "serving")
MODULES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
FILES = [
    path
    for folder in (*FOLDERS, "benchmarks", "docs", "tests", "tools")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
MAX_LINES = 400
MAX_MODULES = 16


def test_no_module_is_longer_than_four_hundred_lines():
    lines = {str(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {path: count for path, count in lines.items() if count > MAX_LINES} == {}


def test_no_folder_holds_more_than_sixteen_modules():
    folders = {path.parent for path in MODULES}
    counts = {str(folder): len(list(folder.glob("*.py"))) for folder in folders}
    assert {folder: count for folder, count in counts.items() if count > MAX_MODULES} == {}


@pytest.mark.parametrize("path", sorted({path.parent for path in MODULES}), ids=lambda p: p.name)
def test_every_package_says_what_it_is_for(path):
    source = path / "__init__.py"
    if source.exists():
        assert ast.get_docstring(ast.parse(source.read_text()))


def test_every_package_has_its_place_in_the_contract():
    """Import-linter says nothing about a package that no layer names."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers, science = contracts["contracts"]
    ordered = {name for layer in layers["layers"] for name in layer.split(" | ")}
    own = {path.stem for path in (ROOT / "src/medlabel").iterdir() if path.suffix in ("", ".py")}
    packages = {f"medlabel.{name}" for name in own - {"__init__", "__pycache__"}}
    assert ordered == packages | {"rayjobs", "serving"}
    with_ray = {"medlabel.cli", "medlabel.jobs", "medlabel._torchvision"}
    assert set(science["source_modules"]) == packages - with_ray


def test_whatever_silences_a_check_gives_its_reason():
    """The reason follows on the line, or stands in a comment above a line that is full."""
    silencer = re.compile(r"# (?:noqa\b:?|type: ignore\b)[\w\[\], -]*(?P<reason>.*)$")
    silent = []
    for path in FILES:
        lines = ["", *path.read_text().splitlines()]
        for above, line in pairwise(lines):
            found = silencer.search(line)
            if found and not found["reason"] and not above.strip().startswith("# "):
                silent.append(f"{path}: {line.strip()}")
    assert silent == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_files_that_a_page_names_exist(page):
    text = (ROOT / page).read_text()
    named = set(re.findall(r"`((?:src|rayjobs|serving|tests|tools|benchmarks)/[\w/.]*)`", text))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()
    known = {path.name for path in FILES}
    assert set(re.findall(r"`(?:\w+/)*(\w+\.py)`", text)) <= known
