"""fusermount3: mounts of FUSE that a user may have in the host's own mount namespace.

The program is setuid root. It opens /dev/fuse, mounts (nosuid and nodev, for this user alone) and
sends the descriptor over a socket (libfuse, lib/mount.c): whoever reads from it is the file system.
"""

from __future__ import annotations

import os
import re
import socket

from rootless import log
from rootless.errors import HostError, InUseError
from rootless.tools import spawn

_PROGRAM, _PACKAGE = "fusermount3", "fuse3"
_FIFTH_FIELD = 4
_ESCAPED = re.compile(r"\\([0-7]{3})")


def mount(mount_point: str, options: str) -> int:
    """Mount at `mount_point`, an empty directory of the user's; the descriptor of the connection.

    Without anybody that reads from it, who looks at the mount waits. Raises HostError.
    """
    program = spawn.find(_PROGRAM, _PACKAGE)
    ours, theirs = socket.socketpair()
    complaints = os.memfd_create(_PROGRAM, os.MFD_CLOEXEC)
    with ours, open(complaints, "rb") as said:
        with theirs:
            child = spawn.spawn(
                [program, "-o", options, "--", mount_point],
                env={**spawn.clean_environment(), "_FUSE_COMMFD": str(theirs.fileno())},
                stderr=complaints, pass_fds=(theirs.fileno(),),
            )  # fmt: skip
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        if child.wait() or not descriptors:
            said.seek(0)
            reason = spawn.last_words(said.read().decode(errors="replace"))
            raise HostError(f"{mount_point}: {reason}", hint="ls -l /dev/fuse; cat /etc/fuse.conf")
    os.set_inheritable(descriptors[0], False)
    return descriptors[0]


def unmount(mount_point: str, *, lazy: bool) -> None:
    """Take the mount off; lazy: also when somebody has files of it open, whom it stays for.

    Raises InUseError, HostError.
    """
    argv = [spawn.find(_PROGRAM, _PACKAGE), "-u", *(["-z"] if lazy else []), "--", mount_point]
    log.effect(f"umount {mount_point}")
    done = spawn.run(argv)
    if done.code:
        reason = done.complaint().rpartition(": ")[2]
        raise InUseError(f"{mount_point}: not unmounted: {reason}", f"fuser -vm {mount_point}")


def mounted() -> set[str]:
    """Every mount point in this mount namespace; also those whose server has died."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        fields = (line.split(" ")[_FIFTH_FIELD] for line in file)
        return {_ESCAPED.sub(lambda match: chr(int(match[1], 8)), field) for field in fields}
