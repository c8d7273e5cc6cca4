"""Label Studio's protocol, as it was measured with the real one, and what is never fetched."""

import asyncio
import base64
from urllib.parse import parse_qs

import httpx
import pytest
from service_client import picture, png, write_bundle
from support_verdicts import GUESSING

from medlabel.annotation.export import _address
from medlabel.errors import MedlabelError
from serving.corrections import labelling_config
from serving.label_studio.image_reader import ImageReader, ImageReadError

HOME = "http://labels.example:8080"
CONFIG = labelling_config(["chest", "breast", "unclear"])
UPLOADED = "/data/upload/1/e8d89682-img_0.png"


class Studio:
    """A Label Studio that keeps images, and remembers who asked for what."""

    def __init__(self, token="Token legacy", **images):
        self.asked, self.token, self.images = [], token, {UPLOADED: png(picture())} | images

    def __call__(self, request):
        self.asked.append((request.method, str(request.url)))
        if request.url.path == "/api/token/refresh":
            return httpx.Response(200, json={"access": "short"})
        if request.headers.get("authorization") != self.token:
            return httpx.Response(401)
        path = request.url.raw_path.decode()
        if path not in self.images:
            return httpx.Response(500)
        return httpx.Response(200, content=self.images[path])


def unlimited(size):
    """Accepts any number of bytes."""


def reader(studio, token="legacy", most=10**6):
    return ImageReader(HOME, token, most, httpx.MockTransport(studio))


def task(address, number=1):
    return {"id": number, "data": {"image": address}}


def predict(client, *addresses):
    body = {"tasks": list(map(task, addresses)), "label_config": CONFIG, "project": "1.2"}
    return (
        client.request("POST", "/label-studio/predict", json=body)
        .raise_for_status()
        .json()["results"]
    )


def test_health_has_a_body_and_versions_are_the_students(client):
    assert client.request("GET", "/label-studio/health").json()["status"] == "UP"
    assert client.request("GET", "/label-studio/versions").json() == {"versions": ["test"]}


def test_setup_tells_the_version_that_predictions_have(make_client):
    client = make_client(reader=reader(Studio()))
    answer = client.request(
        "POST", "/label-studio/setup", json={"schema": CONFIG, "project": "1.2"}
    )
    (prediction,) = predict(client, UPLOADED)
    assert (
        answer.json() == {"model_version": "test"} == {"model_version": prediction["model_version"]}
    )


def test_project_gets_the_student_that_knows_its_classes(make_client, bundle_folder, tmp_path):
    other = write_bundle(tmp_path / "other", "other", classes=["x", "y"])
    client = make_client(bundles=[bundle_folder, other])
    for classes, version in ((["x", "y"], "other"), (["breast", "chest"], "test")):
        config = {"schema": labelling_config(classes)}
        answer = client.request("POST", "/label-studio/setup", json=config)
        assert answer.json() == {"model_version": version}


@pytest.mark.parametrize(
    "config",
    [
        labelling_config(["chest", "lung"]),
        "<View/>",
        "<View",
        None,
        '<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>',
    ],
)
def test_project_that_no_student_knows_is_refused(client, config):
    assert client.request("POST", "/label-studio/setup", json={"schema": config}).status_code == 400


def test_predictions_are_the_services_own_in_order(make_client):
    studio = Studio(**{"/data/local-files/?d=a%20b%26c.png": png(picture(1))})
    client = make_client(reader=reader(studio))
    addresses = (f"{HOME}/data/local-files/?d=a%20b%26c.png", "/data/local-files/?d=a b%26c.png")
    first, none, second, same = predict(client, UPLOADED, "gone", *addresses)
    assert none == []
    assert second == same
    for prediction, seed in ((first, 0), (second, 1)):
        own = client.post(png(picture(seed))).json()["results"][0]
        (region,) = prediction["result"]
        assert region["value"] == {"choices": [own["label"]]}
        assert prediction["score"] == own["confidence"]
        assert (region["from_name"], region["to_name"], region["type"]) == (
            "choice",
            "image",
            "choices",
        )


