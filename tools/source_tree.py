"""Reads the Python files of a checkout: modules, what they import, and their functions.

Only the standard library's `ast`: nothing of the checkout is imported, so that any commit can be
read, whatever is installed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "FOLDERS",
    "Module",
    "cycles",
    "edges_between",
    "function_lengths",
    "longest_chain",
    "package_of",
    "read_tree",
]

FOLDERS = {"src/medlabel": "medlabel", "rayjobs": "rayjobs", "serving": "serving"}
"""The folders that make up the program, and the name that each is imported by."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file.

    Attributes:
        name: what it is imported by, such as `medlabel.student.losses`.
        path: where it is.
        tree: its syntax tree.
        lines: how many lines it has.
        imports: the modules of the same checkout that it imports, at its top or in a function;
            imports for type checkers alone are left out, because they are never executed.
    """

    name: str
    path: Path
    tree: ast.Module
    lines: int
    imports: frozenset[str] = field(default=frozenset())


def read_tree(root: Path) -> dict[str, Module]:
    """Every module of the program in this checkout, by name."""
    found = {}
    for folder, package in FOLDERS.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            name = ".".join((package, *(part for part in parts if part != "__init__")))
            text = path.read_text(encoding="utf-8")
            found[name] = Module(name, path, ast.parse(text), len(text.splitlines()))
    return {
        name: Module(name, module.path, module.tree, module.lines, _imports(module, found.keys()))
        for name, module in found.items()
    }


def package_of(name: str) -> str:
    """The package a reader meets first: `medlabel.student` of `medlabel.student.losses`."""
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "medlabel" else parts[0]


def edges_between(modules: Iterable[Module]) -> set[tuple[str, str]]:
    """Pairs of importing and imported package."""
    pairs = {(package_of(m.name), package_of(name)) for m in modules for name in m.imports}
    return {(importer, imported) for importer, imported in pairs if importer != imported}


def cycles(edges: Iterable[tuple[str, str]]) -> list[set[str]]:
    """Groups of two or more nodes that import each other, directly or by way of others."""
    reached = {node: _reach(node, graph) for graph in (_graph(edges),) for node in graph}
    groups = {
        frozenset(other for other in reached[node] if node in reached[other]) for node in reached
    }
    return [set(group) for group in groups if len(group) > 1]


def longest_chain(edges: Iterable[tuple[str, str]]) -> list[str]:
    """The longest chain of imports, from what imports to what is imported; cycles are cut."""
    graph = _graph(edges)
    chains: dict[str, list[str]] = {}

    def chain(node: str, above: frozenset[str]) -> list[str]:
        if node not in chains:
            below = [chain(n, above | {node}) for n in sorted(graph[node]) if n not in above]
            chains[node] = [node, *max(below, key=len, default=[])]
        return chains[node]

    return max((chain(node, frozenset({node})) for node in sorted(graph)), key=len, default=[])


def function_lengths(module: Module) -> list[tuple[str, int, int]]:
    """Each function's name and length in lines, without and with its docstring.

    A function is counted from `def` to its last line: decorators are not counted, and functions
    within a function count both in it and as functions of their own.
    """
    found = []
    for node in ast.walk(module.tree):
        if isinstance(node, Function):
            whole = (node.end_lineno or node.lineno) - node.lineno + 1
            found.append((f"{module.path}:{node.lineno} {node.name}", whole - _docs(node), whole))
    return found


def _docs(node: Function) -> int:
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return 0
    return (first.end_lineno or first.lineno) - first.lineno + 1


def _imports(module: Module, known: Iterable[str]) -> frozenset[str]:
    names = set(known)
    found = set()
    for node in _executed(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in names else base)
    return frozenset((found & names) - {module.name})


def _base(module: Module, node: ast.ImportFrom) -> str:
    """The absolute name behind `from x`, `from .x` and `from ..x`."""
    if not node.level:
        return node.module or ""
    package = module.name.split(".")
    if module.path.name != "__init__.py":
        package = package[:-1]
    package = package[: len(package) - (node.level - 1)]
    return ".".join([*package, *([node.module] if node.module else [])])


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under `if TYPE_CHECKING:`."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting.extend(node.orelse)
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _graph(edges: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    graph: dict[str, set[str]] = {}
    for importer, imported in edges:
        graph.setdefault(importer, set()).add(imported)
        graph.setdefault(imported, set())
    return graph


def _reach(start: str, graph: dict[str, set[str]]) -> set[str]:
    """What is reached from a node by one edge or more."""
    reached: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        node = waiting.pop()
        if node not in reached:
            reached.add(node)
            waiting.extend(graph[node])
    return reached
