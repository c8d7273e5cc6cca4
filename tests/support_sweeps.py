"""Results of a made-up sweep, for tests."""

import numpy as np
import pandas as pd

from medlabel.experiments.sweep_tables import write_tables

TASKS = [
    {"task": "a-vs-b", "classes": ["a", "b"], "same_modality": False},
    {"task": "a-vs-c", "classes": ["a", "c"], "same_modality": False},
    {"task": "b-vs-c", "classes": ["b", "c"], "same_modality": True},
]
MANIFEST = {
    "spec": {"name": "three <sets>", "seeds": 5, "per_class": None, "size": 28},
    "tasks": TASKS,
    "sources": {"a": "0" * 64},
    "synthetic": False,
    "versions": "medlabel 0",
}
COST = {"encoded": 7, "fitted": 15, "workers": 2, "seconds": {"fitting": 30.0}}


def made(gains, student="small", seeds=5):
    """A results table: the student's mean gain on each task, the same on each draw but noise."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "task": task["task"],
            "seed": seed,
            "teacher": "phantom",
            "student": student,
            "recipe": "robust",
            "n_pool": 100,
            "n_test": 50,
            "teacher_accuracy": 0.8,
            "student_accuracy": 0.8 + gain + rng.normal(0, 0.005),
            "teacher_macro_f1": 0.8,
            "student_macro_f1": 0.8 + gain,
        }
        for task, gain in zip(TASKS, gains, strict=True)
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows)


def sweep_folder(store, results, failures=(), **changed):
    """Write the tables of a sweep with these results."""
    fits = results[["task", "seed", "teacher", "student", "recipe"]].assign(seconds=2.0)
    write_tables(store, {**MANIFEST, **changed}, results, fits, list(failures), COST)
