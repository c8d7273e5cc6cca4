"""Ask a human about some annotations, and say what can then be promised of all.

```
OUT/audit/plan.json    the design: fixed before the first answer
OUT/audit/plan.csv     the images to ask about, in order, with an empty column for the answers
OUT/audit/guarantee.json   what was promised last: export goes by it
OUT/audit-1/               the same of the first plan, once there was another
```

Labels are believed in the order of `assessment.ranks`: an image that is unlike what was learned
comes after all that are like it, however confident. So strangers cost the others nothing.

The human is not shown the student's label, or would follow it. An answer is the name of a class, or
anything of `NEITHER`, which makes every label wrong. What was asked and not answered counts as
wrong too: who leaves the hard ones out shall not be promised more. Without answers nothing is.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medlabel.annotation.audit_history import LEDGER, add_look, add_plan, alpha_spent, plans_made
from medlabel.annotation.guarantee import AuditDesign, Guarantee, certify, draw, fewest_answers
from medlabel.annotation.table import MANIFEST, AnnotationTable, Piece, signed_pieces
from medlabel.errors import MedlabelError, reason
from medlabel.storage.digests import hex_digest
from medlabel.storage.store import Store
from medlabel.student.decision import ranks

__all__ = [
    "NEITHER", "Report", "class_names", "class_of", "names_of", "plan_audit", "promised",
    "read_answers", "report_audit", "sentences",
]  # fmt: skip

PLAN, ASKED, GUARANTEE = "audit/plan.json", "audit/plan.csv", "audit/guarantee.json"
NEITHER = ("neither", "none", "unsure", "unclear", "?")
_MOST_ANSWERS = 10**6  # lines of an answers file


@dataclass(frozen=True)
class _Labels:
    """All annotations, as numbers: 8 bytes an image."""

    signature: str
    pieces: list[Piece]
    classes: tuple[str, ...]
    ranks: NDArray[np.float32]
    labels: NDArray[np.int32]


@dataclass(frozen=True)
class Report:
    """What can be promised.

    Attributes:
        design: what was planned.
        answered: of the images that were asked about.
        asked: images in the plan.
        looks: how often different answers have been reported on, this time included.
        whole: the promise for all images.
        classes: one for each label that was given; they hold together.
        strangers: of those answered, images that were of no class.
        ignored: answers about images that nobody had asked about: they prove nothing.
    """

    design: AuditDesign
    answered: int
    asked: int
    looks: int
    whole: Guarantee
    classes: Mapping[str, Guarantee] = field(default_factory=dict)
    strangers: int = 0
    ignored: int = 0

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The least rank of an automatic label, by label; None: it always goes to review."""
        if self.design.by_class:
            return {name: part.threshold for name, part in self.classes.items()}
        return dict.fromkeys(self.classes, self.whole.threshold)


def class_names(store: Store) -> tuple[str, ...]:
    """The classes of a folder of annotations, in the student's order."""
    return names_of(store, signed_pieces(store)[1])


def names_of(store: Store, pieces: Sequence[Piece]) -> tuple[str, ...]:
    """The classes of some pieces of a folder, in the student's order."""
    names = AnnotationTable(store).read(pieces[0]).column_names
    return tuple(name.removeprefix("p_") for name in names if name.startswith("p_"))


def plan_audit(store: Store, design: AuditDesign, again: bool = False) -> str:
    """Draw the images to ask about and write the plan; returns the path of its CSV.

    Args:
        store: the folder of annotations.
        design: what is to be promised; what earlier plans have spent is read here.
        again: put the plan that is there away, with its answers, and ask about other images.

    Raises:
        MedlabelError: there is a plan, or earlier ones have left no chance to be wrong.
    """
    if store.exists(PLAN) and not again:
        raise MedlabelError(
            f"{store.path(PLAN)} is there: answer it, or ask about other images with --again"
        )
    if store.exists(PLAN):
        _number(store, store.read_json(PLAN))  # its looks count, whoever made it
    seen, number = _read(store), plans_made(store)
    design = replace(design, alpha_spent=alpha_spent(store))
    weights = store.read_json(MANIFEST)["origin"]["weights"]
    rows = draw(seen.ranks, seen.labels, design, salt=int(weights[:16] or "0", 16) + number)
    uris = _uris(store, seen.pieces, rows)
    _put_away(store)
    add_plan(store, design.level)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["uri", "answer"])
    writer.writerows([uri, ""] for uri in uris)
    store.write(ASKED, text.getvalue().encode())
    facts = {"design": asdict(design), "rows": rows.tolist(), "uris": uris, "number": number}
    store.write_json(PLAN, facts | {"annotations": seen.signature})
    return store.path(ASKED)


def _put_away(store: Store) -> None:
    """Move a plan and what people may have answered in it to a folder of its own.

    What was promised last holds until there is another report.
    """
    for name in (GUARANTEE, ASKED, PLAN):
        if store.exists(name):
            other = name.replace("audit/", f"audit-{plans_made(store)}/")
            store.write(other, store.read(name))
            if name != GUARANTEE:
                store.remove(name)


