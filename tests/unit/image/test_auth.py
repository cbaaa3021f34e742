from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless import log
from rootless.errors import RegistryError
from rootless.image import auth

Write = Callable[[str, Any], Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a JSON document below a home directory that is the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    for name in ("XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def write_file(name: str, document: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        return path

    return write_file


def entry(user: str, password: str = "pw") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def user_for(repository: str) -> str | None:
    found = auth.find(repository)
    return found.username if found else None


def test_without_files_there_are_none(write: Write) -> None:
    assert auth.find("quay.io/a/b") is None


def test_the_files_come_in_their_order(write: Write) -> None:
    names = [".docker/config.json", ".config/containers/auth.json", "run/containers/auth.json"]
    for name in names:
        write(name, {"auths": {"quay.io": entry(name)}})
        assert user_for("quay.io/a") == name


def test_registry_auth_file_is_the_only_one(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write(".docker/config.json", {"auths": {"quay.io": entry("docker")}})
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(write("own.json", {"auths": {}})))
    assert user_for("quay.io/a") is None


def test_the_most_specific_key_wins(write: Write) -> None:
    keys = ["quay.io", "quay.io/a", "quay.io/a/b"]
    write(".docker/config.json", {"auths": {key: entry(key) for key in keys}})
    assert user_for("quay.io/a/b") == "quay.io/a/b"
    assert user_for("quay.io/a/c") == "quay.io/a"
    assert user_for("quay.io/ab") == "quay.io"
    assert user_for("other.io/a") is None


@pytest.mark.parametrize("key", ["https://index.docker.io/v1/", "docker.io", "index.docker.io"])
def test_docker_hub_s_keys(write: Write, key: str) -> None:
    write(".docker/config.json", {"auths": {key: entry("me")}})
    assert user_for("docker.io/library/alpine") == "me"


def test_old_keys_are_urls(write: Write) -> None:
    write(".docker/config.json", {"auths": {"https://quay.io/v2/": entry("me")}})
    assert user_for("quay.io/a") == "me"


def test_passwords_may_hold_colons_and_padding(write: Write) -> None:
    write(".docker/config.json", {"auths": {"quay.io": entry("me", "a:b\0\0")}})
    found = auth.find("quay.io/x")
    assert found is not None
    assert (found.username, found.password) == ("me", "a:b")
    assert "a:b" not in repr(found)
    assert found.basic_header == f"Basic {base64.b64encode(b'me:a:b').decode()}"


@pytest.mark.parametrize(
    "document",
    ["{", {"auths": {"quay.io": {"auth": "***"}}}, {"auths": {"quay.io": {"auth": "/w=="}}}],
)
def test_unreadable_files_are_named(write: Write, document: Any) -> None:
    path = write(".docker/config.json", document)
    with pytest.raises(RegistryError, match=str(path)):
        auth.find("quay.io/a")


@pytest.mark.parametrize(
    "document", ["[]", {}, {"auths": []}, {"auths": {"quay.io": None}}, {"auths": {"quay.io": {}}}]
)
def test_files_without_credentials(write: Write, document: Any) -> None:
    write(".docker/config.json", document)
    assert auth.find("quay.io/a") is None


@pytest.fixture
def helper(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Install docker-credential-fake, which writes what it was asked and runs a shell line."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def install(line: str) -> Path:
        program = write("docker-credential-fake", f"#!/bin/sh\ncat >{tmp_path}/asked\n{line}\n")
        program.chmod(0o755)
        return tmp_path / "asked"

    return install


ANSWER = """echo '{"Username": "me", "Secret": "pw"}'"""


def test_a_helper_for_one_registry(write: Write, helper: Callable[[str], Path]) -> None:
    asked = helper(ANSWER)
    write(".docker/config.json", {"credHelpers": {"quay.io": "fake"}})
    assert user_for("quay.io/a") == "me"
    assert asked.read_text() == "quay.io"
    assert user_for("other.io/a") is None


def test_a_helper_for_all(write: Write, helper: Callable[[str], Path]) -> None:
    asked = helper(ANSWER)
    write(".docker/config.json", {"credsStore": "fake"})
    assert user_for("docker.io/library/alpine") == "me"
    assert asked.read_text() == "https://index.docker.io/v1/"


def test_a_helper_s_identity_token(write: Write, helper: Callable[[str], Path]) -> None:
    helper("""echo '{"Username": "<token>", "Secret": "abc"}'""")
    write(".docker/config.json", {"credsStore": "fake"})
    found = auth.find("quay.io/a")
    assert found is not None
    assert (found.identity_token, found.password) == ("abc", "")


@pytest.mark.parametrize(
    ("line", "warning"),
    [
        ("echo credentials not found in native keychain; exit 1", ""),
        ("echo locked; exit 1", "exit code 1"),
        ("echo '[]'", "cannot be read"),
        ("echo nonsense", "cannot be read"),
    ],
)
def test_a_helper_without_an_answer_is_no_error(
    write: Write, helper: Callable[[str], Path], line: str, warning: str
) -> None:
    helper(line)
    said: list[str] = []
    log.install(lambda level, text: said.append(text), debug=False)
    write(".docker/config.json", {"credsStore": "fake", "auths": {"quay.io": entry("file")}})
    assert user_for("quay.io/a") == "file"
    assert [warning in text for text in said] == ([True] if warning else [])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        (
            'Bearer realm="https://a/t?x=1",service="a, b",scope="r:p:pull,push"',
            [("bearer", {"realm": "https://a/t?x=1", "service": "a, b", "scope": "r:p:pull,push"})],
        ),
        (
            'Negotiate, Basic realm="x", Bearer realm="y" , service=z',
            [
                ("negotiate", {}),
                ("basic", {"realm": "x"}),
                ("bearer", {"realm": "y", "service": "z"}),
            ],
        ),
        (r'Basic realm="a\"b"', [("basic", {"realm": 'a"b'})]),
        ("", []),
    ],
)
def test_challenges(header: str, expected: list[tuple[str, dict[str, str]]]) -> None:
    found = auth.parse_challenges([header])
    assert [(one.scheme, one.parameters) for one in found] == expected


@settings(database=None)
@given(st.text(alphabet='aB ="\\,\n', max_size=40))
def test_any_header_is_survived(header: str) -> None:
    assert all(one.scheme == one.scheme.lower() for one in auth.parse_challenges([header]))
