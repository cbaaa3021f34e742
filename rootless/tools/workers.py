"""Forks of this process that work side by side, with what they say in one pipe each."""

from __future__ import annotations

import os
import select

from rootless.errors import RlError, from_fields, to_fields
from rootless.kernel import channel, libc, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, NoReturn

_PIECE = 1 << 16
_ENDING = (signals.SIGINT, signals.SIGTERM)


class Worker:
    """A fork that computes one value. What it and its children write to standard output and
    standard error is read here; standard input is /dev/null. It dies with its owner."""

    def __init__(self, act: Callable[[], Any]) -> None:
        """act: returns what `marshal` carries; what it changes in memory is lost."""
        self._results, theirs = channel.pair()
        self.output, output = os.pipe()
        owner = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            self._results.close()
            os.close(self.output)
            _work(act, theirs, output, owner)
        theirs.close()
        os.close(output)

    def read(self) -> bytes:
        """What it has said since; b"" at the end. Blocks."""
        return os.read(self.output, _PIECE)

    def result(self) -> Any:
        """Wait for its end. Raises the RlError that it raised."""
        received = self._results.receive()
        self.close()
        if received is None:
            raise RlError("a worker process ended", hint="rl --debug …")
        kind, value = received[0]
        if kind == "failed":
            raise from_fields(*value)
        return value

    def stop(self) -> None:
        """Have it unmake what it has begun, and end."""
        try:
            os.kill(self.pid, signals.SIGTERM)
        except ProcessLookupError:
            pass

    def close(self) -> None:
        """Wait for its end and close what is open."""
        if self.pid:
            os.waitpid(self.pid, 0)
            self.pid = 0
            os.close(self.output)
            self._results.close()


def wait_for_any(workers: list[Worker]) -> list[Worker]:
    """Those that have something to say, or have ended."""
    poller = select.poll()
    by_fd = {worker.output: worker for worker in workers}
    for fd in by_fd:
        poller.register(fd, select.POLLIN)
    return [by_fd[fd] for fd, _ in poller.poll()]


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Once: the terminal's signal and the owner's must not meet in the middle of the unmaking."""
    for each in _ENDING:
        signals.signal(each, _let_it_be)
    raise KeyboardInterrupt


def _let_it_be(number: int, frame: FrameType | None) -> None:
    pass


def _work(act: Callable[[], Any], results: channel.Channel, output: int, owner: int) -> NoReturn:
    code = 1
    try:
        for number in _ENDING:
            signals.signal(number, _interrupt)
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGTERM)
        if os.getppid() == owner:
            os.dup2(channel.null_fd(), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.close(output)
            try:
                results.send("done", act())
            except RlError as error:
                results.send("failed", to_fields(error))
            code = 0
    except KeyboardInterrupt:
        pass
    except BaseException as error:
        os.write(2, f"rl: internal error in a worker: {error!r}\n".encode())
        raise
    finally:
        os._exit(code)
