"""Ask a person about a random sample of annotations, and state what is then guaranteed of all.

```
OUT/audit/plan.json        the design, fixed before the first answer
OUT/audit/plan.csv         the images to ask about, in order, with an empty column for the answers
OUT/audit/population-*     what identifies each label that the sample was drawn from
OUT/audit/guarantee.json   the guarantee of the last report: `export` decides by it
OUT/audit-1/               the same files of the first plan, once there is a second
```

Labels are ordered by `medlabel.student.decision.ranking_scores`: out-of-distribution images
come after all others, however confident their labels. So they do not reduce what is guaranteed of
the others.

The person is not shown the student's label, so as not to be biased by it. An answer is the name of
a class, or a word such as `neither` (see `medlabel.annotation.answer_words`), which makes every
label wrong. An image without an answer counts as wrong, too: leaving out the difficult ones must
not improve the guarantee. Without answers nothing is guaranteed.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from medlabel.annotation.answer_words import class_of, word_for_no_class
from medlabel.annotation.audit_history import (
    HISTORY,
    alpha_spent,
    plan_count,
    record_plan,
    record_report,
)
from medlabel.annotation.audit_report import AuditReport, changes_since, report_of, sentences
from medlabel.annotation.guarantee import AuditDesign, certify, sample_rows
from medlabel.annotation.population import (
    Population,
    label_digests,
    read_labels,
    read_population,
)
from medlabel.annotation.table import MANIFEST, AnnotationTable, Piece, signed_pieces
from medlabel.errors import MedlabelError
from medlabel.storage.csv_files import CsvTable, read_csv, unescape, write_csv
from medlabel.storage.digests import Digests, hex_digest
from medlabel.storage.store import Store

__all__ = [
    "GuaranteedLabels",
    "answers_by_uri",
    "class_names",
    "guaranteed_labels",
    "names_of",
    "plan_audit",
    "possible_answers",
    "read_answers",
    "report_audit",
    "settled",
]

PLAN, SAMPLE, GUARANTEE = "audit/plan.json", "audit/plan.csv", "audit/guarantee.json"
_MOST_ANSWERS = 10**6  # lines of an answers file


@dataclass(frozen=True)
class _Labels:
    """All annotations as numbers, 24 bytes per image."""

    pieces: list[Piece]
    classes: tuple[str, ...]
    all: Population


@dataclass(frozen=True)
class GuaranteedLabels:
    """What `export` decides by.

    Attributes:
        thresholds: by label, the smallest rank of an automatic label; None: it goes to review.
        digests: what identifies the labels that the guarantee is about, sorted.
        notes: sentences about labels that have been added, replaced or removed since.
    """

    thresholds: Mapping[str, float | None]
    digests: Digests
    notes: tuple[str, ...] = ()

    def covers(self, rows: pa.Table) -> NDArray[np.bool_]:
        """Whether the guarantee is about these rows of the table, bool [N]."""
        return np.isin(label_digests(rows), self.digests)


# ---------------------------------------------------------------- plan and report


def plan_audit(store: Store, design: AuditDesign, again: bool = False) -> str:
    """Sample the images to ask about and write the plan; returns the path of its CSV file.

    Args:
        store: the folder of annotations.
        design: what is to be guaranteed; the alpha that earlier plans spent is read from the
            folder.
        again: archive the current plan with its answers, and sample other images.

    Raises:
        MedlabelError: there is a plan already, or earlier plans have spent the whole error
            probability.
    """
    if store.exists(PLAN):
        if not again:
            raise MedlabelError(
                f"{store.path(PLAN)} exists: answer it, or sample other images with --again"
            )
        _read_plan(store)  # raises if its history, which counts its reports, was deleted
    seen, number = _read(store), plan_count(store)
    design = replace(design, alpha_spent=alpha_spent(store))
    weights = store.read_json(MANIFEST)["origin"]["weights"]
    salt = int(weights[:16] or "0", 16) + number
    rows = sample_rows(seen.all.ranking_scores, seen.all.labels, design, salt)
    uris = _uris(store, seen.pieces, rows)
    _archive(store)
    record_plan(store, design.level)
    store.write_utf8(SAMPLE, write_csv(["uri", "answer"], [(uri, "") for uri in uris]))
    facts = {"design": asdict(design), "rows": rows.tolist(), "uris": uris, "number": number}
    facts |= {"population": seen.all.write(store), "classes": seen.classes}
    store.write_json(PLAN, facts)
    return store.path(SAMPLE)


def possible_answers(store: Store) -> list[str]:
    """What a person may answer in the current plan: the classes, and a word for none of them."""
    classes = store.read_json(PLAN)["classes"]
    return [*classes, *filter(None, [word_for_no_class(classes)])]


def _archive(store: Store) -> None:
    """Move a plan, with the answers people may have written into it, to a folder of its own.

    The last guarantee is copied: it holds until there is another report.
    """
    for name in (GUARANTEE, SAMPLE, PLAN):
        if store.exists(name):
            other = name.replace("audit/", f"audit-{plan_count(store)}/")
            store.write(other, store.read(name))
            if name != GUARANTEE:
                store.remove(name)


def _read_plan(store: Store) -> tuple[dict[str, Any], AuditDesign]:
    """The current plan and its design.

    Raises:
        MedlabelError: another version wrote it, or the history that counts its reports is gone.
    """
    plan: dict[str, Any] = store.read_json(PLAN)
    try:
        number, design, _ = plan["number"], AuditDesign(**plan["design"]), plan["population"]
    except (KeyError, TypeError) as error:
        raise MedlabelError(
            f"{store.path(PLAN)} was written by another version of medlabel: annotate into another "
            "folder, and plan there"
        ) from error
    if number >= plan_count(store):
        raise MedlabelError(
            f"{store.path(HISTORY)}, which counts reports, is missing: restore it, or annotate "
            "into another folder and plan there"
        )
    return plan, design


def report_audit(store: Store, answers: Mapping[str, str]) -> AuditReport:
    """What is guaranteed, given answers by address; it is stored for `export` to decide by.

    Raises:
        MedlabelError: there is no plan, the annotations have changed since, or an answer names no
            class.
    """
    if not store.exists(PLAN):
        raise MedlabelError(
            f"nothing is guaranteed of {store.uri}, because no person was asked: run `medlabel "
            "audit plan` first"
        )
    (plan, design), seen = _read_plan(store), _read(store)
    audited = _audited(store, plan, seen.all.digests)
    uris = plan["uris"]
    answers = settled(answers, set(uris))
    given = {uri: class_of(answer, uri, seen.classes) for uri, answer in answers.items()}
    reports = _count_report(store, plan, {uri: given[uri] for uri in uris if uri in given})
    rows = np.array(plan["rows"], dtype=np.int64)
    answered = np.array([given.get(uri, -2) for uri in uris], dtype=np.int64)
    right = answered == audited.labels[rows]
    whole, classes = certify(audited.ranking_scores, audited.labels, rows, right, design)
    report = AuditReport(
        design, int((answered > -2).sum()), len(uris), reports, whole,
        {seen.classes[label]: part for label, part in classes.items()},
        int((answered == -1).sum()), len(set(given) - set(uris)),
    )  # fmt: skip
    report = _since(report, audited, seen)
    kept = {name: plan[name] for name in ("rows", "uris", "population")}
    store.write_json(GUARANTEE, _facts(report) | kept)
    return report


def _audited(store: Store, audit: Mapping[str, Any], now: Digests) -> Population:
    """The population of an audit.

    Raises:
        MedlabelError: a label that a person was asked about has been replaced or removed since.
    """
    if "population" not in audit:
        raise MedlabelError(
            f"the audit in {store.uri} was made by another version of medlabel: plan again with "
            "`medlabel audit plan --again`"
        )
    audited = read_population(store, audit["population"])
    changed = ~np.isin(audited.digests[np.array(audit["rows"], dtype=np.int64)], now)
    if changed.any():
        first = audit["uris"][int(np.flatnonzero(changed)[0])]
        raise MedlabelError(
            f"{int(changed.sum()):,} of the labels that the plan asks about have changed since, "
            f"{first} first: plan again with `medlabel audit plan --again`"
        )
    return audited


def _since(report: AuditReport, audited: Population, seen: _Labels) -> AuditReport:
    """A report that counts what has been added, replaced and removed since the plan."""
    gone = ~np.isin(audited.digests, seen.all.digests)
    least = [report.thresholds.get(name) for name in seen.classes]
    bounds = np.array([np.inf if bound is None else bound for bound in least], dtype=np.float32)
    accepted = audited.ranking_scores >= bounds[audited.labels]
    added = ~np.isin(seen.all.digests, audited.digests)
    return replace(
        report,
        added=int(added.sum()),
        gone=int(gone.sum()),
        gone_accepted=int((gone & accepted).sum()),
    )


def _count_report(store: Store, plan: Mapping[str, Any], given: Mapping[str, int]) -> int:
    """Record a report on these answers unless they are known; returns how many there were."""
    digest = hex_digest(json.dumps(given, sort_keys=True), 16)
    return record_report(store, plan["number"], digest if given else None)


def _facts(report: AuditReport) -> dict[str, Any]:
    """A report as plain JSON."""
    facts = asdict(report)
    facts["thresholds"] = report.thresholds
    facts["valid"] = report.reports_read <= report.design.reports
    facts["sentences"] = sentences(report)
    return facts


def guaranteed_labels(store: Store) -> GuaranteedLabels | None:
    """What the last report guarantees of the labels as they are now; None if there was no report.

    Raises:
        MedlabelError: the guarantee does not hold, because a label that a person was asked about
            has changed since, or because more reports were read than planned.
    """
    if not store.exists(GUARANTEE):
        return None
    found, seen = store.read_json(GUARANTEE), _read(store)
    audited = _audited(store, found, seen.all.digests)
    if not found.get("valid"):
        raise MedlabelError(
            f"{found.get('reports_read', 'more')} reports were read and "
            f"{found['design'].get('reports', 'fewer')} planned, so the guarantee does not hold: "
            "plan again, with `medlabel audit plan --again` and a lower --confidence, or remove "
            f"{store.path(GUARANTEE)} to export without a guarantee"
        )
    report = _since(report_of(found), audited, seen)
    return GuaranteedLabels(report.thresholds, audited.digests, tuple(changes_since(report)))


# ---------------------------------------------------------------- reading


def class_names(store: Store) -> tuple[str, ...]:
    """The classes of a folder of annotations, in the student's order."""
    return names_of(store, signed_pieces(store)[1])


