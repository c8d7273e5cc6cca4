"""The application as Ray Serve runs it: `medlabel serve`, through real HTTP."""

import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema
from service_client import npy, picture, png, write_bundle

from medlabel.errors import MedlabelError
from medlabel.student.bundle import load_bundle
from serving.launch.addresses import check_authorised, free_port
from serving.launch.app import build
from serving.launch.run import serve_run
from serving.schemas import ServeArgs

SERVE_YAML = Path(__file__).parents[3] / "serving" / "serve.yaml"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def served(folder):
    """`medlabel serve` in a process of its own, with HAProxy as users have it."""
    write_bundle(folder / "bundle", "old")
    port = free_port()
    command = [sys.executable, "-m", "medlabel.cli", "serve", str(folder / "bundle")]
    hidden = {"RAY_ADDRESS", "MEDLABEL_TOKEN"}
    environment = {key: value for key, value in os.environ.items() if key not in hidden}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--state", str(folder / "state")],
            stdout=log,
            stderr=log,
            env=environment,
        )
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_for(lambda: "Ctrl-C stops" in (folder / "log").read_text(), process)
        with httpx.Client(base_url=base, timeout=30) as client:
            yield process, client
    finally:
        process.terminate()
        process.wait(60)


def _wait_for(ready, process, seconds=120):
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, "it ended"
        assert time.monotonic() < end, "it was not ready in time"
        time.sleep(0.2)


def _label(client, data):
    answer = client.post("/annotate", content=data).raise_for_status()
    return answer.json()["results"][0]


def test_served_labels_are_the_offline_ones(served, folder):
    bundle = load_bundle(str(folder / "bundle"))
    image = picture()
    expected = bundle.predict(bundle.square(image)[None])[0]
    for data in (png(image), npy(image)):
        result = _label(served[1], data)
        np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)


def test_the_whole_interface_is_there(served):
    for path in ("/", "/healthz", "/readyz", "/models", "/metrics", "/docs", "/corrections"):
        assert served[1].get(path).status_code == 200
    assert served[1].get("/healthz").headers["x-request-id"]


def test_haproxy_is_in_front_and_kept_to_this_machine(served):
    family = [served[0].pid, *(one.pid for one in psutil.Process(served[0].pid).children(True))]
    names, open_to_all = set(), set()
    for pid in family:
        process = psutil.Process(pid)
        names.add(process.name())
        for one in process.net_connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.ip not in ("127.0.0.1", "::1"):
                open_to_all.add(process.name())
    assert "haproxy" in names
    assert "haproxy" not in open_to_all


def test_new_bundle_is_rolled_out_without_a_failed_request(served, folder):
    process, client = served
    statuses, over = [], threading.Event()

    def ask():
        with httpx.Client(base_url=client.base_url, timeout=30) as own:
            while not over.is_set():
                statuses.append(own.post("/annotate", content=png(picture())).status_code)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    write_bundle(folder / "bundle", "new", seed=7)
    process.send_signal(signal.SIGUSR1)
    try:
        _wait_for(lambda: _label(client, png(picture()))["bundle"] == "new", process)
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert len(statuses) > 3
    assert set(statuses) == {200}


def test_it_will_not_listen_to_the_network_without_a_token(bundle_folder, monkeypatch):
    monkeypatch.delenv("MEDLABEL_TOKEN", raising=False)
    with pytest.raises(MedlabelError, match="without a token"):
        serve_run(ServeArgs(bundles=[bundle_folder]), "0.0.0.0")


def test_a_missing_bundle_is_an_error_before_anything_starts(tmp_path):
    with pytest.raises(MedlabelError, match="no bundle"):
        serve_run(ServeArgs(bundles=[str(tmp_path)]), port=free_port())


def test_a_damaged_bundle_is_not_deployed(tmp_path):
    write_bundle(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(MedlabelError, match="damaged bundle"):
        build(ServeArgs(bundles=[str(tmp_path)]))


def test_yaml_for_clusters_is_one_that_serve_accepts():
    config = ServeDeploySchema.model_validate(yaml.safe_load(SERVE_YAML.read_text()))
    assert check_authorised(config.http_options.host, None) is None
    assert ServeArgs.model_validate(config.applications[0].args).bundles[0].startswith("s3://")
    module, name = config.applications[0].import_path.split(":")
    assert getattr(importlib.import_module(module), name) is build


def test_copies_follow_the_queue_between_their_limits(bundle_folder):
    args = ServeArgs(bundles=[bundle_folder], min_replicas=2, max_replicas=5)
    scaling = build(args)._bound_deployment._deployment_config.autoscaling_config
    assert (scaling.min_replicas, scaling.max_replicas) == (2, 5)
    assert build(ServeArgs(bundles=[bundle_folder]))._bound_deployment.num_replicas == 1


def test_overwritten_bundle_is_a_change_that_serve_sees(tmp_path):
    def seen():
        return build(ServeArgs(bundles=[str(tmp_path)]))._bound_deployment.user_config

    write_bundle(tmp_path, seed=0)
    before = seen()
    assert seen() == before
    write_bundle(tmp_path, seed=1)
    assert seen() != before
