"""The interface as its clients see it, in this process."""

import asyncio
import json
from hashlib import sha256

import numpy as np
import pytest
from broken_images import png_promising
from doors import npy, picture, png, write_bundle

from medlabel.storage.store import Store
from medlabel.student.bundle import load_bundle, save_bundle
from medlabel.student.calibration import calibrate
from medlabel.student.fit import predict_proba

PICTURES = np.stack([picture(seed) for seed in range(3)])


@pytest.mark.parametrize("encode", [png, npy])
@pytest.mark.parametrize("as_form", [True, False])
def test_served_labels_are_the_offline_ones(door, bundle, encode, as_form):
    data = encode(picture())
    answer = door.post(("x.png", data)) if as_form else door.post(data)
    (result,) = answer.raise_for_status().json()["results"]
    expected = bundle.predict(bundle.square(picture())[None])[0]
    assert list(result["probabilities"]) == list(bundle.classes)
    np.testing.assert_allclose(list(result["probabilities"].values()), expected, atol=1e-5)
    assert result["label"] == bundle.classes[expected.argmax()]
    assert result["confidence"] == max(result["probabilities"].values())
    assert (result["bundle"], result["sha256"]) == ("test", sha256(data).hexdigest())
    assert result["file"] == ("x.png" if as_form else "")


def test_bad_file_among_good_ones_gets_its_own_error(door):
    answer = door.post(("a", png(PICTURES[0])), ("b", b"junk"), ("c", png(PICTURES[1])))
    first, junk, last = answer.raise_for_status().json()["results"]
    assert (first["file"], junk["file"], last["file"]) == ("a", "b", "c")
    assert (junk["status"], "label" in first, "label" in last) == (415, True, True)
    assert "not a PNG" in junk["error"]


def test_stack_is_answered_image_by_image(door, bundle):
    results = door.post(npy(PICTURES)).raise_for_status().json()["results"]
    assert [one["index"] for one in results] == [0, 1, 2]
    alone = [door.post(png(one)).json()["results"][0] for one in PICTURES]
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
def test_what_cannot_be_labelled_is_refused_with_a_reason(open_door, data, status, reason):
    answer = open_door(max_body_mib=1, max_images=8).post(data)
    assert (answer.status_code, reason in answer.json()["detail"]) == (status, True)


def test_form_with_too_many_files_is_refused(open_door):
    answer = open_door(max_images=2).post(*[("x", png(one)) for one in PICTURES])
    assert answer.status_code == 413


def test_more_is_held_than_memory_allows_is_503_and_when_to_come_back(open_door):
    answer = open_door(max_held_mib=0.001).post(png(picture()))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_what_was_held_is_let_go(open_door):
    door = open_door(max_held_mib=0.01)
    for data in (b"junk", png(picture(shape=(20, 20)))) * 20:
        assert door.post(data).status_code in (200, 415)
    assert door.service.gate.held == 0


def test_uncalibrated_student_sends_everything_to_review(door):
    (result,) = door.post(png(picture())).json()["results"]
    assert result["decision"] == "review"
    assert "uncalibrated" in result["review_reasons"]
    assert result["ood_score"] is None


def test_thumbnails_come_if_asked_for(door):
    plain = door.post(png(picture())).json()["results"][0]
    small = door.post(png(picture()), path="/annotate?thumbnails=true").json()["results"][0]
    assert plain["thumbnail"] is None
    assert small["thumbnail"].startswith("data:image/png;base64,")


def test_many_files_come_back_in_their_order(door):
    files = [(f"{n}.png", png(picture(n, (9, 9)))) for n in range(150)]
    results = door.post(*files).raise_for_status().json()["results"]
    assert [one["file"] for one in results] == [name for name, _ in files]


def test_request_keeps_its_plain_id_and_loses_a_strange_one(door):
    plain = door.ask("POST", "/annotate", {"x-request-id": "a-1"}, content=png(picture()))
    strange = door.ask("POST", "/annotate", {"x-request-id": '"{}'}, content=png(picture()))
    assert plain.json()["request_id"] == "a-1"
    assert len(strange.json()["request_id"]) == 36


def test_every_student_can_be_asked_by_its_id(open_door, bundle_folder, tmp_path):
    other = write_bundle(tmp_path / "other", "other", seed=1, classes=["x", "y", "z"])
    door = open_door(bundles=[bundle_folder, other])
    models = door.ask("GET", "/models").json()["models"]
    assert [(one["id"], one["default"]) for one in models] == [("test", True), ("other", False)]
    (result,) = door.post(png(picture()), path="/annotate?bundle=other").json()["results"]
    assert (result["bundle"], list(result["probabilities"])) == ("other", ["x", "y", "z"])
    assert door.post(png(picture()), path="/annotate?bundle=none").status_code == 404


