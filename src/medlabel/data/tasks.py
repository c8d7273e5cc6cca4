"""Tasks (two or more classes to be told apart) and their cells (one draw of pool and test).

| what is typed | classes |
| --- | --- |
| `chestmnist,breastmnist` | chest, breast, from MedMNIST |
| `chest=a.npz,breast=b.npz` | the same names, from files |
| `sick=a.npz#0,well=a.npz#1,2` | labels within a set |
| `effusion=chestmnist#2,none=chestmnist#!2` | a finding against all images without it |
| `phantom:chestmnist,phantom:breastmnist` | drawn images |
| `sick=phantom:pneumoniamnist#1,well=phantom:pneumoniamnist#0` | drawn images of labels |
| `tasks/chest-vs-breast.yaml` | whatever the file says |
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from medlabel.data.sources import MEDMNIST_FLAGS, Source, open_source, source_name
from medlabel.data.truth import SealedTruth
from medlabel.errors import MedlabelError
from medlabel.phantoms import LOOKS
from medlabel.storage.yaml_files import read_yaml

__all__ = [
    "Cell",
    "ClassSpec",
    "Task",
    "first_validation_error",
    "flag_of",
    "gather_images",
    "open_source_specs",
    "open_sources",
    "parse_class",
    "parse_task",
    "sample_cells",
    "sampled_ids",
    "source_image",
]

MIN_POOL, MIN_TEST = 5, 2  # images per class below which an 80/20 split or a test says nothing
_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^/,=#]+$")]
_RESERVED = {"image_id", "label", "row", "split"}  # columns that tables have beside classes


class ClassSpec(BaseModel):
    """A class: its name, where its images come from, and its captions (None: from the table).

    Its images have one of `labels` (None: any label), and none of those in `without`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    source: str
    labels: tuple[int, ...] | None = None
    without: tuple[int, ...] | None = None
    captions: tuple[str, ...] | None = Field(default=None, min_length=1)


class Task(BaseModel):
    """Two or more classes that are to be told apart."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    size: int = 28
    classes: tuple[ClassSpec, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _check_names(self) -> "Task":
        names = [spec.name for spec in self.classes]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two classes are named {name!r}: write NAME=SOURCE to rename one")
            if name in _RESERVED:
                raise ValueError(f"a class may not be named {name!r}")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in order: column k of every score table is class k."""
        return tuple(spec.name for spec in self.classes)

    @property
    def title(self) -> str:
        """The task's name, or its classes joined by `-vs-`."""
        return self.name or "-vs-".join(self.class_names)


def parse_task(text: str, size: int | None = None) -> Task:
    """Read a task from a YAML file's path or from the shorthand (see this module's table).

    Raises:
        MedlabelError: with what is wrong in it.
    """
    try:
        if text.endswith((".yaml", ".yml")):
            task = Task.model_validate(_read_task(Path(text)))
        else:
            task = Task(classes=tuple(parse_class(part) for part in _split_classes(text)))
    except ValidationError as error:
        raise MedlabelError(
            f"task {text}: {first_validation_error(error, Task.model_fields)}"
        ) from error
    return task if size is None else task.model_copy(update={"size": size})


def _read_task(path: Path) -> object:
    content = read_yaml(path, "task")
    if isinstance(content, dict):
        content.setdefault("name", path.stem)
        classes = content.get("classes")
        for spec in classes if isinstance(classes, list) else []:
            if isinstance(spec, dict) and str(spec.get("source", "")).endswith(".npz"):
                spec["source"] = str(path.parent / str(spec["source"]))
    return content


def _split_classes(text: str) -> list[str]:
    """Split at commas, but not within a list of labels (`a=x.npz#0,1`)."""
    parts: list[str] = []
    for part in text.split(","):
        if part.strip().isdigit() and parts and "#" in parts[-1]:
            parts[-1] += f",{part.strip()}"
        else:
            parts.append(part.strip())
    return parts


def parse_class(text: str) -> ClassSpec:
    """Read one class from the shorthand (see this module's table)."""
    match = re.fullmatch(r"(?:([^=#]+)=)?([^#]+?)(?:#(!?)(\d+(?:,\d+)*))?", text)
    if match is None:
        raise MedlabelError(
            f"cannot read class {text!r}: write SOURCE, NAME=SOURCE, NAME=SOURCE#0,1 or "
            "NAME=SOURCE#!0,1 (none of these labels)"
        )
    name, source, negation, numbers = match.groups()
    labels = tuple(int(label) for label in numbers.split(",")) if numbers else None
    return ClassSpec(
        name=name or _default_name(source),
        source=source,
        labels=None if negation else labels,
        without=labels if negation else None,
    )


def _default_name(source: str) -> str:
    stem = source_name(source).removeprefix("phantom-")
    return stem.removesuffix("mnist") if stem in MEDMNIST_FLAGS else stem


def flag_of(source: str) -> str | None:
    """The MedMNIST set a source is of, judged by its name (`.../bloodmnist-pbc6000.npz`)."""
    stem = source_name(source).removeprefix("phantom-")
    found = [flag for flag in LOOKS if re.match(rf"{flag}(?![a-z])", stem)]
    return found[0] if found else None


