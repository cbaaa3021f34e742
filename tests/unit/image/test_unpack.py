"""What an honest archive becomes on disk. Owners need a user namespace: tests/user/unpack."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.errors import ImageError
from rootless.image import folders, owners, unpack
from rootless.model import ownermark
from rootless.model.ownermark import OwnerMark
from tests.unit.image.archives import (
    archive,
    device,
    file,
    folder,
    hardlink,
    symlink,
    unpack_bytes,
    unpack_members,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return tmp_path / "tree"


def mtimes(tree: Path, *names: str) -> list[int]:
    return [(tree / name).lstat().st_mtime_ns for name in names]


def is_hidden(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(path: Path) -> bool:
    keys = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")
    return [os.getxattr(path, key) for key in keys] == [b"y", b"y"]


def test_files_links_and_the_summary(tree: Path) -> None:
    data = archive(
        [
            folder("."),
            folder("d", mode=0o750),
            file("d/file", b"content", mode=0o640),
            symlink("d/sym", "/etc/passwd"),
            hardlink("d/hard", "./d/file"),
            hardlink("d/hard-to-symlink", "d/sym"),
            file("fifo", type=tarfile.FIFOTYPE, mode=0o600),
        ]
    )
    summary = unpack_bytes(data, tree)
    assert summary.diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert (summary.size, summary.files, summary.notes) == (7, 7, [])
    assert (tree / "d/file").read_bytes() == b"content"
    assert (tree / "d/hard").samefile(tree / "d/file")
    assert os.readlink(tree / "d/hard-to-symlink") == os.readlink(tree / "d/sym") == "/etc/passwd"
    assert stat.S_ISFIFO((tree / "fifo").stat().st_mode)
    modes = [stat.S_IMODE((tree / name).stat().st_mode) for name in ("d", "d/file", "fifo")]
    assert modes == [0o750, 0o640, 0o600]


def test_special_mode_bits_and_unreadable_directories(tree: Path) -> None:
    unpack_members(
        tree,
        file("suid", b"x", mode=0o4755),
        folder("sticky", mode=0o1777),
        folder("setgid", mode=0o2755),
        file("setgid/child", mode=0o2644),
        folder("setgid/folder", mode=0o755),
        folder("readonly", mode=0o500),
    )
    names = ("suid", "sticky", "setgid", "setgid/child", "setgid/folder", "readonly")
    modes = [stat.S_IMODE((tree / name).stat().st_mode) for name in names]
    assert modes == [0o4755, 0o1777, 0o2755, 0o2644, 0o755, 0o500]


def test_the_umask_does_not_matter_and_is_kept(tree: Path) -> None:
    before = os.umask(0o077)
    try:
        unpack_members(tree, file("f", mode=0o666))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    assert stat.S_IMODE((tree / "f").stat().st_mode) == 0o666


def test_times_of_directories_survive_what_is_put_into_them(tree: Path) -> None:
    unpack_members(
        tree,
        folder(".", mtime=10),
        folder("a", mtime=1.123456789),
        file("a/f", mtime=2),
        symlink("a/s", "f", mtime=3),
        folder("a/b", mtime=4),
        file("a/b/f", mtime=5),
        file("a/late", mtime=-6),
        hardlink("a/b/late", "a/late"),
    )
    seconds = [time / 10**9 for time in mtimes(tree, "a/f", "a/s", "a/b", "a/b/f", "a/late")]
    assert seconds == [2, 3, 4, 5, -6]
    assert mtimes(tree, ".", "a") == [10 * 10**9, 1_123_456_789]


def test_times_survive_more_directories_than_are_kept_open(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_CAPACITY", 4)
    numbers = range(20)
    first = [folder(f"d{n}/e", mtime=n) for n in numbers]
    members = [folder(f"d{n}", mtime=n) for n in numbers] + first
    members += [file(f"d{n}/e/f{k}", b"x") for k in range(3) for n in numbers]
    members += [hardlink(f"d{n}/link", f"d{19 - n}/e/f0") for n in numbers]
    unpack_members(tree, *members)
    for name in ("d{}", "d{}/e"):
        assert mtimes(tree, *(name.format(n) for n in numbers)) == [n * 10**9 for n in numbers]
    assert (tree / "d3/link").samefile(tree / "d16/e/f0")


def test_times_survive_a_hard_link_from_far_below(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_CAPACITY", 4)
    deep = "/".join("abcdefghij")
    others = [folder(f"other{n}") for n in range(6)]
    unpack_members(tree, folder("here", mtime=5), file(f"{deep}/f", b"x"), *others,
                   hardlink("here/link", f"{deep}/f"))  # fmt: skip
    assert (tree / "here/link").samefile(tree / deep / "f")
    assert mtimes(tree, "here") == [5 * 10**9]


def test_missing_parents_are_made(tree: Path) -> None:
    unpack_members(tree, file("a/b/c", b"x"))
    assert (tree / "a/b/c").read_bytes() == b"x"
    assert stat.S_IMODE((tree / "a/b").stat().st_mode) == 0o755


@pytest.mark.parametrize("name", ["/a/b", "./a/b", "a//b", "a/./b", "/./a/b"])
def test_names_are_relative_to_the_root(tree: Path, name: str) -> None:
    unpack_members(tree, file(name, b"x"))
    assert (tree / "a/b").read_bytes() == b"x"


@pytest.mark.parametrize(
    "target", ["usr/lib", "/usr/lib", "usr/../usr/lib", "./usr//lib/", "../../usr/lib", "also/lib"]
)
def test_entries_below_a_link_go_where_it_leads(tree: Path, target: str) -> None:
    unpack_members(
        tree,
        folder("usr", mtime=1),
        folder("usr/lib", mtime=2),
        symlink("also", "/loc"),
        symlink("loc", "usr/."),
        symlink("lib", target),
        file("lib/x", b"content"),
        file("lib/new/y", b"more"),
        file("usr/lib/z", b"z"),
        hardlink("hard", "lib/x"),
    )
    assert (tree / "lib").is_symlink()
    assert (tree / "usr/lib/x").read_bytes() == b"content"
    assert (tree / "usr/lib/new/y").read_bytes() == b"more"
    assert (tree / "hard").samefile(tree / "usr/lib/x")
    assert mtimes(tree, "usr", "usr/lib") == [10**9, 2 * 10**9]


def test_links_below_the_root_lead_from_where_they_are(tree: Path) -> None:
    unpack_members(
        tree,
        folder("usr/lib"),
        folder("n/usr/lib"),
        symlink("n/absolute", "/usr/lib"),
        symlink("n/relative", "usr/lib"),
        symlink("n/up", "../usr/lib"),
        file("n/absolute/a"),
        file("n/relative/r"),
        file("n/up/u"),
    )
    assert sorted(os.listdir(tree / "usr/lib")) == ["a", "u"]
    assert os.listdir(tree / "n/usr/lib") == ["r"]


def test_of_two_entries_the_last_wins(tree: Path) -> None:
    unpack_members(
        tree,
        file("twice", b"old", mode=0o4755),
        file("twice", b"new", mode=0o644),
        folder("dir-file/sub"),
        file("dir-file/sub/x"),
        file("dir-file", b"file now"),
        file("file-dir"),
        folder("file-dir"),
        file("file-dir/x", b"below"),
        symlink("link-dir", "file-dir"),
        folder("link-dir"),
        file("link-dir/own", b"own"),
        folder("merged", mode=0o700),
        file("merged/kept"),
        folder("merged", mode=0o711, mtime=9),
        file("a", b"1"),
        hardlink("b", "a"),
        file("a", b"2"),
    )
    assert (tree / "twice").read_bytes() == b"new"
    assert stat.S_IMODE((tree / "twice").stat().st_mode) == 0o644
    assert (tree / "dir-file").read_bytes() == b"file now"
    assert (tree / "file-dir/x").read_bytes() == b"below"
    assert not (tree / "link-dir").is_symlink()
    assert os.listdir(tree / "file-dir") == ["x"]
    assert (tree / "link-dir/own").read_bytes() == b"own"
    assert (tree / "merged/kept").exists()
    assert stat.S_IMODE((tree / "merged").stat().st_mode) == 0o711
    assert mtimes(tree, "merged") == [9 * 10**9]
    assert [(tree / name).read_bytes() for name in "ab"] == [b"2", b"1"]


def test_what_is_replaced_below_a_directory_leaves_that_one_usable(tree: Path) -> None:
    unpack_members(
        tree,
        folder("p", mtime=3),
        folder("p/d"),
        file("p/d/old"),
        symlink("p/d", "elsewhere"),
        folder("p/d"),
        file("p/d/new"),
        file("p/d", b"file"),
        file("p/next", b"x"),
    )
    assert sorted(os.listdir(tree / "p")) == ["d", "next"]
    assert (tree / "p/d").read_bytes() == b"file"
    assert mtimes(tree, "p") == [3 * 10**9]


def test_a_hard_link_to_itself_changes_nothing(tree: Path) -> None:
    unpack_members(
        tree, file("a", b"x"), hardlink("a", "a"), hardlink("b", "a"), hardlink("b", "a")
    )
    assert (tree / "a").read_bytes() == b"x"
    assert (tree / "b").samefile(tree / "a")


def test_whiteouts(tree: Path) -> None:
    unpack_members(
        tree,
        file(".wh.gone"),
        folder("d"),
        file("d/.wh.gone"),
        file("d/.wh..wh..opq"),
        file(".wh..wh.plnk"),
        folder(".wh..wh.aufs"),
        file(".wh..wh.aufs/x"),
    )
    assert sorted(os.listdir(tree)) == ["d", "gone"]
    assert is_hidden(tree / "gone")
    assert is_hidden(tree / "d/gone")
    assert is_opaque(tree / "d")


def test_whiteouts_of_names_that_the_layer_has_itself(tree: Path) -> None:
    unpack_members(
        tree,
        folder("before"),
        file("before/new", b"x"),
        file(".wh.before"),
        file(".wh.after"),
        folder("after"),
        file("after/new", b"x"),
        file(".wh.implied"),
        file("implied/new", b"x"),
        file(".wh.file"),
        file("file", b"new"),
        file("first", b"new"),
        file(".wh.first"),
    )
    for name in ("before", "after", "implied"):
        assert is_opaque(tree / name)
        assert os.listdir(tree / name) == ["new"]
    assert [(tree / name).read_bytes() for name in ("file", "first")] == [b"new", b"new"]


def test_whiteouts_where_the_host_can_make_neither_form(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Linux 5.8, and on file systems without user xattrs: the names of the archive stay."""

    def refuse(number: int) -> Callable[..., None]:
        def call(*arguments: object, **options: object) -> None:
            raise OSError(number, os.strerror(number))

        return call

    monkeypatch.setattr(os, "mknod", refuse(errno.EPERM))
    monkeypatch.setattr(os, "setxattr", refuse(errno.ENOTSUP))
    unpack_members(
        tree,
        file(".wh.gone"),
        folder("d"),
        file("d/.wh..wh..opq"),
        folder("own"),
        file(".wh.own"),
        file("file", b"new"),
        file(".wh.file"),
    )
    assert sorted(os.listdir(tree)) == [".wh.gone", "d", "file", "own"]
    assert os.listdir(tree / "d") == os.listdir(tree / "own") == [".wh..wh..opq"]