def test_nothing_is_preselected_if_the_teacher_was_guessing(make_client, tmp_path):
    studio = Studio()
    bundle = write_bundle(tmp_path / "b", verdict=GUESSING.to_json())
    assert predict(make_client(reader=reader(studio), bundles=[bundle]), UPLOADED, UPLOADED) == [
        [],
        [],
    ]
    assert studio.asked == []


def test_image_in_the_task_itself_needs_no_label_studio(client):
    data = base64.b64encode(png(picture())).decode()
    (prediction,) = predict(client, f"data:image/png;base64,{data}")
    assert prediction["result"]


@pytest.mark.parametrize(
    "address",
    [
        "http://169.254.169.254/latest/meta-data",
        "http://labels.example:8080.evil.example/data/upload/1/a.png",
        "http://labels.example:8080@evil.example/data/upload/1/a.png",
        "http://labels.example:9090/data/upload/1/a.png",
        "https://labels.example:8080/data/upload/1/a.png",
        "//evil.example/data/upload/1/a.png",
        "file:///etc/passwd",
        "s3://bucket/a.png",
        "/data/upload/1/../../api/users",
        "/data/upload/1/a.png?next=http://evil.example",
        "/data/local-files/?d=../../etc/passwd",
        "/data/local-files/?d=a&d=../secret.png",
        "/data/local-files/?d=a/%2e%2e/%2e%2e/b.png",
        "/data/local-files/?d=%252e%252e/secret.png",
        "/data/local-files/?d=a%252f%25252e%25252e%252fb.png",
        "/data/local-files/?d=a%250a.png",
        "/data/local-files/?d=a%0d%0ab.png",
        "/data/local-files/?d=a%5c..%5cb.png",
        "/data/upload/1/a%2fb.png",
        "/api/projects",
        "/tasks/1/presign/?fileuri=abc",
        "data:text/html;base64,aGk=",
        "data:image/png;base64,???",
        None,
        7,
        "",
    ],
)
def test_no_other_address_is_ever_asked(address):
    studio = Studio()
    with pytest.raises(ImageReadError):
        asyncio.run(reader(studio).read(address, unlimited))
    assert studio.asked == []


def test_redirect_is_not_followed():
    asked = []

    def redirecting(request):
        asked.append(str(request.url))
        return httpx.Response(302, headers={"location": "http://169.254.169.254/"})

    with pytest.raises(ImageReadError, match="302"):
        asyncio.run(reader(redirecting).read(UPLOADED, unlimited))
    assert len(asked) == 1


def test_personal_token_is_exchanged_once():
    studio = Studio(token="Bearer short")
    own = reader(studio, token="a.b.c")

    async def twice():
        return [await own.read(UPLOADED, unlimited) for _ in range(2)]

    assert len(asyncio.run(twice())) == 2
    assert [method for method, _ in studio.asked] == ["POST", "GET", "GET"]


def test_image_that_is_too_long_is_left_unread():
    with pytest.raises(ImageReadError, match="too many bytes"):
        asyncio.run(reader(Studio(), most=10).read(UPLOADED, unlimited))


@pytest.mark.parametrize("origin", ["labels.example", "ftp://x", "http://a@b", ""])
def test_address_of_label_studio_that_is_none_is_one_line(origin):
    with pytest.raises(MedlabelError, match="Label Studio"):
        ImageReader(origin, None, 10)


def _event(label="breast", action="ANNOTATION_CREATED", **annotation):
    region = {"from_name": "choice", "type": "choices", "value": {"choices": [label]}}
    return {
        "action": action,
        "annotation": {"result": [region], "completed_by": 3, "was_cancelled": False} | annotation,
        "task": task(UPLOADED),
        "project": {"label_config": CONFIG},
    }


