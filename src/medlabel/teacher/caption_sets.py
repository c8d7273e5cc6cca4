"""Caption sets: alternative captions for the teacher, by name or from a user's file.

| name | captions of a class |
| --- | --- |
| `table` | the two or three in the tables of `medlabel.teacher.captions` |
| `paper` | the paper's single caption |
| `templates` | about eighty templates, filled with an everyday name |
| `descriptions` | descriptions of the appearance of such images |
| `mine.yaml` | a user's own: lists by class name, `templates` with `{name}`, or both |
| `table,templates` | those of several sets; the teacher averages over all |

They are kept apart from `captions.py`, because the phantom CLIP is trained on the captions there:
a changed word gives another model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from medlabel.data.class_names import plain_name
from medlabel.errors import MedlabelError
from medlabel.storage.yaml_files import read_mapping
from medlabel.teacher.captions import (
    _UNIQUE_NAMES,
    CLASS_NAMES,
    SET_CAPTIONS,
    SHORT_NAMES,
    paper_captions,
)
from medlabel.teacher.captions import captions_for as table_captions

__all__ = [
    "DESCRIPTIONS",
    "TEMPLATES",
    "captions_in",
    "check_caption_sets",
    "files_in",
    "unused_captions",
]

TEMPLATES: tuple[str, ...] = (
    # what kind of record it is
    "a medical image of {name}", "a medical scan of {name}", "a clinical image of {name}",
    "a clinical photograph of {name}", "a diagnostic image of {name}", "a hospital scan of {name}",
    "a picture of {name} from a patient's file", "an image of {name} from a clinic's archive",
    "a figure of {name} from a medical textbook", "a slide of {name} from a lecture on anatomy",
    "an image of {name} from a research data set", "a teaching case: {name}",
    "a doctor's picture of {name}", "an examination of {name}", "a screening image of {name}",
    "an image of {name} for a second opinion",
    # how well it was taken
    "a blurry scan of {name}", "a sharp scan of {name}", "a noisy scan of {name}",
    "a clean scan of {name}", "a grainy image of {name}", "a faint image of {name}",
    "an overexposed image of {name}", "an underexposed image of {name}",
    "a dark image of {name}", "a bright image of {name}", "a low-contrast image of {name}",
    "a high-contrast image of {name}", "a poor image of {name}", "a good image of {name}",
    "an image of {name} with artefacts", "an image of {name} spoiled by movement",
    "an old scan of {name}", "a modern scan of {name}",
    # how it was kept
    "a tiny image of {name}", "a thumbnail of {name}", "a small grey image of {name}",
    "a pixelated image of {name}", "a low resolution scan of {name}",
    "a high resolution scan of {name}", "a compressed image of {name}",
    "a black and white image of {name}", "a colour image of {name}", "a printed scan of {name}",
    "a scan of {name} on a screen", "a photo of a film of {name}",
    # what of it is in view
    "a cropped image of {name}", "a tightly cropped scan of {name}", "a close view of {name}",
    "a magnified view of {name}", "a wide view of {name}", "a partial view of {name}",
    "a full view of {name}", "a tilted image of {name}", "a rotated scan of {name}",
    "a mirrored image of {name}", "an image with {name} in the middle",
    "an image with {name} at the edge", "a cross-section of {name}", "a detail of {name}",
    "a patch taken from an image of {name}", "a square cut-out of {name}",
    # what was asked of it
    "a routine image of {name}", "an emergency image of {name}", "a follow-up image of {name}",
    "an image of {name} from a check-up", "a typical image of {name}",
    "an unusual image of {name}", "an easy example of {name}",
    "a hard example of {name}", "one of many images of {name}", "the only image of {name}",
    # nothing but the thing
    "{name}", "this is {name}", "here we see {name}", "what is shown is {name}",
    "an image showing {name}", "a scan showing {name}", "a picture that shows {name}",
    "findings: {name}", "imaging of {name}", "a view of {name}",
)  # fmt: skip
"""Ways to speak of a medical image: Radford et al.'s (2021, 3.1.4) idea, in a clinic's words."""

_SET_NOUNS: Mapping[str, str] = MappingProxyType({
    "pathmnist": "stained colon tissue",
    "chestmnist": "the adult chest",
    "dermamnist": "a skin lesion",
    "octmnist": "the layers of the retina",
    "pneumoniamnist": "a child's chest",
    "retinamnist": "the back of the eye",
    "breastmnist": "the breast",
    "bloodmnist": "a blood cell",
    "tissuemnist": "a kidney cell",
    "organamnist": "an abdominal organ in axial CT",
    "organcmnist": "an abdominal organ in coronal CT",
    "organsmnist": "an abdominal organ in sagittal CT",
})  # fmt: skip

_CLASS_NOUNS: Mapping[tuple[str, int], str] = MappingProxyType({
    ("pathmnist", 1): "the empty background of a tissue slide",
    ("octmnist", 3): "a normal retina",
    ("pneumoniamnist", 0): "a healthy child's lungs",
    ("pneumoniamnist", 1): "a child's lungs with pneumonia",
    ("breastmnist", 0): "a malignant breast tumor",
    ("breastmnist", 1): "normal or benign breast tissue",
})  # fmt: skip
"""Labels whose names alone would not fit into a template."""

DESCRIPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "pathmnist": (
        "pink and purple tissue with round glands and many small dark nuclei",
        "a dense purple and pink texture of stained colon tissue",
    ),
    "chestmnist": (
        "two dark lungs behind bright ribs, with the white shadow of the heart between them",
        "a grey film of a broad rib cage, collar bones and diaphragm",
    ),
    "dermamnist": (
        "a brown or reddish spot in the middle of pale pink skin",
        "pigmented skin with an uneven brown patch, lit evenly from close by",
    ),
    "octmnist": (
        "bright horizontal bands of retinal layers on a black background",
        "a curved grey stripe of layered tissue, dark above and below",
    ),
    "pneumoniamnist": (
        "a small rounded rib cage with dark lungs and a wide heart shadow",
        "a grey film of a child's narrow chest, with the arms or the chin in view",
    ),
    "retinamnist": (
        "an orange-red disc with branching blood vessels and a bright yellow optic disc",
        "a round orange image of the eye's inside on a black background",
    ),
    "breastmnist": (
        "grey speckled layers of tissue with a dark lump, bright at the skin and darker below",
        "a grainy sonogram with horizontal layers of fat and gland",
    ),
    "bloodmnist": (
        "a purple cell in the middle of a pale background with pink red blood cells",
        "a single stained cell with a dark violet nucleus on a light smear",
    ),
    "tissuemnist": (
        "a faint glowing blob on a black background",
        "a soft grey glow of a single cell, without sharp borders",
    ),
    "organamnist": (
        "a grey crop of the body seen from below: a smooth organ between fat and muscle",
        "a rounded grey shape in a horizontal slice of the trunk",
    ),
    "organcmnist": (
        "a grey crop of the body seen from the front: a smooth organ between fat and muscle",
        "a grey shape in an upright slice of the trunk, seen face on",
    ),
    "organsmnist": (
        "a grey crop of the body seen from the side: a smooth organ between fat and spine",
        "a grey shape in an upright slice of the trunk, seen in profile",
    ),
})  # fmt: skip
"""What is seen in an image of each set, by flag."""

_ORGAN_LOOKS = (
    "a smooth round grey sac of fluid low in the pelvis",
    "a bright ring or ball of bone at the left hip",
    "a bright ring or ball of bone at the right hip",
    "a large bright rounded muscle between dark lungs",
    "a bean-shaped bright organ beside the spine, on the left",
    "a bean-shaped bright organ beside the spine, on the right",
    "a large even grey organ that fills the upper right of the abdomen",
    "a black air-filled space with fine bright vessels, on the left",
    "a black air-filled space with fine bright vessels, on the right",
    "a small lobed grey strip of tissue behind the stomach",
    "an even grey crescent-shaped organ at the upper left of the abdomen",
)  # fmt: skip

_CLASS_DESCRIPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "pathmnist": (
        "large empty white cells with thin pink walls", "plain pale glass without any tissue",
        "pink and purple smears of dead cells without structure",
        "many small round dark purple nuclei, packed closely",
        "pale blue-grey stringy pools with few cells",
        "parallel wavy pink fibres with long thin nuclei",
        "regular round glands with pale goblet cells in neat rows",
        "loose pink fibres with scattered long dark nuclei",
        "crowded irregular glands with large dark crowded nuclei",
    ),
    "chestmnist": (
        "a chest X-ray with a dense band where part of a lung has collapsed",
        "a chest X-ray with a heart wider than half of the chest",
        "a chest X-ray with a white fluid level that hides the lower corner of a lung",
        "a chest X-ray with hazy white patches in the lungs",
        "a chest X-ray with a large round white shadow in a lung",
        "a chest X-ray with a small round white spot in a lung",
        "a chest X-ray with a cloudy white patch in part of a lung",
        "a chest X-ray with a black rim without lung markings around a collapsed lung",
        "a chest X-ray with a solid white part of a lung in which airways show dark",
        "a chest X-ray with white haze spreading from the middle of both lungs",
        "a chest X-ray with very dark, over-inflated lungs and a flat diaphragm",
        "a chest X-ray with a net of coarse white lines in the lungs",
        "a chest X-ray with a thick white line along the edge of a lung",
        "a chest X-ray with bowel or stomach above the diaphragm",
    ),
    "dermamnist": (
        "a rough scaly red patch on sun-damaged skin",
        "a pearly pink bump with fine branching vessels",
        "a well bordered brown spot with a waxy, warty surface",
        "a firm small brown bump with a pale centre",
        "an uneven dark brown and black spot with ragged borders",
        "an even round brown mole with a regular border",
        "a bright red or purple spot made of blood vessels",
    ),
    "octmnist": (
        "retinal layers lifted by a bright irregular mound, with dark fluid",
        "a thickened retina with dark round cysts of fluid",
        "retinal layers with small bumps along the lowest bright line",
        "smooth even retinal layers with a gentle dip in the middle",
    ),
    "pneumoniamnist": (
        "a child's chest film with clear dark lungs",
        "a child's chest film with cloudy white patches in the lungs",
    ),
    "retinamnist": (
        "a clear orange eye background with clean vessels and no spots",
        "an orange eye background with a few tiny red dots",
        "an orange eye background with red dots, blots and some yellow spots",
        "an orange eye background with many bleedings in every part and beaded veins",
        "an orange eye background with fragile new vessels, large bleedings or scars",
    ),
    "breastmnist": (
        "a dark lump with ragged, spiky borders and a shadow below it",
        "even grey breast tissue, or a smooth oval dark lump",
    ),
    "bloodmnist": (
        "a cell filled with large dark blue-violet granules that hide its nucleus",
        "a cell with a two-lobed nucleus and bright orange-red granules",
        "a small cell with a round, very dark nucleus and a grey-blue rim",
        "a large cell with a round or indented nucleus and fine granules",
        "a small cell with a round dark nucleus and a thin blue rim",
        "a large cell with a folded, kidney-shaped nucleus and grey-blue cytoplasm",
        "a cell with a nucleus of several lobes and a pale pink cytoplasm",
        "a tiny purple speck without a nucleus, smaller than a red blood cell",
    ),
    **{
        f"organ{letter}mnist": tuple(f"{plane} CT: {look}" for look in _ORGAN_LOOKS)
        for letter, plane in (("a", "axial"), ("c", "coronal"), ("s", "sagittal"))
    },
})  # fmt: skip
"""What is seen in an image of each label; sets whose labels one cannot tell in words are absent."""


def captions_in(
    caption_set: str, name: str, *, flag: str | None = None, label: int | None = None
) -> tuple[str, ...]:
    """Return the captions for a class in one caption set or in a user's YAML file.

    Args:
        caption_set: `table`, `paper`, `templates`, `descriptions`, or a path that ends in .yaml.
        name: of the class in the task.
        flag: the MedMNIST set of its images, if the class is a label of that set.
        label: the label within `flag`.

    Raises:
        MedlabelError: the set is unknown, or the file is invalid or lacks the class.
    """
    if _is_file(caption_set):
        return _own_captions(Path(caption_set), name)
    check_caption_sets(caption_set)
    return _SETS[caption_set](name, flag, label)


def check_caption_sets(text: str) -> None:
    """Raise a `MedlabelError` if a comma-separated list names an unknown caption set."""
    for part in text.split(","):
        if part not in _SETS and not _is_file(part):
            raise MedlabelError(
                f"unknown captions {part!r}: choose from {', '.join(_SETS)}, or a .yaml file"
            )


def files_in(caption_sets: str) -> list[Path]:
    """Return the files that a comma-separated list of caption sets names."""
    return [Path(part) for part in caption_sets.split(",") if _is_file(part)]


def _is_file(caption_set: str) -> bool:
    return caption_set.endswith((".yaml", ".yml"))


def _template_captions(name: str, flag: str | None, label: int | None) -> tuple[str, ...]:
    flag, label = _place(name, flag, label)
    noun = name
    if flag is not None and label is not None:
        noun = _CLASS_NOUNS.get((flag, label), CLASS_NAMES[flag][label])
    elif flag is not None:
        noun = _SET_NOUNS[flag]
    return tuple(template.format(name=noun) for template in TEMPLATES)


def _descriptions(name: str, flag: str | None, label: int | None) -> tuple[str, ...]:
    """Return descriptions of the appearance, or the captions of the tables if there are none."""
    known, number = _place(name, flag, label)
    if known is not None and number is None:
        return DESCRIPTIONS[known]
    if known is None or number is None or known not in _CLASS_DESCRIPTIONS:
        return table_captions(name, flag=known or flag, label=label if known is None else number)
    return (_CLASS_DESCRIPTIONS[known][number],)


def _place(name: str, flag: str | None, label: int | None) -> tuple[str | None, int | None]:
    """Return the set and label of a class, by the same rules as `captions.captions_for`."""
    if flag is not None and label is not None and 0 <= label < len(CLASS_NAMES.get(flag, ())):
        return flag, label
    key = name.strip().lower()
    key = SHORT_NAMES.get(key, key)
    return (key, None) if key in SET_CAPTIONS else _UNIQUE_NAMES.get(key, (None, None))


def _own_captions(path: Path, name: str) -> tuple[str, ...]:
    """Return a user's captions: those of the class and those from the templates of the file."""
    content = _read_captions(path)
    templates = content.pop("templates", ())
    for template in templates:
        if "{name}" not in template:
            raise MedlabelError(f"{path}: template {template!r} has no {{name}}")
    own = content.get(name, ())
    close = [] if own else [key for key in content if plain_name(key) == plain_name(name)]
    if close:
        raise MedlabelError(
            f"{path} has captions for {close[0]!r}: write it as the class, {name!r}"
        )
    if not own and not templates:
        raise MedlabelError(f"{path}: no captions for class {name!r}, and no templates")
    return (*own, *(template.replace("{name}", name) for template in templates))


