"""The report of a search, from its tables alone: no Ray, no images and no models are needed."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from medlabel.experiments import tune_tables as tables
from medlabel.experiments.tune_spec import FAILED_AGREEMENT, MIN_SEEDS
from medlabel.experiments.tune_tables import TuneTables, correlation
from medlabel.experiments.verdicts import LabellingVerdict
from medlabel.reports.figures import BETTER, INK, NEITHER, WORSE
from medlabel.reports.html import render
from medlabel.reports.page import SYNTHETIC, Entry, Table, number, percents, picture
from medlabel.reports.sweep_report import counted, percent, points
from medlabel.reports.verdict_section import verdict_counts, verdict_section, verdict_table
from medlabel.storage.store import Store

__all__ = ["report_tune", "tune_answer"]

_SHOWN = 30  # trials on the page; evaluated.csv holds all


def report_tune(store: Store) -> str:
    """Write the figure and the page of a search from its folder; returns the page's path."""
    found = tables.read_tune(store)
    folder, synthetic = store / tables.REPORT, bool(found.manifest["synthetic"])
    page = render(
        "tables.html.j2",
        title=found.manifest["spec"]["name"] or "search",
        heading="The winner on held-out images",
        answer=tune_answer(found),
        remarks=_remarks(found),
        **_verdicts(found.verdicts, SYNTHETIC if synthetic else ""),
        synthetic=synthetic,
        synthetic_note=SYNTHETIC,
        leaderboards=[_comparison(found.comparison)],
        pictures=[picture(_scatter(found), folder, synthetic=synthetic)],
        tables=[_trials(found.evaluated), _recipe(found)],
        facts=_facts(found),
    )
    folder.write_utf8("index.html", page)
    return folder.path("index.html")


def _verdicts(found: Sequence[LabellingVerdict], badge: str) -> dict[str, Markup]:
    """The verdicts on the winner's labels; of a single task all the evidence is shown."""
    one = found[0].verdict if len(found) == 1 else None
    many = found if one is None else ()
    return {
        "verdict": verdict_section(one, badge),
        "verdict_counts": verdict_counts(many),
        "verdicts": verdict_table(many, badge),
    }


def tune_answer(found: TuneTables) -> str:
    """The result in two or three sentences; the first says why the winner was chosen."""
    rows = {row["who"]: row for row in found.comparison.to_dict("records")}
    best, start = rows["best trial" if found.choice.keeps_default else "winner"], rows["default"]
    ours, theirs = percents(best["accuracy"], start["accuracy"])
    word = "worse than" if best["gain"] < 0 else "better than" if best["gain"] > 0 else "as good as"
    return (
        f"{found.choice.sentence()} Of {counted(len(found.evaluated), 'trial')}, the one with the "
        f"highest agreement labels {ours} of held-out images correctly, the default recipe "
        f"({start['recipe']}) {theirs}: it is {word} the recipe that the search started from. By "
        f"true accuracy, which played no part in the choice, it ranks {best['truth_rank']:.0f} of "
        f"{best['of']:.0f} different recipes."
    )


def _remarks(found: TuneTables) -> list[str]:
    remarks = [*_better_baselines(found)]
    rho = correlation(found.evaluated)
    if not np.isnan(rho):
        remarks.append(
            f"Over the recipes tried ({MIN_SEEDS} seeds each), the rank correlation of agreement "
            f"and true accuracy is {rho:.2f}. Near 0, agreement does not show which recipe is "
            "better."
        )
    if failed := int((found.evaluated["agreement"] <= FAILED_AGREEMENT).sum()):
        remarks.append(f"{counted(failed, 'trial')} could not be fitted: see evaluated.csv.")
    remarks.append(
        "Agreement cannot detect a teacher that is consistently wrong on similar images: a search "
        "for agreement may select the recipes that imitate such a teacher most faithfully."
    )
    return remarks


def _better_baselines(found: TuneTables) -> Iterator[str]:
    """Name the recipes that were only compared, and have a higher agreement than the winner."""
    agreed = found.comparison.set_index("who")["agreement"]["winner"]
    for row in found.comparison.to_dict("records"):
        if row["who"] == "also compared" and row["agreement"] > agreed:
            yield (
                f"{row['recipe']}, which was only compared, has a higher agreement than the winner "
                f"({row['agreement']:.3f} against {agreed:.3f}): list it first in `recipes` to "
                "start the search from it."
            )


def _comparison(frame: pd.DataFrame) -> Table:
    rows = []
    for row in frame.to_dict("records"):
        known = not np.isnan(row["gain"])
        reach = f" [{points(row['low'])}, {points(row['high'])}]" if known else ""
        place = f"{row['truth_rank']:.0f} of {row['of']:.0f}" if known else ""
        cells = (
            row["who"],
            row["recipe"],
            row["student"],
            f"{row['seeds']:.0f}",
            number(row["agreement"], 3),
            percent(row["accuracy"]),
            percent(row["worst"]),
            points(row["gain"]) + reach,
            place,
        )
        rows.append((bool(row["gain"] < 0), cells))
    caption = (
        "Accuracy on held-out images in percent, the mean over seeds (and tasks); worst: the worst "
        "seed. Gain over the default in points, on the seeds that both have, with its 95 % "
        "confidence interval (other training pools, the same held-out images). Rank: by true "
        f"accuracy over the {MIN_SEEDS} seeds that all trials have."
    )
    columns = (
        *("", "recipe", "student", "seeds", "agreement", "accuracy, %", "worst, %", "gain"),
        "rank by accuracy",
    )
    return Table("The winner on held-out images", caption, columns, rows)


