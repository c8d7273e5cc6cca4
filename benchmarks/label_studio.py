"""The real Label Studio asks the service, and sends a correction back. Not part of `make test`.

    python -m venv studio && studio/bin/pip install label-studio==1.23.2
    python -m benchmarks.label_studio studio/bin/label-studio RUN IMAGES.npz

RUN is a run or bundle, IMAGES an npz in MedMNIST's layout with images of its classes. Starts both
servers, makes a project, uploads twenty images, retrieves predictions, labels one image otherwise,
and looks whether it has become a correction. Prints what it saw as one JSON line.
"""

import argparse
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.common import png_of
from medlabel.storage.strict_json import to_json
from serving.corrections import choice, labelling_config
from serving.launch.addresses import free_port

COUNT = 20


@contextmanager
def _running(command: list[str], log: Path, **environment: str) -> Iterator[None]:
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, **environment}
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_for(url: str, seconds: float = 300) -> None:
    """Wait until an address answers with 200; ends the program if it does not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise SystemExit(f"{url} does not answer")


def _start(stack: ExitStack, options: argparse.Namespace, folder: Path) -> tuple[str, str, str]:
    """Both servers; the addresses of Label Studio and of the service, and the token."""
    studio, token = start_studio(stack, options.label_studio, folder)
    port = free_port()
    service = f"http://127.0.0.1:{port}"
    serve = [sys.executable, "-m", "medlabel.cli", "serve", options.run, "--port", str(port)]
    serve += ["--state", str(folder / "state"), "--label-studio", studio]
    stack.enter_context(_running(serve, folder / "serve.log", LABEL_STUDIO_API_KEY=token))
    wait_for(f"{service}/readyz")
    wait_for(f"{studio}/health")
    return studio, service, token


def start_studio(stack: ExitStack, program: str, folder: Path, **more: str) -> tuple[str, str]:
    """A Label Studio that keeps its data in a folder; its address and its user's token.

    It answers after a while: see `wait_for`. `more` are settings without their `LABEL_STUDIO_`.
    """
    token, port = secrets.token_hex(20), free_port()
    studio = f"http://127.0.0.1:{port}"
    settings = {
        "BASE_DATA_DIR": str(folder / "studio"),
        "USERNAME": "a@example.org",
        "PASSWORD": secrets.token_hex(10),
        "USER_TOKEN": token,
        "ENABLE_LEGACY_API_TOKEN": "true",
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "HOST": studio,
        "SENTRY_DSN": "",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        **more,
    }
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1"]
    environment = {f"LABEL_STUDIO_{key}": value for key, value in settings.items()}
    stack.enter_context(
        _running([*command, "--port", str(port)], folder / "studio.log", **environment)
    )
    return studio, token


def tasks_of(client: httpx.Client, project: int) -> list[dict[str, Any]]:
    """The tasks of a project, a hundred at most, with their predictions."""
    query: dict[str, Any] = {"project": project, "fields": "all", "page_size": 100}
    tasks: list[dict[str, Any]] = (
        client.get("/api/tasks", params=query).raise_for_status().json()["tasks"]
    )
    return tasks


def _drive(client: httpx.Client, service: str, classes: list[str], images: Any) -> dict[str, Any]:
    """What a team does: a project, images, a backend, predictions, a label of their own."""

    def post(path: str, **options: Any) -> Any:
        return client.post(path, **options).raise_for_status().json()

    config = labelling_config([*classes, "unclear"])
    project = post("/api/projects", json={"title": "real", "label_config": config})["id"]
    # a field of its own for each: of several files in one field Label Studio takes the last
    files = {f"file{n}": (f"{n}.png", png_of(image), "image/png") for n, image in enumerate(images)}
    post(f"/api/projects/{project}/import?return_task_ids=true", files=files)
    backend = {"project": project, "url": f"{service}/label-studio", "title": "medlabel"}
    connected = post("/api/ml", json=backend)
    everything = {"project": project, "selectedItems": {"all": True, "excluded": []}}
    retrieve = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project}"
    post(retrieve, json=everything)
    tasks = tasks_of(client, project)
    first = tasks[0]
    post(f"/api/tasks/{first['id']}/annotations/", json={"result": [choice("unclear")]})
    return {"state": connected["state"], "version": connected["model_version"], "tasks": tasks}


def main() -> None:
    """Run it, check it, say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("label_studio", help="its program, in a venv of its own")
    parser.add_argument("run")
    parser.add_argument("images", type=Path)
    options = parser.parse_args()
    images = np.load(options.images, allow_pickle=False)["test_images"][:COUNT]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        studio, service, token = _start(stack, options, folder)
        model = httpx.get(f"{service}/models").json()["models"][0]
        headers = {"Authorization": f"Token {token}"}
        with httpx.Client(base_url=studio, headers=headers, timeout=120) as client:
            seen = _drive(client, service, model["classes"], images)
        sent = [("file", (str(n), png_of(image))) for n, image in enumerate(images)]
        own = httpx.post(f"{service}/annotate", files=sent, timeout=60).json()["results"]
        predicted = [task["predictions"][0] for task in seen["tasks"] if task["predictions"]]
        labels = [one["result"][0]["value"]["choices"][0] for one in predicted]
        end = time.monotonic() + 20
        kept: list[dict[str, Any]] = []
        while not kept and time.monotonic() < end:
            kept = httpx.get(f"{service}/corrections").json()["corrections"]
            time.sleep(0.2)
    told = {
        "state": seen["state"],
        "version_is_the_bundle": seen["version"] == model["id"],
        "tasks": len(seen["tasks"]),
        "predictions": len(predicted),
        "labels_equal_the_services_own": sorted(labels) == sorted(one["label"] for one in own),
        "corrections": [(one["predicted"], one["label"], one["who"]) for one in kept],
    }
    print(to_json(told))
    good = told["labels_equal_the_services_own"] and len(kept) == 1 and len(predicted) == COUNT
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