def test_audit_line_has_hash_bundle_and_decision_and_no_name(door):
    data = png(picture())
    door.post(("PATIENT.png", data), ("b", b"junk"))
    (file,) = door.folder.glob("audit-*.jsonl")
    text = file.read_text()
    good, bad = map(json.loads, text.splitlines())
    assert good["sha256"] == sha256(data).hexdigest()
    assert (good["bundle"], good["decision"], bad["status"]) == ("test", "review", 415)
    assert "PATIENT" not in text


def test_metrics_count_what_was_answered(door):
    door.post(("a", png(picture())), ("b", b"junk"))
    text = door.ask("GET", "/metrics").text
    assert 'medlabel_annotations_total{bundle="test",decision="review",replica="copy"} 1.0' in text
    assert 'medlabel_refused_files_total{replica="copy",status="415"} 1.0' in text
    assert 'medlabel_requests_total{replica="copy",route="/annotate",status="200"} 1.0' in text


def test_routes_of_strangers_make_no_new_counters(door):
    for path in ("/a", "/b", "/c"):
        door.ask("GET", path)
    assert 'route="other",status="404"} 3.0' in door.ask("GET", "/metrics").text


def test_health_names_student_and_classes(door):
    assert door.ask("GET", "/healthz").json() == {
        "status": "ok",
        "bundle": "test",
        "classes": ["chest", "breast"],
    }
    assert door.ask("GET", "/readyz").status_code == 200


def test_it_is_not_ready_when_its_student_is_gone(open_door, tmp_path):
    folder = tmp_path / "gone"
    door = open_door(bundles=[write_bundle(folder)])
    (folder / "model.safetensors").unlink()
    assert door.ask("GET", "/readyz").status_code == 503


def test_interface_is_documented(door):
    routes = door.ask("GET", "/openapi.json").json()["paths"]
    assert {"/annotate", "/models", "/healthz", "/readyz", "/metrics", "/corrections"} <= set(
        routes
    )
    assert "multipart/form-data" in routes["/annotate"]["post"]["requestBody"]["content"]
    assert "swagger" in door.ask("GET", "/docs").text


def test_new_bundles_answer_from_the_moment_they_are_offered(door, tmp_path):
    asyncio.run(door.service.offer([write_bundle(tmp_path / "new", "new", seed=5)]))
    assert door.post(png(picture())).json()["results"][0]["bundle"] == "new"


def test_a_thousand_real_images_are_labelled_as_offline(door, bundle, real):
    images = np.concatenate(
        [
            np.load(real / name)["train_images"][:500]
            for name in ("breastmnist.npz", "chestmnist-nih1000.npz")
        ]
    )
    files = [(f"{n}.png", png(image)) for n, image in enumerate(images)]
    results = door.post(*files).raise_for_status().json()["results"]
    expected = bundle.predict(images)
    served = np.array([list(one["probabilities"].values()) for one in results])
    np.testing.assert_allclose(served, expected, atol=1e-5)
    assert [one["label"] for one in results] == [bundle.classes[k] for k in expected.argmax(axis=1)]


def test_calibrated_student_decides(open_door, tmp_path):
    images = np.stack([picture(n, (28, 28)) for n in range(40)])
    student = load_bundle(write_bundle(tmp_path / "plain")).student
    wanted = np.eye(2, dtype=np.float32)[student_labels(student, images)]
    save_bundle(
        Store(str(tmp_path / "b")), student, {"bundle_id": "b"}, calibrate(student, images, wanted)
    )
    door = open_door(bundles=[str(tmp_path / "b")])
    assert door.ask("GET", "/models").json()["models"][0]["calibrated"]
    like = door.post(png(images[0]), path="/annotate?auto_above=0.4").json()["results"][0]
    black = door.post(png(np.zeros((28, 28), np.uint8))).json()["results"][0]
    assert (like["decision"], like["review_reasons"]) == ("auto", [])
    assert (black["decision"], "out_of_distribution" in black["review_reasons"]) == ("review", True)


def student_labels(student, images):
    return predict_proba(student, images).argmax(axis=1)


@pytest.mark.parametrize(
    ("path", "most"), [("/corrections", 2**16), ("/label-studio/predict", 2**20), ("/x", 2**16)]
)
def test_bodies_of_json_have_an_end_too(open_door, path, most):
    door = open_door(max_body_mib=1)

    async def endless():
        sent = 0
        while True:
            sent += 2**14
            assert sent < most + 2**16  # nobody goes on reading
            yield b" " * 2**14

    headers = {"content-type": "application/json"}
    answer = door.ask("POST", path, headers, content=endless())
    assert answer.status_code == (404 if path == "/x" else 413)
    assert door.service.gate.held == 0


def test_json_waits_too_when_much_is_held(open_door):
    door = open_door(max_held_mib=0.001)
    answer = door.ask("POST", "/corrections", json={"file": "x" * 2000})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
