"""The house: data walks one way, and the science has no Ray in it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ORDER = (
    "errors",
    "device",
    "_torchvision",
    "framing",
    "yaml_files",
    "store",
    "folders",
    "truth",
    "phantoms",
    "images",
    "captions",
    "paraphrases",
    "caption_sets",
    "sources",
    "tasks",
    "phantom_clip",
    "contrastive",
    "clip",
    "weights",
    "models",
    "fetch",
    "embeddings",
    "listing",
    "shards",
    "judgement",
    "annotations",
    "export",
    "teacher",
    "adjust",
    "students",
    "recipes",
    "losses",
    "augment",
    "selection",
    "training",
    "trusted",
    "fit",
    "confidence",
    "provenance",
    "sweeps",
    "paired",
    "trust",
    "tuning",
    "guarantee",
    "evaluation",
    "baselines",
    "bundle",
    "runs",
    "scoreboard",
    "sweep_tables",
    "tune_tables",
    "figures",
    "contact",
    "sweep_figures",
    "report",
    "run_report",
    "sweep_report",
    "tune_report",
    "rebuild",
    "overview",
    "audit_ledger",
    "audit",
    "answers",
    "explain",
    "retraining",
    "export_shapes",
    "label_export",
    "cli_shared",
    "cli_annotate",
    "cli_run",
    "cli_sweep",
    "cli_tune",
    "cli",
)
ROOF = {"cli", "cli_shared", "cli_annotate", "cli_run", "cli_sweep", "cli_tune"}
MODULES = sorted((ROOT / "src/medlabel").rglob("*.py"))


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_its_place():
    assert {stage_of(path) for path in MODULES} - {"__init__"} == set(ORDER)


def stage_of(path):
    inside = path.relative_to(ROOT / "src/medlabel")
    return inside.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_the_science_imports_no_ray_and_no_job(path):
    if stage_of(path) not in ROOF:
        foreign = {name.split(".")[0] for name in imports(path)} & {"ray", "rayjobs", "serving"}
        assert not foreign


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_an_import_goes_from_a_later_stage_to_an_earlier_one(path):
    if (stage := stage_of(path)) == "__init__":
        return
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "medlabel" and len(parts) > 1 and parts[1] in ORDER and parts[1] != stage:
            assert ORDER.index(parts[1]) < ORDER.index(stage), f"{stage} imports {name}"


@pytest.mark.parametrize("folder", ["src/medlabel", "rayjobs", "serving"])
def test_nothing_imports_the_roof(folder):
    for path in (ROOT / folder).rglob("*.py"):
        assert "medlabel.cli" not in set(imports(path))


def test_modules_can_be_held_in_the_head():
    long = {
        path.name: lines
        for folder in ("src", "rayjobs", "serving")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}
