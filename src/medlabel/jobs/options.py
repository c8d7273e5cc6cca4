"""The options of the jobs, as a user types them, into the configurations that the jobs take."""

import sys
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path

from medlabel.data.tasks import parse_task
from medlabel.errors import InvalidArgumentError
from medlabel.storage.home import cache_folder, default_home
from medlabel.student.bundle import find_bundle
from medlabel.student.decision import AUTO_ABOVE
from medlabel.student.recipes import Recipe, get_recipe
from medlabel.teacher.adjust import Adjustment, parse_steps
from medlabel.teacher.caption_sets import check_caption_sets
from medlabel.teacher.task_captions import caption_lines, captions_of_task, warnings_about
from rayjobs.annotate import AnnotateConfig
from rayjobs.image_pipeline import Replicas
from rayjobs.label import LabelConfig
from rayjobs.run import RunConfig

__all__ = [
    "Address",
    "Names",
    "annotate_config",
    "caption_warnings",
    "captions_read",
    "label_config",
    "run_config",
    "show_captions",
]

Address = str | PathLike[str]
"""A path or URI."""

Names = str | Sequence[str]
"""One name, or several."""


def run_config(
    task: str,
    out: Address,
    *,
    clip: Names = "phantom",
    vote: str = "mean",
    scores: Address | None = None,
    recipe: str | Recipe = "robust",
    student: str | None = None,
    seeds: int = 30,
    per_class: int | None = None,
    size: int | None = None,
    captions: str = "table",
    adjust: Names = (),
    data_root: Address | None = None,
    ceiling_seeds: int = 3,
    workers: int | None = None,
    gpus_per_worker: float | None = None,
    home: Address | None = None,
) -> RunConfig:
    """The configuration of `run`, checked as far as it can be without reading images."""
    check_caption_sets(captions)
    _check_least(seeds=(seeds, 1), per_class=(per_class, 5), ceiling_seeds=(ceiling_seeds, 0))
    _check_least(workers=(workers, 1), gpus_per_worker=(gpus_per_worker, 0))
    return RunConfig(
        task=parse_task(task, size),
        out=fspath(out),
        recipe=_recipe(recipe),
        home=_home(home),
        clips=tuple(dict.fromkeys(_names(clip))),
        captions=captions,
        scores=_path(scores),
        adjustment=Adjustment(parse_steps(",".join(_names(adjust))), vote),
        student=student,
        seeds=seeds,
        per_class=per_class,
        data_root=_path(data_root),
        ceiling_seeds=ceiling_seeds,
        workers=workers,
        gpus=gpus_per_worker,
    )


def label_config(
    sources: Names,
    classes: Sequence[str],
    out: Address,
    *,
    clip: str = "phantom",
    captions: str = "table",
    recipe: str | Recipe = "robust",
    pool: int = 5000,
    auto_above: float = AUTO_ABOVE,
    seed: int = 0,
    size: int = 28,
    data_root: Address | None = None,
    image_column: str | None = None,
    home: Address | None = None,
    prune: bool = False,
) -> LabelConfig:
    """The configuration of `label`."""
    _check_least(pool=(pool, 100), seed=(seed, 0))
    return LabelConfig(
        sources=_names(sources),
        classes=tuple(classes),
        out=fspath(out),
        home=_home(home),
        recipe=_recipe(recipe),
        clip=clip,
        captions=captions,
        auto_above=auto_above,
        pool=pool,
        seed=seed,
        size=size,
        data_root=_path(data_root),
        image_column=image_column,
        prune=prune,
    )


def annotate_config(
    sources: Names,
    model: Address,
    out: Address,
    *,
    auto_above: float = AUTO_ABOVE,
    size: int = 28,
    data_root: Address | None = None,
    image_column: str | None = None,
    workers: int | None = None,
    prune: bool = False,
) -> AnnotateConfig:
    """The configuration of `annotate`."""
    _check_least(workers=(workers, 1))
    return AnnotateConfig(
        sources=_names(sources),
        bundle=find_bundle(fspath(model)),
        out=fspath(out),
        auto_above=auto_above,
        size=size,
        data_root=_path(data_root),
        image_column=image_column,
        replicas=Replicas(workers),
        prune=prune,
    )


def captions_read(config: RunConfig | LabelConfig) -> dict[str, tuple[str, ...]]:
    """What the teacher reads for each class, by its name; nothing where scores are given.

    Raises:
        MedlabelError: a name is ambiguous, or two mean the same.
    """
    if isinstance(config, LabelConfig):
        return config.captions_read
    if config.scores is not None:
        return {}
    found = captions_of_task(config.task.classes, config.captions)
    return dict(zip(config.task.class_names, found, strict=True))


def show_captions(config: RunConfig | LabelConfig) -> None:
    """Print what the teacher reads for each class on the standard error, a line each."""
    if found := captions_read(config):
        lines = "".join(f"  {line}\n" for line in caption_lines(found))
        sys.stderr.write(f"The teacher reads:\n{lines}")


def caption_warnings(config: RunConfig | LabelConfig) -> list[str]:
    """Warnings about captions that need no teacher: unknown, never learned, or not read at all."""
    found = captions_read(config)
    if isinstance(config, LabelConfig):
        return warnings_about(found, config.classes, config.captions, (config.clip,))
    classes = config.task.classes if found else ()
    return warnings_about(found, classes, config.captions, config.clips)


def _check_least(**options: tuple[float | None, float]) -> None:
    """Raise if an option is below its least value; None is no value."""
    for name, (value, least) in options.items():
        if value is not None and value < least:
            raise InvalidArgumentError(f"{name}={value:g}: give {least:g} or more")


def _names(text: Names) -> tuple[str, ...]:
    return (text,) if isinstance(text, str | PathLike) else tuple(text)


def _recipe(recipe: str | Recipe) -> Recipe:
    return recipe if isinstance(recipe, Recipe) else get_recipe(recipe)


def _home(home: Address | None) -> Path:
    return default_home() if home is None else cache_folder(str(home))


def _path(path: Address | None) -> Path | None:
    return None if path is None else Path(path)
