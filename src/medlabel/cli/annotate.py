"""The commands about annotations, beside `medlabel.cli.app`: a part of the roof."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medlabel.cli.shared import StageBars, console, warn
from medlabel.storage.home import default_home
from medlabel.student.decision import AUTO_ABOVE

if TYPE_CHECKING:
    from medlabel.annotation.explain import Explanation
    from rayjobs.annotate import AnnotateResult as Outcome

__all__ = ["add_annotating"]

_Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT...",
        help="Folders, buckets or patterns of PNG, JPEG, TIFF and DICOM files, Parquet files with "
        "an image column, npz files, MedMNIST sets.",
    ),
]
_Folder = Annotated[str, typer.Argument(metavar="URI", help="Folder or bucket of annotations.")]
_AutoAbove = Annotated[
    float,
    typer.Option(
        help="A label of this calibrated probability and more needs no review, where the "
        "image is like what the student learned."
    ),
]
_ImageColumn = Annotated[
    str | None, typer.Option(help="Column of Parquet files that holds the images.")
]


def _say(*lines: str) -> None:
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def add_annotating(app: typer.Typer) -> None:
    """Add annotate, label, audit, retrain, explain and export to the command line."""
    app.command("annotate")(_annotate)
    app.command("label")(_label)
    _add_audit(app)
    app.command("retrain")(_retrain)
    app.command("explain")(_explain)
    app.command("export")(_export)


def _annotate(
    sources: _Sources,
    model: Annotated[str, typer.Option(help="Folder of a bundle, or of a finished run.")],
    out: Annotated[str, typer.Option(help="Folder or bucket for the annotations.")],
    auto_above: _AutoAbove = AUTO_ABOVE,
    size: Annotated[int, typer.Option(help="Side of MedMNIST's images.")] = 28,
    data_root: Annotated[Path | None, typer.Option(help="Folder of MedMNIST's npz files.")] = None,
    image_column: _ImageColumn = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Copies of the student; one a CPU if unset.")
    ] = None,
) -> None:
    """Label every image of some sources with a trained student."""
    from medlabel.experiments.run_folder import BUNDLE
    from medlabel.storage.store import Store
    from rayjobs.annotate import AnnotateConfig, annotate_sources
    from rayjobs.image_pipeline import Replicas

    run = Store(model)
    bundle = run.path(BUNDLE) if run.exists(f"{BUNDLE}/config.json") else run.uri
    order = AnnotateConfig(
        tuple(sources), bundle, out, auto_above, size, data_root, image_column, Replicas(workers)
    )
    with StageBars() as shown:
        done = annotate_sources(order, shown.advance)
    _tell(done)


def _label(
    sources: _Sources,
    classes: Annotated[str, typer.Option(help="Names of the classes: chest,breast")],
    out: Annotated[str, typer.Option(help="Folder or bucket for student and annotations.")],
    clip: Annotated[str, typer.Option(help="Teacher, as in `run`.")] = "phantom",
    captions: Annotated[str, typer.Option(help="Caption sets, as in `run`.")] = "table",
    recipe: Annotated[str, typer.Option(help="How to train, as in `run`.")] = "robust",
    pool: Annotated[int, typer.Option(min=100, help="Images to learn from, at most.")] = 5000,
    auto_above: _AutoAbove = AUTO_ABOVE,
    seed: Annotated[int, typer.Option(min=0, help="Of the student.")] = 0,
    image_column: _ImageColumn = None,
) -> None:
    """Label your own images by the names of the classes: teacher, student, annotations."""
    from medlabel.student.recipes import recipe_named
    from medlabel.teacher.caption_sets import captions_in
    from medlabel.teacher.task_captions import unknown_captions
    from rayjobs.label import LabelConfig, label_sources

    names = tuple(name.strip() for name in classes.split(","))
    wish = LabelConfig(
        tuple(sources), names, out, default_home(), recipe_named(recipe), clip, captions,
        auto_above, pool, seed=seed, column=image_column,
    )  # fmt: skip
    if captions == "table":
        for text in unknown_captions({name: captions_in(captions, name) for name in names if name}):
            warn(text)
    with StageBars() as shown:
        done = label_sources(wish, shown.advance)
    _tell(done)


def _tell(done: "Outcome") -> None:
    seen = done.overview
    _say(
        f"{seen.annotations:,} annotations and {seen.rejects:,} rejects, "
        f"{done.labelled:,} images labelled now; {seen.automatic.total():,} auto",
        "Nothing is guaranteed of them yet: medlabel audit plan says whom to ask about what.",
        f"summary: {done.page}",
        *(f"warning: {warning}" for warning in done.warnings),
    )


def _add_audit(app: typer.Typer) -> None:
    audit = typer.Typer(help="Ask a human about a few, and promise something of all.")
    audit.command("plan")(_plan)
    audit.command("report")(_report)
    app.add_typer(audit, name="audit")


def _plan(
    folder: _Folder,
    answers: Annotated[int, typer.Option(min=1, help="Images to ask about.")] = 300,
    precision: Annotated[
        float, typer.Option(help="Share of automatic labels that must be right.")
    ] = 0.99,
    confidence: Annotated[
        float, typer.Option(help="Of the promise; of those of earlier plans too.")
    ] = 0.95,
    among: Annotated[
        float,
        typer.Option(
            help="Ask only about the surest share of labels; all others go to review anyway."
        ),
    ] = 1.0,
    by_class: Annotated[
        bool, typer.Option("--by-class", help="Ask as much about each label, rare or not.")
    ] = False,
    looks: Annotated[
        int, typer.Option(min=1, help="How often reports will be read before all is answered.")
    ] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw.")] = 0,
    again: Annotated[
        bool, typer.Option("--again", help="Put the last plan away, and ask about other images.")
    ] = False,
) -> None:
    """Pick the images that a human is to be asked about."""
    from medlabel.annotation.audit import plan_audit
    from medlabel.annotation.audit_history import alpha_spent
    from medlabel.annotation.guarantee import AuditDesign, fewest_answers
    from medlabel.storage.store import Store

    store = Store(folder)
    design = AuditDesign(
        answers, precision, confidence, among, by_class, looks, seed, alpha_spent(store)
    )
    path = plan_audit(store, design, again)
    fewest = fewest_answers(precision, design.level)
    if answers < fewest:
        _say(
            f"warning: {answers} answers cannot promise {precision:.1%}, even if all are right: "
            f"it takes {fewest} or, in plans by class, more"
        )
    _say(f"fill in the answers: {path}", f"then: medlabel audit report {folder} {path}")


def _report(
    folder: _Folder,
    answers: Annotated[
        Path | None, typer.Argument(metavar="ANSWERS", help="CSV with the columns uri and answer.")
    ] = None,
) -> None:
    """Say what can be promised, given a human's answers."""
    from medlabel.annotation.audit import read_answers, report_audit, sentences
    from medlabel.storage.store import Store

    told = read_answers(answers) if answers else {}
    _say(*sentences(report_audit(Store(folder), told)))


