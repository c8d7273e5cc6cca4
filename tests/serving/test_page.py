"""The page in a real browser: files in, a correction by keyboard, there after a reload."""

import csv
import io
import json
import threading
import time

import numpy as np
import pytest
import uvicorn
from playwright.sync_api import expect
from service_client import ServiceClient, picture, png, write_bundle
from support_verdicts import DOUBTFUL, GUESSING, READ

from medlabel.reports.verdict_words import LIGHTS
from serving.launch.addresses import free_port


class Site:
    """A service behind a real port."""

    def __init__(self, folder, **settings):
        self.client, port = ServiceClient(folder, **settings), free_port()
        config = uvicorn.Config(self.client.api, port=port, log_level="warning", ws="none")
        self.server, self.url = uvicorn.Server(config), f"http://127.0.0.1:{port}/"
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self):
        self.thread.start()
        while not self.server.started:
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.thread.join()
        self.client.service.close()


@pytest.fixture
def site(tmp_path):
    with Site(tmp_path, bundles=[write_bundle(tmp_path / "bundle")]) as site:
        yield site


@pytest.fixture
def page(browser):
    context = browser.new_context()
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on(
        "console", lambda message: message.type == "error" and page.problems.append(message.text)
    )
    yield page
    context.close()
    assert page.problems == []


def files(*seeds):
    return [
        {"name": f"{seed}.png", "mimeType": "image/png", "buffer": png(picture(seed))}
        for seed in seeds
    ]


def put(page, sent):
    page.set_input_files("#files", sent)
    expect(page.locator("#grid > li")).to_have_count(len(sent))
    expect(page.locator("#status")).to_contain_text(f"{len(sent)} images")


def test_correction_by_keyboard_is_there_after_a_reload_and_in_the_export(site, page):
    page.goto(site.url)
    put(page, files(0, 1))
    page.fill("#who", "Ada")
    page.focus("#grid > li")
    page.keyboard.press("ArrowRight")
    predicted = page.evaluate("document.activeElement.querySelector('.label').textContent").split()[
        0
    ]
    other = "2" if predicted == "chest" else "1"
    page.keyboard.press(other)
    page.wait_for_selector("#grid > li.reviewed")
    page.reload()
    page.wait_for_selector("#grid > li.reviewed")
    assert page.locator("#grid > li").count() == 2
    assert "corrected by Ada" in page.locator("#grid > li.reviewed").get_attribute("aria-label")
    with page.expect_download() as download:
        page.click("#csv")
    (row,) = csv.DictReader(io.StringIO(download.value.path().read_text()))
    assert (row["file"], row["predicted"], row["who"]) == ("1.png", predicted, "Ada")
    assert row["label"] == {"1": "chest", "2": "breast"}[other]
    with page.expect_download() as download:
        page.click("#tasks")
    (task,) = json.loads(download.value.path().read_text())
    assert task["annotations"][0]["result"][0]["value"]["choices"] == [row["label"]]


def test_a_file_that_the_server_refuses_is_still_shown(tmp_path, page):
    bundles = [write_bundle(tmp_path / "bundle")]
    large = {"name": "large.png", "mimeType": "image/png", "buffer": b"x" * 300_000}
    with Site(tmp_path, bundles=bundles, max_body_mib=0.25) as site:
        page.goto(site.url)
        page.set_input_files("#files", [*files(0, 1), large, *files(2)])
        expect(page.locator("#grid > li")).to_have_count(4)
        expect(page.locator("#grid > li.refused")).to_have_count(1)
        assert "send it in parts" in page.locator("#grid > li.refused").text_content()
        assert "4 images" in page.locator("#status").text_content()
    page.problems = [problem for problem in page.problems if "413" not in problem]


def test_keys_work_as_soon_as_there_are_images(site, page):
    page.goto(site.url)
    put(page, files(0, 1))
    page.focus("#files")  # as a keyboard leaves it
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.matches('#grid > li:first-child')")
    page.focus("#files")
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.matches('#grid > li.review')")


def test_accepting_goes_on_to_the_next_to_review(site, page):
    page.goto(site.url)
    put(page, files(0, 1, 2))
    page.focus("#grid > li")
    for done in (1, 2, 3):
        page.keyboard.press("a")
        expect(page.locator("#grid > li.reviewed")).to_have_count(done)
    assert "3 reviewed" in page.locator("#status").text_content()
    assert page.locator("#grid > li.review").count() == 0


def test_keys_that_come_quickly_go_to_one_image_each(site, page):
    page.goto(site.url)
    put(page, files(0, 1, 2))
    page.focus("#grid > li")
    page.evaluate(
        "for (const key of ['2', '1', '2']) document.activeElement.dispatchEvent("
        "new KeyboardEvent('keydown', { key, bubbles: true }))"
    )
    expect(page.locator("#grid > li.reviewed")).to_have_count(3)
    kept = {one.file: one.label for one in site.client.service.corrections.history()}
    assert kept == {"0.png": "breast", "1.png": "chest", "2.png": "breast"}


