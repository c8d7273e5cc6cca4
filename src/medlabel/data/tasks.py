"""Tasks (two or more classes to distinguish) and cells (a sampled pool and test set per seed).

| specification | classes |
| --- | --- |
| `chestmnist,breastmnist` | chest, breast, from MedMNIST |
| `chest=a.npz,breast=b.npz` | the same names, from files |
| `sick=a.npz#0,well=a.npz#1,2` | labels of a set |
| `effusion=chestmnist#2,none=chestmnist#!2` | a finding against all images without it |
| `phantom:chestmnist,phantom:breastmnist` | drawn images |
| `sick=phantom:pneumoniamnist#1,well=phantom:pneumoniamnist#0` | drawn images with certain labels |
| `tasks/chest-vs-breast.yaml` | those of the file |
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from medlabel.data.class_names import refuse_alike, refuse_reserved
from medlabel.data.sources import MEDMNIST_FLAGS, Source, is_npz, open_source, source_name
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
    "split_classes",
]

MIN_POOL, MIN_TEST = 5, 2  # images per class needed for an 80/20 split and for a test
_Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^/,=#]+$")]
_TYPED = ("size", "labels", "without")  # in a task's YAML file; all else are texts


def _none_if_null(value: object) -> object:
    """None for a null of YAML, which is a text where other values are captions."""
    return None if value in ("null", "~") else value


class ClassSpec(BaseModel):
    """A class of a task.

    Attributes:
        name: of the class; it names a column of every score table.
        source: specification of the source of its images (see `medlabel.data.sources`).
        labels: its images have one of these labels; any label if None.
        without: its images have none of these labels.
        captions: sentences for the teacher; those of the caption tables if None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    source: str
    labels: tuple[int, ...] | None = None
    without: tuple[int, ...] | None = None
    captions: Annotated[tuple[str, ...] | None, BeforeValidator(_none_if_null)] = Field(
        default=None, min_length=1
    )


class Task(BaseModel):
    """A classification task: two or more classes, and the side of their images in pixels."""

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
        refuse_reserved(names)
        refuse_alike(names)
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in order: column k of every score table is class k."""
        return tuple(spec.name for spec in self.classes)

    @property
    def title(self) -> str:
        """The task's name, or its classes joined by `-vs-`."""
        return self.name or "-vs-".join(self.class_names)


def parse_task(text: str, size: int | None = None) -> Task:
    """Parse a task from the path of a YAML file or from the shorthand in this module's table.

    >>> parse_task("chestmnist,breastmnist").class_names
    ('chest', 'breast')

    Args:
        text: path or shorthand.
        size: side of the images in pixels, in place of the task's own.

    Raises:
        MedlabelError: the specification is invalid; the message names the first mistake.
    """
    try:
        if text.lower().endswith((".yaml", ".yml")):
            task = Task.model_validate(_read_task(Path(text)))
        else:
            task = Task(classes=tuple(parse_class(part) for part in split_classes(text)))
    except ValidationError as error:
        raise MedlabelError(
            f"task {text}: {first_validation_error(error, Task.model_fields)}"
        ) from error
    return task if size is None else task.model_copy(update={"size": size})


def _read_task(path: Path) -> object:
    content = read_yaml(path, "task", typed=_TYPED)
    if isinstance(content, dict):
        content.setdefault("name", path.stem)
        classes = content.get("classes")
        for spec in classes if isinstance(classes, list) else []:
            if isinstance(spec, dict) and is_npz(str(spec.get("source", ""))):
                spec["source"] = str(path.parent / str(spec["source"]))
    return content


def split_classes(text: str) -> list[str]:
    """Split at commas, except within a list of labels (`a=x.npz#0,1`)."""
    parts: list[str] = []
    for part in text.split(","):
        if part.strip().isdigit() and parts and "#" in parts[-1]:
            parts[-1] += f",{part.strip()}"
        else:
            parts.append(part.strip())
    return parts


def parse_class(text: str) -> ClassSpec:
    """Parse one class from the shorthand in this module's table."""
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
    """Return the MedMNIST set that a source's name starts with, or None.

    >>> flag_of("scans/bloodmnist-pbc6000.npz")
    'bloodmnist'
    """
    stem = source_name(source).removeprefix("phantom-")
    found = [flag for flag in LOOKS if re.match(rf"{flag}(?![a-z])", stem)]
    return found[0] if found else None


