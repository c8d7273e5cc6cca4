"""Trials and results of a made-up search, for tests."""

import json

import pandas as pd


def trials(agreements, seeds=None, kinds=None):
    """A row per trial, whose recipe is called r0, r1, ..."""
    n = len(agreements)
    return pd.DataFrame(
        {
            "search": kinds or ["optuna"] * n,
            "trial": range(n),
            "recipe": [f"r{i}" for i in range(n)],
            "student": "small",
            "seeds": seeds or [4] * n,
            "agreement": agreements,
            "first_agreement": agreements,
            **dict.fromkeys(("students", "neighbours", "balance"), agreements),
            "fit_seconds": 2.0,
            "reason": "",
            "chosen": [json.dumps({"epochs": i}) for i in range(n)],
        }
    )


def results(accuracies, seeds=4):
    """A row per draw of the recipes in this mapping, on one task."""
    return pd.DataFrame(
        [
            {
                "task": "a-vs-b",
                "seed": seed,
                "teacher": "phantom",
                "student": "small",
                "recipe": recipe,
                "n_pool": 100,
                "n_test": 50,
                "teacher_accuracy": 0.8,
                "student_accuracy": accuracy + 0.001 * seed,
            }
            for recipe, accuracy in accuracies.items()
            for seed in range(seeds)
        ]
    )
