"""One container's control group: a directory with `payload/container` and `helpers` below it.

The limits are files of `payload`, which the container cannot reach: its cgroup namespace begins at
`payload/container`, where all its processes are. The same figures stand there, so that what runs
finds them where it looks; a container with enough capabilities may change those, and gains nothing.
Our own processes (keeper, file server, network) are beside it: a limit reached by the payload must
not stop what serves and unmakes it.
"""

from __future__ import annotations

import errno
import os
import time

from rootless import log
from rootless.errors import HostError
from rootless.kernel.channel import wait_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TO_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PAYLOAD = "payload"
_CONTAINER = "container"
_HELPERS = "helpers"


class Group:
    """The group below directory `top`; nothing is looked up or made before a method is called."""

    __slots__ = ("container", "helpers", "payload", "top")

    def __init__(self, top: str) -> None:
        self.top = top
        self.payload = f"{top}/{_PAYLOAD}"
        self.container = f"{self.payload}/{_CONTAINER}"
        self.helpers = f"{top}/{_HELPERS}"

    def make(self) -> None:
        """Make the groups below. Raises OSError."""
        for path in (self.payload, self.container, self.helpers):
            try:
                os.mkdir(path, 0o755)
            except FileExistsError:
                pass

    def delegate(self) -> None:
        """Let the groups below have every controller there is. No process may be in `top`.

        Raises OSError.
        """
        for path in (self.top, self.payload):
            pass_on(path, read(f"{path}/cgroup.controllers").split())

    def controllers(self) -> list[str]:
        """What can be limited: the payload's cgroup.controllers. Raises OSError."""
        return read(f"{self.payload}/cgroup.controllers").split()

    def freeze(self, *, frozen: bool, seconds: float) -> bool:
        """Stop or continue every process of the payload; whether that was done within `seconds`.

        Raises OSError.
        """
        write(f"{self.payload}/cgroup.freeze", "1" if frozen else "0")
        return _wait_for(f"{self.payload}/cgroup.events", "frozen", int(frozen), seconds)

    def kill(self) -> bool:
        """SIGKILL every process of the payload; False where the kernel (before 5.14) cannot."""
        try:
            write(f"{self.payload}/cgroup.kill", "1")
        except FileNotFoundError:
            return not os.path.isdir(self.payload)
        return True

    def wait_until_empty(self, seconds: float) -> bool:
        """Whether the last process of the whole group has ended within `seconds`."""
        try:
            return _wait_for(f"{self.top}/cgroup.events", "populated", 0, seconds)
        except FileNotFoundError:
            return True

    def remove(self) -> bool:
        """Remove all of its directories; whether nothing is left. Processes in them prevent it."""
        _unless_in_use(self.clear)
        for path in (self.container, self.payload, self.helpers, self.top):
            _unless_in_use(os.rmdir, path)
        return not os.path.isdir(self.top)

    def clear(self) -> None:
        """Remove the groups that the container has made below its own. Raises OSError.

        systemd cannot, when they go deeper than it can name.
        """
        # A directory has a link more for each one in it.
        if os.stat(self.container).st_nlink != 2:
            _remove_below(self.container)


def is_frozen(group: Group) -> bool:
    """Whether nothing of the payload runs, by our doing or by that of a group above it.

    Raises OSError.
    """
    return numbers(read(f"{group.payload}/cgroup.events")).get("frozen") == 1


def read(path: str) -> str:
    """The text of a group's file. Raises OSError."""
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def write(path: str, text: str) -> None:
    """Write `text` to a group's file in one write(2), as the kernel wants it. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def pass_on(directory: str, names: list[str]) -> None:
    """Let the groups below `directory` have the controllers `names`, as far as that can be.

    Raises OSError with EBUSY where processes are in it.
    """
    control = f"{directory}/cgroup.subtree_control"
    try:
        if names:
            write(control, " ".join(f"+{name}" for name in names))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise
        # One that cannot be had, such as cpu with real-time processes about, keeps all from it.
        for name in names:
            _pass_on_if_possible(control, name)


def _pass_on_if_possible(control: str, name: str) -> None:
    try:
        write(control, f"+{name}")
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise
        log.effect(f"{control}: no {name}: {error.strerror}")


def enter(directory: str, pid: int = 0) -> None:
    """Move process `pid` (0: this one) into the group `directory`. Raises HostError."""
    try:
        write(f"{directory}/cgroup.procs", str(pid))
    except OSError as error:
        raise HostError(f"cgroup {directory}: cannot be entered: {error.strerror}") from error


def pids(directory: str) -> list[int]:
    """The processes of a group and of all below it; none when it is gone."""
    found = []
    for path in (directory, *_below(directory)):
        try:
            found += [int(word) for word in read(f"{path}/cgroup.procs").split()]
        except OSError:
            continue  # gone, or a threaded group, whose processes are listed further up
    return found


def numbers(text: str) -> dict[str, int]:
    """A flat keyed file (cgroup-v2.rst, "Interface Files"): memory.events, cgroup.events, …"""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _below(directory: str) -> list[str]:
    """What the container has made below its own group.

    Without recursion: how deep it goes is the container's choice.
    """
    found: list[str] = []
    pending = [directory]
    while pending:
        path = pending.pop()
        try:
            with os.scandir(path) as entries:
                folders = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # gone, or nested beyond what a path can name
        found += folders
        pending += folders
    return found


def _remove_below(directory: str) -> None:
    """Each step from an open directory: how deep it goes, also beyond what a path can name, is the
    container's choice."""
    fd = os.open(directory, _TO_LOOK)
    names: list[str] = []
    try:
        while (name := _folder_in(fd)) or names:
            if name:
                names.append(name)
            fd = _step(fd, name or "..")
            if not name:
                os.rmdir(names.pop(), dir_fd=fd)
    finally:
        os.close(fd)


def _folder_in(fd: int) -> str:
    with os.scandir(fd) as entries:
        found = (entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
        return next(found, "")


def _step(fd: int, name: str) -> int:
    there = os.open(name, _TO_LOOK, dir_fd=fd)
    os.close(fd)
    return there


def _unless_in_use(remove: Callable[..., None], *args: str) -> None:
    try:
        remove(*args)
    except FileNotFoundError:
        pass
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise


def _wait_for(path: str, key: str, value: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while numbers(os.pread(fd, 4096, 0).decode()).get(key) != value:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            wait_readable((), int(left * 1000) + 1, changed=[fd])
        return True
    finally:
        os.close(fd)
