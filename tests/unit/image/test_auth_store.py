"""Which key and which file credentials are kept under."""

from __future__ import annotations

from pathlib import Path

import pytest

from rootless.errors import UsageError
from rootless.image import auth, auth_store


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("registry.example.org", "registry.example.org"),
        ("localhost:5000", "localhost:5000"),
        ("127.0.0.1:5000/", "127.0.0.1:5000"),
        ("[::1]:5000", "[::1]:5000"),
        ("https://quay.io", "quay.io"),
        ("http://host:80/v2/", "host:80"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("quay.io/team", "quay.io/team"),
        ("docker.io/me/app", "docker.io/me/app"),
    ],
)
def test_keys(text: str, key: str) -> None:
    assert auth_store.key_of(text) == key


@pytest.mark.parametrize(
    "text", ["", "/", "a b", "host:port", "-h.org", "h.org/Upper", "h.org/x:tag", "h.org/../x"]
)
def test_what_is_no_registry(text: str) -> None:
    with pytest.raises(UsageError, match="not a registry"):
        auth_store.key_of(text)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("https://index.docker.io/v1/", "docker.io", True),
        ("https://quay.io", "quay.io", True),
        ("quay.io", "quay.io/team", False),
        ("quay.io:443", "quay.io", False),
    ],
)
def test_keys_of_other_programs(one: str, other: str, is_same: bool) -> None:
    assert auth.is_same_key(one, other) == is_same == auth.is_same_key(other, one)


def test_the_file_that_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("REGISTRY_AUTH_FILE", raising=False)
    assert auth_store.target_file() == f"{tmp_path}/containers/auth.json"
    # Without a login session, as in a job or under cron, it is one that stays.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "none"))
    assert auth_store.target_file() == f"{tmp_path}/config/containers/auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", "/some/where")
    assert auth_store.target_file() == "/some/where"
