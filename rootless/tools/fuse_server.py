"""FUSE file systems: mounted by us, answered for by a program that gets the descriptor.

`/dev/fd/N` is the program's mount point, as mount.fuse3 hands it over: its pid is known, it does
not fork itself away, and whoever touches the mount early waits in the kernel until it answers. See
decision 0008.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.kernel import libc, signals
from rootless.tools import spawn

DEVICE = "/dev/fuse"


class Server:
    """A mounted file system and the process that answers. name: the program's."""

    def __init__(self, name: str, child: spawn.Child, complaints: int, mount_point: str) -> None:
        self.name = name
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


def start(command: list[str], name: str, mount_point: str, flags: int = 0) -> Server:
    """Mount at `mount_point`, in the caller's mount namespace, as root of a user namespace.

    command: the program and its options; its mount point is added. name: its usual one. flags: of
    the mount, more than MS_NODEV. The program dies with the calling thread.
    """
    fuse = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    data = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
    log.effect(f"mount {name} at {mount_point}")
    libc.mount(name, mount_point, f"fuse.{name}", libc.MS_NODEV | flags, data)
    complaints = os.memfd_create(name, os.MFD_CLOEXEC)
    child = spawn.spawn(
        [*command, f"/dev/fd/{fuse}"],
        stdout=complaints, stderr=complaints, pass_fds=(fuse,), die_with_parent=signals.SIGKILL,
    )  # fmt: skip
    os.close(fuse)
    return Server(name, child, complaints, mount_point)
