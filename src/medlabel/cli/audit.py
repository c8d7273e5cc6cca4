"""`medlabel audit plan` and `medlabel audit report`."""

from pathlib import Path
from typing import Annotated

import typer

from medlabel.cli.options import Annotations, Seed
from medlabel.cli.shared import say, warn

__all__ = ["add_audit"]

_Answers = Annotated[
    int, typer.Option(min=1, help="Number of images that a person will be asked about.")
]
_Precision = Annotated[
    float, typer.Option(help="Share of automatic labels that must be right, between 0 and 1.")
]
_Confidence = Annotated[
    float,
    typer.Option(
        help="Confidence of the guarantee, between 0 and 1. It covers the reports of earlier plans "
        "as well."
    ),
]
_MaxCoverage = Annotated[
    float,
    typer.Option(
        help="Largest share of the labels, the most confident ones, that can become automatic. "
        "Only these are sampled; all others go to review."
    ),
]
_ByClass = Annotated[
    bool,
    typer.Option(
        "--by-class", help="Sample the same number of images for every label, rare or not."
    ),
]
_Reports = Annotated[
    int,
    typer.Option(
        min=1,
        help="Number of reports that will be read, the final one included. Reading an interim "
        "report costs power, so it has to be planned.",
    ),
]
_Again = Annotated[
    bool,
    typer.Option("--again", help="Archive the current plan and its answers; sample other images."),
]


def add_audit(app: typer.Typer) -> None:
    """Add `audit plan` and `audit report` to the command line."""
    audit = typer.Typer(
        help="Ask a person about a random sample of labels, and guarantee a precision for all.",
        no_args_is_help=True,
    )
    audit.command("plan")(_plan)
    audit.command("report")(_report)
    app.add_typer(audit, name="audit")


def _plan(
    folder: Annotations,
    answers: _Answers = 300,
    precision: _Precision = 0.99,
    confidence: _Confidence = 0.95,
    max_coverage: _MaxCoverage = 1.0,
    by_class: _ByClass = False,
    reports: _Reports = 1,
    seed: Seed = 0,
    again: _Again = False,
) -> None:
    """Sample the images that a person is to be asked about."""
    from medlabel.annotation.audit import plan_audit, possible_answers
    from medlabel.annotation.audit_history import alpha_spent
    from medlabel.annotation.guarantee import AuditDesign, fewest_answers
    from medlabel.storage.store import Store

    store = Store(folder)
    design = AuditDesign(
        answers, precision, confidence, max_coverage, by_class, reports, seed, alpha_spent(store)
    )
    path = plan_audit(store, design, again)
    fewest = fewest_answers(precision, design.level)
    if answers < fewest:
        warn(
            f"{answers} answers cannot guarantee {precision:.1%}, even if all labels are right: "
            f"that takes {fewest} answers, and more in plans by class"
        )
    say(
        f"fill in the answers: {path}",
        f"each is one of: {', '.join(possible_answers(store))}",
        f"then run: medlabel audit report {folder} {path}",
    )


def _report(
    folder: Annotations,
    answers: Annotated[
        Path | None,
        typer.Argument(metavar="ANSWERS", help="CSV file with the columns uri and answer."),
    ] = None,
) -> None:
    """Report what is guaranteed, given a person's answers."""
    from medlabel.annotation.audit import read_answers, report_audit
    from medlabel.annotation.audit_report import sentences
    from medlabel.storage.store import Store

    given = read_answers(answers) if answers else {}
    say(*sentences(report_audit(Store(folder), given)))
