"""Where everything is: from the environment where it says, else from the uid alone."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless import log
from rootless.errors import StoreError
from rootless.model.idmap import IdMaps
from rootless.store import files, instead, paths, places

WIDE = IdMaps(((0, 1000, 1), (1, 100000, 65536)), ((0, 1000, 1), (1, 100000, 65536)))
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
        ({"XDG_DATA_HOME": "{home}/data"}, "{home}/data/rl"),
        ({"XDG_DATA_HOME": "relative"}, "{home}/.local/share/rl"),
        ({"RL_ROOT": "{home}/me", "XDG_DATA_HOME": "{home}/data"}, "{home}/me"),
        ({"RL_ROOT": "here"}, "{home}/here"),
        ({"RL_ROOT": ""}, "{home}/.local/share/rl"),
    ],
)
def test_the_store(
    environment: dict[str, str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    before = sorted(tmp_path.iterdir())
    assert paths.discover().root == expected.format(home=tmp_path)
    (tmp_path / "run").rmdir()
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("home", ["", "relative"])
def test_without_a_home_the_user_database_knows(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    monkeypatch.setenv("HOME", home)
    expected = pwd.getpwuid(os.geteuid()).pw_dir
    uid = os.geteuid()
    shared = [(f"/var/tmp/rl-{uid}", True), (f"/tmp/rl-{uid}.store", True)]
    assert paths.store_candidates() == [(f"{expected}/.local/share/rl", False), *shared]

    def unknown(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert paths.store_candidates() == shared


def places_below(
    monkeypatch: pytest.MonkeyPatch, *candidates: tuple[Path, bool]
) -> list[tuple[str, bool]]:
    found = [(str(path), is_shared) for path, is_shared in candidates]
    monkeypatch.setattr(paths, "store_candidates", lambda: found)
    return found


def test_a_place_that_cannot_hold_a_store_is_passed_over_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    log.install(lambda level, text: said.append(text), debug=False)
    home = tmp_path / "home"
    home.mkdir(0o500)
    places_below(monkeypatch, (home / "store", False), (tmp_path / "local", True))
    assert paths.discover().root == f"{tmp_path}/local"
    assert said == [
        f"the store is {tmp_path}/local, on this host alone"
        f" ({home}/store: permission denied; RL_ROOT says otherwise)"
    ]
    assert (tmp_path / "local").stat().st_mode & 0o777 == 0o700
    # Said once, and what is there stays the store when the better place is in order again.
    home.chmod(0o700)
    assert paths.discover().root == f"{tmp_path}/local"
    assert len(said) == 1 and list(home.iterdir()) == []
    assert instead.read(f"{tmp_path}/local") == {f"{home}/store": "permission denied"}
    # Another home has nothing to do with it.
    places_below(monkeypatch, (tmp_path / "new" / "store", False), (tmp_path / "local", True))
    assert paths.discover().root == f"{tmp_path}/new/store"


def test_who_has_no_home_has_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    log.install(lambda level, text: said.append(text), debug=False)
    places_below(monkeypatch, (tmp_path / "a", True), (tmp_path / "b", True))
    assert [paths.discover().root for _ in range(2)] == [f"{tmp_path}/a"] * 2
    assert len(said) == 1 and "no home directory" in said[0]


def test_a_place_that_others_could_have_made_is_not_taken_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "open" / "tmp").mkdir(parents=True)
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "open")
    places_below(
        monkeypatch,
        (tmp_path / "open", True), (tmp_path / "link", True), (tmp_path / "own", True),
    )  # fmt: skip
    assert paths.discover().root == f"{tmp_path}/own"


def test_no_place_at_all_says_why_for_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    tmp_path.chmod(0o500)
    places_below(monkeypatch, (tmp_path / "file" / "store", False), (tmp_path / "new", True))
    monkeypatch.setattr(paths, "find_runtime", lambda: "unused")
    with pytest.raises(StoreError, match=r"file exists; .*/new: permission denied") as caught:
        paths.discover()
    tmp_path.chmod(0o700)
    assert "RL_ROOT" in caught.value.hint


def test_a_place_that_was_named_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir(0o500)
    monkeypatch.setenv("RL_ROOT", str(tmp_path / "closed"))
    with pytest.raises(StoreError, match="closed: cannot hold a store: permission denied"):
        paths.discover()


@pytest.mark.parametrize("kind", ["owners", "modes", "locks", "full"])
def test_what_a_store_needs_is_tried(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As file systems refuse it that no test can mount; real ones are in tests/user and system."""

    def refuse(number: int) -> Callable[..., None]:
        def refused(*arguments: object, **options: object) -> None:
            raise OSError(number, os.strerror(number))

        return refused

    def here(function: Callable[[], object], maps: object) -> object:
        return function()

    monkeypatch.setattr(places.idmap, "call", here)
    monkeypatch.setattr(places.idmap, "canonical_maps", lambda: WIDE)
    expected = {
        "owners": "files cannot belong to subordinate ids",
        "modes": "files do not keep their owner and mode",
        "locks": "no locks available",
        "full": "disk quota exceeded",
    }[kind]
    if kind == "locks":
        monkeypatch.setattr(files.fcntl, "flock", refuse(errno.ENOLCK))
        monkeypatch.setattr(places, "_as_root", lambda folder: None)
    elif kind == "full":
        monkeypatch.setattr(files.os, "write", refuse(errno.EDQUOT))
    else:
        # As it is for this user here, and as mounts without owners pretend that it was done.
        replaced = refuse(errno.EPERM) if kind == "owners" else lambda *_, **__: None
        monkeypatch.setattr(os, "chown", replaced)
    assert expected in places.judge(str(tmp_path / "new"))
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


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