def _retrain(
    folder: _Folder,
    answers: Annotated[
        list[Path],
        typer.Argument(
            metavar="ANSWERS...",
            help="CSV files: audit plans that were filled in, corrections of the service.",
        ),
    ],
    out: Annotated[str, typer.Option(help="Folder or bucket for the next student.")],
    recipe: Annotated[str, typer.Option(help="How to train, as in `run`.")] = "robust",
    pool: Annotated[int, typer.Option(min=100, help="Images without an answer, at most.")] = 5000,
    weight: Annotated[
        float, typer.Option(help="Of an answer in training; a label of the last student counts 1.")
    ] = 5.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw and the student.")] = 0,
) -> None:
    """Train the next student on annotations and on people's answers; say what these bought."""
    from medlabel.student.recipes import recipe_named
    from rayjobs.retrain import RetrainConfig, retrain

    asked = RetrainConfig(folder, tuple(answers), out, recipe_named(recipe), pool, weight, seed)
    with StageBars() as shown:
        done = retrain(asked, shown.advance)
    _say(*done.answers, *done.bought.sentences(), f"student: {done.bundle}", f"report: {done.page}")


def _explain(
    folder: _Folder,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="Its path or URI, or enough of its end.")
    ],
) -> None:
    """Say where a label comes from, and make it again to see whether it comes out the same."""
    from medlabel.annotation.explain import explain
    from medlabel.storage.store import Store

    found = explain(Store(folder), image)
    for name, value in found.row.items():
        _say(f"{name:<16}{value}")
    _say(f"{'file':<16}{found.piece}", "", _verdict(found))
    if not found.reproduced:
        raise typer.Exit(1)


def _verdict(found: "Explanation") -> str:
    if not found.same_content:
        return "The image is no longer the one that was labelled: its digest differs."
    if not found.same_weights:
        return "The bundle is no longer the one that labelled it: its weights differ."
    if found.reproduced:
        return "Made again now: the same label and the same probabilities, to the last bit."
    if found.label == found.row["label"]:
        return f"Made again now: the same label; probabilities differ by {found.difference:.1e}."
    return f"Made again now: {found.label}, by {found.difference:.1e} in probability."


def _export(
    folder: _Folder,
    to: Annotated[
        Path,
        typer.Option(
            help="labels.csv, labels.parquet, labels.json (Label Studio), labels.coco.json, or the "
            "name of a new folder: links, a folder a class."
        ),
    ],
    only: Annotated[str | None, typer.Option(help="auto or review; both if unset.")] = None,
    names: Annotated[
        Path | None, typer.Option(help="YAML of old: new names of the classes.")
    ] = None,
    image_root: Annotated[
        str, typer.Option(help="The folder here that is Label Studio's document root.")
    ] = "",
) -> None:
    """Write annotations for other programs; an audit's guarantee decides what is auto."""
    from medlabel.annotation.export import ExportConfig, export_labels, read_names
    from medlabel.storage.store import Store

    wanted = ExportConfig(only, read_names(names) if names else None, image_root)
    count = export_labels(Store(folder), to, wanted)
    _say(f"{count:,} annotations: {to}")
