"""The namespaces of a process of a running container, as open descriptors.

Who made a user namespace has every capability in it and in those below (user_namespaces(7)), so
that `rl`, outside, may open the links of /proc/PID/ns; but for a process that has never exec'd and
is undumpable, as pid 1 under `--init`: then a child of it stands for it.
"""

from __future__ import annotations

import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# In the order in which they are joined: the user namespace gives the capabilities for the others,
# and after the mount namespace no path of the host exists any more.
_FLAGS = {
    "user": libc.CLONE_NEWUSER,
    "pid": libc.CLONE_NEWPID,
    "time": libc.CLONE_NEWTIME,
    "cgroup": libc.CLONE_NEWCGROUP,
    "ipc": libc.CLONE_NEWIPC,
    "uts": libc.CLONE_NEWUTS,
    "net": libc.CLONE_NEWNET,
    "mnt": libc.CLONE_NEWNS,
}


class Namespaces:
    """Those of a process that are not our own: name ("user", "pid", …) → descriptor."""

    def __init__(self, fds: dict[str, int]) -> None:
        self.fds = fds

    def join(self, *names: str) -> None:
        """setns(2) to each of `names` that there is, in the order of this module."""
        for name, flag in _FLAGS.items():
            if name in names and name in self.fds:
                libc.setns(self.fds[name], flag)

    def join_others(self, *names: str) -> None:
        """`join` to all but `names`."""
        self.join(*(name for name in self.fds if name not in names))

    def close(self) -> None:
        """Close the descriptors."""
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}


def open_namespaces(pid: int, started: int) -> Namespaces:
    """The namespaces of the container whose first process is `pid`.

    started: its start time (kernel.proc); a process that has got its number since is never taken
    for it. Raises RuntimeSetupError.
    """
    try:
        return _of(pid, lambda fields: int(fields[_START]) == started)
    except PermissionError:
        pass
    for child in _children(pid):
        try:
            return _of(child, lambda fields: int(fields[_PARENT]) == pid)
        except (PermissionError, ProcessLookupError, FileNotFoundError):
            continue
    raise RuntimeSetupError(
        f"process {pid}: its namespaces cannot be opened", f"ls -l /proc/{pid}/ns"
    )


# Indexes into /proc/PID/stat after the command (proc_pid_stat(5)).
_PARENT, _START = 1, 19


def _of(pid: int, is_meant: Callable[[list[bytes]], bool]) -> Namespaces:
    # Whatever is opened below it is of this very process, or fails once that has ended.
    directory = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    found = Namespaces({})
    try:
        if not is_meant(_fields(directory)):
            raise ProcessLookupError
        for name in _FLAGS:
            _add(found, name, directory)
    except BaseException:
        found.close()
        raise
    finally:
        os.close(directory)
    return found


def _fields(directory: int) -> list[bytes]:
    fd = os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        return os.read(fd, 4096).rpartition(b")")[2].split()
    finally:
        os.close(fd)


def _add(found: Namespaces, name: str, directory: int) -> None:
    try:
        own = os.stat(f"/proc/self/ns/{name}").st_ino
    except FileNotFoundError:
        return  # this kernel has none of the kind
    fd = os.open(f"ns/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    if os.fstat(fd).st_ino == own:
        os.close(fd)
    else:
        found.fds[name] = fd


def _children(pid: int) -> Iterator[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return map(int, file.read().split())
    except OSError:
        return iter(())
