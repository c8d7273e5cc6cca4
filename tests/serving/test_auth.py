"""Which requests are let in, and which are refused."""

import base64

import pytest
from service_client import picture, png

from medlabel.errors import MedlabelError
from serving.auth import read_secret

TOKEN = "a-token-of-some-length"
BASIC = base64.b64encode(f"user:{TOKEN}".encode()).decode()


@pytest.mark.parametrize("given", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Basic {BASIC}"])
def test_the_token_opens(make_client, given):
    client = make_client(TOKEN)
    headers = {"authorization": given}
    assert client.request("GET", "/models", headers).status_code == 200
    assert client.post(png(picture()), headers=headers).status_code == 200


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer wrong", TOKEN, f"Digest {TOKEN}", "Basic ???", "Basic YQ=="],
)
@pytest.mark.parametrize("path", ["/models", "/metrics", "/corrections", "/corrections.csv"])
def test_without_the_token_requests_are_refused(make_client, given, path):
    answer = make_client(TOKEN).request(
        "GET", path, {} if given is None else {"authorization": given}
    )
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/static/app.js"])
def test_the_page_and_health_need_none(make_client, path):
    assert make_client(TOKEN).request("GET", path).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "", "localhost."),
        *("evil@localhost", "localhost/x", "localhost?x", "localhost#x", "localhost:x", "[::1]x"),
    ],
)
def test_other_and_malformed_hosts_are_refused(client, host):
    assert client.request("GET", "/corrections", {"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_the_names_of_this_machine_are_answered(client, host):
    assert client.request("GET", "/corrections", {"host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["null", "http://[", "https://localhost.evil.example"])
def test_malformed_origins_are_of_another_site(client, origin):
    assert client.post(png(picture()), headers={"origin": origin}).status_code == 403


def test_page_of_another_site_may_not_send(client):
    headers = {"origin": "https://evil.example"}
    assert client.post(png(picture()), headers=headers).status_code == 403
    assert client.post(png(picture()), headers={"origin": "http://localhost"}).status_code == 200


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
