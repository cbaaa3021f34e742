"""Namespaces of an OCI runtime document (config-linux.md, "Namespaces"), unshared or joined.

Those that have a path are joined: by the descriptor "rl.fd", where the keeper has one already, and
else by that path.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import HostError
from rootless.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.runtime.messages import Request

    Namespace = dict[str, Any]

# What a process can enter by itself. pid and time take effect for children only; user is made
# before everything else.
_OWN = {
    "mount": libc.CLONE_NEWNS,
    "network": libc.CLONE_NEWNET,
    "uts": libc.CLONE_NEWUTS,
    "ipc": libc.CLONE_NEWIPC,
    "cgroup": libc.CLONE_NEWCGROUP,
}
# namespaces(7), "The /proc/sys/user directory": max_NAME_namespaces.
_LIMITS = {
    libc.CLONE_NEWNS: "mnt", libc.CLONE_NEWNET: "net", libc.CLONE_NEWUTS: "uts",
    libc.CLONE_NEWIPC: "ipc", libc.CLONE_NEWCGROUP: "cgroup", libc.CLONE_NEWPID: "pid",
    libc.CLONE_NEWTIME: "time",
}  # fmt: skip


def early(spaces: list[Namespace], *, is_nested: bool) -> int:
    """Flags of unshare(2) for what the keeper makes and init is born into: the network, which
    takes long to set up.

    is_nested: init has a user namespace of its own, and makes the network itself to own it.
    """
    if is_nested:
        return 0
    is_new = any(space["type"] == "network" and "path" not in space for space in spaces)
    return libc.CLONE_NEWNET if is_new else 0


def enter(namespaces: list[Namespace], *, made: int = 0) -> None:
    """Unshare the new namespaces in one call, then join those that have a path.

    made: flags of unshare(2) of those that this process is in already.
    """
    flags = 0
    for namespace in namespaces:
        flag = _OWN.get(namespace["type"], 0)
        if "path" not in namespace:
            flags |= flag
        elif flag:
            _join(namespace, flag)
    flags &= ~made
    unshare(flags)
    if flags & libc.CLONE_NEWNS:
        keep_mounts_inside()


def enter_for_children(namespaces: list[Namespace], started_ns: int) -> None:
    """Unshare or join pid and time, for the child that is forked next.

    started_ns: of CLOCK_BOOTTIME, where a clock of its own begins.
    """
    for namespace in namespaces:
        if namespace["type"] == "pid":
            _enter(namespace, libc.CLONE_NEWPID)
        elif namespace["type"] == "time":
            _enter(namespace, libc.CLONE_NEWTIME)
            _start_clock(started_ns)


def has_own_pids(namespaces: list[Namespace]) -> bool:
    """Whether there is a pid namespace, and it is not another container's."""
    return any(space["type"] == "pid" and "path" not in space for space in namespaces)


def fork_into(namespaces: list[Namespace]) -> int:
    """os.fork(), the child in the pid namespace; 0 in the child. Raises OSError.

    Later children stay outside, other than after enter_for_children. (Where the kernel forbids
    clone3(2) not those either.) The caller is a subreaper when the namespace is joined.
    """
    kinds = [namespace for namespace in namespaces if namespace["type"] == "pid"]
    if any("path" in namespace for namespace in kinds):
        return _fork_into_joined(kinds[0])
    try:
        return libc.fork_into(libc.CLONE_NEWPID if kinds else 0)
    except OSError as error:
        # A filter around us may forbid clone3(2), whose flags it cannot see.
        if error.errno != errno.ENOSYS:
            raise
    for namespace in kinds:
        _enter(namespace, libc.CLONE_NEWPID)
    return os.fork()


def _fork_into_joined(namespace: Namespace) -> int:
    """By way of a process in between: whoever has joined one cannot come back from it."""
    from_middle, to_us = os.pipe()
    from_us, to_init = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.close(from_middle)
        os.close(to_init)
        if _fork_and_end(namespace, to_us):
            # The parent that this process is to end with is the one that it has from now on.
            os.read(from_us, 1)
            os.close(from_us)
            return 0
    os.close(to_us)
    os.close(from_us)
    try:
        told = int(os.read(from_middle, 32))
        os.waitpid(middle, 0)
    finally:
        os.close(from_middle)
        os.close(to_init)
    if told < 0:
        raise OSError(-told, os.strerror(-told))
    return told


def _fork_and_end(namespace: Namespace, to_keeper: int) -> bool:
    """True in the child; its parent tells the child's pid, or the negative errno, and ends."""
    try:
        _enter(namespace, libc.CLONE_NEWPID)
        told = os.fork()
        if told == 0:
            os.close(to_keeper)
            return True
    except OSError as error:
        told = -(error.errno or errno.EIO)
    os.write(to_keeper, b"%d" % told)
    os._exit(0)


def enter_time(namespaces: list[Namespace], started_ns: int) -> None:
    """Put this process itself into the time namespace; started_ns: as of enter_for_children."""
    for namespace in namespaces:
        if namespace["type"] == "time":
            _enter(namespace, libc.CLONE_NEWTIME)
            if "path" not in namespace:
                _start_clock(started_ns)
                _join({"path": "/proc/self/ns/time_for_children"}, libc.CLONE_NEWTIME)


def enter_cgroup(request: Request) -> None:
    """Put this process into the payload's control group: before its cgroup namespace is made,
    whose root is where it then is. Raises RlError."""
    if request["cgroup"] is not None:
        from rootless.cgroup import group

        group.enter(request["cgroup"]["container"])


def keep_mounts_inside() -> None:
    """What the host mounts later still arrives here; what is mounted here never gets out."""
    libc.mount(None, "/", None, libc.MS_SLAVE | libc.MS_REC)


def _enter(namespace: Namespace, flag: int) -> None:
    if "path" in namespace:
        _join(namespace, flag)
    else:
        unshare(flag)


def unshare(flags: int) -> None:
    """unshare(2). Raises OSError, and HostError that names the limit where that is the reason."""
    try:
        libc.unshare(flags)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _limit_reached(flags) from error


def _limit_reached(flags: int) -> HostError:
    """Each by itself: the files in /proc/sys/user show the limits of our own namespace, and the
    one that is reached is of a namespace above it."""
    wanted = [flag for flag in _LIMITS if flags & flag]
    refused = [flag for flag in wanted if _is_refused(flag)]
    limits = [f"user.max_{_LIMITS[flag]}_namespaces" for flag in refused or wanted]
    return HostError(
        f"namespaces: the limit {' or '.join(limits)} is reached",
        hint=" ".join(("sudo sysctl", *(f"{name}=28633" for name in limits))),
    )


def _is_refused(flag: int) -> bool:
    try:
        libc.unshare(flag)
    except OSError:
        return True
    return False


def _join(namespace: Namespace, flag: int) -> None:
    if "rl.fd" in namespace:
        libc.setns(namespace["rl.fd"], flag)
        return
    fd = os.open(namespace["path"], os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc.setns(fd, flag)
    finally:
        os.close(fd)


def _start_clock(started_ns: int) -> None:
    """Uptime of the container counts from then (time_namespaces(7)).

    To the nanosecond: by the view's uptime and the kernel's start times ps would otherwise find
    processes that are yet to start.
    """
    # Of a negative time the nanoseconds still count forwards.
    seconds, nanoseconds = divmod(-started_ns, 10**9)
    with open("/proc/self/timens_offsets", "w") as file:
        file.write(f"boottime {seconds} {nanoseconds}\n")
