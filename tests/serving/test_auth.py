"""Who may ask, and who may not."""

import base64

import pytest
from doors import picture, png

from medlabel.errors import MedlabelError
from serving.auth import read_secret

TOKEN = "a-token-of-some-length"
BASIC = base64.b64encode(f"user:{TOKEN}".encode()).decode()


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {BASIC}"])
def test_the_token_opens(open_door, given):
    door = open_door(TOKEN)
    headers = {"authorization": given}
    assert door.ask("GET", "/models", headers).status_code == 200
    assert door.post(png(picture()), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer wrong", TOKEN, f"Digest {TOKEN}", "Basic ???", "Basic YQ=="],
)
@pytest.mark.parametrize("path", ["/models", "/metrics", "/corrections", "/corrections.csv"])
def test_nothing_is_told_without_it(open_door, given, path):
    answer = open_door(TOKEN).ask("GET", path, {} if given is None else {"authorization": given})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/static/app.js"])
def test_the_page_and_health_need_none(open_door, path):
    assert open_door(TOKEN).ask("GET", path).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", ""]
)
def test_another_name_for_this_machine_is_not_answered(door, host):
    assert door.ask("GET", "/corrections", {"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_its_own_names_are(door, host):
    assert door.ask("GET", "/corrections", {"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["null", "http://[", "https://localhost.evil.example"])
def test_strange_origins_are_of_another_site(door, origin):
    assert door.post(png(picture()), headers={"origin": origin}).status_code == 403


def test_page_of_another_site_may_not_send(door):
    headers = {"origin": "https://evil.example"}
    assert door.post(png(picture()), headers=headers).status_code == 403
    assert door.post(png(picture()), headers={"origin": "http://localhost"}).status_code == 200


def test_secret_comes_from_file_or_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("A_SECRET", raising=False)
    assert read_secret(None, "A_SECRET") is None
    monkeypatch.setenv("A_SECRET", TOKEN)
    assert read_secret(None, "A_SECRET") == TOKEN
    (tmp_path / "token").write_text("another-token-of-length\n")
    assert read_secret(str(tmp_path / "token"), "A_SECRET") == "another-token-of-length"


@pytest.mark.parametrize("content", [None, "", "short"])
def test_secret_that_is_none_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(MedlabelError, match="token"):
        read_secret(str(tmp_path / "token"), "A_SECRET")