def test_filters_and_order_show_what_they_say(site, page):
    page.goto(site.url)
    junk = {"name": "junk.png", "mimeType": "image/png", "buffer": b"junk"}
    put(page, [*files(0, 1, 2), junk])
    page.select_option("#by-state", "refused")
    assert page.locator("#grid > li").count() == 1
    assert "not a PNG" in page.locator("#grid > li").text_content()
    page.select_option("#by-state", "review")
    page.select_option("#order", "confidence")
    texts = page.locator("#grid .label").all_text_contents()
    shares = [int(text.split()[-2]) for text in texts]
    assert len(shares) == 3
    assert shares == sorted(shares)


def test_name_of_a_file_is_text_and_never_code(site, page):
    page.goto(site.url)
    name = "<img src=x onerror=alert(1)>.png"
    put(page, [{"name": name, "mimeType": "image/png", "buffer": png(picture())}])
    assert page.locator("#grid .name").text_content() == name


@pytest.mark.parametrize("verdict", [READ, DOUBTFUL, GUESSING], ids=lambda one: one.level)
def test_the_verdict_is_seen_in_words_symbol_and_colour(tmp_path, page, verdict):
    bundle = write_bundle(tmp_path / "b", verdict=verdict.to_json(), learned_from="drawn")
    with Site(tmp_path, bundles=[bundle]) as site:
        page.goto(site.url)
        panel = page.locator("#verdict")
        expect(panel.locator(".word strong")).to_have_text(LIGHTS[verdict.level].word)
        expect(panel.locator(".word")).to_contain_text(LIGHTS[verdict.level].gloss)
        expect(panel.locator(".summary")).to_have_text(verdict.summary)
        expect(panel.locator(".notice")).to_contain_text("it has never seen a real one")
        expect(panel.locator(".light .lit path")).to_have_count(1)
        lit = panel.locator(".light .lit circle").evaluate("one => getComputedStyle(one).fill")
        dark = panel.locator(".light g:not(.lit) circle").first
        assert lit != dark.evaluate("one => getComputedStyle(one).fill")
        if verdict.level == "read":
            panel.locator(".why summary").click()
        assert panel.locator(".evidence li").count() == len(verdict.evidence)
        for piece in verdict.evidence:
            expect(panel.get_by_text(piece.sentence)).to_be_visible()
        assert panel.locator(".advice li").count() == len(verdict.advice)
        assert panel.locator(".examples li").count() == len(verdict.examples)


def test_a_guess_is_shown_without_a_confidence(tmp_path, page):
    with Site(tmp_path, bundles=[write_bundle(tmp_path / "b", verdict=GUESSING.to_json())]) as site:
        page.goto(site.url)
        put(page, files(0))
        expect(page.locator("#grid .label")).to_contain_text("(a guess)")
        assert "%" not in page.locator("#grid > li").text_content()
        expect(page.locator("#grid .decision")).to_contain_text("the teacher was guessing")


def test_a_student_without_a_verdict_is_called_unknown(site, page):
    page.goto(site.url)
    expect(page.locator("#verdict .word strong")).to_have_text("Unknown")
    expect(page.locator("#verdict .lit")).to_have_count(0)


def test_page_asks_nothing_of_other_servers(site, page):
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(site.url)
    put(page, files(0))
    assert all(url.startswith((site.url, "data:", "blob:")) for url in asked)


def test_every_control_has_a_name_and_the_page_fits_a_phone(tmp_path, browser):
    many = [f"a class with a long name, number {n}" for n in range(9)]
    guessing = {"verdict": GUESSING.to_json(), "learned_from": "drawn"}
    few = write_bundle(tmp_path / "few", **guessing)
    bundles = [few, write_bundle(tmp_path / "many", "m", classes=many)]
    page = browser.new_page(viewport={"width": 360, "height": 740})
    with Site(tmp_path, bundles=bundles) as site:
        page.goto(site.url)
        put(page, files(0, 1, 2))
        widest = page.evaluate(
            "Math.max(...[...document.querySelectorAll('body *')].map(one => "
            "one.checkVisibility() && !one.matches('.skip') "
            "? one.getBoundingClientRect().right : 0))"
        )
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, select')].filter(one => "
            "!(one.textContent.trim() || one.labels?.length || one.ariaLabel)).length"
        )
    page.close()
    assert widest <= 360
    assert nameless == 0


def test_token_is_asked_for_once(tmp_path, browser):
    token = "a-token-of-some-length"
    bundles = [write_bundle(tmp_path / "bundle")]
    context = browser.new_context()
    with Site(tmp_path, token=token, bundles=bundles) as site:
        page = context.new_page()
        page.goto(site.url)
        page.wait_for_selector("#ask[open]")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        expect(page.locator("#bundle option")).to_have_count(1)
        put(page, files(0))
        page.reload()
        expect(page.locator("#bundle option")).to_have_count(1)
        context.close()


def test_real_images_are_labelled(site, page, real):
    stack = np.load(real / "breastmnist.npz")["test_images"][:12]
    page.goto(site.url)
    sent = [
        {"name": f"{n}.png", "mimeType": "image/png", "buffer": png(image)}
        for n, image in enumerate(stack)
    ]
    put(page, sent)
    assert page.locator("#grid img").count() == 12
