"""Namespaces of other containers that a container lives in (`--network container:NAME`, …).

A namespace can be entered only by who has capabilities in the user namespace that owns it. So the
keeper joins that one first (tools.idmap) instead of making its own.
"""

from __future__ import annotations

import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc
from rootless.kernel.channel import Channel, close_all_of, pair
from rootless.runtime import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.runtime.messages import Request

# Beside the types of the OCI document: the mount namespace whose /dev/shm is to be shared.
SHM_OWNER = "shm-owner"
_SHM = "/dev/shm"


class Joined:
    """What a container has of others.

    user_fd: the user namespace that they are in, -1 for none that is open. paths: for each type of
    the OCI document, where the namespace is; fds: open descriptors of them, and of SHM_OWNER.
    shm: the path of the shared /dev/shm, "" for an own one. hostname: the name that comes with the
    network or the uts namespace, "" without either. files: /etc/hosts and its like, container path
    → path on the host; None when the network is not joined. started_ns: where a joined clock
    begins, 0 for no such one.
    """

    __slots__ = ("fds", "files", "hostname", "paths", "shm", "started_ns", "user_fd")

    def __init__(self) -> None:
        self.user_fd = -1
        self.paths: dict[str, str] = {}
        self.fds: dict[str, int] = {}
        self.shm = ""
        self.hostname = ""
        self.files: dict[str, str] | None = None
        self.started_ns = 0

    def close(self) -> None:
        """Let go of all descriptors."""
        close_all_of(fd for fd in (self.user_fd, *self.fds.values()) if fd >= 0)
        self.user_fd = -1
        self.fds = {}


def take(request: Request, fds: list[int]) -> list[int]:
    """In the keeper: note in the request which descriptor is whose; those to close after the fork
    of the first process. Raises RuntimeSetupError."""
    open_now = dict(zip(request["joined"], fds, strict=True))
    owner = open_now.pop(SHM_OWNER, -1)
    if owner >= 0:
        open_now[SHM_OWNER] = _take_shm(request, owner)
    for space in request["document"]["linux"]["namespaces"]:
        if space["type"] in open_now:
            space["rl.fd"] = open_now[space["type"]]
    return list(open_now.values())


def _take_shm(request: Request, owner: int) -> int:
    tree = _shm_of(owner)
    os.close(owner)
    for mount in request["document"]["mounts"]:
        if (mount["destination"], mount["source"]) == (_SHM, request["shared_shm"]):
            mount["rl.tree"] = tree
    return tree


def _shm_of(mount_namespace: int) -> int:
    """/dev/shm there as a detached mount: only who is there may take it, and we could not return.

    Raises RuntimeSetupError.
    """
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _send_shm(mount_namespace, theirs)
    theirs.close()
    received = ours.receive()
    ours.close()
    os.waitpid(pid, 0)
    if received is None:
        raise RuntimeSetupError("the other container's /dev/shm: the process for it was killed")
    if received[0][0] == messages.FAILED:
        raise messages.failure_of(received[0])
    return received[1][0]


def _send_shm(mount_namespace: int, channel: Channel) -> NoReturn:
    try:
        libc.setns(mount_namespace, libc.CLONE_NEWNS)
        flags = os.O_PATH | os.O_DIRECTORY
        # What is there is the other container's business, but it has to be there.
        place = libc.openat2(
            libc.AT_FDCWD, _SHM, flags, resolve=libc.RESOLVE_IN_ROOT | libc.RESOLVE_NO_SYMLINKS
        )
        tree = libc.open_tree(place, "", libc.OPEN_TREE_CLONE | libc.AT_EMPTY_PATH)
        channel.send(SHM_OWNER, fds=[tree])
    except BaseException as error:
        messages.send_failure(channel, error, "the other container's /dev/shm")
    os._exit(0)
