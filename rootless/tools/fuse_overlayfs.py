"""fuse-overlayfs: layers below, a writable directory on top, for kernels and users without overlay.

The file system is mounted here and the program gets the descriptor (`/dev/fd/N` as its mount
point, as mount.fuse3 hands it over): its pid is known, it does not fork itself away, and whoever
touches the mount early waits in the kernel until it answers. See decision 0008.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.kernel import libc, signals
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.idmap import IdMap

DEVICE = "/dev/fuse"


class Server:
    """A mounted fuse-overlayfs and its process."""

    def __init__(self, child: spawn.Child, complaints: int, mount_point: str) -> None:
        self.pid = child.pid
        self.mount_point = mount_point
        self._child = child
        self._complaints = complaints

    def unmount(self, *, with_all_below: bool = False) -> None:
        """Take the file system off; the kernel writes back what it holds, then the program ends.

        with_all_below: together with what is mounted in it; nothing of it may be open any more, or
        the program does not end.
        """
        log.effect(f"umount {self.mount_point}")
        libc.umount2(self.mount_point, libc.MNT_DETACH if with_all_below else 0)
        self._child.wait()

    def kill(self) -> None:
        """End the program without a write-back: for a layer that is thrown away."""
        self._child.kill(signals.SIGKILL)
        self._child.wait()
        # Without its server the mount answers ENOTCONN to whoever removes the tree.
        libc.umount2(self.mount_point, libc.MNT_DETACH)

    def complaint(self) -> str:
        """What it wrote to its standard error, the last line."""
        text = os.pread(self._complaints, 65536, 0).decode(errors="replace")
        return spawn.last_words(text, besides=("unknown argument ignored",))


def mount(
    program: str,
    lowerdirs: list[str],
    upperdir: str,
    workdir: str,
    mount_point: str,
    *,
    uid_shift: IdMap = (),
    gid_shift: IdMap = (),
) -> Server:
    """Mount at `mount_point`, in the caller's mount namespace, as root of a user namespace.

    lowerdirs: topmost first; relative paths without ":" or ",". uid_shift and gid_shift map ids on
    disk to the ids that the container shall see. The server dies with the calling thread.
    """
    fuse = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    log.effect(f"mount fuse-overlayfs at {mount_point}")
    libc.mount("fuse-overlayfs", mount_point, "fuse.fuse-overlayfs", libc.MS_NODEV, data)
    options = f"lowerdir={':'.join(lowerdirs)},upperdir={upperdir},workdir={workdir}"
    options += _shift_option("uidmapping", uid_shift) + _shift_option("gidmapping", gid_shift)
    complaints = os.memfd_create("fuse-overlayfs", os.MFD_CLOEXEC)
    child = spawn.spawn(
        [program, "-f", "-o", options, f"/dev/fd/{fuse}"],
        stdout=complaints, stderr=complaints, pass_fds=(fuse,), die_with_parent=signals.SIGKILL,
    )  # fmt: skip
    os.close(fuse)
    return Server(child, complaints, mount_point)


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


def _shift_option(name: str, shift: IdMap) -> str:
    """`shift` as fuse-overlayfs(1) takes it: pairs of on-disk and shown id with a length."""
    if not shift:
        return ""
    return f",{name}=" + ":".join(f"{disk}:{shown}:{size}" for disk, shown, size in shift)