def test_empty_files_stand_for_devices_where_one_id_is_mapped(tree: Path) -> None:
    summary = unpack_members(
        tree,
        device("dev/null"),
        device("dev/sda", tarfile.BLKTYPE, 8, 0),
        device("dev/hides", major=0, minor=0),
    )
    assert sorted(os.listdir(tree / "dev")) == ["null", "sda"]
    null, disk = (owners.read(str(tree / "dev" / name)) for name in ("null", "sda"))
    assert null == OwnerMark(0, 0, 0o644, stat.S_IFCHR, (1, 3))
    assert disk is not None and (disk.kind, disk.device) == (stat.S_IFBLK, (8, 0))
    assert (tree / "dev/null").stat().st_size == 0
    assert summary.notes == ["device nodes not made: 1 (dev/hides)"]


def test_xattrs_that_may_be_set_are_and_others_are_reported(tree: Path) -> None:
    headers = {
        "SCHILY.xattr.user.mime_type": "text/plain",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.user.fuseoverlayfs.opaque": "y",
        "SCHILY.xattr.user.containers.override_stat": "0:0:0755",
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "x",
    }
    summary = unpack_members(
        tree, folder("d", pax_headers=headers), file("f", b"1", pax_headers=headers)
    )
    assert [os.listxattr(tree / name) for name in "df"] == [["user.mime_type"]] * 2
    assert len(summary.notes) == 5
    assert "extended attribute trusted.overlay.opaque not kept: 2 (d/, f)" in summary.notes


