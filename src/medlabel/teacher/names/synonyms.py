"""Names that people type for classes, and the captions that they stand for.

Three kinds of names:

- other names of a MedMNIST set or of its labels (`CXR`, `kidney`): they have its captions;
- modalities and parts of the body that no set holds (`MRI`, `knee`): ordinary English, for any
  CLIP; whether a phantom teacher has learned the words is for `learned_words` to say;
- findings that are not those of one set (`tumor`), and what stands for their absence (`normal`).

All keys are as `key_of` returns them. The tables that decide the phantom teacher's weights are in
`captions.py` and `phantom_captions.py`; nothing here does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from types import MappingProxyType

__all__ = [
    "ABSENCE",
    "BODY_PARTS",
    "DENIAL",
    "FINDINGS",
    "HEALTHY",
    "IN_CONTEXT",
    "MODALITIES",
    "NOT_FOR_ONE_SET",
    "NO_FINDING_LABEL",
    "ORGANS",
    "OTHER_NAMES",
    "PART_IN_MODALITY",
    "UNUSUAL",
    "SetLabel",
    "finding_captions",
    "key_of",
]

SetLabel = tuple[str, int | None]
"""The flag of a set and one of its labels, or None for the set as a whole."""

NO_FINDING_LABEL: SetLabel = ("chestmnist", 14)
"""Images of ChestMNIST without a finding: its phantoms' kind 14, of which no label tells."""

_CT = ("organamnist", "organcmnist", "organsmnist")


def _organs(*labels: int) -> tuple[SetLabel, ...]:
    return tuple((flag, label) for flag in _CT for label in labels)


_BRITISH = {
    "tumour": "tumor", "oedema": "edema", "naevus": "nevus", "naevi": "nevi",
    "haemorrhage": "hemorrhage", "leucocyte": "leukocyte", "paediatric": "pediatric",
    "colour": "color", "xray": "x ray", "foetus": "fetus", "neutrophile": "neutrophil",
}  # fmt: skip
_BRITISH_WORD = re.compile("|".join(_BRITISH))


def key_of(name: str) -> str:
    """Return a name in the spelling of the tables here.

    >>> key_of(" Chest_X-Ray! "), key_of("Tumour")
    ('chest x ray', 'tumor')
    """
    plain = unicodedata.normalize("NFKC", name).lower()
    plain = re.sub(r"[\s_\-./]+", " ", plain).strip(" ,;:!?'\"()[]")
    return _BRITISH_WORD.sub(lambda found: _BRITISH[found[0]], plain)


def _by_key(names: Mapping[str, tuple[SetLabel, ...]]) -> Mapping[str, tuple[SetLabel, ...]]:
    """Split the names, which commas separate, and map each to its sets and labels."""
    return MappingProxyType(
        {name: places for line, places in names.items() for name in line.split(", ")}
    )


OTHER_NAMES = _by_key({
    "lung, cxr, chest x ray, chest xr, chest radiograph, chest film, thorax, lung x ray, "
    "thoracic x ray": (("chestmnist", None),),
    "pediatric chest, child chest, pediatric cxr, pediatric chest x ray": (
        ("pneumoniamnist", None),
    ),
    "eye, fundus, fundus photo, eye fundus, color fundus, retinal fundus, retinal photo, "
    "fundoscopy": (("retinamnist", None),),
    "retinal oct, oct b scan, macula, macular oct": (("octmnist", None),),
    "skin, mole, skin lesion, dermatoscopy, dermoscopy, pigmented lesion, derma": (
        ("dermamnist", None),
    ),
    "breast ultrasound, breast us, breast sono, breast sonography": (("breastmnist", None),),
    "blood, blood cell, white blood cell, wbc, blood smear": (("bloodmnist", None),),
    "kidney cell, kidney cortex": (("tissuemnist", None),),
    "colon, colon histology, colorectal tissue, bowel histology": (("pathmnist", None),),
    "kidney, renal": _organs(4, 5),
    "femur, thigh bone": _organs(1, 2),
    "bladder, urinary bladder": _organs(0),
    "nevus, nevi, benign nevus": (("dermamnist", 5),),
    "diabetic retinopathy, retinopathy": tuple(("retinamnist", label) for label in range(1, 5)),
    "pleural effusion": (("chestmnist", 2),),
    "pulmonary edema, lung edema": (("chestmnist", 9),),
    "lung nodule": (("chestmnist", 5),),
    "lung infection, infected lung": (("chestmnist", 6), ("pneumoniamnist", 1)),
    "adult pneumonia": (("chestmnist", 6),),
    "pediatric pneumonia, child pneumonia, childhood pneumonia": (("pneumoniamnist", 1),),
    "breast cancer, malignant breast": (("breastmnist", 0),),
    "colon cancer, colorectal cancer": (("pathmnist", 8),),
})  # fmt: skip
"""Other names of sets and of their labels; the names in the tables count as well."""

