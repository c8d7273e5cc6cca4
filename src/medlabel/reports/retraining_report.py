"""The report of a retraining: what people's answers changed."""

from collections.abc import Mapping, Sequence
from typing import Any

from medlabel.annotation.retraining import AnswerImpact
from medlabel.experiments.verdicts import read_verdict
from medlabel.reports.html import render
from medlabel.reports.verdict_section import verdict_section
from medlabel.storage.store import Store

__all__ = ["PAGE", "report_retraining"]

PAGE = "report/index.html"


def report_retraining(
    store: Store, impact: AnswerImpact, facts: Mapping[str, Any], remarks: Sequence[str]
) -> str:
    """Write the report, with the verdict of the folder; returns its full path.

    Args:
        store: the folder of the next student.
        impact: what the answers changed.
        facts: name and value of what the student was made from.
        remarks: sentences about the answers.
    """
    verdict = verdict_section(read_verdict(store))
    page = render(
        "retrain.html.j2", impact=impact, verdict=verdict, facts=facts, remarks=list(remarks)
    )
    store.write_utf8(PAGE, page)
    return store.path(PAGE)
