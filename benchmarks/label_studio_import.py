"""The real Label Studio imports what `medlabel export` wrote. Not part of `make test`.

    python -m venv studio && studio/bin/pip install label-studio==1.23.2
    python -m benchmarks.label_studio_import studio/bin/label-studio RUN IMAGES.npz

RUN is a run or bundle, IMAGES an npz in MedMNIST's layout with images of its classes. Annotates
thirty PNG files, exports them under other names of the classes, imports the file into a project,
and looks whether each task has the label of the export as its prediction, and its own image.
Prints what it saw as one JSON line.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.common import png_of
from benchmarks.label_studio import start_studio, tasks_of, wait_for
from medlabel.storage.strict_json import to_json
from medlabel.student.bundle import load_bundle
from serving.corrections import labelling_config
from serving.registry import find_bundle

COUNT = 30


def _export(run: str, images: Any, folder: Path) -> list[dict[str, Any]]:
    """Annotate images as files and export them; the tasks."""
    scans = folder / "scans"
    scans.mkdir()
    for number, image in enumerate(images):
        (scans / f"{number:02}.png").write_bytes(png_of(image))
    names = folder / "names.yaml"
    classes = load_bundle(find_bundle(run)).classes
    names.write_text(
        "".join(f"{json.dumps(name)}: {json.dumps(_new(name))}\n" for name in classes),
        encoding="utf-8",
    )
    out, to = str(folder / "out"), folder / "labels.json"
    commands = (
        ["annotate", str(scans), "--model", run, "--out", out],
        ["export", out, "--out", str(to), "--names", str(names), "--image-root", str(folder)],
    )
    for command in commands:
        called = [sys.executable, "-m", "medlabel.cli", *command]
        subprocess.run(called, check=True, stdout=subprocess.DEVNULL)
    tasks: list[dict[str, Any]] = json.loads(to.read_text(encoding="utf-8"))
    return tasks


def _new(name: str) -> str:
    return f"it is {name}"


def _import(client: httpx.Client, tasks: list[dict[str, Any]], folder: Path) -> dict[str, Any]:
    """What a team does: a project, a folder of images, the file; and what is there afterwards."""

    def post(path: str, **options: Any) -> Any:
        return client.post(path, **options).raise_for_status().json()

    labels = sorted({_label(task) for task in tasks})
    project = post(
        "/api/projects", json={"title": "labels", "label_config": labelling_config(labels)}
    )
    storage = {"project": project["id"], "path": str(folder / "scans"), "use_blob_urls": True}
    post("/api/storages/localfiles", json=storage)
    post(f"/api/projects/{project['id']}/import", json=tasks)
    there = tasks_of(client, project["id"])
    wanted = {task["data"]["digest"]: task for task in tasks}
    equal = [_label(one) == _label(wanted[one["data"]["digest"]]) for one in there]
    own = [
        client.get(one["data"]["image"]).content == _file(one, folder).read_bytes() for one in there
    ]
    return {
        "tasks": len(there),
        "labels_equal": sum(equal),
        "images_equal": sum(own),
        "labels": labels,
        "version": there[0]["predictions"][0]["model_version"],
    }


def _label(task: dict[str, Any]) -> str:
    return str(task["predictions"][0]["result"][0]["value"]["choices"][0])


def _file(task: dict[str, Any], folder: Path) -> Path:
    return folder / str(task["data"]["image"]).split("?d=")[1]


def main() -> None:
    """Run it, check it, say what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("label_studio", help="its program, in a venv of its own")
    parser.add_argument("run")
    parser.add_argument("images", type=Path)
    options = parser.parse_args()
    images = np.load(options.images, allow_pickle=False)["test_images"][:COUNT]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tasks = _export(options.run, images, folder)
        served = {"LOCAL_FILES_SERVING_ENABLED": "true", "LOCAL_FILES_DOCUMENT_ROOT": str(folder)}
        studio, token = start_studio(stack, options.label_studio, folder, **served)
        wait_for(f"{studio}/health")
        headers = {"Authorization": f"Token {token}"}
        with httpx.Client(base_url=studio, headers=headers, timeout=120) as client:
            seen = _import(client, tasks, folder)
    print(to_json(seen))
    good = seen["tasks"] == seen["labels_equal"] == seen["images_equal"] == COUNT
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
