"""A running foreground container: its streams, its signals, its end."""

from __future__ import annotations

import os
import select
import time

from rootless import log
from rootless.engine import streams
from rootless.engine.pump import milliseconds, poll
from rootless.errors import EXIT_SIGNAL_BASE, RuntimeSetupError
from rootless.kernel import signals
from rootless.runtime import messages
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from rootless.engine.logs import Writer
    from rootless.kernel import pty
    from rootless.model.container import ContainerSpec
    from rootless.runtime.launch import Launch
    from rootless.runtime.oom import OomKill

# docker-run(1), --sig-proxy: these are about ourselves. Stopping and continuing too, or the shell
# could not put `rl` into the background.
_NOT_FORWARDED = frozenset(
    (
        signals.SIGCHLD, signals.SIGPIPE, signals.SIGURG, signals.SIGKILL, signals.SIGSTOP,
        signals.SIGTSTP, signals.SIGCONT, signals.SIGTTIN, signals.SIGTTOU,
        signals.SIGSEGV, signals.SIGBUS, signals.SIGFPE, signals.SIGILL,
    )
)  # fmt: skip
# The C library keeps 32 and 33 for itself, and nobody forwards real-time signals by hand.
_FIRST_REALTIME = 32


class Signals:
    """Signals of this process as readable bytes; `close` gives the old handlers back."""

    def __init__(self) -> None:
        self.fd, self._write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._saved = {}
        for number in range(1, _FIRST_REALTIME):
            if number not in _NOT_FORWARDED:
                self._saved[number] = signals.signal(number, _note)
        signals.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)

    def take(self) -> bytes:
        """The numbers that have come since the last call."""
        try:
            return os.read(self.fd, 256)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        """Stop listening."""
        signals.set_wakeup_fd(-1)
        for number, handler in self._saved.items():
            signals.signal(number, handler or signals.SIG_DFL)
        os.close(self.fd)
        os.close(self._write_end)


def _note(number: int, frame: FrameType | None) -> None:
    """The wake-up descriptor has it already."""


class Supervisor:
    """Follows one container from the exec of its payload to the end of its keeper."""

    def __init__(
        self,
        spec: ContainerSpec,
        launch: Launch,
        leader: int,
        on_oom: Callable[[OomKill], None],
        writer: Writer | None = None,
    ) -> None:
        """on_oom: called each time the kernel has killed something for want of memory.

        writer: keeps the output; closed at the end.
        """
        self._spec = spec
        self._on_oom = on_oom
        self._launch = launch
        self._writer = writer
        self._leader = leader
        self._deadline = time.monotonic() + spec.timeout if spec.timeout else None
        self._status: int | None = None
        self._control_open = True
        self.pumps = (
            streams.terminal_pumps(leader, interactive=spec.interactive, writer=writer)
            if leader >= 0
            else streams.stream_pumps(launch.stdio, interactive=spec.interactive, writer=writer)
        )

    def run(self, incoming: Signals, mode: pty.Mode | None) -> int:
        """Until the container has ended; its exit code as a shell shows it."""
        while self._status is None:
            self._turn(incoming)
        for pump in self.pumps:
            if pump.source != 0:
                pump.drain()
        if self._writer is not None:
            self._writer.close()
        if mode is not None:
            mode.restore()
        return spawn.exit_code_of(self._status)

    def _turn(self, incoming: Signals) -> None:
        masks = {self._launch.control.fd: select.POLLIN, incoming.fd: select.POLLIN}
        for pump in self.pumps:
            pump.wants(masks)
        ready = poll(masks, self._milliseconds_left())
        if incoming.fd in ready:
            for number in incoming.take():
                self._forward(number)
        for pump in self.pumps:
            pump.handle(ready)
        if self._launch.control.fd in ready:
            self._take_message()
        if self._deadline is not None and time.monotonic() >= self._deadline:
            log.warn(f"--timeout: {self._spec.timeout} seconds are over, the container is killed")
            self._deadline = None
            self._launch.kill()

    def _milliseconds_left(self) -> int | None:
        return None if self._deadline is None else milliseconds(self._deadline - time.monotonic())

    def _forward(self, number: int) -> None:
        if number == signals.SIGWINCH and self._leader >= 0:
            from rootless.engine import terminal

            terminal.copy_size(self._leader)
        elif self._spec.sig_proxy:
            self._launch.signal_init(number)
        elif number in (signals.SIGINT, signals.SIGTERM, signals.SIGHUP):
            self._launch.kill()

    def _take_message(self) -> None:
        received = self._launch.control.receive()
        if received is None:
            # The keeper was killed; its children die with it.
            self._launch.kill()
            log.warn("the container's keeper was killed")
            self._control_open = False
            self._status = EXIT_SIGNAL_BASE + signals.SIGKILL << 8
            return
        message = received[0]
        if message[0] == messages.EXITED:
            self._status = message[1]
        elif message[0] == messages.DRIVER_DIED:
            log.warn(f"the container's file system died ({message[1]})")
        elif message[0] == messages.OOM:
            self._on_oom(message[1])

    def finish(self) -> None:
        """Wait for the keeper to unwind. Raises what it could not unmake."""
        failure = None
        while self._control_open and (received := self._launch.control.receive()) is not None:
            if received[0][0] == messages.FAILED:
                failure = messages.failure_of(received[0])
        self._launch.control.close()
        if self._launch.reap() and failure is None and self._control_open:
            failure = RuntimeSetupError("the container's keeper failed while unwinding")
        if failure is not None:
            raise failure
