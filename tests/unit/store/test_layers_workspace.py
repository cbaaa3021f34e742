"""Where layers grow: a directory whose subdirectories ext4 spreads over the disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rootless.kernel import inodeflags
from rootless.store import blobs, layers
from rootless.store.paths import Paths


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    place = Paths(str(tmp_path / "store"), str(tmp_path / "run"))
    blobs.ensure_layout(place)
    return place


def test_subdirectories_are_spread(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def add(fd: int, flags: int) -> None:
        asked.append((os.readlink(f"/proc/self/fd/{fd}"), flags))

    monkeypatch.setattr(inodeflags, "add", add)
    with layers.Workspace(paths) as workspace:
        assert asked == [(workspace.path, inodeflags.FS_TOPDIR_FL)]


def test_file_systems_without_the_flag_do(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def add(fd: int, flags: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(inodeflags, "add", add)
    with layers.Workspace(paths) as workspace:
        assert os.path.isdir(workspace.path)
    assert os.listdir(paths.tmp) == []
