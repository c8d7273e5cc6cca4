"""The verdict on a labelling as a part of a page: for every report, from one template.

A page that shows it includes `verdict.css` in its style. The part needs no script and no other
file: lights and bars are inline SVG, example images are embedded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from markupsafe import Markup, escape

from medlabel.experiments.verdicts import LabellingVerdict
from medlabel.reports.html import render_part
from medlabel.reports.verdict_words import (
    LIGHTS,
    accuracy_sentence,
    counted_labellings,
    review_sentence,
    short_accuracy,
    subject,
)
from medlabel.student.verdict import Level, Verdict

__all__ = ["verdict_counts", "verdict_section", "verdict_table"]

_SHOWN = 5  # pieces of evidence on the page; the others are folded away
_ROWS = 300  # of a table on the page; its file holds all
_WORST_FIRST: tuple[Level, ...] = ("guessing", "doubtful", "read")


def verdict_section(verdict: Verdict | None, badge: str = "") -> Markup:
    """The verdict as an HTML section; empty if there is none.

    Args:
        verdict: of the labels that the page is about.
        badge: text beside the heading, such as that the images are drawn.
    """
    if verdict is None:
        return Markup()
    return render_part(
        "_verdict.html.j2",
        verdict=verdict,
        lights=LIGHTS,
        badge=badge,
        accuracy=accuracy_sentence(verdict),
        review=review_sentence(verdict),
        subject=subject,
        shown=verdict.evidence[:_SHOWN],
        more=verdict.evidence[_SHOWN:],
        code=_code,
    )


def verdict_table(
    rows: Sequence[LabellingVerdict],
    badge: str = "",
    accuracies: Mapping[tuple[str, ...], float] = MappingProxyType({}),
) -> Markup:
    """The verdicts of many labellings as an HTML section, the worst first; empty if there are none.

    Args:
        rows: one per labelling.
        badge: text beside the heading.
        accuracies: of the labels by true labels, 0 to 1, by `LabellingVerdict.key`; they had no
            part in the verdicts, and are shown beside the estimates if there are any.
    """
    if not rows:
        return Markup()
    names = ("teacher", "recipe", "student")
    worst = sorted(rows, key=lambda row: _WORST_FIRST.index(row.verdict.level))
    columns = [name for name in names if len({getattr(row, name) for row in rows}) > 1]
    return render_part(
        "_verdicts.html.j2",
        rows=worst[:_ROWS],
        cut=len(rows) > _ROWS,
        columns=columns,
        lights=LIGHTS,
        levels=[row.verdict.level for row in worst[:_ROWS]],
        badge=badge,
        accuracies=accuracies,
        total=counted_labellings(rows),
        accuracy=short_accuracy,
        subject=subject,
        code=_code,
    )


def verdict_counts(rows: Sequence[LabellingVerdict]) -> Markup:
    """How many labellings got each verdict, for the head of a page with a `verdict_table`."""
    if not rows:
        return Markup()
    levels = [row.verdict.level for row in rows]
    counts = [(level, levels.count(level)) for level in _WORST_FIRST]
    return render_part("_counts.html.j2", counts=counts, total=counted_labellings(rows))


def _code(sentence: str) -> Markup:
    """A sentence in which what stands between backticks is code."""
    parts = re.split(r"`([^`]+)`", sentence)
    code = Markup("<code>{}</code>").format
    return Markup().join(code(part) if n % 2 else escape(part) for n, part in enumerate(parts))