def test_owners_are_marks_when_there_are_no_subordinate_ids(tree: Path) -> None:
    summary = unpack_members(
        tree, file("f", uid=1000, mode=0o4755), file("r"), folder("d", gid=2**32 - 2),
        folder("twice", uid=5), folder("twice"), symlink("s", "x", uid=9),
    )  # fmt: skip
    assert summary.notes == ["owners not kept on links and FIFOs: 1 (s)"]
    assert {path.lstat().st_uid for path in tree.iterdir()} == {os.geteuid()}
    found = {name: owners.read(str(tree / name)) for name in ("f", "r", "d", "twice")}
    assert found == {
        "f": OwnerMark(1000, 0, 0o4755), "r": None, "d": OwnerMark(0, 2**32 - 2, 0o755),
        "twice": None,
    }  # fmt: skip
    assert stat.S_IMODE((tree / "f").stat().st_mode) == 0o4755


def test_an_archive_brings_no_marks(tree: Path) -> None:
    headers = {f"SCHILY.xattr.{ownermark.NAME}": "5:5:0644"}
    summary = unpack_members(tree, file("f", pax_headers=headers))
    assert owners.read(str(tree / "f")) is None
    assert summary.notes == [f"extended attribute {ownermark.NAME} not kept: 1 (f)"]


