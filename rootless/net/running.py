"""A network program that runs beside one container, and how it is waited for and ended.

It lives from `start` to `stop`; it also ends when the process that started it ends, however that
happens. What the program says is kept until it is ready, for the error message.
"""

from __future__ import annotations

import os
import select

from rootless.errors import NetworkSetupError
from rootless.kernel import signals
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.model.ports import PortMapping
    from rootless.tools.spawn import Child

# Far beyond any start that was seen (6 to 30 ms): only a host that is stuck gets here.
_PATIENCE_MS = 30_000


class Running:
    """The network of one container while it runs. This base class has no process at all."""

    pid = 0

    def __init__(self, ports: Sequence[PortMapping] = ()) -> None:
        self.ports = list(ports)

    def wait_ready(self) -> None:
        """Block until the container has its address and every port is forwarded.

        Raises NetworkSetupError.
        """

    def stop(self, *, wait: bool = True) -> None:
        """End it and leave nothing; may be called again, and by a child of the starter.

        wait: until it has ended. A caller that is about to exit does not need that: the kernel
        takes some 20 ms to dismantle a tap device. Where ports are published it waits in any case:
        the next run may want them.
        """

    def fds(self) -> list[int]:
        """Descriptors (all close-on-exec) that a fork without exec has to close."""
        return []


class Watched:
    """A child process, ended through a pidfd: also by a process forked from its parent."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.pidfd = os.pidfd_open(child.pid)

    def end(self, *, wait: bool) -> None:
        """SIGKILL: our programs keep nothing on disk, so there is nothing to finish. And reap."""
        signals.send(self.pidfd, signals.SIGKILL)
        if wait:
            self._reap()
        os.close(self.pidfd)

    def _reap(self) -> None:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        poll.poll(_PATIENCE_MS)
        try:
            self._child.wait()
        except ChildProcessError:
            # Not our child: we were forked from the process that started it.
            pass


class Program(Running):
    """A network program as a child process: it writes to a pipe when it is ready.

    ready, words: the read ends of that pipe and of its standard error.
    owner: a pipe's write end that the program watches, -1 when it has none.
    """

    def __init__(self, ports: Sequence[PortMapping]) -> None:
        super().__init__(ports)
        self._process: Watched | None = None
        self._ready = self._words = self._owner = -1

    def adopt(self, child: Child, *, ready: int, words: int, owner: int = -1) -> None:
        """Watch over `child`, which was just started."""
        self._process = Watched(child)
        self.pid = child.pid
        self._ready, self._words, self._owner = ready, words, owner

    def wait_ready(self) -> None:
        """Block until the program is up and the ports are forwarded. NetworkSetupError."""
        if self._ready < 0:
            return
        while not self._await_ready():
            words = self._last_words()
            if not self.retry(words):
                raise self.failure(words)
        self._close_pipes()
        self.forward_ports()

    def _await_ready(self) -> bool:
        """Whether the program came up; the pipe's end means that it did not."""
        poll = select.poll()
        poll.register(self._ready, select.POLLIN | select.POLLHUP)
        return bool(poll.poll(_PATIENCE_MS)) and os.read(self._ready, 16) != b""

    def _last_words(self) -> str:
        """All that the program said; it is ended first, so that the pipe has an end."""
        self._end(wait=True)
        text = b""
        while part := os.read(self._words, 4096):
            text += part
        return text.decode(errors="replace")

    def retry(self, words: str) -> bool:
        """Start again in another way after it said `words` and ended; False to give up."""
        return False

    def failure(self, words: str) -> NetworkSetupError:
        """The error for a program that did not come up and said `words`."""
        return NetworkSetupError(f"network program: {spawn.last_words(words)}")

    def forward_ports(self) -> None:
        """What is left to do once the program is up. Raises NetworkSetupError."""

    def stop(self, *, wait: bool = True) -> None:
        """End the program and leave nothing; idempotent."""
        self.close(wait=wait or bool(self.ports))

    def close(self, *, wait: bool = True) -> None:
        """End the program, if it runs, and close all descriptors."""
        self._end(wait=wait)
        self._close_pipes()
        self._close("_owner")

    def _end(self, *, wait: bool) -> None:
        if self._process is not None:
            self._process.end(wait=wait)
            self._process = None

    def _close_pipes(self) -> None:
        # Once nobody reads its words, the program's writes fail (it ignores SIGPIPE): a container
        # that provokes messages fills neither a pipe nor a file.
        for name in ("_ready", "_words"):
            self._close(name)

    def _close(self, name: str) -> None:
        fd = getattr(self, name)
        if fd >= 0:
            os.close(fd)
            setattr(self, name, -1)

    def fds(self) -> list[int]:
        """The pipes and the pidfd that are open."""
        pidfd = self._process.pidfd if self._process else -1
        return [fd for fd in (self._ready, self._words, self._owner, pidfd) if fd >= 0]
