"""The history of a folder's audits: every plan, and every report that was read (alpha spending).

```
OUT/audits.json    the plans in order, each with the error level of a report and the reports read
```

Each report that is read can guarantee too much, with a probability of at most its level. By the
union bound these probabilities add up, whatever the plans were and why they were made, because
each plan samples anew. So a plan may spend only what earlier plans have left of the error
probability. The history is kept outside `audit/`: deleting that folder and planning until a
guarantee comes out does not give more chances than stated.
"""

from typing import Any

from medlabel.errors import MedlabelError
from medlabel.storage.store import Store

__all__ = ["HISTORY", "alpha_spent", "plan_count", "record_plan", "record_report"]

HISTORY = "audits.json"


def _plans(store: Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.read_json(HISTORY) if store.exists(HISTORY) else []
    if any("reports" not in plan for plan in found):
        raise MedlabelError(
            f"{store.path(HISTORY)} was written by another version of medlabel: annotate into "
            "another folder, and plan there"
        )
    return found


def plan_count(store: Store) -> int:
    """How many audits have been planned for the labels in a folder."""
    return len(_plans(store))


def alpha_spent(store: Store) -> float:
    """Upper bound of the probability that any guarantee given so far is wrong."""
    return float(sum(plan["level"] * len(plan["reports"]) for plan in _plans(store)))


def record_plan(store: Store, level: float) -> int:
    """Add a plan, each report of which spends `level`; returns its number, from 0."""
    plans = _plans(store)
    store.write_json(HISTORY, [*plans, {"level": level, "reports": []}])
    return len(plans)


def record_report(store: Store, number: int, digest: str | None) -> int:
    """Add a report on a plan's answers unless it is known; returns how many reports there were.

    Args:
        store: the folder of annotations.
        number: of the plan.
        digest: names the answers; None where there are none, which spends nothing.
    """
    plans = _plans(store)
    reports: list[str] = plans[number]["reports"]
    if digest is not None and digest not in reports:
        reports.append(digest)
        store.write_json(HISTORY, plans)
    return len(reports)
