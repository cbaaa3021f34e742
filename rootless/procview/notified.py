"""Answers system calls that wait at a seccomp listener: one process, one call after the other.

A Listener is made by the process that got the descriptor (the keeper) and inherited by the servers
that it forks. A server waits in poll(2) and nowhere else, and ends when nobody is left who could
call. Whatever goes wrong with an answer, the kernel gives its own: no caller waits for ever.
"""

from __future__ import annotations

import gc
import os
import select

from rootless import log
from rootless.kernel import notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.kernel.notify import Notification

    Answer = Callable[[Notification], int | None]

# Calls that so many servers died of are left to the kernel.
_MAX_ATTEMPTS = 5


class Listener:
    """The descriptor of a seccomp filter, and the memory that its servers share."""

    __slots__ = ("fd", "inbox")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.inbox = notify.Inbox()

    def progress(self) -> object:
        """Something that changes when a server answers."""
        return self.inbox.answered

    def close(self) -> None:
        """Close the descriptor; with the last copy of it calls fail with ENOSYS."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def serve(listener: Listener, structure: Callable[[int, int], bytes]) -> None:
    """Have each call write structure(pid, AUDIT_ARCH_*) of its caller to where its argument says.

    As `serve_calls`.
    """
    serve_calls(listener, lambda waiting: write_structure(listener, waiting, structure))


def serve_calls(listener: Listener, answer: Answer) -> None:
    """Have `answer` say what each call returns: a negative number is an errno, None leaves it to
    the kernel.

    To be called in a process of its own. Returns when no process has the filter any more. Raises
    OSError.
    """
    # A collection would write into every object that is shared with the parent.
    gc.freeze()
    listener.inbox.touch()
    _take_over(listener, answer)
    poller = select.poll()
    poller.register(listener.fd, select.POLLIN)
    while poller.poll()[0][1] & select.POLLIN:
        if listener.inbox.receive(listener.fd):
            _answer(listener, answer)


def _take_over(listener: Listener, answer: Answer) -> None:
    """Answer the call that a server before this one has left behind."""
    waiting = listener.inbox.unanswered()
    if waiting is None:
        return
    listener.inbox.attempts += 1
    if listener.inbox.attempts <= _MAX_ATTEMPTS:
        _answer(listener, answer)
    else:
        notify.leave_to_kernel(listener.fd, waiting.id)
        listener.inbox.is_answered()


def _answer(listener: Listener, answer: Answer) -> None:
    waiting = listener.inbox.unanswered()
    if waiting is None:
        return
    try:
        value = answer(waiting)
    except Exception as error:
        log.warn(f"system calls answered from outside: {error!r}")
        value = None
    if value is None:
        notify.leave_to_kernel(listener.fd, waiting.id)
    elif value < 0:
        notify.fail(listener.fd, waiting.id, -value)
    else:
        notify.succeed(listener.fd, waiting.id, value)
    listener.inbox.is_answered()


def write_structure(
    listener: Listener, waiting: Notification, structure: Callable[[int, int], bytes]
) -> int | None:
    """An answer: what `structure` makes for the caller, written to where its argument says."""
    content = structure(waiting.pid, waiting.arch)
    # The kernel knows better what is wrong: EFAULT for a bad address, mostly.
    return 0 if write(listener, waiting, waiting.arguments[0], content) else None


def write(listener: Listener, waiting: Notification, address: int, content: bytes) -> bool:
    """Whether `content` is in the caller's memory now."""
    # Nothing in between: a pid is the caller's only as long as the caller waits.
    return notify.is_waiting(listener.fd, waiting.id) and notify.write_memory(
        waiting.pid, address, content
    )
