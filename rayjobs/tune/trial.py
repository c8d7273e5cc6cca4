"""One trial of a search: a student by a recipe, a draw more at each step, judged without truth.

A draw's predictions are a durable file, in a folder named for what decides it. So a trial that is
started again, or that chooses what another one chose, reads what is there.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from ray import tune
from ray.tune.result import DONE

from medlabel.errors import MedlabelError
from medlabel.evaluation.diagnostics import compute_signals
from medlabel.experiments.run_folder import finished_seeds, read_cell
from medlabel.experiments.sweep_tables import unit_folder
from medlabel.experiments.tune_spec import (
    FAILED_AGREEMENT,
    MIN_SEEDS,
    TaskSignals,
    agreement,
    recipe_of,
)
from medlabel.storage.store import Store
from medlabel.student.provenance import Identity
from medlabel.student.recipes import Recipe
from rayjobs.sweep.sharing import Stacks, TaskData, fit_one

__all__ = ["Trial", "TuneData", "TuneTaskData"]


@dataclass(frozen=True)
class TuneTaskData:
    """A task that trials are tried on. It has no id of an image and no true label.

    Attributes:
        taught: what the teacher says, with its embeddings.
        identity: what decides a student here; its recipe and architecture are put in.
    """

    taught: TaskData
    identity: Identity


@dataclass(frozen=True)
class TuneData:
    """What all trials share, put into the object store once.

    Attributes:
        uri: where finished draws are.
        stacks: all drawn images, grey and in colour.
        tasks: that a trial's figures are the mean of.
        start: the recipe that trials change.
        seeds: draws of a trial, at most.
    """

    uri: str
    stacks: Stacks
    tasks: tuple[TuneTaskData, ...]
    start: Recipe
    seeds: int

    def draw(
        self, task: TuneTaskData, recipe: Recipe, architecture: str, seed: int
    ) -> tuple[TaskSignals, float]:
        """What a draw shows, and the seconds of its fit; fitted now if it is not there.

        Raises:
            MedlabelError: it cannot be fitted.
        """
        identity = replace(task.identity, recipe=recipe, student=architecture)
        folder = Store(self.uri) / unit_folder(identity.key)
        taught = task.taught
        if seed not in finished_seeds(folder) and (
            why := fit_one(folder.uri, taught, self.stacks, recipe, architecture, seed)
        ):
            raise MedlabelError(why)
        cell, rows = read_cell(folder, seed), taught.cells[seed].test
        assert taught.embeddings is not None, "a bench keeps them"
        seen = np.asarray(taught.embeddings[rows], np.float32)
        scores = taught.adjustment(taught.scores[..., rows, :], seen)
        given = dict(zip(map(str, rows), cell.test.argmax(axis=1).tolist(), strict=True))
        return TaskSignals(compute_signals(scores, cell.test, seen), given), cell.seconds

    def agreement(self, draws: list[list[TaskSignals]]) -> dict[str, float]:
        """The objective of the draws so far, by task."""
        return agreement(draws, [len(task.taught.classes) for task in self.tasks])


class Trial(tune.Trainable):
    """Tune calls `step` until its scheduler has seen enough: a step is a draw more on every task.

    The first step makes the two draws that the objective needs. Nothing is saved for Tune: what a
    trial knows is in the files of its draws.
    """

    def setup(self, config: dict[str, Any], bench: TuneData | None = None) -> None:
        """Once an actor: take what all trials share."""
        assert bench is not None, "tune.with_parameters gives it"
        torch.set_num_threads(1)  # OpenMP threads of several workers contend
        self._bench = bench
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """The actor is used again for another trial."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._chosen = config
        self._draws: list[list[TaskSignals]] = [[] for _ in self._bench.tasks]
        self._seconds = 0.0
        self._first = FAILED_AGREEMENT

    def step(self) -> dict[str, Any]:
        """Draw once more and tell the objective; a trial that cannot be fitted counts least."""
        try:
            recipe = recipe_of(self._bench.start, self._chosen)
            done = len(self._draws[0])
            for seed in range(done, max(MIN_SEEDS, done + 1)):
                self._draw(recipe, seed)
        except MedlabelError as error:
            return {
                **_told(FAILED_AGREEMENT, len(self._draws[0])),
                "reason": str(error),
                DONE: True,
            }
        told = self._bench.agreement(self._draws)
        draws = len(self._draws[0])
        self._first = told["agreement"] if draws == MIN_SEEDS else self._first
        return {
            **_told(self._first, draws, self._seconds),
            **told,
            DONE: draws >= self._bench.seeds,
        }

    def _draw(self, recipe: Recipe, seed: int) -> None:
        found = [self._bench.draw(task, recipe, recipe.student, seed) for task in self._bench.tasks]
        for draws, (draw, seconds) in zip(self._draws, found, strict=True):
            draws.append(draw)
            self._seconds += seconds


def _told(first: float, draws: int, seconds: float = 0.0) -> dict[str, Any]:
    """What every result has: the objective, of the first draws too, and what it took."""
    figures = dict.fromkeys(("students", "neighbours", "balance"), float("nan"))
    return {
        "agreement": first,
        **figures,
        "first_agreement": first,
        "seeds": draws,
        "fit_seconds": seconds,
        "reason": "",
    }
