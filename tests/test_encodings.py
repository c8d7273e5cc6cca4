"""No file is read or written in the encoding of a locale."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def in_locale(call: ast.Call) -> bool:
    """Whether a call opens a text file, or decodes output, without an encoding."""
    named = {word.arg for word in call.keywords}
    if "encoding" in named:
        return False
    function = call.func
    name = getattr(function, "attr", getattr(function, "id", ""))
    if name in ("read_text", "write_text") or "universal_newlines" in named or "text" in named:
        return name in ("read_text", "write_text", "run", "Popen", "check_output")
    if name not in ("open", "fdopen"):
        return False
    if isinstance(function, ast.Attribute) and call.args and not is_mode(call.args[0]):
        return False  # not a path's: `Image.open(file)`, `archive.open(name)`
    values = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    modes = [value.value for value in values if isinstance(value, ast.Constant)]
    return not any("b" in str(mode) for mode in modes)


def is_mode(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and set(str(argument.value)) <= set("rwaxbt+")


@pytest.mark.parametrize("folder", ["src", "rayjobs", "serving", "benchmarks", "tools"])
def test_every_text_file_is_opened_with_an_encoding(folder):
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and in_locale(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("open(path)", True),
        ("path.open('w')", True),
        ("path.open(mode='a')", True),
        ("path.read_text()", True),
        ("subprocess.run(command, text=True)", True),
        ("path.open('rb')", False),
        ("path.open(encoding='utf-8')", False),
        ("Image.open(buffer)", False),
        ("path.write_text(text, encoding='utf-8')", False),
    ],
)
def test_the_scan_finds_what_it_should(code, expected):
    assert in_locale(ast.parse(code).body[0].value) is expected
