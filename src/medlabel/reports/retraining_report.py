"""The report of a retraining: what people's answers changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from medlabel.annotation.retraining import AnswerImpact
from medlabel.reports.html import render
from medlabel.storage.store import Store

__all__ = ["PAGE", "report_retraining"]

PAGE = "report/index.html"


def report_retraining(
    store: Store, impact: AnswerImpact, facts: Mapping[str, Any], remarks: Sequence[str]
) -> str:
    """Write the report; returns its full path.

    Args:
        store: the folder of the next student.
        impact: what the answers changed.
        facts: name and value of what the student was made from.
        remarks: sentences about the answers.
    """
    page = render("retrain.html.j2", impact=impact, facts=facts, remarks=list(remarks))
    store.write(PAGE, page.encode())
    return store.path(PAGE)