def first_validation_error(error: ValidationError, fields: Iterable[str] = ()) -> str:
    """Describe the first error of a pydantic validation in one line.

    Args:
        error: the validation error.
        fields: the valid field names, to list after an unknown one.
    """
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
    """One task with one seed: shuffled image ids of an unlabelled pool and a held-out test set."""

    seed: int
    pool: tuple[str, ...]
    test: tuple[str, ...]


def open_sources(task: Task, data_root: Path | None = None) -> dict[str, Source]:
    """Open each source of a task once; return the sources by specification."""
    return open_source_specs([spec.source for spec in task.classes], task.size, data_root)


def open_source_specs(
    specs: Sequence[str], size: int, data_root: Path | None = None
) -> dict[str, Source]:
    """Open each source once; return the sources by specification.

    Raises:
        MedlabelError: a source cannot be opened, or two different sources have the same name.
    """
    sources = {spec: open_source(spec, size, data_root) for spec in dict.fromkeys(specs)}
    names = [source.name for source in sources.values()]
    for name in names:
        if names.count(name) > 1:
            raise MedlabelError(f"two different sources are both called {name}: rename one file")
    return sources


def sample_cells(
    task: Task, sources: Mapping[str, Source], seeds: Sequence[int], per_class: int | None = None
) -> tuple[list[Cell], SealedTruth]:
    """Sample one cell per seed, with equally many images of each class.

    The pool comes from the train split, the test set from val and test. The smallest class decides
    the number of images per class. True labels are sealed as soon as they are known.

    Args:
        task: the classes.
        sources: by specification, as `open_sources` returns them.
        seeds: one per cell.
        per_class: at most this many images per class.

    Returns:
        The cells in the order of the seeds, and the sealed labels of all their images.

    Raises:
        MedlabelError: a class has too few images, or no image has a requested label.
    """
    pools = _eligible_ids(task, sources, ("train",))
    tests = _eligible_ids(task, sources, ("val", "test"))
    n_pool = _images_per_class(task, pools, MIN_POOL, per_class, "training")
    n_test = _images_per_class(task, tests, MIN_TEST, per_class, "held-out")
    truth: dict[str, int] = {}
    cells = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        samples = [
            _sample(rng, candidates, n) for candidates, n in ((pools, n_pool), (tests, n_test))
        ]
        for ids, labels in samples:
            truth.update(zip(ids, labels, strict=True))
        cells.append(Cell(seed, samples[0][0], samples[1][0]))
    return cells, SealedTruth(list(truth), list(truth.values()))


def _eligible_ids(
    task: Task, sources: Mapping[str, Source], splits: Sequence[str]
) -> list[list[str]]:
    """Return the candidate ids of each class; an image that fits two classes is left out."""
    candidates = []
    for spec in task.classes:
        source = sources[spec.source]
        for label in (*(spec.labels or ()), *(spec.without or ())):
            if not any(split.has_label(label) for split in source.splits.values()):
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
    """Return the ids of all sampled images, shuffled so that the order does not reveal classes."""
    ids = sorted({image_id for cell in cells for image_id in (*cell.pool, *cell.test)})
    return [ids[row] for row in np.random.default_rng(0).permutation(len(ids))]


def source_image(sources: Mapping[str, Source], image_id: str) -> NDArray[np.uint8]:
    """Return one image as it is in its source: uint8 [S, S] or [S, S, 3]."""
    name, split, index = image_id.rsplit("/", 2)
    (source,) = (source for source in sources.values() if source.name == name)
    image: NDArray[np.uint8] = source.splits[split].images[int(index)]
    return image


def gather_images(sources: Mapping[str, Source], image_ids: Sequence[str]) -> NDArray[np.uint8]:
    """Return images by id: uint8 [N, S, S] if all are grey, else [N, S, S, 3].

    Grey images among colour ones are repeated over the three channels.
    """
    by_name = {source.name: source for source in sources.values()}
    colour = any(source.colour for source in by_name.values())
    size = next(iter(by_name.values())).size
    images = np.empty((len(image_ids), size, size, *((3,) if colour else ())), dtype=np.uint8)
    for row, image_id in enumerate(image_ids):
        name, split, index = image_id.rsplit("/", 2)
        image = by_name[name].splits[split].images[int(index)]
        images[row] = image[..., None] if colour and image.ndim == 2 else image
    return images