def unused_captions(caption_sets: str, names: Collection[str]) -> list[str]:
    """Return warnings for captions in a user's files that no class has, beside templates.

    A file may have more classes than a task. But where its templates stand in for a class without
    captions of its own, a name that is misspelt would go unnoticed.

    Args:
        caption_sets: as in `check_caption_sets`.
        names: of the classes.
    """
    found = []
    for path in files_in(caption_sets):
        content = _read_captions(path)
        others = [key for key in content if key not in {*names, "templates"}]
        filled = [name for name in names if name not in content]
        if others and filled and "templates" in content:
            found.append(
                f"{path} has captions for {others[0]!r}, which is no class, and none for "
                f"{filled[0]!r}, for which its templates are read: check the names"
            )
    return found


def _read_captions(path: Path) -> dict[str, tuple[str, ...]]:
    """Read lists of captions by class name (or `templates`), with one-line errors."""
    advice = f"{path}: write lists of captions by class name, or templates"
    content = read_mapping(path, "captions", advice)
    for key, captions in content.items():
        if not isinstance(captions, list) or not captions or not all(map(_is_caption, captions)):
            raise MedlabelError(f"{path}: {key} is not a list of captions: write [a sentence, …]")
    return {key: tuple(captions) for key, captions in content.items()}


def _is_caption(value: object) -> bool:
    return isinstance(value, str) and any(map(str.isalpha, value))


_SETS: Mapping[str, Callable[[str, str | None, int | None], tuple[str, ...]]] = MappingProxyType({
    "table": lambda name, flag, label: table_captions(name, flag=flag, label=label),
    "paper": lambda name, flag, label: paper_captions(name),
    "templates": _template_captions,
    "descriptions": _descriptions,
})  # fmt: skip
