"""The same work on several things at once, in forks of this process."""

from __future__ import annotations

import os

from rootless.errors import RlError, from_fields, to_fields
from rootless.kernel import channel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, NoReturn

    from rootless.kernel.channel import Channel


def each(items: Sequence[str], act: Callable[[str], Any], workers: int) -> Iterator[Any | RlError]:
    """What `act` returns for each of `items`, in their order; the RlError that it raised instead.

    Results are of the types that `marshal` carries. What `act` changes in memory is lost.
    """
    started = [_start(items[first::workers], act) for first in range(min(workers, len(items)))]
    try:
        for number in range(len(items)):
            yield _outcome(started[number % workers][1])
    finally:
        for pid, results in started:
            # One that is still at work ends at its next result.
            results.close()
            os.waitpid(pid, 0)


def _start(items: Sequence[str], act: Callable[[str], Any]) -> tuple[int, Channel]:
    ours, theirs = channel.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _work(items, act, theirs)
    theirs.close()
    return pid, ours


def _work(items: Sequence[str], act: Callable[[str], Any], results: Channel) -> NoReturn:
    try:
        for item in items:
            try:
                results.send("done", act(item))
            except RlError as error:
                results.send("failed", to_fields(error))
    finally:
        os._exit(0)


def _outcome(results: Channel) -> Any | RlError:
    received = results.receive()
    if received is None:
        return RlError("a worker process ended", hint="rl --debug …")
    kind, value = received[0]
    return value if kind == "done" else from_fields(*value)
