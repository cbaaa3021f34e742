"""Questions to a host that may not answer: each in a fork, all at once, with one end of patience.

A home directory whose server is gone, or a helper program that hangs, stops the fork and not us.
"""

from __future__ import annotations

import os
import time

from rootless.errors import RlError, from_fields, to_fields
from rootless.kernel import channel, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from rootless.kernel.channel import Channel

# How long a fork that was killed may be on its way; one that waits in the kernel stays there.
_MOMENT_SECONDS = 0.05


class NoAnswer(RlError):
    """The time was over first."""


def ask(questions: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, Any]:
    """What each of `questions` returns, by its name; for one that failed, its RlError or OSError.

    Results are of the types that `marshal` carries. One that is late gives NoAnswer, and is killed;
    what it has forked has to see to its own end (PR_SET_PDEATHSIG).
    """
    started = {name: _start(question) for name, question in questions.items()}
    deadline = time.monotonic() + seconds
    try:
        return {
            name: _answer(results, deadline - time.monotonic(), seconds)
            for name, (_, results) in started.items()
        }
    finally:
        for pid, results in started.values():
            results.close()
            _end(pid)


def _start(question: Callable[[], Any]) -> tuple[int, Channel]:
    ours, theirs = channel.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _work(question, theirs)
    theirs.close()
    return pid, ours


def _work(question: Callable[[], Any], results: Channel) -> NoReturn:
    try:
        results.send(*_outcome(question))
    finally:
        os._exit(0)


def _outcome(question: Callable[[], Any]) -> tuple[str, Any]:
    try:
        return "answer", question()
    except RlError as error:
        return "rl", to_fields(error)
    except OSError as error:
        return "os", (error.errno, error.strerror, error.filename)
    except Exception as error:
        return "rl", to_fields(RlError(f"internal error: {type(error).__name__}: {error}"))


def _answer(results: Channel, seconds: float, patience: float) -> Any:
    if not channel.wait_readable([results.fd], max(0, int(seconds * 1000))):
        return NoAnswer(f"no answer within {patience:g} seconds")
    received = results.receive()
    if received is None:
        return RlError("the process that looked ended")
    kind, value = received[0]
    if kind == "os":
        return OSError(*value)
    return from_fields(*value) if kind == "rl" else value


def _end(pid: int) -> None:
    deadline = time.monotonic() + _MOMENT_SECONDS
    os.kill(pid, signals.SIGKILL)
    while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.001)