def names_of(store: Store, pieces: Sequence[Piece]) -> tuple[str, ...]:
    """The classes of some pieces of a folder, in the student's order."""
    names = AnnotationTable(store).read(pieces[0]).column_names
    return tuple(name.removeprefix("p_") for name in names if name.startswith("p_"))


def read_answers(path: Path) -> dict[str, str]:
    """Answers by address from a CSV file with the columns `uri` and `answer`, without empty ones.

    Raises:
        MedlabelError: the file cannot be read, lacks a column, or contradicts itself.
    """
    return answers_by_uri(read_csv(path, ["uri", "answer"], _MOST_ANSWERS))


def answers_by_uri(table: CsvTable) -> dict[str, str]:
    """The same from a file that has been read."""
    table.require("uri", "answer")
    seen: dict[str, str] = {}
    for number, line in table.rows:
        uri, answer = unescape(line["uri"]), line["answer"].strip(" ")
        if answer.strip() and seen.setdefault(uri, answer) != answer:
            raise MedlabelError(
                f"{table.path} line {number}: contradicts an earlier answer about {uri}"
            )
    return seen


def settled(answers: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """Answers by the addresses that are known.

    The names of files may begin or end with a blank, and people put blanks beside commas: they are
    left out only where there is no image of this address with them.

    Args:
        answers: by address, as they are in a file.
        known: addresses of images.

    Raises:
        MedlabelError: two answers about an image contradict each other.
    """
    found: dict[str, str] = {}
    for uri, answer in answers.items():
        name = uri.strip() if uri not in known and uri.strip() in known else uri
        if found.setdefault(name, answer) != answer:
            raise MedlabelError(f"two answers about {name} contradict each other: correct one")
    return found


def _read(store: Store) -> _Labels:
    """Every annotation, in the table's order."""
    _, pieces = signed_pieces(store)
    classes = names_of(store, pieces)
    return _Labels(pieces, classes, read_labels(store, pieces, classes))


def _uris(store: Store, pieces: Sequence[Piece], rows: NDArray[np.int64]) -> list[str]:
    """The addresses of some rows of the table."""
    table, first, found = AnnotationTable(store), 0, dict[int, str]()
    for piece in pieces:
        here = rows[(rows >= first) & (rows < first + piece.rows)]
        if len(here):
            names = table.read(piece, ["uri"])["uri"]
            found |= {int(row): names[int(row) - first].as_py() for row in here}
        first += piece.rows
    return [found[row] for row in rows.tolist()]
