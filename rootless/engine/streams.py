"""The standard streams of a command that somebody waits for, as pumps."""

from __future__ import annotations

import os
import time

from rootless.engine.pump import Pump, unblocked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine.logs import Writer
    from rootless.model.detach_keys import DetachKeys
    from rootless.runtime.stdio import Stdio

_END_OF_INPUT = b"\x04"


def stream_pumps(stdio: Stdio, *, interactive: bool, writer: Writer | None = None) -> list[Pump]:
    """What is not shared with the command. writer: keeps the output, too."""
    to_command, from_out, from_err = stdio.launcher
    pumps = []
    if to_command >= 0:
        os.set_blocking(to_command, False)
        stdin = Pump(0, to_command, at_end=lambda: os.close(to_command))
        pumps.append(stdin)
        if not interactive:
            stdin.finish()
    for source, sink in ((from_out, 1), (from_err, 2)):
        if source >= 0:
            pumps.append(_output_pump(source, sink, writer))
    return pumps


def _output_pump(source: int, sink: int, writer: Writer | None) -> Pump:
    keep = _keeper_of(sink, writer)
    return Pump(source, unblocked(sink), at_end=lambda: os.close(source), keep=keep)


def _keeper_of(sink: int, writer: Writer | None) -> Callable[[bytes], None] | None:
    if writer is None:
        return None
    stream = "stderr" if sink == 2 else "stdout"
    return lambda data: writer.write(stream, data, time.time_ns())


def terminal_pumps(
    leader: int,
    *,
    interactive: bool,
    writer: Writer | None = None,
    keys: DetachKeys | None = None,
    on_detach: Callable[[], None] | None = None,
) -> list[Pump]:
    """Between our standard streams and a terminal. on_detach: called when `keys` were typed."""
    os.set_blocking(leader, False)
    pumps = [Pump(leader, unblocked(1), keep=_keeper_of(1, writer))]
    if interactive:
        typed = Pump(0, leader, at_end=lambda: _try_write(leader, _END_OF_INPUT))
        if keys is not None and on_detach is not None:
            typed = _Keyboard(leader, keys, on_detach)
        pumps.insert(0, typed)
    return pumps


class _Keyboard(Pump):
    """Standard input of a terminal, with keys among it that are for us."""

    def __init__(self, leader: int, keys: DetachKeys, on_detach: Callable[[], None]) -> None:
        super().__init__(0, leader, at_end=lambda: _try_write(leader, _END_OF_INPUT))
        self._keys = keys
        self._on_detach = on_detach

    def _read(self) -> None:
        super()._read()
        self._pending, complete = self._keys.feed(self._pending)
        if complete:
            self._on_detach()


def _try_write(fd: int, data: bytes) -> None:
    try:
        os.write(fd, data)
    except OSError:
        pass  # the container is gone