def test_label_given_in_label_studio_is_kept(make_client):
    client = make_client(reader=reader(Studio()))
    client.request("POST", "/label-studio/webhook", json=_event("unclear")).raise_for_status()
    (kept,) = client.request("GET", "/corrections").json()["corrections"]
    own = client.post(png(picture())).json()["results"][0]
    assert (kept["label"], kept["who"], kept["file"]) == (
        "unclear",
        "Label Studio user 3",
        UPLOADED,
    )
    assert (kept["sha256"], kept["predicted"]) == (own["sha256"], own["label"])


@pytest.mark.parametrize(
    "event",
    [
        {"action": "PROJECT_UPDATED", "project": {}},
        {"action": "ANNOTATION_CREATED"},
        _event(was_cancelled=True),
        _event(result=[]),
    ],
)
def test_other_events_are_answered_and_nothing_is_kept(make_client, event):
    client = make_client(reader=reader(Studio()))
    assert client.request("POST", "/label-studio/webhook", json=event).status_code == 200
    assert client.request("GET", "/corrections").json()["corrections"] == []


def test_label_of_an_image_that_cannot_be_read_is_kept_by_its_address(make_client, monkeypatch):
    monkeypatch.setattr("serving.label_studio.backend._RETRY_AFTER", (0.0,))
    studio = Studio()
    studio.images.clear()
    client = make_client(reader=reader(studio))
    client.request("POST", "/label-studio/webhook", json=_event()).raise_for_status()
    (kept,) = client.request("GET", "/corrections").json()["corrections"]
    assert (kept["sha256"], kept["file"], kept["label"]) == ("", UPLOADED, "breast")
    assert [address for _, address in studio.asked] == [HOME + UPLOADED] * 2


def test_no_pixel_is_kept_of_an_image_that_could_not_be_read(make_client, monkeypatch):
    monkeypatch.setattr("serving.label_studio.backend._RETRY_AFTER", ())
    client = make_client(reader=reader(Studio()))
    inside = "data:image/png;base64," + base64.b64encode(b"pixels of somebody").decode()
    client.request("POST", "/label-studio/webhook", json=_event() | {"task": task(inside)})
    (kept,) = client.request("GET", "/corrections").json()["corrections"]
    assert (kept["sha256"], kept["label"], len(kept["file"])) == ("", "breast", 5 + 64)
    assert inside[-20:] not in str(kept)


def test_image_that_can_be_read_a_little_later_is_kept_with_its_hash(make_client, monkeypatch):
    monkeypatch.setattr("serving.label_studio.backend._RETRY_AFTER", (0.0,))
    studio = Studio()

    def flaky(request):
        return studio(request) if studio.asked else studio.asked.append(0) or httpx.Response(502)

    client = make_client(reader=reader(flaky))
    client.request("POST", "/label-studio/webhook", json=_event()).raise_for_status()
    (kept,) = client.request("GET", "/corrections").json()["corrections"]
    assert len(kept["sha256"]) == 64


def test_label_is_kept_whatever_becomes_of_the_students_own(make_client, monkeypatch):
    monkeypatch.setattr("serving.label_studio.backend._RETRY_AFTER", ())
    client = make_client(reader=reader(Studio()))

    async def broken(*arguments):
        raise MemoryError

    monkeypatch.setattr(client.service, "annotate", broken)
    client.request("POST", "/label-studio/webhook", json=_event()).raise_for_status()
    (kept,) = client.request("GET", "/corrections").json()["corrections"]
    assert (kept["sha256"], kept["label"], kept["bundle"]) == ("", "breast", "test")
    (task,) = client.request("GET", "/corrections.json").json()
    assert task["predictions"] == []


def test_images_count_as_memory_until_they_are_labelled(make_client):
    data = base64.b64encode(png(picture(shape=(400, 500)))).decode()
    for mib, labelled in ((0.4, False), (10, True)):
        client = make_client(max_held_mib=mib)
        (prediction,) = predict(client, f"data:image/png;base64,{data}")
        assert bool(prediction) is labelled
        assert client.service.memory.used == 0


