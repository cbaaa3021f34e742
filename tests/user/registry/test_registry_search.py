"""`rl search`: Debian's docker-registry has a catalogue, the fake one answers as Docker Hub."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.user.conftest import Registry, Rl
from tests.user.registry.fake_registry import FakeRegistry, Handler
from tests.user.registry.secure_registry import PASSWORD, USER, SecureRegistry


def test_a_catalogue(rl: Rl, registry: Registry, busybox_image: str) -> None:
    for name in ("search/web", "search/webber", "search/other"):
        rl("push", "-q", busybox_image, f"{registry.host}/{name}:v1")
    rl("push", "-q", busybox_image, f"{registry.host}/search/web:v2")
    form = ("--format", "{{.Name}}|{{.Index}}")
    found = rl("search", *form, f"{registry.host}/search/web").stdout.splitlines()
    assert found == [f"{registry.host}/search/{name}|{registry.host}" for name in ("web", "webber")]
    assert len(rl("search", *form, "--limit=1", f"{registry.host}/search/").stdout.split()) == 1
    heads, *rows = rl("search", f"{registry.host}/nothing-like-it").stdout.splitlines()
    assert heads.split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"] and rows == []
    heads, *rows = rl("search", "--list-tags", f"{registry.host}/search/web").stdout.splitlines()
    assert heads.split() == ["NAME", "TAG"]
    assert sorted(row.split()[1] for row in rows) == ["v1", "v2"]
    done = rl("search", "--list-tags", f"{registry.host}/search/none", code=125)
    assert "not found" in done.stderr


def test_a_catalogue_behind_a_password(rl: Rl, secure: SecureRegistry) -> None:
    host = f"127.0.0.1:{secure.port}"
    done = rl("search", f"{host}/x", code=125)
    assert f"{host}: cannot be searched" in done.stderr and f"rl login {host}" in done.stderr
    rl("search", "--creds", USER, f"{host}/x", input=PASSWORD)


RESULTS: list[dict[str, Any]] = [
    {"name": "web", "description": "The one\x1b[2J", "star_count": 90, "is_official": True},
    {"name": "me/web", "description": "d" * 60, "star_count": 3, "is_official": False},
    {"name": 7}, {"name": "odd/web", "star_count": "many", "description": None},
]  # fmt: skip


@pytest.fixture
def searchable(fake: FakeRegistry) -> FakeRegistry:
    """Without a catalogue, as Quay; /v1/search answers."""

    def gate(handler: Handler) -> bool:
        parts = urlsplit(handler.path)
        if parts.path == "/v1/search":
            assert parse_qs(parts.query) == {"q": ["web"], "n": ["25"]}
            handler.answer(200, json.dumps({"results": RESULTS}).encode())
        elif parts.path == "/v2/_catalog":
            handler.answer(401, b"{}")
        else:
            return False
        return True

    fake.gate = gate
    return fake


def test_the_first_protocol(rl: Rl, searchable: FakeRegistry) -> None:
    host = searchable.host
    rows = rl("search", f"{host}/web").stdout.splitlines()[1:]
    assert rows[0].split() == [f"{host}/library/web", "The", "one", "[2J", "90", "[OK]"]
    assert rows[1].split()[1] == "d" * 44 + "\u2026"
    assert [row.split()[0] for row in rows[1:]] == [f"{host}/me/web", f"{host}/odd/web"]
    form = "--format={{.Name}} {{.StarCount}} {{.IsOfficial}}"
    for words, count in ((["-f", "stars=3"], 2), (["-f", "is-official=true"], 1)):
        assert len(rl("search", form, *words, f"{host}/web").stdout.splitlines()) == count
    shown = json.loads(rl("search", "--format=json", "--no-trunc", f"{host}/web").stdout)
    assert shown[1]["Description"] == "d" * 60 and shown[0]["Stars"] == 90


def test_registries_of_short_names_are_asked_in_turn(rl: Rl, searchable: FakeRegistry) -> None:
    settings = rl.home / ".config" / "rl" / "registries.toml"
    settings.parent.mkdir(parents=True)
    settings.write_text(f'unqualified-search-registries = ["127.0.0.1:9", "{searchable.host}"]')
    done = rl("search", "--format={{.Name}}", "web", code=125)
    assert len(done.stdout.splitlines()) == 3 and "127.0.0.1:9: Connection refused" in done.stderr
    settings.write_text("unqualified-search-registries = []")
    assert "names no registry" in rl("search", "web", code=125).stderr


def test_a_registry_that_cannot_be_searched(rl: Rl, fake: FakeRegistry) -> None:
    def absent(handler: Handler) -> bool:
        handler.answer(404 if "_catalog" in handler.path else 200, b"[]")
        return True

    fake.gate = absent
    done = rl("search", f"{fake.host}/web", code=125)
    assert f"{fake.host}: cannot be searched" in done.stderr and done.stdout == ""


def test_pages_are_followed_but_not_elsewhere(rl: Rl, fake: FakeRegistry) -> None:
    links = {
        "": '</v2/_catalog?page=2>; rel="next"',
        "page=2": '<http://127.0.0.2:1/v2/_catalog>; rel="next"',
    }

    def gate(handler: Handler) -> bool:
        query = urlsplit(handler.path).query
        if "_catalog" not in handler.path:
            return False
        page = "page=2" if "page=2" in query else ""
        names = json.dumps({"repositories": [f"web{len(page)}", 7]}).encode()
        handler.answer(200, names, {"Link": links[page]})
        return True

    fake.gate = gate
    assert "elsewhere: http://127.0.0.2:1" in rl("search", f"{fake.host}/web", code=125).stderr
    links["page=2"] = '</v2/_catalog>; rel="prev"'
    done = rl("search", "--format={{.Name}}", f"{fake.host}/web")
    assert done.stdout.split() == [f"{fake.host}/web0", f"{fake.host}/web6"]


@pytest.mark.parametrize(
    "words",
    [["--limit", "0", "x"], ["-f", "stars=x", "x"], ["-f", "y=1", "x"], ["--list-tags", "x:1"]],
)
def test_what_is_refused(rl: Rl, words: list[str]) -> None:
    assert rl("search", *words, code=125).stderr.startswith("rl: error: ")
