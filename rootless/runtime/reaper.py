"""`--init`: the first process stays ours, hands signals on and reaps what the payload leaves."""

from __future__ import annotations

import os

from rootless.kernel import libc, signals
from rootless.tools.spawn import exit_code_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.kernel.channel import Channel

_NOT_FORWARDED = (
    signals.SIGCHLD,
    signals.SIGKILL,
    signals.SIGSTOP,
    signals.SIGTTIN,
    signals.SIGTTOU,
)


def fork_payload(setup: Channel) -> None:
    """Return in a child that goes on to the exec; the caller becomes the reaper for good."""
    signals.pthread_sigmask(signals.SIG_BLOCK, signals.valid_signals())
    # Before there is a payload, which may not read the host's environment in /proc/1, trace us or,
    # whatever its capabilities, open /proc/1/exe: a file of the host.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)
    pid = os.fork()
    if pid:
        setup.close()
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        _be_nobodys_business()
        _reap(pid)
    libc.prctl(libc.PR_SET_DUMPABLE, 1)
    signals.pthread_sigmask(signals.SIG_SETMASK, ())
    os.setpgid(0, 0)
    _take_terminal()


def _be_nobodys_business() -> None:
    """The container sees its first process: not with the host's paths and the user's flags."""
    libc.prctl_name("rl-init")
    libc.set_command_line("rl-init")


def _take_terminal() -> None:
    """Be the terminal's foreground group, so that Ctrl-C reaches the payload and not the reaper."""
    try:
        signals.signal(signals.SIGTTOU, signals.SIG_IGN)
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass  # no terminal
    finally:
        signals.signal(signals.SIGTTOU, signals.SIG_DFL)


def _reap(payload: int) -> NoReturn:
    while True:
        number = signals.sigwait(signals.valid_signals())
        if number == signals.SIGCHLD:
            _collect(payload)
        elif number not in _NOT_FORWARDED:
            _forward(payload, number)


def _forward(payload: int, number: int) -> None:
    try:
        os.kill(payload, number)
    except OSError:
        pass  # it has ended, or become a user whom we may not signal


def _collect(payload: int) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == payload:
            os._exit(exit_code_of(status))
