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


def open_terminal(root_fd: int, size: dict[str, int] | None) -> Terminal:
    """A new pseudo-terminal from the container's devpts, bound at /dev/console too."""
    # Needs extension modules that a start without a terminal does not load.
    from rootless.kernel import pty

    ptmx = mounts.open_in_root(root_fd, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    path = f"/dev/pts/{pty.unlock(ptmx)}"
    follower = mounts.open_in_root(root_fd, path, os.O_RDWR | os.O_NOCTTY)
    if size:
        pty.set_size(ptmx, size["height"], size["width"])
    console = mounts.open_target(root_fd, "/dev/console", directory=False)
    libc.mount(mounts.fd_path(follower), mounts.fd_path(console), None, libc.MS_BIND)
    os.close(console)
    return Terminal(ptmx, follower)
