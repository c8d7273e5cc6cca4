"""Counts two vocabularies of a checkout: words of our own, and options of the command line."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tools.source_tree import Function, Module

__all__ = ["coined_words", "command_line_options"]

_WORDS = Path(__file__).with_name("coined_words.txt")


def coined_words(root: Path, modules: Iterable[Module]) -> tuple[list[str], list[str]]:
    """Words of `coined_words.txt` found here: those of the glossary, and those since replaced."""
    modules = list(modules)
    identifiers = {name for module in modules for name in _identifiers(module.tree)}
    parts = {part for name in identifiers for part in _parts(name)}
    found = {
        "class": {n.name for m in modules for n in ast.walk(m.tree) if isinstance(n, ast.ClassDef)},
        "recipe": {name for module in modules for name in _recipe_fields(module.tree)},
        "part": parts,
        "file": {module.path.stem for module in modules},
    }
    prose = _prose(root, modules)

    def is_found(rule: str) -> bool:
        how, word = rule.split(" ", 1)
        return bool(_in(prose, word)) if how == "text" else word in found[how]

    sections = _sections()
    glossary = [word for word in sections["glossary"] if word in parts or _in(prose, f"{word}s?")]
    entries = (entry.split(": ") for entry in sections["replaced"])
    replaced = [word for word, rules in entries if any(map(is_found, rules.split(", ")))]
    return glossary, replaced


def _in(prose: str, pattern: str) -> re.Match[str] | None:
    return re.search(rf"\b(?:{pattern})\b", prose, re.IGNORECASE)


def command_line_options(modules: Iterable[Module]) -> dict[str, set[str]]:
    """The long options of all commands, each with the distinct help texts that it has."""
    modules = [m for m in modules if "typer.Option" in ast.unparse(m.tree)]
    shared = {name: option for module in modules for name, option in _aliases(module.tree)}
    options: dict[str, set[str]] = defaultdict(set)
    for module in modules:
        known = shared | dict(_aliases(module.tree))
        for function in (n for n in ast.walk(module.tree) if isinstance(n, Function)):
            for argument in [*function.args.args, *function.args.kwonlyargs]:
                option = _option(argument.annotation, known)
                if option is not None:
                    for name in _names(argument.arg, option):
                        options[name].add(_help(option))
    return dict(options)


def _sections() -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current = ""
    for line in _WORDS.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            current = line.strip("[]")
            sections[current] = []
        elif line and not line.startswith("#"):
            sections[current].append(line)
    return sections


def _identifiers(tree: ast.AST) -> Iterable[str]:
    """Every name that the file defines or uses, attributes and arguments included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ClassDef | Function):
            yield node.name


def _parts(name: str) -> Iterable[str]:
    """`SealedTruth` and `sealed_truth` have the parts `sealed` and `truth`."""
    return (part.lower() for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name))


def _recipe_fields(tree: ast.AST) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "Recipe":
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield part.target.id


def _prose(root: Path, modules: Iterable[Module]) -> str:
    """README.md, docs/, and every string that is a sentence: docstrings, help texts, messages."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in (root / "README.md", *sorted(root.glob("docs/*.md")))
    ]
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value if " " in node.value else "")
    return re.sub(r"\s+", " ", "\n".join(texts))


def _aliases(tree: ast.Module) -> Iterable[tuple[str, ast.Call]]:
    """Annotations that are named once and shared: `Seeds = Annotated[int, typer.Option(...)]`."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            option = _option(node.value, {})
            if option is not None:
                yield node.targets[0].id, option


def _option(annotation: ast.expr | None, known: dict[str, ast.Call]) -> ast.Call | None:
    if isinstance(annotation, ast.Name):
        return known.get(annotation.id)
    for node in ast.walk(annotation) if annotation is not None else ():
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "typer.Option":
            return node
    return None


def _names(argument: str, option: ast.Call) -> list[str]:
    given = [node.value for node in option.args if isinstance(node, ast.Constant)]
    named = [part for name in given for part in str(name).split("/") if part.startswith("--")]
    return named or [f"--{argument.strip('_').replace('_', '-')}"]


def _help(option: ast.Call) -> str:
    for keyword in option.keywords:
        if keyword.arg == "help":
            return ast.unparse(keyword.value)
    return ""