def first_validation_error(error: ValidationError, fields: Iterable[str] = ()) -> str:
    """The first thing that is wrong, after the name of its field; `fields` are those there are."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    reason = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        known = f"; there are {', '.join(fields)}" if len(first["loc"]) == 1 and fields else ""
        return f"no such field {where}{known}"
    if first["type"] == "tuple_type":
        reason = "write a list: [a, b]"
    if first["loc"] == ("classes",) and first["type"] == "too_short":
        return "name two classes or more, such as chestmnist,breastmnist"
    return f"{where}: {reason}" if where else reason


@dataclass(frozen=True)
class Cell:
    """One task with one seed: ids of an unlabelled pool and of a held-out test, shuffled."""

    seed: int
    pool: tuple[str, ...]
    test: tuple[str, ...]


def open_sources(task: Task, data_root: Path | None = None) -> dict[str, Source]:
    """Open each source of a task once, by spec."""
    return open_source_specs([spec.source for spec in task.classes], task.size, data_root)


def open_source_specs(
    specs: Sequence[str], size: int, data_root: Path | None = None
) -> dict[str, Source]:
    """Open each source once, by spec; two that are called alike are refused."""
    sources = {spec: open_source(spec, size, data_root) for spec in dict.fromkeys(specs)}
    names = [source.name for source in sources.values()]
    for name in names:
        if names.count(name) > 1:
            raise MedlabelError(f"two different sources are both called {name}: rename one file")
    return sources


def sample_cells(
    task: Task, sources: Mapping[str, Source], seeds: Sequence[int], per_class: int | None = None
) -> tuple[list[Cell], SealedTruth]:
    """Draw a pool (from train) and a test (from val and test) a seed, equal numbers a class.

    The smallest class decides the number; `per_class` caps it. Truth goes into the seal at once.

    Raises:
        MedlabelError: a class has too few images, or no image carries a label that was asked for.
    """
    pools = _eligible_ids(task, sources, ("train",))
    tests = _eligible_ids(task, sources, ("val", "test"))
    n_pool = _images_per_class(task, pools, MIN_POOL, per_class, "training")
    n_test = _images_per_class(task, tests, MIN_TEST, per_class, "held-out")
    truth: dict[str, int] = {}
    cells = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        drawn = [
            _sample(rng, candidates, n) for candidates, n in ((pools, n_pool), (tests, n_test))
        ]
        for ids, labels in drawn:
            truth.update(zip(ids, labels, strict=True))
        cells.append(Cell(seed, drawn[0][0], drawn[1][0]))
    return cells, SealedTruth(list(truth), list(truth.values()))


def _eligible_ids(
    task: Task, sources: Mapping[str, Source], splits: Sequence[str]
) -> list[list[str]]:
    """Ids that may be drawn, a class; an image that fits two classes fits none."""
    candidates = []
    for spec in task.classes:
        source = sources[spec.source]
        for label in (*(spec.labels or ()), *(spec.without or ())):
            if not any(split.knows(label) for split in source.splits.values()):
                raise MedlabelError(
                    f"class {spec.name!r}: no image of {spec.source} has label {label}"
                )
        candidates.append(
            [
                f"{source.name}/{split}/{index}"
                for split in splits
                for index in source.splits[split].eligible(spec.labels, spec.without)
            ]
        )
    seen: dict[str, int] = {}
    for ids in candidates:
        for image_id in ids:
            seen[image_id] = seen.get(image_id, 0) + 1
    return [[image_id for image_id in ids if seen[image_id] == 1] for ids in candidates]


def _images_per_class(
    task: Task, candidates: list[list[str]], least: int, cap: int | None, kind: str
) -> int:
    for name, ids in zip(task.class_names, candidates, strict=True):
        if len(ids) < least:
            raise MedlabelError(
                f"class {name!r} has {len(ids)} {kind} image{'s' if len(ids) != 1 else ''} of its "
                f"own; at least {least} are needed"
            )
    smallest = min(len(ids) for ids in candidates)
    return smallest if cap is None else min(smallest, cap)


def _sample(
    rng: np.random.Generator, candidates: list[list[str]], n: int
) -> tuple[tuple[str, ...], list[int]]:
    chosen = [
        (ids[index], label)
        for label, ids in enumerate(candidates)
        for index in rng.choice(len(ids), size=n, replace=False)
    ]
    shuffled = [chosen[index] for index in rng.permutation(len(chosen))]
    return tuple(image_id for image_id, _ in shuffled), [label for _, label in shuffled]


def sampled_ids(cells: Sequence[Cell]) -> list[str]:
    """Ids of all drawn images, shuffled: in order of name, a row's number would tell its class."""
    ids = sorted({image_id for cell in cells for image_id in (*cell.pool, *cell.test)})
    return [ids[row] for row in np.random.default_rng(0).permutation(len(ids))]


def source_image(sources: Mapping[str, Source], image_id: str) -> NDArray[np.uint8]:
    """One image as its source holds it: uint8 [S, S] or [S, S, 3]."""
    name, split, index = image_id.rsplit("/", 2)
    (source,) = (source for source in sources.values() if source.name == name)
    image: NDArray[np.uint8] = source.splits[split].images[int(index)]
    return image


def gather_images(sources: Mapping[str, Source], image_ids: Sequence[str]) -> NDArray[np.uint8]:
    """Images by id: uint8 [N, S, S] when all are grey, else [N, S, S, 3] with grey repeated."""
    by_name = {source.name: source for source in sources.values()}
    colour = any(source.colour for source in by_name.values())
    size = next(iter(by_name.values())).size
    images = np.empty((len(image_ids), size, size, *((3,) if colour else ())), dtype=np.uint8)
    for row, image_id in enumerate(image_ids):
        name, split, index = image_id.rsplit("/", 2)
        image = by_name[name].splits[split].images[int(index)]
        images[row] = image[..., None] if colour and image.ndim == 2 else image
    return images
