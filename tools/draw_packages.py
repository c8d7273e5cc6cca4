"""Draws docs/packages.svg, the packages and the data's way: `python tools/draw_packages.py`.

What each package imports is read from the code. Where a package stands and what it hands on are
written below, and checked: every package must have a place, and data passes only from a package to
one that imports it, or where a third imports both. A test fails while the picture and the code
disagree.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from xml.sax.saxutils import escape

sys.path.insert(0, str(Path(__file__).parents[1]))  # a script's own folder is all Python adds

from tools.source_tree import edges_between, read_tree

__all__ = ["PICTURE", "main", "package_edges", "render"]

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "packages.svg"

_WIDTH, _HEIGHT = 1040, 592
_BOX = (148, 112)  # width and height of a package in the middle rows
_COLUMNS = (20, 233, 446, 659, 872)
_ROWS = (208, 380)

_ABOUT = {
    "cli": "the command line: may import everything, and nothing imports it",
    "jobs": "the jobs as Python functions; beside it the Python API in medlabel/__init__.py",
    "rayjobs": "one file or folder per job, each a thin use of one Ray library; runs the stages",
    "data": "reads images, samples cells, seals truth",
    "teacher": "scores images by captions with a CLIP",
    "student": "learns, predicts, decides",
    "evaluation": "compares predictions with the truth",
    "experiments": "keeps runs, sweeps and searches",
    "phantoms": "draws images to learn from",
    "serving": "answers requests over HTTP",
    "annotation": "labels, audits, explains",
    "reports": "writes pages and figures",
    "storage": "files behind URIs, whole or not at all; digests; beside it medlabel.errors and "
    "medlabel.versions",
}

_PLACES = {
    "data": (0, 0),
    "teacher": (1, 0),
    "student": (2, 0),
    "evaluation": (3, 0),
    "experiments": (4, 0),
    "phantoms": (0, 1),
    "serving": (1, 1),
    "annotation": (2, 1),
    "reports": (4, 1),
}
_BARS = {"cli": 16, "jobs": 72, "rayjobs": 128, "storage": 512}
_EVERYWHERE = {"storage", "errors", "versions", "_torchvision"}
"""Imported by nearly all packages, so not repeated in each box."""

_BY_WAY_OF = {("student", "evaluation"): "experiments"}
"""Arrays pass from the first to the second in the third, which imports both."""

_WAY = {
    ("phantoms", "data"): "drawings",
    ("data", "teacher"): "images",
    ("teacher", "student"): "scores",
    ("student", "evaluation"): "predictions",
    ("evaluation", "experiments"): "metrics",
    ("experiments", "reports"): "tables",
    ("student", "annotation"): "decisions",
    ("student", "serving"): "a bundle",
    ("annotation", "reports"): "annotations",
}


def package_edges(root: Path = ROOT) -> set[tuple[str, str]]:
    """Which package imports which, `medlabel.` left out, and medlabel's own `__init__` too."""
    edges = edges_between(read_tree(root).values())
    named = {(a.removeprefix("medlabel."), b.removeprefix("medlabel.")) for a, b in edges}
    return {(a, b) for a, b in named if "medlabel" not in (a, b)}


def render(edges: Iterable[tuple[str, str]]) -> str:
    """The picture as SVG.

    Raises:
        ValueError: where a package has no place, or data passes where no imports allow it.
    """
    edges = set(edges)
    packages = {name for edge in edges for name in edge}
    _check(edges, packages)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="system-ui, sans-serif">',
        "<title>The packages of medlabel, and the way of the data through them</title>",
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="#c2410c"/></marker></defs>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="#ffffff"/>',
        *(_bar(name, top) for name, top in _BARS.items() if name in packages),
        *(_box(name, edges) for name in _PLACES),
        *(_arrow(giver, taker, what) for (giver, taker), what in _WAY.items()),
        _text(20, 578, "Orange: the way of the data. Grey: what a package imports, apart from "
              "storage and errors; imports go from later packages to earlier ones.", 12, "#57606a"),
        "</svg>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _check(edges: set[tuple[str, str]], packages: set[str]) -> None:
    homeless = packages - set(_ABOUT) - _EVERYWHERE
    if homeless:
        raise ValueError(f"no place in the picture for {sorted(homeless)}: see _PLACES")
    unfounded = [(a, b) for a, b in _WAY if not _is_passable(a, b, edges)]
    if unfounded:
        raise ValueError(f"no imports allow data to pass here: {unfounded}; see _WAY")


