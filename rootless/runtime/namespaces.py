"""Namespaces of an OCI runtime document (config-linux.md, "Namespaces"), unshared or joined."""

from __future__ import annotations

import errno
import os

from rootless.cgroup import group
from rootless.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.runtime.messages import Request

# What a process can enter by itself. pid and time take effect for children only; user is made
# before everything else.
_OWN = {
    "mount": libc.CLONE_NEWNS,
    "network": libc.CLONE_NEWNET,
    "uts": libc.CLONE_NEWUTS,
    "ipc": libc.CLONE_NEWIPC,
    "cgroup": libc.CLONE_NEWCGROUP,
}


def enter(namespaces: list[dict[str, str]]) -> None:
    """Unshare the new namespaces in one call, then join those that have a path."""
    flags = 0
    for namespace in namespaces:
        flag = _OWN.get(namespace["type"], 0)
        if "path" not in namespace:
            flags |= flag
        elif flag:
            _join(namespace["path"], flag)
    libc.unshare(flags)
    if flags & libc.CLONE_NEWNS:
        keep_mounts_inside()


def enter_for_children(namespaces: list[dict[str, str]], started_ns: int) -> None:
    """Unshare or join pid and time, for the child that is forked next.

    started_ns: of CLOCK_BOOTTIME, where a clock of its own begins.
    """
    for namespace in namespaces:
        if namespace["type"] == "pid":
            _enter(namespace, libc.CLONE_NEWPID)
        elif namespace["type"] == "time":
            _enter(namespace, libc.CLONE_NEWTIME)
            _start_clock(started_ns)


def fork_into(namespaces: list[dict[str, str]]) -> int:
    """os.fork(), the child in the pid namespace; 0 in the child. Raises OSError.

    Later children stay outside, other than after enter_for_children.
    """
    kinds = [namespace for namespace in namespaces if namespace["type"] == "pid"]
    if not any("path" in namespace for namespace in kinds):
        try:
            return libc.fork_into(libc.CLONE_NEWPID if kinds else 0)
        except OSError as error:
            # A filter around us may forbid clone3(2), whose flags it cannot see.
            if error.errno != errno.ENOSYS:
                raise
    for namespace in kinds:
        _enter(namespace, libc.CLONE_NEWPID)
    return os.fork()


def enter_time(namespaces: list[dict[str, str]], started_ns: int) -> None:
    """Put this process itself into the time namespace; started_ns: as of enter_for_children."""
    for namespace in namespaces:
        if namespace["type"] == "time":
            _enter(namespace, libc.CLONE_NEWTIME)
            if "path" not in namespace:
                _start_clock(started_ns)
                _join("/proc/self/ns/time_for_children", libc.CLONE_NEWTIME)


def enter_cgroup(request: Request) -> None:
    """Put this process into the payload's control group: before its cgroup namespace is made,
    whose root is where it then is. Raises RlError."""
    if request["cgroup"] is not None:
        group.enter(request["cgroup"]["container"])


def keep_mounts_inside() -> None:
    """What the host mounts later still arrives here; what is mounted here never gets out."""
    libc.mount(None, "/", None, libc.MS_SLAVE | libc.MS_REC)


def _enter(namespace: dict[str, str], flag: int) -> None:
    if "path" in namespace:
        _join(namespace["path"], flag)
    else:
        libc.unshare(flag)


def _join(path: str, flag: int) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
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