_BENIGN_MOLES: tuple[SetLabel, ...] = tuple(("dermamnist", label) for label in (2, 3, 5, 6))

IN_CONTEXT: Mapping[str, tuple[tuple[SetLabel, ...], ...]] = MappingProxyType({
    "pneumonia": ((("chestmnist", 6),), (("pneumoniamnist", 1),)),
    "lung": (_organs(7, 8),),
    "mole": ((("dermamnist", 5),),),
    "edema": ((("octmnist", 1),),),
    "leukocyte": ((("bloodmnist", None),),),
    "lymphocyte": ((("pathmnist", 3),),),
    "cancer": ((("breastmnist", 0),), (("pathmnist", 8),), (("dermamnist", 4),)),
    "tumor": ((("breastmnist", 0),), (("pathmnist", 8),)),
    "carcinoma": ((("breastmnist", 0),), (("pathmnist", 8),), (("dermamnist", 1),)),
    "malignant": ((("breastmnist", 0),), (("dermamnist", 4),)),
    "benign": ((("breastmnist", 1),), _BENIGN_MOLES),
    "cyst": ((("breastmnist", 1),),),
    "fat": ((("pathmnist", 0),),),
    "fatty tissue": ((("pathmnist", 0),),),
    "muscle": ((("pathmnist", 5),),),
})  # fmt: skip
"""Labels that a name stands for beside other labels of the same set."""

ABSENCE: Mapping[str, tuple[SetLabel, ...]] = MappingProxyType(
    {
        "chestmnist": (NO_FINDING_LABEL,),
        "pneumoniamnist": (("pneumoniamnist", 0),),
        "octmnist": (("octmnist", 3),),
        "retinamnist": (("retinamnist", 0),),
        "breastmnist": (("breastmnist", 1),),
        "pathmnist": (("pathmnist", 6),),
        "dermamnist": _BENIGN_MOLES,
    }
)
"""Labels of images without a finding, by set."""

HEALTHY = frozenset({
    "normal", "healthy", "no finding", "no findings", "nothing", "no abnormality", "unremarkable",
    "negative", "control", "controls", "clear", "well", "no disease", "not sick", "disease free",
    "no pathology", "without finding", "without findings", "no abnormalities",
})  # fmt: skip
"""Names of a class of images without the findings of the other classes."""

DENIAL = re.compile(
    r"(?:(?:no|not|non|without|absence of|absent|negative for)(?: an?)? (?P<after>.+)"
    r"|(?P<before>.+) (?:free|negative|absent))"
)
"""Names of a class of images without one finding: `no tumor`."""

_SHOWING = ("a medical image showing {}", "a scan with {}")
_WITHOUT = ("a normal medical image without {}", "a healthy scan, no {}")