def _is_passable(giver: str, taker: str, edges: set[tuple[str, str]]) -> bool:
    joint = _BY_WAY_OF.get((giver, taker), taker)
    return {(joint, end) for end in (giver, taker) if end != joint} <= edges


def _bar(name: str, top: int) -> str:
    width = _WIDTH - 40
    return (
        f'<rect x="20" y="{top}" width="{width}" height="44" rx="6" fill="#f6f8fa" '
        f'stroke="#8c959f"/>'
        + _text(34, top + 28, name, 16, "#1f2328", weight="bold")
        + _text(120, top + 28, _ABOUT[name], 13, "#1f2328")
    )


def _box(name: str, edges: set[tuple[str, str]]) -> str:
    left, top = _corner(name)
    order = [*_BARS, *_PLACES]
    imported = sorted({b for a, b in edges if a == name} - _EVERYWHERE, key=order.index)
    about = _wrapped(_ABOUT[name], 20)
    lines = _wrapped("imports " + ", ".join(imported), 27) if imported else []
    return (
        f'<rect x="{left}" y="{top}" width="{_BOX[0]}" height="{_BOX[1]}" rx="6" fill="#f6f8fa" '
        f'stroke="#8c959f"/>'
        + _text(left + 12, top + 24, name, 16, "#1f2328", weight="bold")
        + _paragraph(left + 12, top + 42, about, 12, "#1f2328")
        + _paragraph(left + 12, top + 46 + 15 * len(about), lines, 10, "#57606a")
    )


def _paragraph(x: float, y: float, lines: list[str], size: float, fill: str) -> str:
    return "".join(
        _text(x, y + 1.25 * size * number, line, size, fill) for number, line in enumerate(lines)
    )


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _arrow(giver: str, taker: str, what: str) -> str:
    (x1, y1), (x2, y2) = _ends(_corner(giver), _corner(taker))
    level, upright = y1 == y2, x1 == x2
    beside = 8 if upright else 10
    where = ((x1 + x2) / 2, y1 - 9) if level else ((x1 + x2) / 2 + beside, (y1 + y2) / 2 + 5)
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#c2410c" '
        'stroke-width="2.5" marker-end="url(#tip)"/>'
        + _text(*where, what, 11, "#c2410c", anchor="middle" if level else "start")
    )


def _ends(
    giver: tuple[int, int], taker: tuple[int, int]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves one box and meets another: sides in a row, top and bottom else."""
    (x1, y1), (x2, y2), (width, height) = giver, taker, _BOX
    if y1 == y2:
        middle = y1 + height / 2
        return (x1 + width, middle), (x2, middle)
    leave, meet = (y1 + height, y2) if y1 < y2 else (y1, y2 + height)
    lean = width * 0.35 * ((x2 > x1) - (x2 < x1))
    return (x1 + width / 2 + lean, leave), (x2 + width / 2 - lean * 0.4, meet)


def _corner(name: str) -> tuple[int, int]:
    column, row = _PLACES[name]
    return _COLUMNS[column], _ROWS[row]


def _text(
    x: float, y: float, text: str, size: float, fill: str, weight: str = "", anchor: str = ""
) -> str:
    more = (f' font-weight="{weight}"' if weight else "") + (
        f' text-anchor="{anchor}"' if anchor else ""
    )
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" fill="{fill}"{more}>{escape(text)}</text>'
    )


def main() -> int:
    """Write the picture."""
    PICTURE.write_text(render(package_edges()), encoding="utf-8")
    print(f"wrote {PICTURE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