def test_a_file_system_without_attributes(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    summary = unpack_members(tree, file("f", b"x", uid=7), file("g"))
    assert summary.notes == ["owners not kept, this file system has no user attributes: 1 (f)"]
    assert (tree / "f").read_bytes() == b"x"


def test_sparse_files_keep_their_holes(tree: Path) -> None:
    headers = {"GNU.sparse.map": "0,4096,10485760,4096", "GNU.sparse.size": "20971520"}
    unpack_members(tree, file("s", b"a" * 4096 + b"b" * 4096, pax_headers=headers))
    info = (tree / "s").stat()
    assert info.st_size == 20971520
    assert info.st_blocks * 512 < 1 << 20
    with (tree / "s").open("rb") as opened:
        assert opened.read(4097) == b"a" * 4096 + b"\0"
        opened.seek(10485760)
        assert opened.read(4097) == b"b" * 4096 + b"\0"


def test_what_follows_the_end_is_hashed_and_noted(tree: Path) -> None:
    data = archive([file("f", b"x")]) + b"trailer"
    summary = unpack_bytes(data, tree)
    assert summary.diff_id == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert summary.notes == ["7 bytes after the end of the archive ignored"]


def test_an_endless_trailer_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpack, "_MAX_TRAILER", 4096)
    with pytest.raises(ImageError, match="more than 4096 bytes after the end"):
        unpack_bytes(archive([file("f", b"x")]) + b"y" * 20000, tree)


def test_an_empty_archive_is_an_empty_layer(tree: Path) -> None:
    assert unpack_bytes(bytes(1024), tree).files == 0
    assert os.listdir(tree) == []
