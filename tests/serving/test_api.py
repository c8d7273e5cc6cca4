"""The API as its clients see it, in this process."""

import asyncio
import json
from hashlib import sha256
from io import BytesIO

import numpy as np
import pytest
from broken_images import png_promising
from PIL import Image
from service_client import npy, picture, png, write_bundle

from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.calibration import calibrate
from medlabel.student.fit import predict_proba

PICTURES = np.stack([picture(seed) for seed in range(3)])


@pytest.mark.parametrize("encode", [png, npy])
@pytest.mark.parametrize("as_form", [True, False])
def test_served_labels_are_the_offline_ones(client, bundle, encode, as_form):
    data = encode(picture())
    answer = client.post(("x.png", data)) if as_form else client.post(data)
    (result,) = answer.raise_for_status().json()["results"]
    expected = bundle.predict(bundle.square(picture())[None])[0]
    assert list(result["probabilities"]) == list(bundle.classes)
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)
    assert result["label"] == bundle.classes[expected.argmax()]
    assert result["confidence"] == max(result["probabilities"].values())
    assert (result["bundle"], result["sha256"]) == ("test", sha256(data).hexdigest())
    assert result["file"] == ("x.png" if as_form else "")


def test_bad_file_among_good_ones_gets_its_own_error(client):
    answer = client.post(("a", png(PICTURES[0])), ("b", b"junk"), ("c", png(PICTURES[1])))
    first, junk, last = answer.raise_for_status().json()["results"]
    assert (first["file"], junk["file"], last["file"]) == ("a", "b", "c")
    assert (junk["status"], "label" in first, "label" in last) == (415, True, True)
    assert "not a PNG" in junk["error"]


def test_stack_is_answered_image_by_image(client, bundle):
    results = client.post(npy(PICTURES)).raise_for_status().json()["results"]
    assert [one["index"] for one in results] == [0, 1, 2]
    alone = [client.post(png(one)).json()["results"][0] for one in PICTURES]
    assert [one["label"] for one in results] == [one["label"] for one in alone]


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"", 400, "nothing was sent"),
        (b"GIF89a junk", 415, "not a PNG"),
        (png_promising(10_000, 4_000), 413, "too many pixels"),
        (npy(np.array([{"a": 1}], dtype=object)), 422, "pickled objects"),
        (bytes(1025 * 1024), 413, "1 MiB"),
        (npy(np.zeros((9, 5, 5), np.uint8)), 413, "at most 8"),
    ],
    ids=["empty", "junk", "huge", "pickle", "long", "many"],
)
def test_what_cannot_be_labelled_is_refused_with_a_reason(make_client, data, status, reason):
    answer = make_client(max_body_mib=1, max_images=8).post(data)
    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True)


def test_form_with_too_many_files_is_refused(make_client):
    answer = make_client(max_images=2).post(*[("x", png(one)) for one in PICTURES])
    assert answer.status_code == 413


