"""The report of an audit, and the sentences that state it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from medlabel.annotation.guarantee import AuditDesign, Guarantee, ThresholdTest, fewest_answers
from medlabel.annotation.population import lowest_precision

__all__ = ["AuditReport", "changes_since", "report_of", "sentences"]


@dataclass(frozen=True)
class AuditReport:
    """What is guaranteed.

    Attributes:
        design: the plan.
        answered: number of sampled images that have an answer.
        asked: number of images in the sample.
        reports_read: number of different sets of answers reported on, this one included.
        whole: the guarantee for all images.
        classes: one guarantee for each label that was given; they hold simultaneously.
        of_no_class: number of answers that name no class.
        not_sampled: number of answers about images that were not sampled: they prove nothing.
        added: number of labels that were not there when the sample was drawn.
        gone: number of labels that were there, and have been replaced or removed since.
        gone_accepted: those of them that would be automatic.
    """

    design: AuditDesign
    answered: int
    asked: int
    reports_read: int
    whole: Guarantee
    classes: Mapping[str, Guarantee] = field(default_factory=dict)
    of_no_class: int = 0
    not_sampled: int = 0
    added: int = 0
    gone: int = 0
    gone_accepted: int = 0

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The smallest rank of an automatic label, by label; None: it always goes to review."""
        if self.design.by_class:
            return {name: part.threshold for name, part in self.classes.items()}
        return dict.fromkeys(self.classes, self.whole.threshold)


def sentences(report: AuditReport) -> list[str]:
    """The report in words, the guarantee first."""
    design, whole = report.design, report.whole
    if not report.answered:
        return ["Nothing is guaranteed: no person has answered yet.", _answers_given(report)]
    percent, confidence = f"{design.precision:.1%}", f"{design.confidence:.0%}"
    lines = []
    if whole.accepted is None:
        lines.append(f"Nothing is guaranteed at {percent}: every label goes to review.")
    else:
        lines.append(
            f"With {confidence} confidence, at least {percent} of {whole.accepted.images:,} labels "
            f"are right ({whole.coverage:.1%} of {whole.population:,}){_criterion(report)}. All "
            "others go to review."
        )
    if not design.by_class:
        reach = "all labels"
        if design.max_coverage < 1:
            reach = f"the most confident {design.max_coverage:.0%} of labels"
        lines.append(f"On its own: at least {whole.lower_bound():.1%} of {reach} are right.")
        lines += _more_answers(whole)
    lines += [_of_class(name, part) for name, part in report.classes.items()]
    return [*lines, _answers_given(report), *_cautions(report), *changes_since(report)]


def changes_since(report: AuditReport) -> list[str]:
    """What has become of the labels since the sample was drawn, and what that means."""
    lines, precision = [], report.design.precision
    if report.added:
        lines.append(
            f"{report.added:,} labels are newer than the plan: nothing is guaranteed of them, and "
            "they go to review."
        )
    if report.gone:
        lines.append(
            f"{report.gone:,} labels have been replaced or removed since the plan: the guarantee "
            "is about the labels as they were."
        )
    if report.gone_accepted and report.whole.accepted:
        left = report.whole.accepted.images - report.gone_accepted
        least = lowest_precision(report.whole, precision, report.gone_accepted)
        lines.append(f"Of the {left:,} accepted ones that remain, at least {least:.1%} are right.")
    return lines


def _criterion(report: AuditReport) -> str:
    if report.design.by_class:
        return ", by a threshold for each label"
    return f": {_bound(report.whole.threshold)}"


def _bound(rank: float | None) -> str:
    """Which labels have at least this rank."""
    if rank is None:
        return "none"
    if rank < 0:
        return (
            "all labels of images like the training data, and those of out-of-distribution images "
            f"with a confidence of at least {rank + 1:.4f}"
        )
    return f"those with a confidence of at least {rank:.4f}, except out-of-distribution images"


def _more_answers(part: Guarantee) -> list[str]:
    """What further answers would achieve."""
    if part.rejected is None:
        return []
    more = part.answers_needed()
    seen = f"{part.rejected.wrong} of {part.rejected.asked} sampled labels were wrong"
    goal = f"{part.rejected.images / part.population:.1%} of the labels"
    if more is None:
        return [f"No number of answers would add up to {goal}, as things stand: {seen}."]
    return [f"About {more:,} more answers, wrong as often, would guarantee {goal}: {seen}."]


def _of_class(name: str, part: Guarantee) -> str:
    asked = f"{part.largest.wrong} of {part.largest.asked} sampled labels were wrong"
    if part.accepted is None:
        return f"{name}: nothing guaranteed of {part.population:,} labels ({asked})."
    return (
        f"{name}: {part.accepted.images:,} of {part.population:,} labels guaranteed "
        f"({part.coverage:.1%}), {_bound(part.threshold)} ({asked})."
    )


def _answers_given(report: AuditReport) -> str:
    fewest = fewest_answers(report.design.precision, report.design.level)
    return (
        f"{report.answered:,} of {report.asked:,} answered; to guarantee "
        f"{report.design.precision:.1%} of anything takes at least {fewest:,} answers that confirm "
        "the label."
    )


def _cautions(report: AuditReport) -> list[str]:
    design, lines = report.design, []
    if report.answered < report.asked:
        lines.append(f"{report.asked - report.answered:,} without an answer count as wrong.")
    if report.of_no_class:
        lines.append(f"{report.of_no_class:,} answers name no class.")
    if report.not_sampled:
        lines.append(
            f"{report.not_sampled:,} answers are about images that were not sampled: they prove "
            "nothing, because those images were not chosen at random."
        )
    if report.reports_read > design.reports:
        lines.append(
            f"This is report {report.reports_read}, and {design.reports} planned: the confidence "
            f"is no longer {design.confidence:.0%}. Plan again, with --again and a lower "
            "--confidence."
        )
    if design.alpha_spent:
        lines.append(
            f"Earlier plans have spent {design.alpha_spent:.1%} of the error probability; this one "
            f"is tested at {design.alpha_left:.1%}, and the confidence covers all plans together."
        )
    return lines


def report_of(facts: Mapping[str, Any]) -> AuditReport:
    """The report that was stored as plain JSON by `dataclasses.asdict`."""
    known = {field.name: facts[field.name] for field in fields(AuditReport)}
    known["design"] = AuditDesign(**facts["design"])
    known["whole"] = _guarantee(facts["whole"])
    known["classes"] = {name: _guarantee(part) for name, part in facts["classes"].items()}
    return AuditReport(**known)


def _guarantee(facts: Mapping[str, Any]) -> Guarantee:
    names = ("accepted", "rejected", "largest")
    tests = {name: None if facts[name] is None else _test(facts[name]) for name in names}
    return Guarantee(**{**facts, **tests})


def _test(facts: Mapping[str, Any]) -> ThresholdTest:
    """A test; JSON has no infinity, the threshold of an empty set, so there it is null."""
    threshold = facts["threshold"]
    return ThresholdTest(**{**facts, "threshold": math.inf if threshold is None else threshold})
