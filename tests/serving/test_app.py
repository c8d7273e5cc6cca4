"""The served application as its clients see it, through real HTTP."""

import importlib
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from ray import serve
from ray.serve.schema import ServeDeploySchema

from medlabel.bundle import Bundle, load_bundle, save_bundle
from medlabel.errors import MedlabelError
from medlabel.store import Store
from medlabel.students import Student
from serving.app import build, serve_run
from serving.listen import check_address
from serving.schemas import ServeArgs
from serving.uploads import MAX_BODY

SERVE_YAML = Path(__file__).parents[2] / "serving" / "serve.yaml"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    uri = str(tmp_path_factory.mktemp("bundle"))
    torch.manual_seed(0)
    student = Student("small", 1, ["chest", "breast"], 28)
    save_bundle(Store(uri), student, {"bundle_id": "test", "folder": uri})
    return load_bundle(uri)


@pytest.fixture(scope="module")
def client(bundle: Bundle, ray_cluster: None) -> Iterator[httpx.Client]:
    port = _free_port()
    serve_run(bundle.provenance["folder"], port=port, blocking=False)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    serve.shutdown()


def _image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (40, 50), dtype=np.uint8)


def _png(image: NDArray[np.uint8]) -> bytes:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def _npy(array: NDArray[np.generic]) -> bytes:
    buffer = BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


@pytest.mark.parametrize("encode", [_png, _npy])
@pytest.mark.parametrize("as_form", [True, False])
def test_served_probabilities_are_the_bundles_own(client, bundle, encode, as_form):
    data = encode(_image())
    sent = {"files": {"file": ("x", data)}} if as_form else {"content": data}
    answer = client.post("/annotate", **sent).raise_for_status().json()
    expected = bundle.predict(bundle.prepare(Image.fromarray(_image()))[None])[0]
    assert list(answer["probabilities"]) == ["chest", "breast"]
    np.testing.assert_allclose(list(answer["probabilities"].values()), expected, atol=1e-5)
    assert answer["label"] == bundle.classes[expected.argmax()]
    assert answer["bundle"] == "test"


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", 400, "nothing was sent"),
        (b"GIF89a junk", 415, "not a PNG"),
        (_png(np.zeros((10, 4_000_000), np.uint8)), 413, "too many pixels"),
        (_npy(np.array([{"a": 1}], dtype=object)), 422, "pickled objects"),
        (bytes(MAX_BODY + 1), 413, "20 MiB"),
    ],
    ids=["empty", "junk", "huge", "pickle", "long"],
)
def test_what_cannot_be_labelled_is_refused_with_a_reason(client, data, status, reason):
    answer = client.post("/annotate", content=data)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]


def test_form_without_its_file_is_refused(client):
    answer = client.post("/annotate", files={"other": ("x", _png(_image()))})
    assert answer.status_code == 400
    assert "'file'" in answer.json()["detail"]


def test_health_names_bundle_and_classes(client):
    answer = client.get("/healthz").raise_for_status().json()
    assert answer == {"status": "ok", "bundle": "test", "classes": ["chest", "breast"]}


def test_interface_is_documented(client):
    routes = client.get("/openapi.json").raise_for_status().json()["paths"]
    assert set(routes) == {"/annotate", "/healthz"}
    assert "multipart/form-data" in routes["/annotate"]["post"]["requestBody"]["content"]
    assert "swagger" in client.get("/docs").raise_for_status().text


def test_it_will_not_listen_to_the_network(bundle):
    with pytest.raises(MedlabelError, match="no authentication"):
        serve_run(bundle.provenance["folder"], "0.0.0.0")


def test_busy_port_is_said_before_anything_starts(bundle):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(MedlabelError, match="port"):
            serve_run(bundle.provenance["folder"], port=other.getsockname()[1])


def test_missing_bundle_is_said_before_anything_starts(tmp_path):
    with pytest.raises(MedlabelError, match="no bundle"):
        serve_run(str(tmp_path), port=_free_port())


def test_yaml_for_clusters_is_one_that_serve_accepts():
    config = ServeDeploySchema.model_validate(yaml.safe_load(SERVE_YAML.read_text()))
    assert check_address(config.http_options.host, 0) is None
    assert ServeArgs.model_validate(config.applications[0].args).bundle.startswith("s3://")
    module, name = config.applications[0].import_path.split(":")
    assert getattr(importlib.import_module(module), name) is build


def test_batches_can_fill(bundle):
    application = build(ServeArgs(bundle=bundle.provenance["folder"], max_batch_size=16))
    assert application._bound_deployment.max_ongoing_requests >= 32
