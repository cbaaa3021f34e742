"""The root file system of a bundle: made a mount, entered, and restricted as the document says."""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, mounts
from rootless.kernel.mounts import PROPAGATION
from rootless.runtime.mounting import mask_paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.mounting import Trees

# Any directory that everybody can reach and that no bind comes from.
_STAGE = "/tmp"
_TO_LOOK = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def prepare(document: dict[str, Any], trees: Trees, *, own_mounts: bool) -> int:
    """Cut our mounts off from the host's, where they are our own, and make the root a mount; a
    descriptor of it (O_PATH).

    Raises RuntimeSetupError.
    """
    wanted = document["linux"].get("rootfsPropagation", "")
    outward = PROPAGATION.get(wanted, 0) if "shared" in wanted or "private" in wanted else 0
    if own_mounts:
        libc.mount(None, "/", None, (outward or libc.MS_SLAVE) | libc.MS_REC)
    if trees.root >= 0:
        place = _STAGE
        libc.move_mount(trees.root, "", libc.AT_FDCWD, place, libc.MOVE_MOUNT_F_EMPTY_PATH)
        return os.open(place, _TO_LOOK)
    path = document["root"]["path"]
    _refuse_host_root(path)
    try:
        libc.mount(path, path, None, libc.MS_BIND | libc.MS_REC)
        fd = os.open(path, _TO_LOOK)
    except OSError as error:
        raise RuntimeSetupError(f"root.path {path}: {(error.strerror or '').lower()}") from error
    # The kernel lets nobody pivot away from, or to, a mount that others share.
    libc.mount(None, mounts.fd_path(fd), None, libc.MS_PRIVATE)
    if own_mounts:
        _make_parent_private(fd)
    return fd


def _refuse_host_root(path: str) -> None:
    try:
        host, ours = os.stat("/"), os.stat(path)
    except OSError as error:
        hint = "rl run --bundle DIR IMAGE …" if error.errno == errno.ENOENT else ""
        reason = (error.strerror or "").lower()
        raise RuntimeSetupError(f"root.path {path}: {reason}", hint) from error
    if (host.st_dev, host.st_ino) == (ours.st_dev, ours.st_ino):
        raise RuntimeSetupError(f"root.path {path}: is the host's own root directory")
    if not stat.S_ISDIR(ours.st_mode):
        raise RuntimeSetupError(f"root.path {path}: not a directory")


def _make_parent_private(fd: int) -> None:
    """The mount that the root is mounted on: the nearest mount point above it."""
    path = os.path.dirname(os.readlink(mounts.fd_path(fd)))
    while True:
        try:
            libc.mount(None, path, None, libc.MS_PRIVATE)
            return
        except OSError:
            if path == "/":
                return  # a chroot of the caller: pivot_root will say more
            path = os.path.dirname(path)


def enter(root_fd: int, document: dict[str, Any], *, no_pivot: bool, own_mounts: bool) -> None:
    """Make it the root directory, and the host's unreachable where mounts are our own. Raises
    OSError."""
    if no_pivot or not own_mounts:
        os.fchdir(root_fd)
        if own_mounts:
            libc.mount(".", "/", None, libc.MS_MOVE)
        os.chroot(".")
        os.chdir("/")
    else:
        mounts.pivot_into(root_fd)
    os.close(root_fd)
    wanted = document["linux"].get("rootfsPropagation")
    if wanted:
        libc.mount(None, "/", None, PROPAGATION[wanted])


def restrict(document: dict[str, Any]) -> None:
    """Read-only paths, masked paths, a read-only root; called in the root. Raises RlError."""
    linux = document["linux"]
    for path in linux["readonlyPaths"]:
        _make_read_only(path)
    mask_paths(linux["maskedPaths"], null_at_once=False)
    if document["root"].get("readonly"):
        fd = os.open("/", _TO_LOOK)
        mounts.add_flags(fd, libc.MS_RDONLY, recursive=False)
        os.close(fd)


def _make_read_only(path: str) -> None:
    try:
        tree = libc.open_tree(libc.AT_FDCWD, path, libc.OPEN_TREE_CLONE | libc.AT_RECURSIVE)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        libc.mount_setattr(
            tree, "", libc.AT_EMPTY_PATH | libc.AT_RECURSIVE, attr_set=libc.MOUNT_ATTR_RDONLY
        )
        libc.move_mount(tree, "", libc.AT_FDCWD, path, libc.MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def make_directory(root_fd: int, path: str) -> None:
    """The working directory, which the image may lack. Whether it could be made is found out when
    it is entered."""
    try:
        mounts.make_dirs_in_root(root_fd, [part for part in path.split("/") if part])
    except OSError:
        pass
