"""The other side of a supervisor's socket: a terminal or pipes attached to a container."""

from __future__ import annotations

import os
import select

from rootless.engine import clients, recover
from rootless.engine.pump import poll
from rootless.engine.supervise import Signals
from rootless.errors import EXIT_SIGNAL_BASE, RlError
from rootless.kernel import signals
from rootless.kernel.channel import Channel
from rootless.store import containers, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.kernel import pty
    from rootless.model.detach_keys import DetachKeys
    from rootless.store.paths import Paths

_CHUNK = 4096


def connect(paths: Paths, text: str, container_id: str) -> tuple[Channel, bool]:
    """Attach to a running container: the channel, and whether it has a terminal. Raises RlError."""
    try:
        supervisor = Channel(clients.connect(containers.live_directory(paths, container_id)))
        supervisor.send(clients.ATTACH)
        received = supervisor.receive()
    except OSError:
        received = None
    if received is None:
        raise RlError(
            f"container {text}: runs in the foreground of another rl, which has its streams",
            hint=f"rl exec -it {text} sh",
        )
    events.of_container(paths, "attach", recover.record_or_nothing(paths, container_id))
    return supervisor, bool(received[0][1])


class Attachment:
    """Carries bytes until the container ends, or the user detaches.

    keys: what detaches, None for nothing. signal: sends a signal to the container, None to let
    signals end us as they end any command. has_detached: whether those keys have come.
    """

    def __init__(
        self,
        supervisor: Channel,
        *,
        terminal: bool,
        stdin: bool,
        keys: DetachKeys | None,
        signal: Callable[[int], None] | None,
    ) -> None:
        self._supervisor = supervisor
        self._terminal = terminal
        self._stdin = stdin
        self._keys = keys
        self._signal = signal
        self.has_detached = False
        self._code: int | None = None
        self._is_over = False

    def follow(self) -> int | None:
        """The container's exit code; None when it goes on without us."""
        incoming = Signals()
        mode = self._raw_mode()
        try:
            if self._terminal:
                self._tell_size()
            while not self._is_over:
                self._turn(incoming)
        finally:
            if mode is not None:
                mode.restore()
            incoming.close()
            self._supervisor.close()
        return self._code

    def _raw_mode(self) -> pty.Mode | None:
        if not (self._terminal and self._stdin and os.isatty(0)):
            return None
        from rootless.engine import terminal

        return terminal.raw_mode()

    def _turn(self, incoming: Signals) -> None:
        masks = {self._supervisor.fd: select.POLLIN, incoming.fd: select.POLLIN}
        if self._stdin:
            masks[0] = select.POLLIN
        ready = poll(masks, None)
        for number in incoming.take() if incoming.fd in ready else b"":
            self._take_signal(number)
        if self._supervisor.fd in ready:
            self._take_message()
        elif 0 in ready and poll({self._supervisor.fd: select.POLLOUT}, 0):
            self._take_input()
        elif 0 in ready:
            # It takes nothing at present; it may have something for us, or room in a moment.
            poll({self._supervisor.fd: select.POLLIN | select.POLLOUT}, None)

    def _take_message(self) -> None:
        received = self._supervisor.receive()
        if received is None:
            self._is_over = True
            return
        message = received[0]
        if message[0] == clients.OUTPUT:
            _write_all(message[1], message[2])
        elif message[0] == clients.END:
            self._code = int(message[1])

    def _take_input(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._stdin = False
            self._say(clients.END_OF_INPUT)
            return
        if self._keys is not None:
            data, self.has_detached = self._keys.feed(data)
            self._is_over = self.has_detached
        if data:
            self._say(clients.INPUT, data)

    def _take_signal(self, number: int) -> None:
        if number == signals.SIGWINCH:
            self._tell_size()
        elif self._signal is not None:
            self._signal(number)
        else:
            self._is_over = True
            self._code = EXIT_SIGNAL_BASE + number

    def _tell_size(self) -> None:
        from rootless.engine import terminal

        size = terminal.size()
        if size is not None:
            self._say(clients.RESIZE, *size)

    def _say(self, *message: object) -> None:
        try:
            self._supervisor.send(*message)
        except OSError:
            self._stdin = False  # it ends; what it still has to say is read


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except BlockingIOError:
        poll({fd: select.POLLOUT}, None)
        _write_all(fd, bytes(view))