def _number(store: Store, plan: dict[str, Any]) -> int:
    """A plan's number in the ledger; one from before there was a ledger is entered now.

    Raises:
        MedlabelError: the ledger is gone.
    """
    if "number" not in plan:
        plan["number"] = add_plan(store, AuditDesign(**plan["design"]).level)
        for digest in plan.pop("looks", ()):
            add_look(store, plan["number"], digest)
        store.write_json(PLAN, plan)
    if plan["number"] >= plans_made(store):
        raise MedlabelError(
            f"{store.path(LEDGER)}, which counts reports, is gone: bring it back, or annotate into "
            "another folder and plan there"
        )
    return int(plan["number"])


def report_audit(store: Store, answers: Mapping[str, str]) -> Report:
    """What can be promised, given answers by address; it is kept for export to go by.

    Raises:
        MedlabelError: there is no plan, the annotations have changed since, or an answer is no
            class.
    """
    if not store.exists(PLAN):
        raise MedlabelError(
            f"nothing is guaranteed of {store.uri}, for no human was asked: run medlabel audit plan"
        )
    plan, seen = store.read_json(PLAN), _read(store)
    _check_signature(store, plan, seen.signature)
    design, uris = AuditDesign(**plan["design"]), plan["uris"]
    told = {uri: class_of(answer, uri, seen.classes) for uri, answer in answers.items()}
    looks = _looks(store, plan, {uri: told[uri] for uri in uris if uri in told})
    rows = np.array(plan["rows"], dtype=np.int64)
    given = np.array([told.get(uri, -2) for uri in uris], dtype=np.int64)
    whole, classes = certify(seen.ranks, seen.labels, rows, given == seen.labels[rows], design)
    report = Report(
        design, int((given > -2).sum()), len(uris), looks, whole,
        {seen.classes[label]: part for label, part in classes.items()},
        int((given == -1).sum()), len(set(told) - set(uris)),
    )  # fmt: skip
    store.write_json(GUARANTEE, _facts(report) | {"annotations": seen.signature})
    return report


def _check_signature(store: Store, audit: Mapping[str, Any], signed: str) -> None:
    """Raise a `MedlabelError` where an audit was of other annotations than those of now."""
    if audit["annotations"] != signed:
        raise MedlabelError(
            f"the annotations in {store.uri} have changed since the plan: plan anew, with "
            "medlabel audit plan --again"
        )


def promised(store: Store) -> dict[str, float | None] | None:
    """By label, the least rank that the last report promised; None: there was no report.

    Raises:
        MedlabelError: what was promised does not hold, for the annotations have changed since, or
            more reports were read than were planned.
    """
    if not store.exists(GUARANTEE):
        return None
    found = store.read_json(GUARANTEE)
    _check_signature(store, found, signed_pieces(store)[0])
    if not found["kept"]:
        raise MedlabelError(
            f"{found['looks']} reports were read and {found['design']['looks']} planned, so the "
            "promise does not hold: plan anew, with medlabel audit plan --again and a lower "
            f"--confidence, or remove {store.path(GUARANTEE)} to export without a promise"
        )
    thresholds: dict[str, float | None] = found["thresholds"]
    return thresholds


