"""Training captions of the phantom CLIP: paraphrases of the sets and their classes.

`captions.py` has the captions that teachers read. The paraphrases here let the phantom CLIP
understand other names that a user may give to a class. Both files decide its weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from medlabel.phantoms import LOOKS
from medlabel.teacher.captions import (
    CLASS_NAMES,
    NO_FINDING,
    SET_CAPTIONS,
    SHORT_NAMES,
    captions_for,
    paper_captions,
)

__all__ = ["kind_paraphrases", "set_paraphrases"]

_SUBJECTS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "pathmnist": ("colon pathology", "colon histology", "H&E tissue", "colorectal cancer tissue"),
    "chestmnist": (
        "adult chest X-ray", "chest radiograph", "adult chest film", "chest",
        "adult lungs on X-ray",
    ),
    "dermamnist": (
        "skin lesion", "dermatoscopy", "skin", "mole", "pigmented skin lesion", "dermoscopy",
    ),
    "octmnist": ("retinal OCT", "optical coherence tomography", "OCT scan", "OCT of the macula"),
    "pneumoniamnist": (
        "pediatric chest X-ray", "child's chest X-ray", "children's chest film",
        "pediatric pneumonia",
    ),
    "retinamnist": (
        "fundus photograph", "retinal fundus", "eye fundus", "retina", "fundus camera image",
    ),
    "breastmnist": (
        "breast ultrasound", "breast sonography", "breast", "breast lesion on ultrasound",
        "sonogram",
    ),
    "bloodmnist": (
        "blood cell", "blood smear", "white blood cell", "leukocyte on a smear", "blood",
    ),
    "tissuemnist": (
        "kidney cortex cell", "kidney cell", "fluorescence microscopy", "tissue cell", "tissue",
    ),
    "organamnist": ("axial CT", "axial abdominal CT", "organ in axial CT", "axial organ"),
    "organcmnist": ("coronal CT", "coronal abdominal CT", "organ in coronal CT", "coronal organ"),
    "organsmnist": (
        "sagittal CT", "sagittal abdominal CT", "organ in sagittal CT", "sagittal organ",
    ),
})  # fmt: skip
"""Other names of each set."""

_ORGANS = (
    ("urinary bladder",), ("left hip", "left thigh bone"), ("right hip", "right thigh bone"),
    ("cardiac muscle", "heart chambers"), ("kidney of the left side", "left renal"),
    ("kidney of the right side", "right renal"), ("hepatic", "liver tissue"),
    ("lung of the left side", "left pulmonary"), ("lung of the right side", "right pulmonary"),
    ("pancreatic", "pancreatic gland"), ("splenic", "spleen tissue"),
)  # fmt: skip

_SYNONYMS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType({
    "pathmnist": (
        ("fat", "fatty tissue", "adipocytes"), ("empty glass", "no tissue"),
        ("necrosis", "dead cells"), ("lymphoid tissue", "immune cells"),
        ("mucin", "pools of mucus"),
        ("muscle", "muscularis"), ("normal glands", "healthy colon mucosa", "benign colon"),
        ("tumour stroma", "desmoplastic stroma"),
        ("carcinoma", "colon cancer", "malignant glands", "tumour epithelium"),
    ),
    "chestmnist": (
        ("collapsed lung tissue", "atelectatic bands"), ("enlarged heart", "big heart"),
        ("pleural effusion", "fluid in the pleural space"), ("infiltrate", "hazy infiltrates"),
        ("lung mass", "large round shadow", "tumour of the lung"),
        ("lung nodule", "small round spot", "coin lesion"),
        ("adult pneumonia", "lung infection"), ("air outside the lung", "collapsed lung"),
        ("airspace consolidation", "dense consolidation of a lobe"),
        ("pulmonary edema", "lung oedema", "fluid overload"),
        ("hyperinflated lungs", "COPD with emphysema"),
        ("pulmonary fibrosis", "scarred lungs", "reticular scarring"),
        ("thickened pleura", "pleural scar"), ("hiatal hernia", "diaphragmatic hernia"),
        ("healthy lungs", "normal", "no abnormality", "nothing wrong"),
    ),
    "dermamnist": (
        ("Bowen's disease", "solar keratosis", "intraepithelial carcinoma"), ("basalioma", "BCC"),
        ("seborrheic keratosis", "solar lentigo", "benign wart-like plaque"),
        ("fibrous histiocytoma",), ("malignant melanoma", "skin cancer of pigment cells"),
        ("nevus", "mole", "benign mole"), ("angioma", "hemangioma", "cherry angioma"),
    ),
    "octmnist": (
        ("CNV", "wet macular degeneration", "neovascular membrane"),
        ("DME", "macular edema", "cysts of fluid in the retina"),
        ("dry macular degeneration", "drusen under the retina"),
        ("healthy retina", "normal macula"),
    ),
    "pneumoniamnist": (
        ("healthy", "clear lungs", "no pneumonia", "without pneumonia", "healthy lungs"),
        ("lung infection", "infected lungs", "cloudy lungs", "lung consolidation", "sick lungs"),
    ),
    "retinamnist": (
        ("healthy fundus", "no retinopathy", "grade 0"), ("microaneurysms only", "grade 1"),
        ("moderate nonproliferative retinopathy", "grade 2"),
        ("severe nonproliferative retinopathy", "many retinal hemorrhages", "grade 3"),
        ("proliferative retinopathy", "neovascularization of the retina", "grade 4"),
    ),
    "breastmnist": (
        ("cancer", "breast cancer", "malignant", "carcinoma", "malignant mass", "malignant lesion"),
        ("benign", "normal", "no cancer", "harmless", "benign mass", "cyst", "fibroadenoma",
         "not malignant"),
    ),
    "bloodmnist": (
        ("basophilic granulocyte", "basophils"), ("eosinophilic granulocyte", "eosinophils"),
        ("nucleated red blood cell", "normoblast", "erythroblasts"),
        ("myelocyte", "metamyelocyte", "promyelocyte", "ig"),
        ("small lymphocyte", "lymphocytes", "B or T cell"), ("monocytes", "large monocyte"),
        ("segmented neutrophil", "band neutrophil", "neutrophils"),
        ("thrombocyte", "platelets"),
    ),
    "tissuemnist": (
        ("connecting tubule",), ("distal tubule",), ("glomerular endothelium",),
        ("interstitial endothelium", "peritubular capillary"), ("white blood cell", "immune cell"),
        ("glomerular podocyte",), ("proximal tubule",), ("loop of Henle",),
    ),
    "organamnist": _ORGANS, "organcmnist": _ORGANS, "organsmnist": _ORGANS,
})  # fmt: skip
"""Other names of each set's classes in the order of its labels; the last of chestmnist is none."""

