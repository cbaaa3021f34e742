"""/dev of the container: nodes bound from the host, since a user namespace makes none itself."""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# runtime-spec, config-linux.md, "Default Devices".
DEFAULT_NODES = ("null", "zero", "full", "random", "urandom", "tty")
# runtime-spec, runtime-linux.md, "Dev symbolic links".
_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)
# Set when /dev comes from somewhere else and is to be left alone.
KEEP_DEV = "rl.dev"


class Terminal:
    """A pseudo-terminal: `leader` is the launcher's end, `follower` the payload's."""

    def __init__(self, leader: int, follower: int, name: str) -> None:
        self.leader = leader
        self.follower = follower
        self.name = name


def make(root_fd: int, extra: list[dict[str, Any]], annotations: dict[str, str]) -> None:
    """Fill /dev below `root_fd`: standard nodes, links, and the `extra` devices of the document.

    An extra device is bound from the host's path in its `rl.source`, else from its own path.
    """
    if KEEP_DEV not in annotations:
        dev_fd = mounts.open_in_root(root_fd, "/dev", os.O_RDONLY | os.O_DIRECTORY)
        for name in DEFAULT_NODES:
            _bind_node(dev_fd, f"/dev/{name}", name)
        for target, name in _LINKS:
            os.symlink(target, name, dir_fd=dev_fd)
        os.close(dev_fd)
    for device in extra:
        source = device.get("rl.source", device["path"])
        log.effect(f"bind {source} at {device['path']}")
        try:
            mounts.bind_in_root(
                root_fd, source, device["path"], device.get("rl.options", []),
                tree=device.get("rl.tree", -1),
            )  # fmt: skip
        except OSError as error:
            raise RuntimeSetupError(f"--device {source}: {error.strerror}") from error


def _bind_node(dev_fd: int, source: str, name: str) -> None:
    os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, dir_fd=dev_fd))
    libc.mount(source, f"{mounts.fd_path(dev_fd)}/{name}", None, libc.MS_BIND)


def open_terminal(root_fd: int, size: dict[str, int] | None) -> Terminal:
    """A new pseudo-terminal from the container's devpts, bound at /dev/console too."""
    # Needs extension modules that a start without a terminal does not load.
    from rootless.kernel import pty

    ptmx = mounts.open_in_root(root_fd, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY)
    name = f"/dev/pts/{pty.unlock(ptmx)}"
    follower = mounts.open_in_root(root_fd, name, os.O_RDWR | os.O_NOCTTY)
    if size:
        pty.set_size(ptmx, size["height"], size["width"])
    console = mounts.open_target(root_fd, "/dev/console", directory=False)
    libc.mount(mounts.fd_path(follower), mounts.fd_path(console), None, libc.MS_BIND)
    os.close(console)
    return Terminal(ptmx, follower, name)
