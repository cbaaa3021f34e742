"""A process that only is in two namespaces, for programs that take namespaces by a pid.

slirp4netns becomes root of the user namespace of the process that it is pointed at. Where a
container's user namespace has no root, this process stands for it: in the namespace around that
one, and in the container's network.
"""

from __future__ import annotations

import os

from rootless.errors import HostError
from rootless.kernel import libc, signals
from rootless.kernel.channel import close_all_but

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class NamespaceProxy:
    """pid: of the process, there until `close`."""

    def __init__(self, userns: str, netns: str) -> None:
        """Paths of namespaces. Raises HostError."""
        self._hold, hold = os.pipe()
        ready, to_parent = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(hold)
            _be(userns, netns, self._hold, to_parent)
        os.close(to_parent)
        os.close(self._hold)
        self._hold = hold
        is_there = os.read(ready, 1)
        os.close(ready)
        if not is_there:
            self.close()
            raise HostError("network: the container's namespaces cannot be joined", "rl ps -a")

    def close(self) -> None:
        """End it; harmless when repeated."""
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1
            os.waitpid(self.pid, 0)


def _be(userns: str, netns: str, hold: int, to_parent: int) -> NoReturn:
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        close_all_but({hold, to_parent})
        network = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
        # First: it gives the rights to the other.
        libc.setns(os.open(userns, os.O_RDONLY | os.O_CLOEXEC), libc.CLONE_NEWUSER)
        libc.setns(network, libc.CLONE_NEWNET)
        libc.prctl(libc.PR_SET_DUMPABLE, 1)
        os.write(to_parent, b"r")
        os.read(hold, 1)
    finally:
        os._exit(0)
