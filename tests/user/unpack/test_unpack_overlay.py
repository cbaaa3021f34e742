"""What unpacking writes for whiteouts and opaque directories, read by the real overlays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.image import unpack
from rootless.kernel import libc
from rootless.store import trees
from rootless.tools import fuse_overlayfs, idmap, spawn
from tests.unit.image.archives import Member, archive, file, folder

LOWER = [
    file("gone", b"x"), file("kept", b"x"),
    *(folder(name) for name in ("opaque", "replaced", "late", "implied", "holed", "merged")),
    *(file(f"{name}/old", b"x") for name in ("opaque", "replaced", "late", "implied", "holed")),
    file("merged/old", b"x"), folder("merged/sub"), file("merged/sub/old"),
]  # fmt: skip
UPPER = [
    file(".wh.gone"),
    folder("opaque"), file("opaque/.wh..wh..opq"), file("opaque/new"),
    file(".wh.replaced"), folder("replaced"), file("replaced/new"),
    folder("late"), file("late/new"), file(".wh.late"),
    file(".wh.implied"), file("implied/new"),
    file("holed/.wh.old"), file("holed/new"),
    file("merged/new"), file("merged/.wh.sub"),
]  # fmt: skip
EXPECTED = [
    "holed", "holed/new", "implied", "implied/new", "kept", "late", "late/new", "merged",
    "merged/new", "merged/old", "opaque", "opaque/new", "replaced", "replaced/new",
]  # fmt: skip

NAMES = [
    ".wh.gone", "opaque/.wh..wh..opq", "opaque/new", "replaced/.wh..wh..opq", "replaced/new",
    "late/.wh..wh..opq", "late/new", "implied/.wh..wh..opq", "implied/new", "holed/.wh.old",
    "holed/new", "merged/new", "merged/.wh.sub",
]  # fmt: skip

Mount = Callable[[str], Callable[[], None]]


def kernel_overlay(top: str) -> Callable[[], None]:
    options = "lowerdir=upper:lower,upperdir=work/u,workdir=work/w,userxattr"
    libc.mount("overlay", f"{top}/merged", "overlay", 0, options)
    return lambda: libc.umount2(f"{top}/merged", 0)


def fuse_overlay(top: str) -> Callable[[], None]:
    program = spawn.find("fuse-overlayfs", "fuse-overlayfs")
    return fuse_overlayfs.mount(
        program, ["upper", "lower"], "work/u", "work/w", f"{top}/merged"
    ).unmount


def read_only_fuse_overlay(top: str) -> Callable[[], None]:
    """The layer as a middle one, with another lowest below an empty top."""
    program = spawn.find("fuse-overlayfs", "fuse-overlayfs")
    return fuse_overlayfs.mount(
        program, ["empty", "upper", "lower"], "work/u", "work/w", f"{top}/merged"
    ).unmount


def fuse_overlay_of_names(top: str) -> Callable[[], None]:
    """With the names that unpacking leaves on hosts where it can make nothing better."""
    trees.remove_tree(f"{top}/upper")
    for name in NAMES:
        path = Path(top, "upper", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return fuse_overlay(top)


def unpack_into(path: str, members: list[Member]) -> None:
    os.mkdir(path)
    fd = os.memfd_create("layer")
    os.write(fd, archive(members))
    os.lseek(fd, 0, os.SEEK_SET)
    unpack.unpack(fd, path, idmap.canonical_maps())


def listing(top: str) -> list[str]:
    found = []
    for path, folders, files in os.walk(top):
        found += [os.path.relpath(f"{path}/{name}", top) for name in folders + files]
    return sorted(found)


def merged_listing(top: str, mount: Mount) -> list[str]:
    """In the user namespace: both layers unpacked, mounted, and seen through the mount."""
    libc.unshare(libc.CLONE_NEWNS)
    os.chdir(top)
    unpack_into("lower", LOWER)
    unpack_into("upper", UPPER)
    for name in ("empty", "merged", "work", "work/u", "work/w"):
        os.mkdir(name)
    unmount = mount(top)
    try:
        return listing("merged")
    finally:
        unmount()


@pytest.mark.parametrize(
    "mount", [kernel_overlay, fuse_overlay, read_only_fuse_overlay, fuse_overlay_of_names]
)
def test_the_overlays_hide_what_the_layer_hides(short_dir: Path, mount: Mount) -> None:
    top = short_dir / "o"
    top.mkdir()
    assert idmap.call(lambda: merged_listing(str(top), mount)) == EXPECTED
