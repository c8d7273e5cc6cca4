"""The options of the command line, each defined once.

An option that several commands take has the same name, the same help text and the same default
everywhere. The small languages that some of them accept are described in `medlabel.cli.syntax`.
"""

from pathlib import Path
from typing import Annotated

import typer

from medlabel.storage.home import cache_folder, default_home

__all__ = [
    "Adjust",
    "Annotations",
    "AutoAbove",
    "Captions",
    "Clip",
    "Clips",
    "DataRoot",
    "GpusPerWorker",
    "Home",
    "ImageColumn",
    "Looks",
    "Out",
    "PerClass",
    "Pool",
    "RecipeName",
    "Seed",
    "Seeds",
    "Size",
    "Sources",
    "StudentName",
    "TaskSize",
    "Vote",
    "Workers",
]

_SIZE = "Side length in pixels of the images of MedMNIST sets and phantoms: 28, 64, 128 or 224."
_CLIP = "Teacher, a CLIP model."

# ---------------------------------------------------------------- arguments

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE",
        help="Where images come from: folders, buckets or patterns of PNG, JPEG, TIFF and DICOM "
        "files, Parquet files with an image column, npz files, MedMNIST sets, phantom:SET.",
    ),
]
Annotations = Annotated[
    str, typer.Argument(metavar="FOLDER", help="Folder or bucket of annotations.")
]

# ---------------------------------------------------------------- where things are

Out = Annotated[str, typer.Option(help="Folder or bucket for the results.")]
Home = Annotated[
    Path,
    typer.Option(
        envvar="MEDLABEL_HOME",
        default_factory=default_home,
        callback=cache_folder,
        show_default="~/.cache/medlabel",
        help="Folder for what can be computed again: the phantom teacher and the embeddings.",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="Folder of MedMNIST's npz files; missing files are downloaded.",
        show_default="MEDLABEL_DATA_ROOT, or ~/.medmnist",
    ),
]
Size = Annotated[int, typer.Option(help=_SIZE)]
TaskSize = Annotated[int | None, typer.Option(help=_SIZE, show_default="28, or the task file's")]
ImageColumn = Annotated[
    str | None,
    typer.Option(
        help="Column of Parquet files that holds the images.", show_default="the only one"
    ),
]
Looks = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE.py",
        help="Python file that defines phantoms of your own (docs/phantoms.md). It is executed: "
        "name only files that you trust. May be repeated.",
    ),
]

# ---------------------------------------------------------------- teacher and student

Clip = Annotated[str, typer.Option(metavar="MODEL", help=_CLIP)]
Clips = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL",
        help=f"{_CLIP} May be repeated: `run` then lets the teachers vote, `embed` embeds with "
        "each of them.",
        show_default="phantom",
    ),
]
Vote = Annotated[str, typer.Option(help="How several teachers vote: mean or dawid-skene.")]
Captions = Annotated[
    str, typer.Option(metavar="SETS", help="Captions that the teacher reads for each class.")
]
Adjust = Annotated[
    list[str] | None,
    typer.Option(
        metavar="STEPS",
        help="Adjustments of the teacher's scores, applied in order before a student learns from "
        "them. May be repeated.",
        show_default="none",
    ),
]
RecipeName = Annotated[str, typer.Option(metavar="RECIPE", help="How the student is trained.")]
StudentName = Annotated[
    str | None,
    typer.Option(
        metavar="STUDENT",
        help="Architecture of the student.",
        show_default="the recipe's",
    ),
]
AutoAbove = Annotated[
    float,
    typer.Option(
        min=0,
        max=1,
        help="Smallest calibrated probability of a label that is accepted without review. Images "
        "that are out of distribution go to review in any case.",
    ),
]

# ---------------------------------------------------------------- how much, and how random

Seed = Annotated[
    int, typer.Option(min=0, help="Seed of all random numbers: equal seeds give equal results.")
]
Seeds = Annotated[
    int,
    typer.Option(
        min=1,
        max=9999,
        help="Number of random samples, each a training pool and a held-out test set.",
    ),
]
PerClass = Annotated[
    int | None,
    typer.Option(
        min=5,
        help="Largest number of training images per class.",
        show_default="as many as the smallest class has",
    ),
]
Pool = Annotated[
    int,
    typer.Option(
        min=100,
        help="Largest number of unlabelled images to train on; they are sampled at random.",
    ),
]

# ---------------------------------------------------------------- the cluster

Prune = Annotated[
    bool,
    typer.Option(
        "--prune",
        help="Remove the labels of images that the sources do not hold now. By default they are "
        "kept, because a folder may be missing for a while.",
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of parallel workers.", show_default="as many as the cluster can hold"
    ),
]
GpusPerWorker = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="GPUs per worker; with a fraction such as 0.5, workers share a GPU.",
        show_default="1 to embed, 0.25 to fit, 0 without GPUs",
    ),
]
