"""Where everything is: from the environment where it says, else from the uid alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.errors import StoreError
from rootless.store import paths

DIGEST = "sha256:" + "ab" * 32


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RL_ROOT", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RL_RUNTIME_DIR", str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "{home}/.local/share/rl"),
        ({"XDG_DATA_HOME": "/data"}, "/data/rl"),
        ({"XDG_DATA_HOME": "relative"}, "{home}/.local/share/rl"),
        ({"RL_ROOT": "/scratch/me", "XDG_DATA_HOME": "/data"}, "/scratch/me"),
        ({"RL_ROOT": "here"}, "{cwd}/here"),
        ({"RL_ROOT": ""}, "{home}/.local/share/rl"),
    ],
)
def test_the_store(
    environment: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert paths.discover().root == expected.format(home=tmp_path, cwd=os.getcwd())


@pytest.mark.parametrize("home", ["", "relative"])
def test_without_a_home_the_user_database_knows(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    monkeypatch.setenv("HOME", home)
    expected = pwd.getpwuid(os.geteuid()).pw_dir
    assert paths.discover().root == f"{expected}/.local/share/rl"

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(StoreError, match="no home directory") as caught:
        paths.discover()
    assert "RL_ROOT" in caught.value.hint


def test_the_runtime_directory_is_private(tmp_path: Path) -> None:
    assert paths.find_runtime() == str(tmp_path / "run")
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert paths.find_runtime() == str(tmp_path / "run")


@pytest.mark.parametrize("kind", ["open", "file", "link"])
def test_a_runtime_directory_that_others_can_touch_is_refused(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "run"
    if kind == "open":
        place.mkdir()
        place.chmod(0o750)
    elif kind == "file":
        place.touch(0o600)
    else:
        (tmp_path / "elsewhere").mkdir(0o700)
        place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="not a private directory") as caught:
        paths.find_runtime()
    assert "RL_RUNTIME_DIR" in caught.value.hint


def test_another_users_directory_is_not_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert paths.is_private(str(tmp_path), os.geteuid())
    assert not paths.is_private(str(tmp_path), os.geteuid() + 1)
    assert not paths.is_private(str(tmp_path / "nowhere"), os.geteuid())


def test_without_a_session_it_follows_from_the_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RL_RUNTIME_DIR")
    asked: list[str] = []

    def only(path: str, uid: int) -> bool:
        asked.append(path)
        return path == f"/tmp/rl-{uid}"

    monkeypatch.setattr(paths, "is_private", only)
    uid = os.geteuid()
    assert paths.find_runtime() == f"/tmp/rl-{uid}"
    assert asked[0] == f"/run/user/{uid}"
    monkeypatch.setattr(paths, "is_private", lambda path, uid: path.startswith("/run/user"))
    assert paths.find_runtime() == f"/run/user/{uid}/rl"


def test_the_layout() -> None:
    where = paths.Paths("/store", "/run/rl")
    assert where.blob(DIGEST) == "/store/blobs/sha256/" + "ab" * 32
    assert where.layer_diff(DIGEST) == f"{where.layer(DIGEST)}/diff"
    assert where.running.startswith("/run/rl/")
    assert where.running != paths.Paths("/other", "/run/rl").running
    assert where.running == paths.Paths("/store", "/run/rl").running
