"""Mount options taken apart, and paths that stay inside a root whatever an image puts there."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.kernel import libc, mounts
from rootless.kernel.mounts import Options


@pytest.mark.parametrize(
    ("words", "flags", "propagation", "data"),
    [
        ("", 0, 0, ""),
        ("defaults", 0, 0, ""),
        ("ro,nosuid", libc.MS_RDONLY | libc.MS_NOSUID, 0, ""),
        ("ro,rw", 0, 0, ""),
        ("rw,ro", libc.MS_RDONLY, 0, ""),
        ("nosuid,nodev,noexec,exec,suid,dev", 0, 0, ""),
        ("bind", libc.MS_BIND, 0, ""),
        ("rbind", libc.MS_BIND | libc.MS_REC, 0, ""),
        ("rprivate", 0, libc.MS_PRIVATE | libc.MS_REC, ""),
        ("shared,slave", 0, libc.MS_SLAVE, ""),
        ("size=64m,mode=755", 0, 0, "size=64m,mode=755"),
        ("noexec,gid=5,ro,newinstance", libc.MS_NOEXEC | libc.MS_RDONLY, 0, "gid=5,newinstance"),
        ("noatime,relatime,norelatime", libc.MS_NOATIME, 0, ""),
        ("RO,Nosuid", 0, 0, "RO,Nosuid"),
    ],
)
def test_options(words: str, flags: int, propagation: int, data: str) -> None:
    taken = Options(words.split(",") if words else [])
    assert (taken.flags, taken.propagation, taken.data) == (flags, propagation, data)


def test_opposites_clear_each_other() -> None:
    for word, (flag, clears) in mounts.FLAGS.items():
        before = Options(["ro", "nosuid", "nodev", "noexec", "sync", "noatime"]).flags
        after = Options(["ro", "nosuid", "nodev", "noexec", "sync", "noatime", word]).flags
        assert after == (before & ~flag if clears else before | flag), word


@pytest.fixture
def root(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "root"
    path.mkdir()
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(mounts.open_in_root(fd, "/"))
    except OSError as error:
        pytest.skip(f"openat2(2): {error.strerror}")
    yield path, fd
    os.close(fd)


def real(fd: int) -> str:
    path = os.readlink(mounts.fd_path(fd))
    os.close(fd)
    return path


def test_links_lead_to_places_inside(root: tuple[Path, int]) -> None:
    path, fd = root
    (path / "etc").mkdir()
    (path / "etc/passwd").touch()
    (path / "absolute").symlink_to("/etc")
    (path / "up").symlink_to("../../../../etc")
    for place in ("etc/passwd", "/etc/passwd", "absolute/passwd", "up/passwd", "../../etc/passwd"):
        assert real(mounts.open_in_root(fd, place)) == f"{path}/etc/passwd"


def test_magic_links_are_not_followed(root: tuple[Path, int]) -> None:
    proc = os.open("/proc", os.O_PATH)
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        mounts.open_in_root(proc, "/self/root/etc")
    os.close(proc)


def test_targets_are_made_where_they_are_missing(root: tuple[Path, int]) -> None:
    path, fd = root
    assert real(mounts.open_target(fd, "/a/b/c", directory=True)) == f"{path}/a/b/c"
    assert (path / "a/b/c").is_dir()
    assert real(mounts.open_target(fd, "/d/./file", directory=False)) == f"{path}/d/file"
    assert (path / "d/file").is_file()
    assert real(mounts.open_target(fd, "/a", directory=True)) == f"{path}/a"


def test_targets_below_links_are_made_inside(root: tuple[Path, int], tmp_path: Path) -> None:
    path, fd = root
    (path / "real").mkdir()
    (path / "link").symlink_to("/real")
    (path / "out").symlink_to(f"{tmp_path}/host")
    (tmp_path / "host").mkdir()
    assert real(mounts.open_target(fd, "/link/x", directory=True)) == f"{path}/real/x"
    for place, directory in (("/out", True), ("/out/x", False), ("/out/x/y", True)):
        with pytest.raises(OSError, match=r"dangling symbolic link|File exists"):
            mounts.open_target(fd, place, directory=directory)
    assert os.listdir(tmp_path / "host") == []


def test_no_descriptor_stays_open(root: tuple[Path, int]) -> None:
    path, fd = root
    (path / "dangling").symlink_to("/nowhere")
    before = os.listdir("/proc/self/fd")
    os.close(mounts.open_target(fd, "/a/b/file", directory=False))
    with pytest.raises(OSError, match="dangling"):
        mounts.open_target(fd, "/dangling/x", directory=True)
    assert os.listdir("/proc/self/fd") == before
