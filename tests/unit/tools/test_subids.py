"""Subordinate ids: who is asked, what they say, and whether the helpers can map them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.kernel import subid
from rootless.tools import subids


@pytest.fixture
def nsswitch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "nsswitch.conf"
    monkeypatch.setattr(subids, "NSSWITCH", str(path))
    monkeypatch.setattr(subids, "_sources", {})
    return path


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("", "files"),
        ("passwd: files sss\n", "files"),
        ("subid: files\n", "files"),
        ("passwd: files\nsubid:\tSSS  # the directory\n", "sss"),
        ("# subid: sss\n", "files"),
        ("subid:\n", "files"),
    ],
)
def test_who_is_asked(nsswitch: Path, text: str, source: str) -> None:
    nsswitch.write_text(text)
    assert subids.source() == source


def test_without_the_file_the_files_are(nsswitch: Path, tmp_path: Path) -> None:
    listed = tmp_path / "subuid"
    listed.write_text("ann:100000:65536\n1000:4294900000:60000\nbob:5:5\n")
    found = subids.ranges(str(listed), "ann", 1000)
    assert found == [(100000, 65536), (4294900000, 60000)]
    assert subids.ranges(f"{tmp_path}/missing", "ann", 1000) == []


def test_getsubids_is_asked(
    nsswitch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nsswitch.write_text("subid: sss\n")
    executable(
        tmp_path / "bin/getsubids",
        'if [ "$1" = -g ]; then echo "0: $2 7 8"; else echo "0: $1 2147483648 65536"; fi',
    )
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    assert subids.ranges("/etc/subuid", "ann", 1000) == [(2147483648, 65536)]
    assert subids.ranges("/etc/subgid", "ann", 1000) == [(7, 8)]


def test_getsubids_that_fails(
    nsswitch: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nsswitch.write_text("subid: sss\n")
    executable(tmp_path / "bin/getsubids", "echo Error fetching ranges >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    assert subids.ranges("/etc/subuid", "ann", 1000) == []


def test_the_library_without_the_program(nsswitch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nsswitch.write_text("subid: sss\n")
    monkeypatch.setattr(subids.spawn, "which", lambda name: None)
    asked = []

    def ranges(user: str, *, groups: bool) -> list[tuple[int, int]]:
        asked.append((user, groups))
        return [(1, 2)]

    monkeypatch.setattr(subid, "ranges", ranges)
    assert subids.ranges("/etc/subgid", "ann", 1000) == [(1, 2)]
    assert asked == [("ann", True)]


def test_what_getsubids_prints() -> None:
    text = "0: a b 1 2\n1: ann 100000 65536\nError\n2: ann x 1\n3: ann 5 0\n"
    assert subids.parse_getsubids(text) == [(1, 2), (100000, 65536)]


def test_a_library_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subid, "_LIBRARIES", ("libnothing.so.9",))
    assert subid.ranges("ann", groups=False) == []


def test_helpers_that_get_no_privileges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in subids.HELPERS:
        executable(tmp_path / "bin" / name, "true")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    assert not subids.can_be_mapped()
    assert subids.why_none() == f"{tmp_path}/bin/newuidmap gets no privileges"
    monkeypatch.setattr(subids.spawn, "which", lambda name: None)
    assert not subids.can_be_mapped()
    assert subids.why_none() == "newuidmap is not installed"
    assert os.path.exists(f"{tmp_path}/bin/newuidmap")
