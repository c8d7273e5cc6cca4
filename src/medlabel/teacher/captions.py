"""The caption tables: captions for every MedMNIST set and each of its classes.

The name of a class selects its captions. `chest` and `chestmnist` stand for the whole set, with
images of every label; each label of a set has captions of its own; any other name fills the
paper's template.

    captions_for("breast")                                   # the set BreastMNIST
    captions_for("my class", flag="bloodmnist", label=1)     # eosinophils
    captions_for("eosinophil")                               # the same, by name
    captions_for("knee")                                     # the paper's template
    paper_captions("knee")                                   # the paper's template, always

`pneumonia` alone is the set PneumoniaMNIST, children's chest films; the finding is
`captions_for("pneumonia", flag="pneumoniamnist", label=1)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from medlabel.phantoms import LOOKS, Look

__all__ = [
    "CLASS_NAMES",
    "NO_FINDING",
    "PAPER_TEMPLATE",
    "SET_CAPTIONS",
    "SHORT_NAMES",
    "captions_for",
    "class_labels",
    "paper_captions",
]

PAPER_TEMPLATE = "This is a photo of the {name}, and it's a type of organ"

SET_CAPTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "pathmnist": (
        "a histopathology image of colon tissue",
        "a microscope image of colorectal tissue stained with hematoxylin and eosin",
        "an H&E stained pathology slide of the colon",
    ),
    "chestmnist": (
        "a chest X-ray of an adult",
        "a frontal chest radiograph of an adult patient",
        "an X-ray image of the adult chest and lungs",
    ),
    "dermamnist": (
        "a dermatoscopic image of a skin lesion",
        "a close-up photo of a pigmented mole on the skin",
        "a dermatoscopy photograph of human skin",
    ),
    "octmnist": (
        "an optical coherence tomography scan of the retina",
        "a retinal OCT B-scan",
        "an OCT cross-section of the layers of the retina",
    ),
    "pneumoniamnist": (
        "a chest X-ray of a child",
        "a pediatric chest radiograph",
        "an X-ray image of a young child's chest and lungs",
    ),
    "retinamnist": (
        "a fundus photograph of the eye",
        "a color fundus photo of the retina",
        "a photograph of the back of the eye with the optic disc and blood vessels",
    ),
    "breastmnist": (
        "an ultrasound image of the breast",
        "a breast ultrasound scan",
        "a B-mode sonogram of breast tissue",
    ),
    "bloodmnist": (
        "a microscope image of a blood cell",
        "a stained white blood cell in a blood smear",
        "a peripheral blood smear with a single cell in the middle",
    ),
    "tissuemnist": (
        "a fluorescence microscopy image of a kidney cell",
        "a dark fluorescence microscope image of a cell of the kidney cortex",
        "a fluorescent human kidney cortex cell",
    ),
    "organamnist": (
        "an axial abdominal CT image of an organ",
        "an axial CT slice of an abdominal organ",
        "a computed tomography crop of a body organ in the axial plane",
    ),
    "organcmnist": (
        "a coronal abdominal CT image of an organ",
        "a coronal CT slice of an abdominal organ",
        "a computed tomography crop of a body organ in the coronal plane",
    ),
    "organsmnist": (
        "a sagittal abdominal CT image of an organ",
        "a sagittal CT slice of an abdominal organ",
        "a computed tomography crop of a body organ in the sagittal plane",
    ),
})  # fmt: skip
"""Captions of each set as a whole, by flag: ordinary English, for any CLIP."""

SHORT_NAMES: Mapping[str, str] = MappingProxyType(
    {flag.removesuffix("mnist"): flag for flag in SET_CAPTIONS}
)
"""Maps `breast` to `breastmnist`, and so on for all twelve sets."""

_ORGANS = (
    "bladder", "left femur", "right femur", "heart", "left kidney", "right kidney", "liver",
    "left lung", "right lung", "pancreas", "spleen",
)  # fmt: skip

CLASS_NAMES: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "pathmnist": (
        "adipose tissue", "background", "debris", "lymphocytes", "mucus", "smooth muscle",
        "normal colon mucosa", "cancer-associated stroma", "colorectal adenocarcinoma epithelium",
    ),
    "chestmnist": (
        "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia",
        "pneumothorax", "consolidation", "edema", "emphysema", "fibrosis", "pleural thickening",
        "hernia",
    ),
    "dermamnist": (
        "actinic keratosis", "basal cell carcinoma", "benign keratosis", "dermatofibroma",
        "melanoma", "melanocytic nevus", "vascular lesion",
    ),
    "octmnist": ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal"),
    "pneumoniamnist": ("normal", "pneumonia"),
    "retinamnist": (
        "no diabetic retinopathy", "mild diabetic retinopathy", "moderate diabetic retinopathy",
        "severe diabetic retinopathy", "proliferative diabetic retinopathy",
    ),
    "breastmnist": ("malignant", "normal or benign"),
    "bloodmnist": (
        "basophil", "eosinophil", "erythroblast", "immature granulocyte", "lymphocyte",
        "monocyte", "neutrophil", "platelet",
    ),
    "tissuemnist": (
        "collecting duct", "distal convoluted tubule", "glomerular endothelial cell",
        "interstitial endothelial cell", "leukocyte", "podocyte", "proximal tubule segment",
        "thick ascending limb",
    ),
    "organamnist": _ORGANS,
    "organcmnist": _ORGANS,
    "organsmnist": _ORGANS,
})  # fmt: skip
"""The classes of each set in the order of its labels, in everyday words."""

NO_FINDING: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "chestmnist": (
        "a chest X-ray of a healthy adult, no finding",
        "a normal adult chest radiograph with clear lungs",
    ),
})  # fmt: skip
"""Captions of images with none of the labels of a set, for sets that have such images."""

_CLASS_WORDINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "pathmnist": (
            "a histopathology image of {name}",
            "an H&E stained patch of the colon showing {name}",
        ),
        "chestmnist": ("a chest X-ray showing {name}", "an adult chest radiograph with {name}"),
        "dermamnist": (
            "a dermatoscopic image of a {name}",
            "a close-up photo of skin with a {name}",
        ),
        "octmnist": ("a retinal OCT scan, {name}", "an OCT cross-section of a retina: {name}"),
        "pneumoniamnist": (
            "a chest X-ray of a child, {name}",
            "a pediatric chest radiograph: {name}",
        ),
        "retinamnist": ("a fundus photograph with {name}", "a photo of the back of an eye, {name}"),
        "breastmnist": (
            "a breast ultrasound, {name}",
            "an ultrasound image of breast tissue that is {name}",
        ),
        "bloodmnist": ("a microscope image of a {name}", "a stained {name} in a blood smear"),
        "tissuemnist": (
            "a fluorescence image of a kidney cell: {name}",
            "a {name} of the kidney cortex in fluorescence",
        ),
        "organamnist": (
            "an axial CT image of the {name}",
            "the {name} in an axial abdominal CT slice",
        ),
        "organcmnist": (
            "a coronal CT image of the {name}",
            "the {name} in a coronal abdominal CT slice",
        ),
        "organsmnist": (
            "a sagittal CT image of the {name}",
            "the {name} in a sagittal abdominal CT slice",
        ),
    }
)

_WRITTEN_OUT: Mapping[tuple[str, int], tuple[str, ...]] = MappingProxyType(
    {
        ("pathmnist", 1): (
            "an empty background patch of a histopathology slide",
            "bare glass of an H&E stained slide, without tissue",
        ),
        ("octmnist", 3): ("a retinal OCT scan of a healthy eye", "a normal OCT scan of the retina"),
        ("pneumoniamnist", 0): (
            "a chest X-ray of a healthy child",
            "a normal pediatric chest radiograph with clear lungs",
        ),
        ("pneumoniamnist", 1): (
            "a chest X-ray of a child with pneumonia",
            "a pediatric chest radiograph with cloudy lungs, pneumonia",
        ),
        ("breastmnist", 0): (
            "an ultrasound image of a malignant breast tumor",
            "a breast ultrasound scan showing cancer",
        ),
        ("breastmnist", 1): (
            "a breast ultrasound scan of normal tissue or a benign lump",
            "an ultrasound image of a breast without cancer",
        ),
        ("bloodmnist", 1): (
            "a microscope image of an eosinophil",
            "a stained eosinophil in a blood smear",
        ),
        ("bloodmnist", 2): (
            "a microscope image of an erythroblast",
            "a stained erythroblast in a blood smear",
        ),
        ("bloodmnist", 3): (
            "a microscope image of an immature granulocyte",
            "a stained myelocyte, metamyelocyte or promyelocyte in a blood smear",
        ),
    }
)
"""Classes for which a template would give awkward captions."""


def captions_for(
    name: str, *, flag: str | None = None, label: int | None = None
) -> tuple[str, ...]:
    """Return the captions of a class: of a label of a set, of a set, or of a known class name.

    Args:
        name: of the class in the task: a flag, a short name, the name of a class, or any other.
        flag: the MedMNIST set of its images, if the class is a label of that set.
        label: the label within `flag`. Both are needed; unknown labels are ignored.

    >>> captions_for("knee") == paper_captions("knee")
    True
    """
    if flag is not None and label is not None and 0 <= label < len(CLASS_NAMES.get(flag, ())):
        return _class_captions(flag, label)
    if flag is not None and flag in LOOKS and flag not in SET_CAPTIONS:
        return _own_captions(LOOKS[flag], label)
    key = name.strip().lower()
    key = SHORT_NAMES.get(key, key)
    if key in SET_CAPTIONS:
        return SET_CAPTIONS[key]
    if key in LOOKS:
        return _own_captions(LOOKS[key], None)
    if key in _UNIQUE_NAMES:
        return _class_captions(*_UNIQUE_NAMES[key])
    for look in LOOKS.values():
        for number, kind in enumerate(look.kinds):
            if look.flag not in SET_CAPTIONS and kind.name.lower() == key:
                return _own_captions(look, number)
    return paper_captions(name)


def class_labels(flag: str) -> range:
    """Return the labels of a set: one of the twelve MedMNIST sets or one added by the user."""
    return range(len(CLASS_NAMES[flag]) if flag in CLASS_NAMES else len(LOOKS[flag].kinds))


def _own_captions(look: Look, label: int | None) -> tuple[str, ...]:
    """Return the captions of a look added by the user, or of one of its kinds."""
    if label is None or not 0 <= label < len(look.kinds):
        return look.captions or paper_captions(look.flag)
    kind = look.kinds[label]
    return kind.captions or (f"{look.flag}, {kind.name}",)


def paper_captions(name: str) -> tuple[str, ...]:
    """Return the paper's single caption for a class of this name."""
    return (PAPER_TEMPLATE.format(name=name),)


def _class_captions(flag: str, label: int) -> tuple[str, ...]:
    """Return the captions of one label of a set."""
    if (flag, label) in _WRITTEN_OUT:
        return _WRITTEN_OUT[flag, label]
    name = CLASS_NAMES[flag][label]
    return tuple(wording.format(name=name) for wording in _CLASS_WORDINGS[flag])


def _unique_names() -> dict[str, tuple[str, int]]:
    """Map class names that occur in a single set, such as `eosinophil`, to (flag, label)."""
    owners: dict[str, list[tuple[str, int]]] = {}
    for flag, names in CLASS_NAMES.items():
        for label, name in enumerate(names):
            owners.setdefault(name, []).append((flag, label))
    return {name: found[0] for name, found in owners.items() if len(found) == 1}


_UNIQUE_NAMES: Mapping[str, tuple[str, int]] = MappingProxyType(_unique_names())
