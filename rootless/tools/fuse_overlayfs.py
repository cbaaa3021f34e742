"""fuse-overlayfs: layers below, a writable directory on top, where overlay may not be mounted."""

from __future__ import annotations

import os

from rootless.model import statmark
from rootless.model.idmap import parse_map, size_of
from rootless.tools import fuse_server, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.idmap import IdMap


def mount(
    program: str,
    lowerdirs: list[str],
    upperdir: str,
    workdir: str,
    mount_point: str,
    *,
    uid_shift: IdMap = (),
    gid_shift: IdMap = (),
    acls: bool = True,
) -> fuse_server.Server:
    """Mount at `mount_point`, in the caller's mount namespace, as root of a user namespace.

    lowerdirs: topmost first; relative paths without ":" or ",". uid_shift and gid_shift map ids on
    disk to the ids that the container shall see. acls: whether all the layers can have POSIX ACLs;
    else the kernel must not ask for any: an answer that there can be none it takes for a failure
    of every look-up that is not root's. The server dies with the calling thread.
    """
    options = f"lowerdir={':'.join(lowerdirs)},upperdir={upperdir},workdir={workdir}"
    options += "" if acls else ",noacl"
    options += _shift_option("uidmapping", uid_shift) + _shift_option("gidmapping", gid_shift)
    options += _squash_option(lowerdirs)
    return fuse_server.start([program, "-f", "-o", options], "fuse-overlayfs", mount_point)


def serve(program: str, folder: str, lowerdirs: list[str], fuse: int) -> None:
    """Answer on `fuse`, the descriptor of a mount that stands, until it is unmounted. Read-only.

    folder: what the relative `lowerdirs` (topmost first) are in. Call it in a process that is root
    of a user namespace and then ends: the server stays, in a session of its own. What it lets
    others do, the mount's owner decides: it checks no modes itself, as with ACLs it would.
    """
    options = f"noacl,lowerdir={':'.join(lowerdirs)}"
    spawn.spawn(
        [program, "-f", "-o", options, f"/dev/fd/{fuse}"],
        pass_fds=(fuse,), own_session=True, cwd=folder,
    )  # fmt: skip


def _squash_option(lowerdirs: list[str]) -> str:
    """Nothing, but for layers of a shared store in a namespace with a single id: everything is
    root's then. fuse-overlayfs would show the owners that are kept beside the files, and the kernel
    lets nobody write to what belongs to an id that is not mapped."""
    if not any(map(_is_marked, lowerdirs)):
        return ""
    with open("/proc/self/uid_map") as file:
        is_single = size_of(parse_map(file.read())) == 1
    return ",squash_to_root" if is_single else ""


def _is_marked(tree: str) -> bool:
    try:
        os.getxattr(tree, statmark.NAME)
    except OSError:
        return False
    return True


def _shift_option(name: str, shift: IdMap) -> str:
    """`shift` as fuse-overlayfs(1) takes it: pairs of on-disk and shown id with a length."""
    if not shift:
        return ""
    return f",{name}=" + ":".join(f"{disk}:{shown}:{size}" for disk, shown, size in shift)
