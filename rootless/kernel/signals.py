"""Signals (signal(7)) for the start path.

The `signal` module wraps every number in an enumeration, whose import costs more than forking the
container. Its C half, `_signal`, has the same functions on plain integers.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found,unused-ignore]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Any

    Handler = Callable[[int, FrameType | None], Any] | int | None

NSIG: int = _signal.NSIG
SIGBUS: int = _signal.SIGBUS
SIGCHLD: int = _signal.SIGCHLD
SIGCONT: int = _signal.SIGCONT
SIGFPE: int = _signal.SIGFPE
SIGHUP: int = _signal.SIGHUP
SIGILL: int = _signal.SIGILL
SIGINT: int = _signal.SIGINT
SIGKILL: int = _signal.SIGKILL
SIGPIPE: int = _signal.SIGPIPE
SIGQUIT: int = _signal.SIGQUIT
SIGSEGV: int = _signal.SIGSEGV
SIGSTOP: int = _signal.SIGSTOP
SIGTERM: int = _signal.SIGTERM
SIGTSTP: int = _signal.SIGTSTP
SIGTTIN: int = _signal.SIGTTIN
SIGTTOU: int = _signal.SIGTTOU
SIGURG: int = _signal.SIGURG
SIGWINCH: int = _signal.SIGWINCH
SIG_DFL: int = _signal.SIG_DFL
SIG_IGN: int = _signal.SIG_IGN
SIG_BLOCK: int = _signal.SIG_BLOCK
SIG_SETMASK: int = _signal.SIG_SETMASK

# What a terminal sends to its foreground group, or to who asks too much of it.
FROM_TERMINAL = (SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTTOU)


def signal(number: int, handler: Handler) -> Handler:
    """Set what happens on signal `number`; what happened before (signal.signal)."""
    before: Handler = _signal.signal(number, handler)
    return before


def set_wakeup_fd(fd: int, *, warn_on_full_buffer: bool = True) -> int:
    """Have the number of each handled signal written to `fd`, -1 for none any more."""
    before: int = _signal.set_wakeup_fd(fd, warn_on_full_buffer=warn_on_full_buffer)
    return before


def pthread_sigmask(how: int, numbers: Iterable[int]) -> set[int]:
    """pthread_sigmask(3): the mask before."""
    before: set[int] = _signal.pthread_sigmask(how, numbers)
    return before


def valid_signals() -> set[int]:
    """Every signal that a process can have a mind about."""
    numbers: set[int] = _signal.valid_signals()
    return numbers


def sigwait(numbers: Iterable[int]) -> int:
    """sigwait(3): the number of a signal that was blocked and has come."""
    number: int = _signal.sigwait(numbers)
    return number


def pidfd_send_signal(pidfd: int, number: int) -> None:
    """pidfd_send_signal(2)."""
    _signal.pidfd_send_signal(pidfd, number)


def send(pidfd: int, number: int) -> None:
    """Send `number` to the process of `pidfd`; one that is gone is no error."""
    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
