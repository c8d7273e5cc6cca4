"""The table of the code's shape: counted right on a small checkout, and printed for this one."""

from pathlib import Path
from statistics import median

import pytest

from tools.code_shape import long_functions, main, measure
from tools.source_tree import cycles, function_lengths, longest_chain, read_tree
from tools.vocabulary import command_line_options

ROOT = Path(__file__).parents[2]
FUNCTION = """
from medlabel.b import two
def f():
    '''Doc.'''
    return 1
"""
CLI = """
import typer
from typing import Annotated
Seed = Annotated[int, typer.Option(help="Of the sample.")]

def one(seed: Seed, to: Annotated[str, typer.Option("--out")]) -> None: ...
def two(seed: Annotated[int, typer.Option(help="Of all.")]) -> None: ...
"""


@pytest.fixture
def checkout(tmp_path):
    """Three modules in two packages, one of them imported for type checkers alone."""
    write = {
        "src/medlabel/a/one.py": FUNCTION,
        "src/medlabel/b/two.py": "if TYPE_CHECKING:\n    from medlabel.a import one\n",
        "src/medlabel/cli/app.py": CLI,
        "README.md": "What is told unlike goes to review.",
    }
    for name, text in write.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_imports_for_type_checkers_are_left_out(checkout):
    tree = read_tree(checkout)
    assert tree["medlabel.a.one"].imports == {"medlabel.b.two"}
    assert tree["medlabel.b.two"].imports == set()


def test_a_docstring_is_not_counted_as_code(checkout):
    assert long_functions(checkout, 1) == [(2, f"{checkout}/src/medlabel/a/one.py:3 f")]


def test_an_option_of_two_help_texts_has_two_meanings(checkout):
    options = command_line_options(read_tree(checkout).values())
    assert {name: len(texts) for name, texts in options.items()} == {"--seed": 2, "--out": 1}


def test_figures_of_a_small_checkout(checkout):
    figures = measure(checkout)
    assert figures["imports between packages (distinct pairs)"] == "1"
    assert figures["coined words (glossary + replaced ones still found)"] == "0 + 1"


def test_cycles_and_chains():
    assert cycles([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")]) == [{"a", "b", "c"}]
    assert longest_chain([("a", "b"), ("b", "c"), ("a", "c")]) == ["a", "b", "c"]


def test_this_checkout_keeps_its_shape(capsys):
    assert main([str(ROOT)]) == 0
    table = capsys.readouterr().out
    assert "| cycles of packages | 0 | 0 |" in table
    assert "| cycles of files | 0 | 0 |" in table


def test_functions_of_this_checkout_are_short():
    modules = read_tree(ROOT).values()
    lengths = sorted(body for module in modules for _, body, _ in function_lengths(module))
    assert median(lengths) <= 8
    assert lengths[int(0.9 * (len(lengths) - 1))] <= 22
    assert lengths[-1] <= 55