_MODALITY: Mapping[str, str] = MappingProxyType({
    "pathmnist": "colon histology", "chestmnist": "adult chest X-ray",
    "dermamnist": "dermatoscopy", "octmnist": "retinal OCT",
    "pneumoniamnist": "child's chest X-ray",
    "retinamnist": "fundus photograph", "breastmnist": "breast ultrasound",
    "bloodmnist": "blood smear", "tissuemnist": "kidney cell in fluorescence",
    "organamnist": "axial CT", "organcmnist": "coronal CT", "organsmnist": "sagittal CT",
})  # fmt: skip

_WORDINGS = (
    "{}", "a photo of {}", "an image of {}", "a picture of the {}", "a medical image: {}",
    "this is {}", "a scan showing {}", "a low resolution image of {}",
)  # fmt: skip
_KIND_WORDINGS = (
    "{modality}: {name}", "{name}, {modality}", "{modality} showing {name}", "{name}",
    "{modality} with {name}", "a picture of {name} in a {modality}",
)  # fmt: skip


@cache
def set_paraphrases(flag: str) -> tuple[tuple[str, ...], ...]:
    """Return the training captions of a look, in groups that are sampled equally often.

    The groups are the captions of the tables with the paper's template, and paraphrases.
    """
    own = LOOKS[flag].captions
    if flag not in SET_CAPTIONS:
        return ((*own, *paper_captions(flag)), _in_wordings((flag, *own)))
    short = {long: name for name, long in SHORT_NAMES.items()}[flag]
    names = (short, *_SUBJECTS[flag])
    papers = tuple(caption for name in names for caption in paper_captions(name))
    return (SET_CAPTIONS[flag] + paper_captions(short), _in_wordings(names) + papers)


@cache
def kind_paraphrases(flag: str, kind: int) -> tuple[tuple[str, ...], ...]:
    """Return the training captions of a kind, in groups that are sampled equally often.

    The groups are the captions of the tables, synonyms in several wordings, and the appearance.
    """
    drawing = LOOKS[flag].kinds[kind]
    if flag not in SET_CAPTIONS:
        own = drawing.captions or (f"{flag}, {drawing.name}",)
        return (
            own,
            _in_kind_wordings(flag, (drawing.name,)),
            (f"{flag}: {drawing.seen}", drawing.seen),
        )
    if kind < len(CLASS_NAMES[flag]):
        table = captions_for(flag, flag=flag, label=kind)
    else:
        table = NO_FINDING[flag]
    modality = _MODALITY[flag]
    synonyms = _in_kind_wordings(modality, (drawing.name, *_SYNONYMS[flag][kind]))
    return table, synonyms, (f"{modality}: {drawing.seen}", f"{modality} showing {drawing.seen}")


def _in_wordings(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(wording.format(name) for wording in _WORDINGS for name in names)


def _in_kind_wordings(modality: str, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        wording.format(modality=modality, name=name) for wording in _KIND_WORDINGS for name in names
    )
