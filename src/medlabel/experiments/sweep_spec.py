"""The specification of a sweep, and its plan: tasks x teachers x recipes x students, all seeds.

```yaml
sources: medmnist            # all twelve sets, or phantoms, or a list of classes as in a task
tasks: pairs                 # or triples, quadruples, all, a task's file, or names: chest,breast
teachers: [phantom, ViT-L/14]
recipes: [robust, paper]
students: [own, "cnn:16-32"] # own: the student of the recipe
seeds: 30
per_class: 200
```

| field | values |
| --- | --- |
| `sources` | `chestmnist`, `chest=a.npz`, `sick=a.npz#1`, or a class as in a task's file |
| `tasks` | one or a list; tasks that are named are added to the combinations |
| `teachers` | a model as in `--clip`, or `{clip:, captions:, adjust:, vote:, name:}` |
| `recipes`, `students` | as in `--recipe` and `--student` |
| `modalities` | of sources that are not MedMNIST sets: `{mine: chest X-ray}` |

Relative paths are resolved against the folder of the file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, product
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from medlabel.data.class_names import refuse_alike
from medlabel.data.sources import MEDMNIST_FLAGS
from medlabel.data.tasks import (
    ClassSpec,
    Task,
    first_validation_error,
    flag_of,
    parse_class,
    parse_task,
)
from medlabel.errors import MedlabelError
from medlabel.storage.yaml_files import read_mapping
from medlabel.student.networks import check_student
from medlabel.student.recipes import Recipe, get_recipe
from medlabel.teacher.adjust import Adjustment, parse_steps
from medlabel.teacher.caption_sets import check_caption_sets
from medlabel.teacher.clip import check_clip
from medlabel.teacher.task_captions import captions_of_task, warnings_about

__all__ = [
    "CAPTIONS_READ",
    "MODALITIES",
    "SweepSpec",
    "SweepUnit",
    "TeacherSpec",
    "captions_of_plan",
    "check_sweep",
    "listed",
    "plan",
    "read_sweep",
    "same_modality",
    "warnings_of_plan",
]

OWN = "own"
_TYPED = (  # fields of a spec's YAML file, a search's included; the values of all others are texts
    "size", "seeds", "per_class", "labels", "without", "trials", "seed", "space", "refit",
)  # fmt: skip
CAPTIONS_READ = "captions.json"  # in the folder of a sweep or a search
_COMBINED = {"pairs": 2, "triples": 3, "quadruples": 4}
_FILE = re.compile(r"[^,=#]+\.(npz|ya?ml)\b", re.IGNORECASE)
_SHORT = {
    "medmnist": MEDMNIST_FLAGS,
    "phantoms": tuple(f"phantom:{flag}" for flag in MEDMNIST_FLAGS),
}
MODALITIES: Mapping[str, str] = MappingProxyType({  # as in MedMNIST's own table
    "pathmnist": "colon pathology",
    "chestmnist": "chest X-ray",
    "dermamnist": "dermatoscope",
    "octmnist": "retinal OCT",
    "pneumoniamnist": "chest X-ray",
    "retinamnist": "fundus camera",
    "breastmnist": "breast ultrasound",
    "bloodmnist": "blood cell microscope",
    "tissuemnist": "kidney cortex microscope",
    "organamnist": "abdominal CT",
    "organcmnist": "abdominal CT",
    "organsmnist": "abdominal CT",
})  # fmt: skip


def listed(value: Any) -> Any:
    """A single value as a list of one."""
    return [value] if isinstance(value, str | dict) else value


class TeacherSpec(BaseModel):
    """A teacher: one or several CLIP models, their captions, vote and score adjustments."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    clip: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(min_length=1)
    captions: str = "table"
    adjust: str = ""
    vote: str = "mean"
    name: str = ""

    @property
    def adjustment(self) -> Adjustment:
        """The adjustment of raw scores."""
        return Adjustment(parse_steps(self.adjust), self.vote)

    @property
    def title(self) -> str:
        """The teacher's name in the results."""
        parts = [" & ".join(self.clip)]
        parts += [] if self.captions == "table" else [f"captions={self.captions}"]
        parts += [self.adjust] if self.adjust else []
        return self.name or ", ".join(parts)