def read_answers(path: Path) -> dict[str, str]:
    """Answers by address, of a CSV with the columns `uri` and `answer`; empty ones are left out."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"uri", "answer"} - set(reader.fieldnames or ())
            if missing:
                raise MedlabelError(f"{path} has no column {' and no '.join(sorted(missing))}")
            return dict(_lines(path, reader))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MedlabelError(f"{path}: {reason(error)}") from error


def _lines(path: Path, reader: "csv.DictReader[str]") -> Iterator[tuple[str, str]]:
    seen: dict[str, str] = {}
    for number, line in enumerate(reader, start=2):
        uri, answer = (line["uri"] or "").strip(), (line["answer"] or "").strip()
        if not answer:
            continue
        if number > _MOST_ANSWERS:
            raise MedlabelError(f"{path} has more than {_MOST_ANSWERS:,} lines")
        if seen.setdefault(uri, answer) != answer:
            raise MedlabelError(f"{path} line {number}: another answer about {uri} came before")
        yield uri, answer


def sentences(report: Report) -> list[str]:
    """The report in words, the promise first."""
    design, whole = report.design, report.whole
    if not report.answered:
        return ["Nothing is guaranteed: no human has answered yet.", _asking(report)]
    percent, sure = f"{design.precision:.1%}", f"{design.confidence:.0%}"
    lines = []
    if whole.step is None:
        lines.append(f"Nothing is guaranteed at {percent}: every label goes to review.")
    else:
        lines.append(
            f"With {sure} confidence at least {percent} of {whole.step.images:,} labels are right "
            f"({whole.coverage:.1%} of {whole.population:,}){_from(report)}. The rest goes to "
            "review."
        )
    if not design.by_class:
        reach = "all labels" if design.among == 1 else f"the surest {design.among:.0%} of labels"
        lines.append(f"By itself: at least {whole.lower():.1%} of {reach} are right.")
        lines += _more(whole)
    lines += [_of_class(name, part) for name, part in report.classes.items()]
    return [*lines, _asking(report), *_cautions(report)]


def _from(report: Report) -> str:
    if report.design.by_class:
        return ", by a threshold for each label"
    return f": {_bound(report.whole.threshold)}"


def _bound(rank: float | None) -> str:
    """Which labels are of a rank and more."""
    if rank is None:
        return "none"
    if rank < 0:
        return f"all, those of images told unlike from confidence {rank + 1:.4f}"
    return f"those of confidence {rank:.4f} and more, but for images told unlike"


def _more(part: Guarantee) -> list[str]:
    """What further answers would do."""
    if part.failed is None:
        return []
    more = part.further()
    seen = f"{part.failed.wrong} of {part.failed.asked} asked about were wrong"
    goal = f"{part.failed.images / part.population:.1%} of the labels"
    if more is None:
        return [f"No number of answers would add up to {goal}, as things stand: {seen}."]
    return [f"About {more:,} answers more, wrong as often, would promise {goal}: {seen}."]


def _of_class(name: str, part: Guarantee) -> str:
    asked = f"{part.largest.wrong} of {part.largest.asked} asked about wrong"
    if part.step is None:
        return f"{name}: nothing promised of {part.population:,} labels ({asked})."
    return (
        f"{name}: {part.step.images:,} of {part.population:,} labels promised "
        f"({part.coverage:.1%}), {_bound(part.threshold)} ({asked})."
    )


def _asking(report: Report) -> str:
    fewest = fewest_answers(report.design.precision, report.design.level)
    return (
        f"{report.answered:,} of {report.asked:,} answered; at least {fewest:,} right answers "
        f"are needed to promise {report.design.precision:.1%} of anything."
    )


def _cautions(report: Report) -> list[str]:
    lines = []
    if report.answered < report.asked:
        lines.append(f"{report.asked - report.answered:,} without an answer count as wrong.")
    if report.strangers:
        lines.append(f"{report.strangers:,} of those answered are of no class.")
    if report.ignored:
        lines.append(
            f"{report.ignored:,} answers are about images that the plan did not ask about: they "
            "prove nothing, for nobody drew them at random."
        )
    if report.looks > report.design.looks:
        lines.append(
            f"This is look {report.looks} and {report.design.looks} was planned: the confidence is "
            f"no longer {report.design.confidence:.0%}. Plan anew, with --again and a lower "
            "--confidence."
        )
    if report.design.alpha_spent:
        lines.append(
            f"Earlier plans have spent {report.design.alpha_spent:.1%} of the chance to be wrong; "
            f"this one is tested at {report.design.left:.1%}, and the confidence is of all "
            "together."
        )
    return lines


def _read(store: Store) -> _Labels:
    """Rank and label of every annotation, in the table's order."""
    signed, pieces = signed_pieces(store)
    classes, table = names_of(store, pieces), AnnotationTable(store)
    places = {name: place for place, name in enumerate(classes)}
    believed, labels = [], []
    for piece in pieces:
        rows = table.read(piece, ["confidence", "ood_score", "label"])
        believed.append(ranks(rows["confidence"].to_numpy(), rows["ood_score"].to_numpy()))
        labels.append(np.array([places[name] for name in rows["label"].to_numpy()], np.int32))
    return _Labels(signed, pieces, classes, np.concatenate(believed), np.concatenate(labels))


def _uris(store: Store, pieces: Sequence[Piece], rows: NDArray[np.int64]) -> list[str]:
    """The addresses of some annotations, by their place in the table."""
    table, first, found = AnnotationTable(store), 0, dict[int, str]()
    for piece in pieces:
        here = rows[(rows >= first) & (rows < first + piece.rows)]
        if len(here):
            names = table.read(piece, ["uri"])["uri"]
            found |= {int(row): names[int(row) - first].as_py() for row in here}
        first += piece.rows
    return [found[row] for row in rows.tolist()]


def class_of(answer: str, uri: str, classes: Sequence[str]) -> int:
    """Index of the class that an answer names; -1 for none of them."""
    if answer in classes:
        return classes.index(answer)
    if answer.lower() in NEITHER:
        return -1
    raise MedlabelError(
        f"{answer!r} about {uri} is no class: choose from {', '.join(classes)}, {NEITHER[0]}"
    )


def _looks(store: Store, plan: dict[str, Any], told: Mapping[str, int]) -> int:
    """Note these answers, if they are new; returns how many different ones were reported on."""
    digest = hex_digest(json.dumps(told, sort_keys=True), 16)
    return add_look(store, _number(store, plan), digest if told else None)


def _facts(report: Report) -> dict[str, Any]:
    """A report as plain JSON."""
    facts = asdict(report)
    facts["thresholds"] = report.thresholds
    facts["kept"] = report.looks <= report.design.looks
    facts["says"] = sentences(report)
    return facts
