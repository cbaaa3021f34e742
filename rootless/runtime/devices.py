"""/dev of the container: nodes bound from the host, since a user namespace makes none itself."""

from __future__ import annotations

import os

from rootless.kernel import libc, mounts
from rootless.model.mountspec import STANDARD_DEVICES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# runtime-spec, runtime-linux.md, "Dev symbolic links".
_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)


class Terminal:
    """A pseudo-terminal: `leader` is the launcher's end, `follower` the payload's."""

    def __init__(self, leader: int, follower: int) -> None:
        self.leader = leader
        self.follower = follower


def make(root_fd: int, wanted: list[dict[str, Any]]) -> None:
    """Fill /dev below `root_fd` with the standard nodes and links, where it is a fresh tmpfs.

    wanted: the document's mounts. A /dev that the user bound has nodes, and they are the user's.
    """
    if any(mount["destination"] == "/dev" and mount["type"] == "bind" for mount in wanted):
        return
    dev_fd = mounts.open_in_root(root_fd, "/dev", os.O_RDONLY | os.O_DIRECTORY)
    for name in STANDARD_DEVICES:
        _bind_node(dev_fd, f"/dev/{name}", name)
    for target, name in _LINKS:
        os.symlink(target, name, dir_fd=dev_fd)
    os.close(dev_fd)


def _bind_node(dev_fd: int, source: str, name: str) -> None:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, dir_fd=dev_fd))
    libc.mount(source, f"{mounts.fd_path(dev_fd)}/{name}", None, libc.MS_BIND)


def open_console(root_fd: int, size: dict[str, int] | None) -> Terminal:
    """`open_terminal`, bound at /dev/console too: the terminal of the container itself."""
    terminal = open_terminal(root_fd, size)
    console = mounts.open_target(root_fd, "/dev/console", directory=False)
    libc.mount(mounts.fd_path(terminal.follower), mounts.fd_path(console), None, libc.MS_BIND)
    os.close(console)
    return terminal


def open_terminal(root_fd: int, size: dict[str, int] | None) -> Terminal:
    """A new pseudo-terminal from the devpts of the container whose root is `root_fd`.

    What a container that runs has at that path may be anything: only the leader of a
    pseudo-terminal has another side.
    """
    # Needs extension modules that a start without a terminal does not load.
    from rootless.kernel import pty

    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
    leader = mounts.open_in_root(root_fd, "/dev/pts/ptmx", flags)
    os.set_blocking(leader, True)
    pty.unlock(leader)
    follower = pty.open_follower(leader)
    if size:
        pty.set_size(leader, size["height"], size["width"])
    return Terminal(leader, follower)