def finding_captions(name: str, article: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return captions of images with a finding, and of images without it.

    >>> finding_captions("rash")
    (('a medical image showing rash', 'a scan with rash'),
     ('a normal medical image without rash', 'a healthy scan, no rash'))
    """
    present = tuple(wording.format(article + name) for wording in _SHOWING)
    return present, (_WITHOUT[0].format(article + name), _WITHOUT[1].format(name))


def _findings() -> Iterable[tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]]:
    for name in ("tumor", "fracture", "polyp", "lesion", "cyst", "stroke", "hematoma", "stone"):
        yield name, finding_captions(name, "a ")
    for name in ("cancer", "hemorrhage", "bleeding", "inflammation", "infection", "metastasis"):
        yield name, finding_captions(name)
    sick = ("an abnormal medical image", "a scan showing disease")
    well = ("a normal medical image", "a healthy scan without disease")
    for name in ("abnormal", "sick", "ill", "disease", "diseased", "pathological", "positive"):
        yield name, (sick, well)
    yield (
        "benign",
        (
            ("a medical image of a benign lesion", "a scan of a harmless benign mass"),
            ("a medical image of a malignant tumor", "a scan showing cancer"),
        ),
    )
    yield (
        "brain tumor",
        (
            ("an MRI scan of a brain with a tumor", "a brain MRI showing a tumor"),
            ("an MRI scan of a healthy brain without a tumor", "a normal brain MRI, no tumor"),
        ),
    )
    yield (
        "skin cancer",
        (
            ("a dermatoscopic image of skin cancer", "a close-up photo of a malignant skin lesion"),
            (
                "a dermatoscopic image of a harmless mole",
                "a close-up photo of a benign skin lesion",
            ),
        ),
    )
    for name in ("COVID", "COVID-19", "tuberculosis", "TB"):
        yield (
            key_of(name),
            (
                (f"a chest X-ray with {name}", f"a chest radiograph of a patient with {name}"),
                (f"a normal chest X-ray without {name}", "a chest radiograph with clear lungs"),
            ),
        )


FINDINGS = MappingProxyType(dict(_findings()))
"""Captions of images with a finding and of images without it, for findings of no single set."""

PART_IN_MODALITY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mri": ("an MRI scan of the {}", "a magnetic resonance image of the {}"),
        "ct": ("a CT scan of the {}", "a computed tomography image of the {}"),
        "x ray": ("an X-ray image of the {}", "a radiograph of the {}"),
        "ultrasound": ("an ultrasound image of the {}", "a sonogram of the {}"),
    }
)
"""Captions of a part of the body in a modality."""

_MODALITY_NAMES = {
    "mri": "mri, mr, mr image, magnetic resonance, magnetic resonance imaging, mrt, nmr",
    "ct": "ct, cat, computed tomography, ct slice",
    "x ray": "x ray, radiograph, radiography, xr, plain film, roentgen",
    "ultrasound": "ultrasound, us, sono, sonogram, sonography, ultrasonography, echo",
    "mammogram": "mammogram, mammography, breast x ray",
    "endoscopy": "endoscopy, colonoscopy, gastroscopy",
    "pet": "pet, positron emission tomography",
    "histology": "histology, histopathology, pathology, h&e, pathology slide, biopsy",
    "microscopy": "microscopy, microscope, micrograph, cell",
    "fluorescence": "fluorescence, fluorescence microscopy, immunofluorescence",
}
_MODALITY_CAPTIONS = {
    "mri": ("an MRI scan", "a magnetic resonance image", "an MR image of the body"),
    "ct": ("a CT scan", "a computed tomography image", "a CT slice of the body"),
    "x ray": ("an X-ray image", "a radiograph", "an X-ray film of the body"),
    "ultrasound": ("an ultrasound image", "a sonogram", "a B-mode ultrasound scan"),
    "mammogram": ("a mammogram", "a mammography image of the breast", "an X-ray of the breast"),
    "endoscopy": ("an endoscopy image", "an endoscopic photo of the inside of the bowel"),
    "pet": ("a PET scan", "a positron emission tomography image"),
    "histology": (
        "a histopathology image of tissue",
        "a microscope image of tissue stained with hematoxylin and eosin",
        "an H&E stained pathology slide",
    ),
    "microscopy": ("a microscope image of a cell", "a single cell under the microscope"),
    "fluorescence": (
        "a fluorescence microscopy image of a cell",
        "a fluorescent cell in a dark fluorescence microscope image",
    ),
}
MODALITIES: Mapping[str, tuple[str, tuple[str, ...]]] = MappingProxyType(
    {
        name: (modality, _MODALITY_CAPTIONS[modality])
        for modality, names in _MODALITY_NAMES.items()
        for name in names.split(", ")
    }
)
"""The modality and its captions, by each of its names."""

_BODY = {
    "x ray": "hand, wrist, finger, elbow, forearm, shoulder, foot, ankle, tooth, jaw, bone, hip, "
    "pelvis, leg, arm, rib, clavicle, toe, joint",
    "mri": "brain, prostate, cerebellum, white matter",
    "ct": "abdomen, stomach, neck, sinus, aorta, trunk, belly",
    "ultrasound": "thyroid, uterus, ovary, fetus, gallbladder, artery, vein, testis",
    "ct mri": "head",
    "x ray mri": "knee, spine",
    "x ray ct": "skull",
}
BODY_PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        part: tuple(
            caption.format(part)
            for modality, captions in PART_IN_MODALITY.items()
            if modality in modalities
            for caption in captions
        )
        for modalities, parts in _BODY.items()
        for part in parts.split(", ")
    }
)
"""Captions of parts of the body that no set holds, in the modality that mostly shows them."""

ORGANS = frozenset({
    "chest", "lung", "heart", "liver", "kidney", "spleen", "pancreas", "bladder", "breast", "femur",
    "colon", "eye", "retina", "skin",
})  # fmt: skip
"""Parts of the body that sets hold, beside `BODY_PARTS`."""

UNUSUAL = {
    "teeth": "tooth", "dental": "tooth", "feet": "foot", "fetal": "fetus", "ovaries": "ovary",
    "metastases": "metastasis", "abdominal": "abdomen", "cranial": "head", "cerebral": "brain",
    "pelvic": "pelvis", "spinal": "spine", "thoracic": "chest", "hepatic": "liver",
}  # fmt: skip
"""Plurals and adjectives that are not made by an `s`."""

NOT_FOR_ONE_SET = frozenset({
    *IN_CONTEXT, *MODALITIES, *FINDINGS, *BODY_PARTS, "benign mass", "clear lungs", "cloudy lungs",
    "collapsed lung", "dead cells", "empty glass", "fat", "fatty tissue", "grade 0", "grade 1",
    "grade 2", "grade 3", "grade 4", "harmless", "healthy lungs", "immune cell", "immune cells",
    "infected lungs", "large monocyte", "large round shadow", "lung consolidation",
    "lung infection", "malignant lesion", "malignant mass", "muscle", "no tissue", "sick lungs",
    "small round spot", "tissue cell", "tumor of the lung",
})  # fmt: skip
"""Names in the training captions of one set that mean more than that set."""