def _trials(evaluated: pd.DataFrame) -> Table:
    """The trials with the highest agreement, in the order in which the best one is chosen."""
    order = ["seeds", "agreement"]
    some = evaluated.sort_values(order, ascending=False, kind="stable").head(_SHOWN)
    rows = [
        (
            False,
            (
                f"{row['search']} {row['trial']}",
                row["student"],
                str(row["seeds"]),
                *(number(row[name], 3) for name in ("agreement", "students", "neighbours")),
                number(row["balance"], 3),
                percent(row["accuracy"]),
                "" if pd.isna(row["truth_rank"]) else str(row["truth_rank"]),
            ),
        )
        for row in some.to_dict("records")
    ]
    caption = (
        f"{len(rows)} of {len(evaluated):,}, in the order in which the best one is chosen: by "
        "number of seeds, then by agreement. The last two columns were computed after the choice. "
        "All settings of each trial are in evaluated.csv."
    )
    columns = (
        *("trial", "student", "seeds", "agreement", "students", "neighbours", "balance"),
        *("accuracy, %", "rank by accuracy"),
    )
    return Table("Trials", caption, columns, rows)


def _recipe(found: TuneTables) -> Table:
    """The fields in which the best trial differs from the recipe that the search started from."""
    start = found.manifest["start"]
    rows = [
        (False, (name, str(start[name]), str(value)))
        for name, value in found.winner["best_trial"]["recipe"].items()
        if name != "name" and value != start[name]
    ]
    caption = "The recipe of the best trial is in best_trial.yaml, for the option --recipe" + (
        "; winner.yaml is the default, which stays." if found.choice.keeps_default
        else ", and in winner.yaml."
    )  # fmt: skip
    columns = ("field", "default", "best trial")
    return Table("Changes to the default recipe", caption, columns, rows)


def _scatter(found: TuneTables) -> Entry:
    """Agreement against true accuracy, one dot per recipe."""
    figure = Figure(figsize=(7.2, 4.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    some = found.evaluated.dropna(subset=["truth_rank"]).drop_duplicates("recipe")
    axes.scatter(some["first_agreement"], 100 * some["first_accuracy"], s=18, c=NEITHER, alpha=0.6,
                 label="recipes tried")  # fmt: skip
    chosen = some[some["recipe"] == found.winner["best_trial"]["recipe"]["name"]]
    axes.scatter(chosen["first_agreement"], 100 * chosen["first_accuracy"], s=150, c=BETTER,
                 marker="*", label="best trial")  # fmt: skip
    start = found.comparison[found.comparison["who"] == "default"].iloc[0]
    axes.axhline(100 * start["first_accuracy"], color=WORSE, linestyle="--", linewidth=1.2,
                 label=f"default ({start['recipe']})")  # fmt: skip
    axes.set_xlabel("agreement (without true labels)", color=INK)
    axes.set_ylabel("accuracy on held-out images, %", color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e3e5e8", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, fontsize=9)
    return (
        "agreement",
        "Does agreement predict accuracy?",
        f"Each recipe by its agreement, which the search maximises, and true accuracy over its "
        f"first {MIN_SEEDS} seeds. The more the dots rise to the right, the better agreement "
        "predicts accuracy.",
        "Scatter of agreement against true accuracy over all recipes tried.",
        figure,
    )


def _facts(found: TuneTables) -> dict[str, str]:
    spec, cost, evaluated = found.manifest["spec"], found.cost, found.evaluated
    stages = ", ".join(f"{stage} {value:,.0f} s" for stage, value in cost["seconds"].items())
    return {
        "Tasks": ", ".join(task["task"] for task in found.manifest["tasks"]),
        "Search": f"{', '.join(spec['search'])}; {spec['trials']} trials each, seed {spec['seed']}",
        "Seeds": f"at most {spec['seeds']} per trial, {evaluated['seeds'].sum():,} in all",
        "Stopped early": counted(int((evaluated["seeds"] < spec["seeds"]).sum()), "trial"),
        "Training images per class": str(spec["per_class"] or "as many as the smallest class has"),
        "Time to fit": f"{evaluated['fit_seconds'].sum():,.0f} s of one worker for all trials",
        "Last call": (
            f"{cost['encoded']:,} images embedded, {counted(cost['workers'], 'worker')}: {stages}"
        ),
        "Sources": ", ".join(f"{k} ({v[:12]})" for k, v in found.manifest["sources"].items()),
        "Versions": str(found.manifest["versions"]),
    }
