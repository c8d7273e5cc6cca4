"""Measures the shape of one or more checkouts: `python tools/code_shape.py [ROOT ...] [--long N]`.

Prints a Markdown table with a column for each checkout (this one by default), in the order given:
`python tools/code_shape.py ../before .` compares two. Nothing is imported or installed.

How it is counted: a package is what lies directly in src/medlabel, folder or file; rayjobs and
serving are one each. A layer is a step in the longest chain of imports. `tools/source_tree.py` says
which imports and which lines of a function count, `tools/coined_words.txt` which words do.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script's own folder is all Python adds

from tools.source_tree import (
    Module,
    cycles,
    edges_between,
    function_lengths,
    longest_chain,
    package_of,
    read_tree,
)
from tools.vocabulary import coined_words, command_line_options

__all__ = ["long_functions", "main", "measure"]

_TARGETS = {
    "modules in the largest folder": "≤ 16",
    "lines of the longest module": "≤ 400",
    "cycles of packages": "0",
    "cycles of files": "0",
    "functions' lines, median / 90th percentile / most, without docstrings": "≤ 8 / 22 / 55",
}
"""Docstrings are not limited: an example or an explained shape makes no function worse."""


def measure(root: Path) -> dict[str, str]:
    """The figures of one checkout, by what they are."""
    tree = read_tree(root)
    modules = list(tree.values())
    return _layout(modules) | _graph(modules) | _functions(modules) | _words(root, modules)


def long_functions(root: Path, limit: int) -> list[tuple[int, str]]:
    """Functions of more than `limit` lines, docstrings not counted, the longest first."""
    lengths = [item for module in read_tree(root).values() for item in function_lengths(module)]
    return sorted(((body, name) for name, body, _ in lengths if body > limit), reverse=True)


def _layout(modules: list[Module]) -> dict[str, str]:
    folder, largest = Counter(module.path.parent for module in modules).most_common(1)[0]
    longest = max(modules, key=lambda module: module.lines)
    return {
        "modules": str(len(modules)),
        "modules in the largest folder": f"{largest} ({folder.name})",
        "lines of the longest module": f"{longest.lines} ({longest.name})",
    }


def _graph(modules: list[Module]) -> dict[str, str]:
    files = {(module.name, name) for module in modules for name in module.imports}
    packages = edges_between(modules)
    across = sum((edge[0] != edge[1]) for edge in _packaged(files))
    return {
        "packages": str(len({package for edge in packages for package in edge})),
        "imports between packages (distinct pairs)": str(len(packages)),
        "imports between files of different packages": str(across),
        "imports between files": str(len(files)),
        "layers of packages (longest chain)": str(len(longest_chain(packages))),
        "layers of files (longest chain)": str(len(longest_chain(files))),
        "cycles of packages": str(len(cycles(packages))),
        "cycles of files": str(len(cycles(files))),
    }


def _packaged(edges: set[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(package_of(importer), package_of(imported)) for importer, imported in edges]


def _functions(modules: list[Module]) -> dict[str, str]:
    lengths = [item for module in modules for item in function_lengths(module)]
    bodies, whole = sorted(item[1] for item in lengths), sorted(item[2] for item in lengths)
    title = "functions' lines, median / 90th percentile / most"
    return {
        "functions": str(len(lengths)),
        f"{title}, without docstrings": _spread(bodies),
        f"{title}, with docstrings": _spread(whole),
    }


def _spread(lengths: list[int]) -> str:
    ninetieth = lengths[int(0.9 * (len(lengths) - 1))]
    return f"{median(lengths):g} / {ninetieth} / {lengths[-1]}"


def _words(root: Path, modules: list[Module]) -> dict[str, str]:
    glossary, replaced = coined_words(root, modules)
    options = command_line_options(modules)
    several = sum(len(texts) > 1 for texts in options.values())
    return {
        "coined words (glossary + replaced ones still found)": f"{len(glossary)} + {len(replaced)}",
        "option names of the command line": str(len(options)),
        "option names with more than one help text": str(several),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the table; with `--long N`, the functions of more than N lines instead."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("roots", nargs="*", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--long", type=int, metavar="N", help="list functions over N lines instead")
    parser.add_argument("--words", action="store_true", help="list the coined words instead")
    asked = parser.parse_args(arguments)
    for root in asked.roots if asked.long or asked.words else ():
        for line in _listing(root.resolve(), asked.long):
            print(line)
    if not asked.long and not asked.words:
        _print_table([root.resolve() for root in asked.roots])
    return 0


def _listing(root: Path, limit: int | None) -> list[str]:
    if limit:
        return [f"{lines:4} {name}" for lines, name in long_functions(root, limit)]
    modules = read_tree(root).values()
    options = command_line_options(modules)
    several = sorted(name for name, texts in options.items() if len(texts) > 1)
    return [*coined_words(root, modules)[1], "several help texts: " + " ".join(several)]


def _print_table(roots: list[Path]) -> None:
    columns = [measure(root) for root in roots]
    print(f"| | {' | '.join(root.name for root in roots)} | target |")
    print(f"| --- |{' ---: |' * (len(roots) + 1)}")
    for title in columns[0]:
        figures = [column[title] for column in columns]
        print(f"| {' | '.join([title, *figures, _TARGETS.get(title, '')])} |")


if __name__ == "__main__":
    sys.exit(main())
