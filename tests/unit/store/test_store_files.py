"""Files that are whole or not there, directories with the modes asked for, locks."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.errors import StoreError
from rootless.store import files


@pytest.fixture(params=[0o022, 0o077, 0])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_mode_is_the_one_asked_for(tmp_path: Path, umask: int) -> None:
    files.write_atomic(str(tmp_path / "a"), b"x")
    files.write_atomic(str(tmp_path / "b"), b"x", mode=0o600, durable=True)
    files.make_dirs(str(tmp_path / "private/deep/public"), mode=0o755)
    files.make_dirs(str(tmp_path / "private/other"))
    assert mode(tmp_path / "a") == 0o644
    assert mode(tmp_path / "b") == 0o600
    assert mode(tmp_path / "private") == mode(tmp_path / "private/deep") == 0o700
    assert mode(tmp_path / "private/deep/public") == 0o755
    assert mode(tmp_path / "private/other") == 0o700


def test_directories_that_are_there_keep_their_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(0o750)
    files.make_dirs(str(tmp_path / "a/b"))
    files.make_dirs(str(tmp_path / "a"), mode=0o700)
    assert mode(tmp_path / "a") == 0o750
    (tmp_path / "file").touch()
    for path in ("file", "file/below"):
        with pytest.raises(StoreError, match="file"):
            files.make_dirs(str(tmp_path / path))


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with open(path) as reader:
        files.write_atomic(str(path), b"new" * 100_000)
        assert reader.read() == "old"
    assert path.read_bytes() == b"new" * 100_000
    assert os.listdir(tmp_path) == ["file"]


def test_a_place_that_cannot_be_written_says_how_to_choose_another() -> None:
    error = files.explain(PermissionError(13, "Permission denied"), "/s/x")
    assert error.message == "/s/x: Permission denied"
    assert error.hint == "ls -ld /s; rl --root DIR …, or --runtime-dir DIR"


def test_a_full_disk_leaves_nothing_and_says_what_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="No space left") as caught:
        files.write_atomic(str(path), b"new")
    monkeypatch.undo()
    assert caught.value.message.startswith(str(path))
    assert caught.value.hint == f"df -h {tmp_path}; rl image prune"
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    files.write_atomic(str(tmp_path / "file"), b"0123456789")
    monkeypatch.undo()
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        files.write_atomic(str(tmp_path / "nowhere/file"), b"")


def test_locks_exclude_and_share(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with files.Lock(path):
        assert not files.Lock(path, blocking=False).acquire()
        with pytest.raises(StoreError, match="locked by another process"):
            files.Lock(path, blocking=False).__enter__()
    first, second = (files.Lock(path, shared=True, blocking=False) for _ in range(2))
    assert first.acquire() and second.acquire()
    assert not files.Lock(path, blocking=False).acquire()
    first.release()
    first.release()
    second.release()
    assert files.Lock(path, blocking=False).acquire()


def test_a_lock_lasts_as_long_as_anybody_has_the_descriptor(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    lock = files.Lock(path)
    lock.acquire()
    assert not os.get_inheritable(lock.fd)
    copy = os.dup(lock.fd)
    lock.release()
    assert not files.Lock(path, blocking=False).acquire()
    os.close(copy)
    assert files.Lock(path, blocking=False).acquire()


def test_a_refused_lock_leaves_no_descriptor(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with files.Lock(path):
        before = os.listdir("/proc/self/fd")
        assert not files.Lock(path, blocking=False).acquire()
        assert os.listdir("/proc/self/fd") == before
