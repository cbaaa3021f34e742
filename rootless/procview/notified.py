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

    To be called in a process of its own. Returns when no process has the filter any more. Raises
    OSError.
    """
    # A collection would write into every object that is shared with the parent.
    gc.freeze()
    listener.inbox.touch()
    _take_over(listener, structure)
    poller = select.poll()
    poller.register(listener.fd, select.POLLIN)
    while poller.poll()[0][1] & select.POLLIN:
        if listener.inbox.receive(listener.fd):
            _answer(listener, structure)


def _take_over(listener: Listener, structure: Callable[[int, int], bytes]) -> None:
    """Answer the call that a server before this one has left behind."""
    waiting = listener.inbox.unanswered()
    if waiting is None:
        return
    listener.inbox.attempts += 1
    if listener.inbox.attempts <= _MAX_ATTEMPTS:
        _answer(listener, structure)
    else:
        notify.leave_to_kernel(listener.fd, waiting.id)
        listener.inbox.is_answered()


def _answer(listener: Listener, structure: Callable[[int, int], bytes]) -> None:
    waiting = listener.inbox.unanswered()
    if waiting is None:
        return
    if _write(listener.fd, waiting, structure):
        notify.succeed(listener.fd, waiting.id)
    else:
        # It knows better what is wrong: EFAULT for a bad address, mostly.
        notify.leave_to_kernel(listener.fd, waiting.id)
    listener.inbox.is_answered()


def _write(fd: int, waiting: Notification, structure: Callable[[int, int], bytes]) -> bool:
    try:
        content = structure(waiting.pid, waiting.arch)
    except Exception as error:
        log.warn(f"sysinfo: {error!r}")
        return False
    # Nothing in between: a pid is the caller's only as long as the caller waits.
    return notify.is_waiting(fd, waiting.id) and notify.write_memory(
        waiting.pid, waiting.argument, content
    )
