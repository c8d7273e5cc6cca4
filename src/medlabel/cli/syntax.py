"""What may be written where the help says TASK, MODEL, SETS, STEPS, RECIPE or STUDENT.

Each is described here once, in one notation, and shown at the end of the help of every command
that takes it: CAPITALS stand for what the user fills in, `|` separates alternatives, brackets hold
what may be left out, and `…` repeats what comes before it.
"""

__all__ = ["epilog"]

_NOTATION = (
    "[b]What the words in capitals stand for[/b] (| separates alternatives, [ ] holds what may "
    "be left out, … repeats):"
)
_WORDS = {
    "TASK": "CLASS,CLASS,… | FILE.yaml. Two or more classes to tell apart.",
    "CLASS": "[NAME=]SOURCE\\[#[!]LABEL,…]. All images of a source, or those with one of these "
    "labels; after ! those with none of them: breastmnist | chest=a.npz | sick=a.npz#1,2 | "
    "well=a.npz#!1,2.",
    "NAME": "Of a class, in plain words: chest | no finding | 'knee MRI'. What the teacher reads "
    "for it depends on the other names where it must: pneumonia beside normal is the finding.",
    "MEANING": "What a name stands for, where it alone does not say it: SET (pneumoniamnist) | "
    "SET#\\[!]LABEL,… (pneumoniamnist#1) | another known NAME (Lunge=lung) | a caption in words "
    "(well='a normal film of a knee').",
    "SOURCE": "A MedMNIST set (breastmnist) | FILE.npz in MedMNIST's layout | phantom:SET, drawn "
    "images. The commands label, annotate and embed also take folders, buckets, patterns and "
    "Parquet files.",
    "MODEL": "phantom[-SEED] | one of the paper's: RN50, RN101, RN50x4, RN50x16, RN50x64, "
    "ViT-B/32, ViT-B/16, ViT-L/14 | ARCHITECTURE:TAG of open_clip | hf-hub:OWNER/NAME | the path "
    "of a checkpoint. With +views behind it, a model averages over five shifted copies of each "
    "image.",
    "SETS": "SET,…, each of table | paper | templates | descriptions | FILE.yaml. The captions of "
    "all sets are averaged.",
    "STEPS": "STEP,…, each of temperature=NUMBER | prior[=SHARE:SHARE:…] | em-prior | transduct.",
    "RECIPE": "robust | adam | paper | FILE.yaml, which changes some fields of one of them.",
    "STUDENT": "small | paper | cnn:CHANNELS-CHANNELS-…[,KEY=VALUE…] | a torchvision model such as "
    "resnet18, vgg11 or alexnet | timm:NAME. The last two with +pretrained start from published "
    "weights. The KEYs of cnn are kernel, padding, norm, pool, order, grid, linear and dropout.",
    "SPEC": "FILE.yaml. Its fields sources, tasks, teachers, recipes and students take one value "
    "or a list; seeds, per_class and size are numbers. Sources are CLASSes, or all of medmnist or "
    "phantoms; tasks are TASKs, or all pairs, triples or quadruples of the sources; a teacher is a "
    "MODEL, or a mapping with clip, captions, adjust and vote.",
    "SPACE": "The field of a search's SPEC that maps fields of a RECIPE, or KEYs of cnn, to a list "
    "of choices or to a range: {low: NUMBER, high: NUMBER, log: true|false}.",
}


def epilog(*words: str) -> str:
    """The end of a command's help: the notation, and what each of some words stands for."""
    return "\n\n".join([_NOTATION, *(f"[b]{word}[/b]  {_WORDS[word]}" for word in words)])
