"""The fork of a container's first process into its namespaces.

Usually one clone3(2) makes the process and its namespaces. To join the user or the pid namespace
of somebody else takes a process in between, which ends at once: whoever has joined one cannot leave
it.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc
from rootless.kernel.channel import Channel, pair
from rootless.oci import init
from rootless.runtime import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from rootless.oci.job import Job

_FLAGS = {
    "user": libc.CLONE_NEWUSER, "pid": libc.CLONE_NEWPID, "mount": libc.CLONE_NEWNS,
    "network": libc.CLONE_NEWNET, "uts": libc.CLONE_NEWUTS, "ipc": libc.CLONE_NEWIPC,
}  # fmt: skip


def start(job: Job, ours: Channel, theirs: Channel, map_ids: Callable[[int], None]) -> int:
    """Fork init, which waits for MAPPED; its pid. map_ids: called with the pid of the process whose
    user namespace is new, when there is one. Raises RlError and OSError."""
    job.needs_middle = bool({"user", "pid"} & job.joined.keys())
    if not job.needs_middle:
        try:
            return _clone(job, ours, theirs, map_ids)
        except OSError as error:
            # A filter around us may forbid clone3(2), whose flags it cannot see.
            if error.errno != errno.ENOSYS:
                raise _explain(error) from error
        job.needs_middle = True
    return _by_middle(job, ours, theirs, map_ids)


def _explain(error: OSError) -> RuntimeSetupError:
    reason = (error.strerror or "").lower()
    hint = (
        "sysctl user kernel.unprivileged_userns_clone kernel.apparmor_restrict_unprivileged_userns"
    )
    return RuntimeSetupError(f"new namespaces: {reason}", hint=hint)


def _clone(job: Job, ours: Channel, theirs: Channel, map_ids: Callable[[int], None]) -> int:
    kinds = [kind for kind in ("user", "pid") if job.is_new(kind)] + init.cloned(job)
    pid = libc.fork_into(sum(_FLAGS[kind] for kind in kinds))
    if pid == 0:
        ours.close()
        init.main(job, theirs)
    if job.is_new("user"):
        map_ids(pid)
    return pid


def _by_middle(job: Job, ours: Channel, theirs: Channel, map_ids: Callable[[int], None]) -> int:
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
    maker, mine = pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        maker.close()
        _middle(job, theirs, mine)
    mine.close()
    try:
        received = maker.receive()
        if received is not None and received[0][0] == "unshared":
            map_ids(pid)
            maker.send("mapped")
            received = maker.receive()
        if received is None:
            raise RuntimeSetupError("the process between us and the container was killed")
        if received[0][0] == messages.FAILED:
            raise messages.failure_of(received[0])
        return int(received[0][1])
    finally:
        maker.close()
        os.waitpid(pid, 0)


def _middle(job: Job, theirs: Channel, mine: Channel) -> NoReturn:
    try:
        if "user" in job.joined:
            libc.setns(job.joined["user"], libc.CLONE_NEWUSER)
            _become_root()
        elif job.is_new("user"):
            libc.unshare(libc.CLONE_NEWUSER)
            mine.send("unshared")
            if mine.receive() is None:
                os._exit(1)
            _become_root()
        for kind in ("pid",):
            if kind in job.joined:
                libc.setns(job.joined[kind], libc.CLONE_NEWPID)
            elif job.is_new(kind):
                libc.unshare(libc.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            mine.close()
            init.main(job, theirs)
        mine.send("forked", pid)
    except BaseException as error:
        messages.send_failure(mine, error, "namespaces")
    os._exit(0)


def _become_root() -> None:
    for become in (os.setresgid, os.setresuid):
        try:
            become(0, 0, 0)
        except OSError:
            continue  # a namespace without a root: its capabilities are enough
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


def open_joined(job: Job) -> None:
    """Open the namespaces that the document names by a path. Raises RuntimeSetupError."""
    for space in job.spaces:
        if "path" not in space:
            continue
        try:
            fd = os.open(space["path"], os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            reason = (error.strerror or "").lower()
            message = f"linux.namespaces: {space['type']} {space['path']}: {reason}"
            raise RuntimeSetupError(message) from error
        if space["type"] == "user" and _is_ours(fd):
            # setns(2) refuses what we are in already.
            os.close(fd)
            space["type"] = "none"
            continue
        job.joined[space["type"]] = space["rl.fd"] = fd
    job.document["linux"]["namespaces"] = [s for s in job.spaces if s["type"] != "none"]


def _is_ours(fd: int) -> bool:
    return os.fstat(fd).st_ino == os.stat("/proc/self/ns/user").st_ino