def test_a_squatted_runtime_directory_is_no_dead_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RL_RUNTIME_DIR")
    names = [f"{tmp_path}/{name}-{{0}}" for name in ("first", "second", "third")]
    monkeypatch.setattr(paths, "_RUNTIMES", names)
    monkeypatch.setattr(files, "is_private", outside_sessions(files.is_private))
    said: list[str] = []
    log.install(lambda level, text: said.append(text), debug=False)
    uid = os.geteuid()
    squatted = tmp_path / f"first-{uid}"
    squatted.mkdir(0o755)
    assert paths.find_runtime() == f"{tmp_path}/second-{uid}"
    assert "first" in said[0] and said[0].endswith(f"{tmp_path}/second-{uid} is used instead")
    # What runs is found again once the squatter has gone.
    squatted.rmdir()
    assert paths.find_runtime() == f"{tmp_path}/second-{uid}" and len(said) == 1


def test_no_runtime_directory_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RL_RUNTIME_DIR")
    (tmp_path / "a").touch()
    monkeypatch.setattr(paths, "_RUNTIMES", [f"{tmp_path}/a", f"{tmp_path}/a/b"])
    monkeypatch.setattr(files, "is_private", outside_sessions(files.is_private))
    with pytest.raises(StoreError, match=r"a: exists but .*; .*a: File exists"):
        paths.find_runtime()


def outside_sessions(real: Callable[[str, int], bool]) -> Callable[[str, int], bool]:
    return lambda path, uid: not path.startswith("/run/user/") and real(path, uid)


def test_another_users_directory_is_not_private(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert files.is_private(str(tmp_path), os.geteuid())
    assert not files.is_private(str(tmp_path), os.geteuid() + 1)
    assert not files.is_private(str(tmp_path / "nowhere"), os.geteuid())


def test_without_a_session_it_follows_from_the_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RL_RUNTIME_DIR")
    asked: list[str] = []

    def only(path: str, uid: int) -> bool:
        asked.append(path)
        return path == f"/tmp/rl-{uid}"

    monkeypatch.setattr(files, "is_private", only)
    uid = os.geteuid()
    assert paths.find_runtime() == f"/tmp/rl-{uid}"
    assert asked[0] == f"/run/user/{uid}"
    monkeypatch.setattr(files, "is_private", lambda path, uid: path.startswith("/run/user"))
    assert paths.find_runtime() == f"/run/user/{uid}/rl"


def test_the_layout() -> None:
    where = paths.Paths("/store", "/run/rl")
    assert where.blob(DIGEST) == "/store/blobs/sha256/" + "ab" * 32
    assert where.layer_diff(DIGEST) == f"{where.layer(DIGEST)}/diff"
    assert where.running.startswith("/run/rl/")
    assert where.running != paths.Paths("/other", "/run/rl").running
    assert where.running == paths.Paths("/store", "/run/rl").running
