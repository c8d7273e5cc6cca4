"""From the rows of situations to verdicts, targets, and the table that the package ships.

Situations with the same combination of image sets fall in the same of ten folds, and each fold is
judged by an estimator of the other nine. Single sets of images do occur in several folds.
Thresholds were chosen on the folds with even numbers, the first half; the others are the second.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medlabel.evaluation.evidence.estimate import Estimator, is_useless
from medlabel.evaluation.evidence.judge import level_of, verdict_from
from medlabel.evaluation.evidence.signals import SIGNALS

__all__ = ["judged", "read_rows", "targets", "to_situations", "without_each_signal"]

AUTO_ABOVE = 0.9  # the default of `--auto-above`
_FOLDS = 10
_NONE = 2.0  # above every probability


def read_rows(folder: Path) -> list[dict[str, Any]]:
    """The finished rows, by the name of the situation."""
    rows = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return sorted(rows, key=lambda row: str(row["situation"]))


def to_situations(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The table that the package ships: a row per situation, its fold, signals and accuracy."""
    return pd.DataFrame([
        {
            "situation": row["situation"], "kind": row["kind"], "classes": row["classes"],
            "fold": zlib.crc32(",".join(row["sets"]).encode()) // 7 % _FOLDS,
            "accuracy": round(row["accuracy"], 4),
            **{name: _short(row["signals"][name]) for name in SIGNALS},
            **{f"alone_{name}": _short(row["alone"][name]) for name in SIGNALS},
        }
        for row in rows
    ])  # fmt: skip


def _short(value: float | None) -> float:
    return float("nan") if value is None else round(value, 4)


def judged(
    rows: Sequence[dict[str, Any]], situations: pd.DataFrame, *, alone: bool = False,
    omit: str | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Judge every situation by an estimator of the other folds.

    Returns:
        A row per situation: `situation`, `kind`, `classes`, `fold`, `accuracy`, `estimate`, `low`,
        `high`, `useless` (the weight), `verdict`, `auto` (share of images).
    """
    known = situations if omit is None else situations.assign(**{omit: 0.0, f"alone_{omit}": 0.0})
    found = []
    for fold in sorted(set(known["fold"])):
        mine = np.flatnonzero(known["fold"] == fold)
        estimator = Estimator(known[known["fold"] != fold], alone=alone)
        prefix = "alone_" if alone else ""
        for row in mine.tolist():
            line = known.iloc[row]
            signals = {name: float(line[f"{prefix}{name}"]) for name in estimator.names}
            estimated = estimator.estimate(signals, int(line["classes"]))
            unknown = float(line["unknown"]) == 1
            agreement = 1.0 if alone else float(line["agreement"])
            level = level_of(estimated, all_unknown=unknown, agreement=agreement)
            verdict = verdict_from(level, [], estimated)
            found.append({
                "row": row, "estimate": estimated.accuracy, "low": estimated.low,
                "high": estimated.high, "useless": estimated.useless, "verdict": level,
                "auto": _auto(rows[row], level, verdict.auto_above),
            })  # fmt: skip
    table = pd.DataFrame(found).set_index("row").sort_index()
    facts = situations[["situation", "kind", "classes", "fold", "accuracy"]]
    return facts.join(table)


def _auto(row: dict[str, Any], level: str, above: float | None) -> float:
    """The share of images whose label would be accepted."""
    if level == "guessing" or "confidence" not in row:
        return 0.0
    least = AUTO_ABOVE if level == "read" else _NONE if above is None else max(above, AUTO_ABOVE)
    return float(np.mean(np.array(row["confidence"]) >= least))


def targets(table: pd.DataFrame) -> pd.DataFrame:
    """The figures that were to be reached, of some situations."""
    useless = is_useless(table["accuracy"].to_numpy(), table["classes"].to_numpy())
    good = (table["accuracy"] > 0.95).to_numpy()
    inside = (table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])
    error = (table["estimate"] - table["accuracy"]).abs()
    lines = [
        ("useless situations with the verdict read", "<= 2 %", _share(table, useless, "read")),
        ("images accepted in useless situations", "<= 1 %", table.loc[useless, "auto"].mean()),
        ("good situations with the verdict guessing", "<= 2 %", _share(table, good, "guessing")),
        ("good situations with the verdict doubtful", "<= 10 %", _share(table, good, "doubtful")),
        ("mean absolute error of the estimate", "<= 0.05", error.mean()),
        ("coverage of the 90 % interval", "85 to 95 %", inside.mean()),
        ("mean width of the interval", "", (table["high"] - table["low"]).mean()),
        ("situations", ">= 200", len(table)),
        ("useless ones", "", int(useless.sum())),
        ("good ones", "", int(good.sum())),
    ]
    return pd.DataFrame(lines, columns=["target", "to reach", "reached"])


def _share(table: pd.DataFrame, rows: NDArray[np.bool_], level: str) -> float:
    return float((table.loc[rows, "verdict"] == level).mean())


def without_each_signal(rows: Sequence[dict[str, Any]], situations: pd.DataFrame) -> pd.DataFrame:
    """The targets that change when one signal is taken out."""
    lines = []
    for name in (None, *SIGNALS):
        found = targets(judged(rows, situations, omit=name)).set_index("target")["reached"]
        lines.append({"without": name or "(none)", **found.iloc[:6].to_dict()})
    return pd.DataFrame(lines)
