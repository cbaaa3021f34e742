"""Unpacking as root of the user namespace: owners, capabilities, what only maps make possible."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import ImageError, StoreError
from rootless.image import unpack
from rootless.kernel import libc
from rootless.model.idmap import IdMaps, size_of
from rootless.tools import idmap
from tests.unit.image.archives import Member, archive, file, folder, hardlink, symlink

# linux/capability.h: VFS_CAP_REVISION_2 with the effective bit, CAP_NET_RAW permitted.
NET_RAW_V2 = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


@pytest.fixture(scope="module")
def maps() -> IdMaps:
    maps = idmap.canonical_maps()
    if maps.is_single:
        pytest.skip("no subordinate ids")
    return maps


def unpacked(tree: Path, maps: IdMaps, *members: Member) -> dict[str, Any]:
    """Unpack in the namespace; what is in the tree as its root sees it, by name."""
    data = archive(members)

    def work() -> dict[str, Any]:
        os.mkdir(tree)
        fd = os.memfd_create("layer")
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        notes = unpack.unpack(fd, str(tree), maps).notes
        return {"notes": notes, **{path: seen(f"{tree}/{path}") for path in walk(str(tree))}}

    result: dict[str, Any] = idmap.call(work)
    return result


def walk(top: str) -> list[str]:
    found = [""]
    for path, folders, files in os.walk(top):
        found += [os.path.relpath(f"{path}/{name}", top) for name in folders + files]
    return found


def seen(path: str) -> tuple[int, int, int]:
    info = os.lstat(path)
    return info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)


def test_owners_and_modes(short_dir: Path, maps: IdMaps) -> None:
    last = size_of(maps.uids) - 1
    result = unpacked(
        short_dir / "t", maps,
        folder(".", uid=5, gid=6, mode=0o751),
        folder("d", uid=1000, gid=1000, mode=0o2750),
        file("d/root", mode=0o644),
        file("d/suid", uid=33, gid=42, mode=0o6755),
        folder("d/sub", mode=0o755),
        symlink("d/link", "nowhere", uid=7, gid=8),
        file("fifo", type=b"6", uid=9, gid=10, mode=0o622),
        file("last", uid=last, gid=last, mode=0o400),
        hardlink("same", "d/suid"),
    )  # fmt: skip
    assert result.pop("notes") == []
    links = {result.pop("d/link")[:2]}
    assert result == {
        "": (5, 6, 0o751),
        "d": (1000, 1000, 0o2750),
        "d/root": (0, 0, 0o644),
        "d/suid": (33, 42, 0o6755),
        "d/sub": (0, 0, 0o755),
        "fifo": (9, 10, 0o622),
        "last": (last, last, 0o400),
        "same": (33, 42, 0o6755),
    }
    assert links == {(7, 8)}


def test_on_the_host_the_owners_are_the_users_own_ids(short_dir: Path, maps: IdMaps) -> None:
    unpacked(short_dir / "t", maps, file("mine"), file("other", uid=1, gid=1))
    first_subuid = maps.uids[1][1]
    assert (short_dir / "t/mine").stat().st_uid == os.geteuid()
    assert (short_dir / "t/other").stat().st_uid == first_subuid


def test_file_capabilities_hold_in_this_namespace_only(short_dir: Path, maps: IdMaps) -> None:
    text = NET_RAW_V2.decode("utf-8", "surrogateescape")
    headers = {"SCHILY.xattr.security.capability": text}
    path = short_dir / "t/ping"
    members = [file("ping", b"x", mode=0o4755, uid=3, pax_headers=headers)]
    assert unpacked(short_dir / "t", maps, *members)["notes"] == []
    # The kernel hands version 2 out inside, and what it stored, version 3 with our uid, outside.
    inside = idmap.call(lambda: os.getxattr(path, "security.capability"))
    outside = os.getxattr(path, "security.capability")
    assert inside == NET_RAW_V2
    assert struct.unpack("<IIIIII", outside) == (
        0x03000001, 1 << 13, 0, 0, 0, os.geteuid(),
    )  # fmt: skip


def test_an_owner_beyond_the_range_names_everything(short_dir: Path, maps: IdMaps) -> None:
    size = size_of(maps.uids)
    with pytest.raises(
        ImageError, match=f"big: is owned by uid {size}, and only {size} uids "
    ) as caught:
        unpacked(short_dir / "t", maps, file("big", uid=size))
    assert caught.value.hint.startswith('grep "$(id -un)" /etc/subuid')


def test_a_directory_closed_to_its_owner_can_be_filled(short_dir: Path, maps: IdMaps) -> None:
    members = [folder("d", mode=0, uid=1000, mtime=7), file("d/f", b"x", uid=1001)]
    result = unpacked(short_dir / "t", maps, *members)
    assert (result["d"], result["d/f"]) == ((1000, 0, 0), (1001, 0, 0o644))


def test_a_disk_that_fills_up_is_told_with_the_entry(short_dir: Path, maps: IdMaps) -> None:
    data = archive([file("small", b"x"), file("big", bytes(3 << 20))])

    def work() -> None:
        libc.unshare(libc.CLONE_NEWNS)
        libc.mount("tmpfs", str(short_dir), "tmpfs", 0, "size=1m")
        os.mkdir(short_dir / "t")
        fd = os.memfd_create("layer")
        os.write(fd, data)
        os.lseek(fd, 0, os.SEEK_SET)
        unpack.unpack(fd, str(short_dir / "t"), maps)

    with pytest.raises(StoreError, match="big: No space left on device") as caught:
        idmap.call(work)
    assert caught.value.hint.startswith("df -h")
