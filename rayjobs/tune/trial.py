"""One trial of a search: a student and a recipe, one more sample per step, judged without truth.

Predictions are written to a folder that is named for everything that decides them. So a trial that
is started again, or one with the same choices as another, reads what is already there.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
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
from rayjobs.cluster import StorageError, prepare_worker, reason_of
from rayjobs.sweep.sharing import PixelArrays, TaskData, fit_task_cell

__all__ = ["Trial", "TuneData", "TuneTaskData"]


@dataclass(frozen=True)
class TuneTaskData:
    """One of the tasks that trials are evaluated on. It holds no image ids and no true labels.

    Attributes:
        data: the teacher's scores and embeddings, and the rows of each cell.
        identity: what decides a student; a trial's recipe and architecture are put into it.
    """

    data: TaskData
    identity: Identity


@dataclass(frozen=True)
class TuneData:
    """What all trials share; it is put into Ray's object store once.

    Attributes:
        uri: folder of the search.
        pixels: all sampled images, grey and in colour.
        tasks: a trial's figures are their mean.
        start: the recipe that trials change.
        seeds: cells per trial and task, at most.
    """

    uri: str
    pixels: PixelArrays
    tasks: tuple[TuneTaskData, ...]
    start: Recipe
    seeds: int

    def fit_cell(self, task: TuneTaskData, recipe: Recipe, seed: int, device: str) -> None:
        """Fit one cell in this process, unless it is finished.

        Raises:
            MedlabelError: it cannot be fitted.
        """
        folder = self._folder(task, recipe, recipe.student)
        if seed in finished_seeds(folder):
            return
        choices: dict[str, Any] = {"recipe": recipe, "architecture": recipe.student}
        try:
            fit_task_cell(folder, seed, device, task.data, *self.pixels, **choices)
        except MedlabelError:
            raise
        except Exception as error:  # whatever it is, the search goes on without this trial
            raise MedlabelError(reason_of(error)) from error

    def read_cell_signals(
        self, task: TuneTaskData, recipe: Recipe, architecture: str, seed: int
    ) -> tuple[TaskSignals, float]:
        """What the predictions of a finished cell show, and the seconds that its fit took."""
        data = task.data
        cell = read_cell(self._folder(task, recipe, architecture), seed)
        rows = data.cells[seed].test
        assert data.embeddings is not None, "a search keeps them"
        embeddings = np.asarray(data.embeddings[rows], np.float32)
        scores = data.adjustment(data.scores[..., rows, :], embeddings)
        labels = dict(zip(map(str, rows), cell.test.argmax(axis=1).tolist(), strict=True))
        return TaskSignals(compute_signals(scores, cell.test, embeddings), labels), cell.seconds

    def read_signals(
        self, recipe: Recipe, architecture: str, seeds: int
    ) -> list[list[TaskSignals]]:
        """What the first seeds of a recipe show, for each task; all are finished."""
        read = partial(self.read_cell_signals, recipe=recipe, architecture=architecture)
        return [[read(task, seed=seed)[0] for seed in range(seeds)] for task in self.tasks]

    def _folder(self, task: TuneTaskData, recipe: Recipe, architecture: str) -> Store:
        identity = replace(task.identity, recipe=recipe, student=architecture)
        return Store(self.uri) / unit_folder(identity.key)

    def agreement(self, signals: list[list[TaskSignals]]) -> dict[str, float]:
        """The objective, from the seeds so far of each task."""
        return agreement(signals, self.classes)

    @property
    def classes(self) -> list[int]:
        """Number of classes of each task."""
        return [len(task.data.classes) for task in self.tasks]

    @property
    def images(self) -> tuple[int, int]:
        """Numbers of training and of held-out images per seed, summed over the tasks."""
        cells = [task.data.cells[0] for task in self.tasks]
        return sum(len(cell.pool) for cell in cells), sum(len(cell.test) for cell in cells)


class Trial(tune.Trainable):
    """Tune calls `step` until its scheduler stops it; each step fits one more cell of every task.

    The first step fits the two that the objective needs. Nothing is saved for Tune: all that a
    trial knows is in the files of its cells.
    """

    def setup(self, config: dict[str, Any], data: TuneData | None = None) -> None:
        """Called once per actor: take what all trials share."""
        assert data is not None, "tune.with_parameters passes it"
        self._device = prepare_worker()
        self._data = data
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Called when the actor is used again for another trial."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._choices = config
        self._signals: list[list[TaskSignals]] = [[] for _ in self._data.tasks]
        self._seconds = 0.0
        self._first = FAILED_AGREEMENT

    def step(self) -> dict[str, Any]:
        """Fit one more cell and report the objective; a trial that cannot be fitted ranks last."""
        try:
            recipe = recipe_of(self._data.start, self._choices)
            done = len(self._signals[0])
            for seed in range(done, max(MIN_SEEDS, done + 1)):
                self._add_seed(recipe, seed)
        except MedlabelError as error:
            if isinstance(error.__cause__, OSError):  # no fault of the recipe: Tune tries again
                raise StorageError(str(error)) from error
            failed = _metrics(FAILED_AGREEMENT, len(self._signals[0]))
            return {**failed, "reason": str(error), DONE: True}
        objective = self._data.agreement(self._signals)
        seeds = len(self._signals[0])
        self._first = objective["agreement"] if seeds == MIN_SEEDS else self._first
        return {
            **_metrics(self._first, seeds, self._seconds),
            **objective,
            DONE: seeds >= self._data.seeds,
        }

    def _add_seed(self, recipe: Recipe, seed: int) -> None:
        found = []
        for task in self._data.tasks:
            self._data.fit_cell(task, recipe, seed, self._device)
            found.append(self._data.read_cell_signals(task, recipe, recipe.student, seed))
        for of_task, (signals, seconds) in zip(self._signals, found, strict=True):
            of_task.append(signals)
            self._seconds += seconds


def _metrics(first: float, seeds: int, seconds: float = 0.0) -> dict[str, Any]:
    """What every result has: the objective, also of the first seeds, and the time it took."""
    figures = dict.fromkeys(("students", "neighbours", "balance"), float("nan"))
    return {
        "agreement": first,
        **figures,
        "first_agreement": first,
        "seeds": seeds,
        "fit_seconds": seconds,
        "reason": "",
    }
