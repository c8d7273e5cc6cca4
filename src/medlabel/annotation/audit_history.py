"""What has been risked on the labels of a folder: every plan, and every report that was read.

```
OUT/audits.json    plans in their order: the level of a look, and the looks that were taken
```

Each report that is read is a chance to be promised too much, as likely as its level. Chances add
up, whatever the plans were and why they were made (the union bound; each plan is a new draw). So a
plan may risk only what the ones before it have left, and the ledger outlives `audit/`: whoever
removes that and plans until a promise comes out has no more chances than said.
"""

from typing import Any

from medlabel.storage.store import Store

__all__ = ["LEDGER", "add_look", "add_plan", "alpha_spent", "plans_made"]

LEDGER = "audits.json"


def _plans(store: Store) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = store.read_json(LEDGER) if store.exists(LEDGER) else []
    return found


def plans_made(store: Store) -> int:
    """How many plans the labels in a folder have had."""
    return len(_plans(store))


def alpha_spent(store: Store) -> float:
    """How likely one of the promises that exports go by is broken, at most; of all so far."""
    return float(sum(plan["level"] * len(plan["looks"]) for plan in _plans(store)))


def add_plan(store: Store, level: float) -> int:
    """Enter a plan, each look at which risks `level`; returns its number, from 0."""
    plans = _plans(store)
    store.write_json(LEDGER, [*plans, {"level": level, "looks": []}])
    return len(plans)


def add_look(store: Store, number: int, digest: str | None) -> int:
    """Enter a look at a plan's answers, if it is a new one; returns how many there were."""
    plans = _plans(store)
    looks: list[str] = plans[number]["looks"]
    if digest is not None and digest not in looks:
        looks.append(digest)
        store.write_json(LEDGER, plans)
    return len(looks)