def test_more_bytes_than_memory_allows_is_503_with_retry_after(make_client):
    answer = make_client(max_held_mib=0.001).post(png(picture()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_memory_is_released_after_every_request(make_client):
    client = make_client(max_held_mib=0.01)
    for data in (b"junk", png(picture(shape=(20, 20)))) * 20:
        assert client.post(data).status_code in (200, 415)
    assert client.service.memory.used == 0


def test_uncalibrated_student_sends_everything_to_review(client):
    (result,) = client.post(png(picture())).json()["results"]
    assert result["decision"] == "review"
    assert "uncalibrated" in result["review_reasons"]
    assert result["ood_score"] is None


def test_thumbnails_come_if_asked_for(client):
    plain = client.post(png(picture())).json()["results"][0]
    small = client.post(png(picture()), path="/annotate?thumbnails=true").json()["results"][0]
    assert plain["thumbnail"] is None
    assert small["thumbnail"].startswith("data:image/png;base64,")


def test_an_image_without_a_window_says_that_it_was_scaled_by_its_own_range(client):
    deep = png(picture().astype(np.uint16) * 9)
    results = client.post(("8.png", png(picture())), ("16.png", deep)).json()["results"]
    assert [one["own_range"] for one in results] == [False, True]


def test_a_turned_photograph_is_shown_and_labelled_upright(client):
    exif = Image.Exif()
    exif[0x0112] = 6  # the first row is on the right
    buffer = BytesIO()
    Image.fromarray(picture()).save(buffer, "PNG", exif=exif)
    upright = png(np.rot90(picture(), -1))
    path = "/annotate?thumbnails=true"
    turned, plain = client.post(buffer.getvalue(), upright, path=path).json()["results"]
    assert turned["thumbnail"] == plain["thumbnail"]
    assert turned["probabilities"] == plain["probabilities"]


def test_many_files_come_back_in_their_order(client):
    files = [(f"{n}.png", png(picture(n, (9, 9)))) for n in range(150)]
    results = client.post(*files).raise_for_status().json()["results"]
    assert [one["file"] for one in results] == [name for name, _ in files]


def test_request_keeps_its_plain_id_and_loses_a_strange_one(client):
    plain = client.request("POST", "/annotate", {"x-request-id": "a-1"}, content=png(picture()))
    strange = client.request("POST", "/annotate", {"x-request-id": '"{}'}, content=png(picture()))
    assert plain.json()["request_id"] == "a-1"
    assert len(strange.json()["request_id"]) == 36


def test_every_student_can_be_asked_by_its_id(make_client, bundle_folder, tmp_path):
    other = write_bundle(tmp_path / "other", "other", seed=1, classes=["x", "y", "z"])
    client = make_client(bundles=[bundle_folder, other])
    models = client.request("GET", "/models").json()["models"]
    assert [(one["id"], one["default"]) for one in models] == [("test", True), ("other", False)]
    (result,) = client.post(png(picture()), path="/annotate?bundle=other").json()["results"]
    assert (result["bundle"], list(result["probabilities"])) == ("other", ["x", "y", "z"])
    assert client.post(png(picture()), path="/annotate?bundle=none").status_code == 404


def test_audit_line_has_hash_bundle_and_decision_and_no_name(client):
    data = png(picture())
    client.post(("PATIENT.png", data), ("b", b"junk"))
    (file,) = client.folder.glob("audit-*.jsonl")
    text = file.read_text()
    good, bad = map(json.loads, text.splitlines())
    assert good["sha256"] == sha256(data).hexdigest()
    assert (good["bundle"], good["decision"], bad["status"]) == ("test", "review", 415)
    assert "PATIENT" not in text


def test_metrics_count_what_was_answered(client):
    client.post(("a", png(picture())), ("b", b"junk"))
    text = client.request("GET", "/metrics").text
    assert (
        'medlabel_annotations_total{bundle="test",decision="review",replica="replica"} 1.0' in text
    )
    assert 'medlabel_refused_files_total{replica="replica",status="415"} 1.0' in text
    assert 'medlabel_requests_total{replica="replica",route="/annotate",status="200"} 1.0' in text


def test_unknown_routes_make_no_new_counters(client):
    for path in ("/a", "/b", "/c"):
        client.request("GET", path)
    assert 'route="other",status="404"} 3.0' in client.request("GET", "/metrics").text


def test_health_names_student_and_classes(client):
    assert client.request("GET", "/healthz").json() == {
        "status": "ok",
        "bundle": "test",
        "classes": ["chest", "breast"],
    }
    assert client.request("GET", "/readyz").status_code == 200


def test_it_is_not_ready_when_its_student_is_gone(make_client, tmp_path):
    folder = tmp_path / "gone"
    client = make_client(bundles=[write_bundle(folder)])
    (folder / "model.safetensors").unlink()
    assert client.request("GET", "/readyz").status_code == 503


def test_interface_is_documented(client):
    routes = client.request("GET", "/openapi.json").json()["paths"]
    assert {"/annotate", "/models", "/healthz", "/readyz", "/metrics", "/corrections"} <= set(
        routes
    )
    assert "multipart/form-data" in routes["/annotate"]["post"]["requestBody"]["content"]
    assert "swagger" in client.request("GET", "/docs").text


def test_new_bundles_answer_from_the_moment_they_are_set(client, tmp_path):
    asyncio.run(client.service.set_bundles([write_bundle(tmp_path / "new", "new", seed=5)]))
    assert client.post(png(picture())).json()["results"][0]["bundle"] == "new"


def test_a_thousand_real_images_are_labelled_as_offline(client, bundle, real):
    images = np.concatenate(
        [
            np.load(real / name)["train_images"][:500]
            for name in ("breastmnist.npz", "chestmnist-nih1000.npz")
        ]
    )
    files = [(f"{n}.png", png(image)) for n, image in enumerate(images)]
    results = client.post(*files).raise_for_status().json()["results"]
    expected = bundle.predict(images)
    served = np.array([list(one["probabilities"].values()) for one in results])
    np.testing.assert_allclose(served, expected, atol=1e-5)
    assert [one["label"] for one in results] == [bundle.classes[k] for k in expected.argmax(axis=1)]


def test_calibrated_student_decides(make_client, tmp_path):
    images = np.stack([picture(n, (28, 28)) for n in range(40)])
    student = load_bundle(write_bundle(tmp_path / "plain")).student
    wanted = np.eye(2, dtype=np.float32)[student_labels(student, images)]
    save_bundle(
        Store(str(tmp_path / "b")), student, {"bundle_id": "b"}, calibrate(student, images, wanted)
    )
    client = make_client(bundles=[str(tmp_path / "b")])
    assert client.request("GET", "/models").json()["models"][0]["calibrated"]
    like = client.post(png(images[0]), path="/annotate?auto_above=0.4").json()["results"][0]
    black = client.post(png(np.zeros((28, 28), np.uint8))).json()["results"][0]
    assert (like["decision"], like["review_reasons"]) == ("auto", [])
    assert (black["decision"], "out_of_distribution" in black["review_reasons"]) == ("review", True)


def student_labels(student, images):
    return predict_proba(student, images).argmax(axis=1)


@pytest.mark.parametrize(
    ("path", "most"), [("/corrections", 2**16), ("/label-studio/predict", 2**20), ("/x", 2**16)]
)
def test_bodies_of_json_have_an_end_too(make_client, path, most):
    client = make_client(max_body_mib=1)

    async def endless():
        sent = 0
        while True:
            sent += 2**14
            assert sent < most + 2**16  # nobody goes on reading
            yield b" " * 2**14

    headers = {"content-type": "application/json"}
    answer = client.request("POST", path, headers, content=endless())
    assert answer.status_code == (404 if path == "/x" else 413)
    assert client.service.memory.used == 0


def test_json_waits_too_when_much_is_held(make_client):
    client = make_client(max_held_mib=0.001)
    answer = client.request("POST", "/corrections", json={"file": "x" * 2000})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
