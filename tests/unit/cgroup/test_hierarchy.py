"""What is read from the mount and from /proc/PID/cgroup.

Plain files stand in for cgroupfs. They show how texts and paths are read; which files a kernel has
where, and what a cgroup namespace hides, is for tests/system.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup.hierarchy import HYBRID, NONE, V1, V2, Hierarchy


@pytest.fixture
def in_group(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the text of /proc/PID/cgroup; returns the list of paths that were opened."""

    def put(text: str) -> list[str]:
        opened: list[str] = []

        def fake_open(path: str, **options: Any) -> io.TextIOBase:
            opened.append(path)
            return io.TextIOWrapper(io.BytesIO(os.fsencode(text)), newline="\n", **options)

        monkeypatch.setattr(hierarchies, "open", fake_open, raising=False)
        return opened

    return put


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("0::/\n", "/"),
        ("0::/user.slice/a.scope\n", "/user.slice/a.scope"),
        ("12:pids:/x\n1:name=systemd:/y\n0::/z\n", "/z"),
        ("0::/with: a colon/\udcff\n", "/with: a colon/\udcff"),
        ("0::/a (deleted)\n", "/a (deleted)"),
        ("0::/..\n", ""),
        ("0::/../../b\n", ""),
        ("1:name=systemd:/only/v1\n", ""),
        ("10::/ten\n", ""),
        ("", ""),
    ],
)
def test_the_group_of_a_process(in_group: Any, text: str, group: str) -> None:
    opened = in_group(text)
    assert hierarchies.group_of(42) == group
    assert opened == ["/proc/42/cgroup"]


def test_the_group_of_nobody() -> None:
    assert hierarchies.group_of("no-such-process") == ""


def test_this_process_is_somewhere() -> None:
    """On the real kernel, of any configuration."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    theirs = [line[3:] for line in lines if line.startswith("0::")]
    assert [hierarchies.group_of("self")] == (theirs or [""])


def make_mount(path: Path, group: str = "") -> str:
    (path / group.strip("/")).mkdir(parents=True, exist_ok=True)
    (path / "cgroup.controllers").write_text("cpu memory\n")
    return str(path)


def test_version_2(tmp_path: Path, in_group: Any) -> None:
    opened = in_group("0::/user/one\n")
    mount = make_mount(tmp_path / "cgroup", "/user/one")
    make_mount(tmp_path / "cgroup/unified")
    found = hierarchies.discover(mount, f"{mount}/unified")
    assert found == Hierarchy(V2, mount, "/user/one")
    assert found.directory == f"{mount}/user/one"
    assert opened == ["/proc/self/cgroup"]


def test_the_root_group(tmp_path: Path, in_group: Any) -> None:
    in_group("0::/\n")
    mount = make_mount(tmp_path / "cgroup")
    assert hierarchies.discover(mount, "").own == "/"
    assert hierarchies.discover(mount, "").directory == mount


@pytest.mark.parametrize("text", ["0::/not/below/this/mount\n", "0::/gone (deleted)\n", "0::/..\n"])
def test_a_group_that_the_mount_does_not_show(tmp_path: Path, in_group: Any, text: str) -> None:
    in_group(text)
    found = hierarchies.discover(make_mount(tmp_path / "cgroup"), "")
    assert (found.mode, found.own, found.directory) == (V2, "", "")


def test_hybrid(tmp_path: Path, in_group: Any) -> None:
    in_group("3:memory:/v1\n0::/one\n")
    unified = make_mount(tmp_path / "cgroup/unified", "/one")
    (tmp_path / "cgroup/memory").mkdir()
    assert hierarchies.discover(f"{tmp_path}/cgroup", unified) == Hierarchy(HYBRID, unified, "/one")


@pytest.mark.parametrize("controller", ["memory", "cpu"])
def test_version_1(tmp_path: Path, controller: str) -> None:
    (tmp_path / controller).mkdir()
    assert hierarchies.discover(str(tmp_path), f"{tmp_path}/unified") == Hierarchy(V1, "", "")


def test_nothing_is_mounted(tmp_path: Path) -> None:
    found = hierarchies.discover(str(tmp_path), f"{tmp_path}/unified")
    assert found == Hierarchy(NONE, "", "")
    assert found.directory == ""


@pytest.mark.parametrize(
    ("group", "directory"), [("/", "/m"), ("/a", "/m/a"), ("/a/b/", "/m/a/b"), ("", "/m")]
)
def test_directories(group: str, directory: str) -> None:
    assert hierarchies.directory("/m", group) == directory


@pytest.mark.parametrize(
    ("group", "expected"),
    [("/", ["/"]), ("", ["/"]), ("/a", ["/", "/a"]), ("/a/b/c", ["/", "/a", "/a/b", "/a/b/c"])],
)
def test_ancestors(group: str, expected: list[str]) -> None:
    assert hierarchies.ancestors(group) == expected


def test_the_chain_tells_where_a_controller_ends(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "cgroup.controllers").write_text("cpu io memory\n")
    (tmp_path / "a/cgroup.controllers").write_text("memory\n")
    assert hierarchies.chain(str(tmp_path), "/a/b") == [
        ("/", ["cpu", "io", "memory"]),
        ("/a", ["memory"]),
        ("/a/b", []),
    ]


def test_words(tmp_path: Path) -> None:
    (tmp_path / "words").write_bytes(b"one  two\xff\nthree\n")
    (tmp_path / "empty").write_text("\n")
    assert hierarchies.read_words(f"{tmp_path}/words") == ["one", "two\ufffd", "three"]
    assert hierarchies.read_words(f"{tmp_path}/empty") == []
    assert hierarchies.read_words(f"{tmp_path}/no-such") == []
    assert hierarchies.read_words(str(tmp_path)) == []


def test_a_new_process_goes_beside_the_first_in_a_divided_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "box"
    group.mkdir()
    monkeypatch.setattr(hierarchies, "discover", lambda: Hierarchy(V2, str(tmp_path), "/"))
    monkeypatch.setattr(hierarchies, "group_of", {7: "/box/init", 8: "/boxes", 0: ""}.__getitem__)
    control = group / "cgroup.subtree_control"
    control.write_text("\n")
    assert hierarchies.place_beside(str(group), 7) == str(group)
    control.write_text("memory pids\n")
    assert hierarchies.place_beside(str(group), 7) == f"{group}/init"
    assert (
        hierarchies.place_beside(str(group), 8)
        == hierarchies.place_beside(str(group), 0)
        == str(group)
    )