TWO_QUESTIONS = (
    '<View><Image name="other" value="$b"/><Image name="scan" value="$a"/>'
    '<Choices name="tone" toName="other"><Choice value="calm"/><Choice value="chest"/></Choices>'
    '<Choices name="organ" toName="scan" choice="multiple">'
    '<Choice value="Thorax" alias="chest"/><Choice value="breast" alias="b"/>'
    '<Choice value="unclear"/></Choices></View>'
)


def _two(*ticks, **region):
    region = {"from_name": "organ", "to_name": "scan", "type": "choices"} | region
    result = [
        {
            "from_name": "tone",
            "to_name": "other",
            "type": "choices",
            "value": {"choices": ["calm"]},
        },
        region | {"value": {"choices": list(ticks)}},
    ]
    asked = {"id": 1, "data": {"a": UPLOADED, "b": "/data/upload/1/gone.png"}}
    project = {"label_config": TWO_QUESTIONS}
    return _event(result=result) | {"task": asked, "project": project}


def test_the_question_about_the_students_classes_is_answered_and_its_own_image_read(make_client):
    studio = Studio()
    client = make_client(reader=reader(studio))
    body = {"tasks": [_two()["task"]], "label_config": TWO_QUESTIONS}
    answer = client.request("POST", "/label-studio/predict", json=body).raise_for_status().json()
    (region,) = answer["results"][0]["result"]
    own = client.post(png(picture())).json()["results"][0]["label"]
    assert region == {
        "from_name": "organ", "to_name": "scan", "type": "choices",
        "value": {"choices": [{"chest": "chest", "breast": "b"}[own]]},
    }  # fmt: skip
    assert [url for _, url in studio.asked] == [HOME + UPLOADED]


def test_a_tick_is_stored_as_the_students_class(make_client):
    client = make_client(reader=reader(Studio()))
    client.request("POST", "/label-studio/webhook", json=_two("b")).raise_for_status()
    (kept,) = client.request("GET", "/corrections").json()["corrections"]
    assert (kept["label"], kept["file"], len(kept["sha256"])) == ("breast", UPLOADED, 64)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (_two("chest", "b"), "several_choices"),
        (_two("b", "unclear"), "several_choices"),
        (_event() | {"project": {"label_config": labelling_config(["x", "y"])}}, "not_understood"),
        (_two("b") | {"task": None}, "not_understood"),
    ],
)
def test_what_is_not_one_class_is_counted_and_not_stored(make_client, event, reason):
    client = make_client(reader=reader(Studio()))
    client.request("POST", "/label-studio/webhook", json=event).raise_for_status()
    assert client.request("GET", "/corrections").json()["corrections"] == []
    counted = f'medlabel_label_studio_left_out_total{{reason="{reason}",replica="replica"}} 1.0'
    assert counted in client.request("GET", "/metrics").text


def test_a_label_about_another_object_is_not_the_answer(make_client):
    client = make_client(reader=reader(Studio()))
    for other in ({"to_name": "other"}, {"from_name": "tone"}):
        client.request("POST", "/label-studio/webhook", json=_two("b", **other)).raise_for_status()
    assert client.request("GET", "/corrections").json()["corrections"] == []


NAMES = (
    "100%.png",
    "a%2541.png",
    "a b.png",
    "a?b#c&d=e;f.png",
    "a+b.png",
    "日\u202f本.png",
    "é" * 127,
)


@pytest.mark.parametrize("name", NAMES)
def test_every_address_that_is_exported_can_be_read_and_is_unquoted_once(name):
    address = _address(f"/data/scans/{name}", "/data")
    asked = []

    def serve(request):
        asked.append(parse_qs(request.url.query.decode())["d"])
        return httpx.Response(200, content=b"x")

    assert asyncio.run(reader(serve).read(address, unlimited)) == b"x"
    assert asked == [[f"scans/{name}"]]


def test_half_a_character_is_no_address_and_no_error():
    for url in ("/data/upload/1/a\ud800.png", "data:image/png;base64,ü"):
        with pytest.raises(ImageReadError):
            asyncio.run(reader(Studio()).read(url, unlimited))