class SweepSpec(BaseModel):
    """The specification of a sweep; see this module's docstring."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    size: int = 28
    sources: tuple[ClassSpec, ...] = ()
    tasks: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(("pairs",), min_length=1)
    teachers: tuple[TeacherSpec, ...] = Field((TeacherSpec(clip=("phantom",)),), min_length=1)
    recipes: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(("robust",), min_length=1)
    students: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field((OWN,), min_length=1)
    seeds: int = Field(30, ge=1, le=9999)
    per_class: int | None = Field(None, ge=5)
    modalities: dict[str, str] = {}

    @field_validator("sources", mode="before")
    @classmethod
    def _read_sources(cls, value: Any) -> Any:
        if isinstance(value, str) and value in _SHORT:
            value = list(_SHORT[value])
        read = [_class_of(one) for one in value] if isinstance(value, list) else value
        return read

    @field_validator("teachers", mode="before")
    @classmethod
    def _read_teachers(cls, value: Any) -> Any:
        teachers = listed(value)
        if not isinstance(teachers, list):
            return value
        return [{"clip": one} if isinstance(one, str) else one for one in teachers]

    @model_validator(mode="after")
    def _check(self) -> "SweepSpec":
        for field, names in (
            ("sources", [source.name for source in self.sources]),
            ("teachers", [teacher.title for teacher in self.teachers]),
            ("recipes", list(self.recipes)),
            ("students", list(self.students)),
        ):
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"{field}: {twice[0]!r} is listed twice")
        refuse_alike(source.name for source in self.sources)
        known = {source.name for source in self.sources}
        if strange := [name for name in self.modalities if name not in known]:
            raise ValueError(f"modalities: no source is named {strange[0]!r}")
        return self


Spec = TypeVar("Spec", bound=SweepSpec)


def _class_of(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_class(value)
    except MedlabelError as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class SweepUnit:
    """One task with one teacher, recipe and student: one row of results over all its seeds."""

    task: Task
    teacher: TeacherSpec
    recipe: Recipe
    student: str

    @cached_property
    def names(self) -> dict[str, str]:
        """The columns that identify the unit in tables."""
        return {
            "task": self.task.title,
            "teacher": self.teacher.title,
            "student": self.student,
            "recipe": self.recipe.name,
        }


# mypy knows no default for a type variable: https://github.com/python/mypy/issues/3737
def read_sweep(path: Path, kind: type[Spec] = SweepSpec) -> Spec:  # type: ignore[assignment]
    """Read the specification of a sweep, or of a search, which has more fields.

    Raises:
        MedlabelError: one line that names the file, the field and the mistake.
    """
    advice = f"spec {path}: write at least `sources:` and a list of sources"
    content = read_mapping(path, "spec", advice, typed=_TYPED)
    try:
        return _beside(kind.model_validate({"name": path.stem, **content}), path.parent)
    except ValidationError as error:
        raise MedlabelError(
            f"spec {path}: {first_validation_error(error, kind.model_fields)}"
        ) from error


def _beside(spec: Spec, folder: Path) -> Spec:
    """The specification with relative paths resolved against this folder."""

    def near(text: str) -> str:
        return str(folder / text) if text.lower().endswith((".npz", ".yaml", ".yml")) else text

    def near_task(text: str) -> str:
        return _FILE.sub(lambda found: str(folder / found[0].strip()), text)

    def near_model(text: str) -> str:
        return str(folder / text) if (folder / text).exists() else text

    teachers = [
        one.model_copy(
            update={
                "clip": tuple(near_model(name) for name in one.clip),
                "captions": ",".join(near(part) for part in one.captions.split(",")),
            }
        )
        for one in spec.teachers
    ]
    sources = [one.model_copy(update={"source": near(one.source)}) for one in spec.sources]
    changed = {
        "sources": tuple(sources),
        "teachers": tuple(teachers),
        "tasks": tuple(near_task(text) for text in spec.tasks),
        "recipes": tuple(near(text) for text in spec.recipes),
    }
    return spec.model_copy(update=changed)


def plan(spec: SweepSpec) -> list[SweepUnit]:
    """All units, in the order of the specification.

    Raises:
        MedlabelError: a task, recipe or student is unknown, or two have the same name.
    """
    recipes = [get_recipe(name) for name in spec.recipes]
    if len({recipe.name for recipe in recipes}) < len(recipes):
        raise MedlabelError("recipes: two files have the same name: rename one")
    units = []
    for task, teacher, recipe in product(_tasks(spec), spec.teachers, recipes):
        students = [recipe.student if name == OWN else name for name in spec.students]
        units += [SweepUnit(task, teacher, recipe, name) for name in dict.fromkeys(students)]
    return units


def _tasks(spec: SweepSpec) -> list[Task]:
    tasks: dict[str, Task] = {}
    for text in spec.tasks:
        for task in _named(text, spec):
            if tasks.setdefault(task.title, task) != task:
                raise MedlabelError(f"tasks: two different tasks are named {task.title}")
    return list(tasks.values())


def _named(text: str, spec: SweepSpec) -> list[Task]:
    """The tasks that one entry of `tasks` stands for."""
    count = len(spec.sources) if text == "all" else _COMBINED.get(text)
    if count is not None:
        if not 2 <= count <= len(spec.sources):
            raise MedlabelError(
                f"tasks: {text} cannot be formed from {len(spec.sources)} sources: name more"
            )
        return [
            Task(classes=classes, size=spec.size) for classes in combinations(spec.sources, count)
        ]
    known = {source.name: source for source in spec.sources}
    parts = [part.strip() for part in text.split(",")]
    if len(parts) > 1 and all(part in known for part in parts):
        return [Task(classes=tuple(known[part] for part in parts), size=spec.size)]
    if len(parts) == 1 and not text.endswith((".yaml", ".yml")):
        raise MedlabelError(
            f"tasks: {text!r} is not one of {', '.join([*_COMBINED, 'all'])}, a task's file, or "
            "names of sources separated by commas"
        )
    try:
        return [parse_task(text, spec.size)]
    except MedlabelError as error:
        raise MedlabelError(f"tasks: {error}") from error


def check_sweep(spec: SweepSpec, units: Sequence[SweepUnit]) -> None:
    """Raise a `MedlabelError` for anything that cannot work, before any image is read."""
    for teacher in spec.teachers:
        try:
            check_caption_sets(teacher.captions)
            for name in teacher.clip:
                check_clip(name)
        except MedlabelError as error:
            raise MedlabelError(f"teachers: {error}") from error
    for student in dict.fromkeys(unit.student for unit in units):
        check_student(student, spec.size)
    for unit in units:
        teacher, classes = unit.teacher, unit.task.classes
        teacher.adjustment.check(len(classes), len(teacher.clip), embeddings=True)
        captions_of_task(classes, teacher.captions)


def captions_of_plan(units: Sequence[SweepUnit]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Return what each teacher reads for each class, by the names of both.

    A class for which a teacher reads other captions in another task has an entry per task.
    """
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for teacher, task in dict.fromkeys((unit.teacher, unit.task) for unit in units):
        reads = found.setdefault(teacher.title, {})
        for name, texts in zip(
            task.class_names, captions_of_task(task.classes, teacher.captions), strict=True
        ):
            alike = reads.setdefault(name, texts) == texts
            reads |= {} if alike else {f"{name} ({task.title})": texts}
    return found


def warnings_of_plan(units: Sequence[SweepUnit]) -> list[str]:
    """Return the warnings about the captions of all tasks and teachers, each once."""
    found: list[str] = []
    for teacher, task in dict.fromkeys((unit.teacher, unit.task) for unit in units):
        texts = captions_of_task(task.classes, teacher.captions)
        read = dict(zip(task.class_names, texts, strict=True))
        found += warnings_about(read, task.classes, teacher.captions, teacher.clip)
    return list(dict.fromkeys(found))


def same_modality(task: Task, modalities: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Whether some classes of a task share an imaging modality, which makes the task harder.

    Args:
        task: two or more classes.
        modalities: by class name, for sources that are not MedMNIST sets.
    """
    found = [
        modalities.get(spec.name) or MODALITIES.get(flag_of(spec.source) or "") or spec.source
        for spec in task.classes
    ]
    return len(set(found)) < len(found)
