"""A process that enters a running container: `rl exec`.

    rl                            rl-exec                       the command
    ── forks ───────────────────▶
    moves it into the container's
    control group
    ── GO ──────────────────────▶
                                  joins user, pid, time
                                  ── forks ───────────────────▶
    ◀─ CHILD pid (its pidfd) ────                               joins the others
    ◀─ TERMINAL (one descriptor; with a terminal only) ────────
    ◀─ end of the stream: exec has succeeded ──────────────────
    ── KEEP (the terminal's leader; after the keys to detach) ─▶
    ◀─ EXITED status ────────────

Left runs the *report* channel, at the right the *setup* channel with FAILED as in `messages`.
rl-exec stays outside of the container's mount namespace. It is there because a pid namespace cannot
end before each of its processes was waited for: `rl` may be stopped or be gone, this one is not.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.cgroup import group as groups
from rootless.errors import HostError, RlError, RuntimeSetupError
from rootless.kernel import channel, libc, signals
from rootless.kernel.channel import close_all_but, null_fd, wait_readable
from rootless.runtime import entered, messages, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn, TypedDict

    from rootless.kernel.channel import Channel
    from rootless.runtime.entered import Command
    from rootless.runtime.members import Namespaces
    from rootless.runtime.stdio import Stdio

    class EnterRequest(TypedDict):
        """Everything that is needed inside, decided before.

        namespaces: of the container. init_fd: a pidfd of its first process. helpers: where rl-exec
        goes once the command runs; the directory of a control group, "" for none. ended: called by
        rl-exec with the command's wait status before anybody hears of it; with None when it does
        not come to run. Does not raise.
        """

        command: Command
        namespaces: Namespaces
        init_fd: int
        helpers: str
        ended: Callable[[int | None], None]


CHILD = "child"
KEEP = "keep"
# How long a command may be short, and not worth moving who waits for it.
_SHORT_MS = 100


class Entry:
    """One command on its way into a container; the launcher's side."""

    def __init__(self, request: EnterRequest, stdio: Stdio) -> None:
        """Fork rl-exec, which waits for `go`."""
        self.stdio = stdio
        self.report, theirs = channel.pair()
        self._setup, setup = channel.pair()
        self._command_pid, self._command_fd = 0, -1
        payload.load_for(request["command"]["process"])
        if request["command"]["emulation"] is not None:
            from rootless.runtime import answering  # noqa: F401  # what rl-exec will need
        self.pid = os.fork()
        if self.pid == 0:
            _main(request, theirs, setup, stdio)
        theirs.close()
        setup.close()
        stdio.close_container_side()

    def go(self, *, terminal: bool) -> int:
        """Let the command start; returns when exec has succeeded.

        Returns the terminal's leader, -1 without one. Raises RlError, with exit code 126 or 127
        where the command cannot be run.
        """
        try:
            self._setup.send(messages.GO)
        except OSError:
            pass  # it has ended, and said why
        received = self.report.receive()
        if received is None or received[0][0] != CHILD:
            raise _failure(received)
        self._command_pid, self._command_fd = received[0][1], received[1][0]
        leader = -1
        while (received := self._setup.receive()) is not None:
            if received[0][0] != messages.TERMINAL:
                # It is about to end by itself, with the exit code of its reason.
                wait_readable([self._command_fd], _SHORT_MS)
                raise _failure(received)
            leader = received[1][0]
        if terminal and leader < 0:
            raise _failure(None)
        self._setup.close()
        return leader

    def signal(self, number: int) -> None:
        """Send the command a signal; one that has ended is no error."""
        if self._command_fd >= 0:
            signals.send(self._command_fd, number)

    def kill_group(self) -> None:
        """SIGKILL the command, if it has not ended, and what it has started in its own group."""
        if not wait_readable([self._command_fd], 0):
            try:
                os.killpg(self._command_pid, signals.SIGKILL)
            except ProcessLookupError:
                pass

    def keep(self, leader: int) -> None:
        """Have the terminal stay when we are gone."""
        self.report.send(KEEP, fds=[leader])

    def status(self) -> int:
        """Wait for the command's end; its wait status."""
        received = self.report.receive()
        if received is None:
            raise RuntimeSetupError("the process that waits for the command was killed")
        return int(received[0][1])

    def abandon(self) -> None:
        """Give up: kill what runs."""
        self.signal(signals.SIGKILL)
        self.report.close()
        self._setup.close()


def _failure(received: tuple[tuple[Any, ...], list[int]] | None) -> RlError:
    if received is not None and received[0][0] == messages.FAILED:
        return messages.failure_of(received[0])
    return RuntimeSetupError("the command was killed before it ran", hint="rl ps -a")


def _main(request: EnterRequest, report: Channel, setup: Channel, stdio: Stdio) -> NoReturn:
    """The life of rl-exec."""
    code = 1
    try:
        _get_ready(request, report, setup, stdio)
        if setup.receive() is None:
            request["ended"](None)
            os._exit(code)
        pid = _start(request, report, setup, stdio)
        _let_go(setup)
        _follow(request, report, pid)
        code = 0
    except BaseException as error:
        request["ended"](None)
        messages.send_failure(report, error, "entering the container")
    os._exit(code)


def _get_ready(request: EnterRequest, report: Channel, setup: Channel, stdio: Stdio) -> None:
    libc.prctl_name("rl-exec")
    # Keys at the user's terminal are for `rl`, which decides about them.
    os.setsid()
    for number in signals.FROM_TERMINAL:
        signals.signal(number, signals.SIG_IGN)
    stdio.close_launcher_side()
    if not request["command"]["interactive"]:
        # Now, while /dev/null is the host's.
        stdio.container[0] = null_fd()
    kept = {report.fd, setup.fd, request["init_fd"], *stdio.container}
    close_all_but(kept.union(request["namespaces"].fds.values()))
    process = request["command"]["process"]
    # Before /proc/self is root's, as that of every undumpable process.
    if "oomScoreAdj" in process:
        _copy_oom_score(process["oomScoreAdj"])
    # Nobody in the container may trace this process or open what is behind its /proc/PID, from its
    # first moment there. The kernel does the same at the change of user namespace; exec ends it.
    libc.prctl(libc.PR_SET_DUMPABLE, 0)


def _copy_oom_score(score: int) -> None:
    try:
        payload.set_oom_score(score)
    except RlError as error:
        log.effect(error.message)  # our session's is higher, and stays


def _start(request: EnterRequest, report: Channel, setup: Channel, stdio: Stdio) -> int:
    """Fork the command; its pid, which the launcher is told."""
    namespaces = request["namespaces"]
    answers = _have_users_answered(request)
    namespaces.join("user", "pid", "time")
    own = payload.own_interpreter()
    pid = os.fork()
    if pid == 0:
        report.close()
        entered.main(request["command"], namespaces, setup, stdio, own)
    if answers is not None:
        answers.close()
    fd = os.pidfd_open(pid)
    report.send(CHILD, pid, fds=[fd])
    os.close(fd)
    return pid


def _have_users_answered(request: EnterRequest) -> Channel | None:
    """Where one id alone is mapped: fork what answers the command's calls about users."""
    command = request["command"]
    if command["emulation"] is None:
        return None
    from rootless.runtime import answering

    def join() -> None:
        _streams_to_null()
        _leave_group(request["helpers"])
        request["namespaces"].join("user")

    answers = answering.begin_for_command(command["emulation"], command["answered_seccomp"], join)
    if answers is not None:
        command["listener_to"] = answers.fd
    return answers


def _let_go(setup: Channel) -> None:
    """Of what belongs to the command, or the launcher would wait for its end for ever."""
    setup.close()
    _streams_to_null()


def _streams_to_null() -> None:
    null = null_fd()
    for number in range(3):
        os.dup2(null, number)


def _follow(request: EnterRequest, report: Channel, pid: int) -> None:
    """Until the command has ended; the launcher may be gone long before."""
    command_fd, init_fd = os.pidfd_open(pid), request["init_fd"]
    close_all_but({report.fd, command_fd, init_fd})
    watched = [command_fd, report.fd, init_fd]
    ready = wait_readable([command_fd], _SHORT_MS)
    if not ready:
        _leave_group(request["helpers"])
    while command_fd not in ready:
        ready = wait_readable(watched)
        if init_fd in ready:
            # Without a pid namespace of its own nobody else ends it.
            signals.send(command_fd, signals.SIGKILL)
            watched.remove(init_fd)
        if report.fd in ready:
            watched.remove(report.fd)
            received = report.receive()
            watched += received[1] if received is not None else []
        _drop_output([fd for fd in ready if fd not in (command_fd, init_fd, report.fd)], watched)
    status = os.waitpid(pid, 0)[1]
    request["ended"](status)
    try:
        report.send(messages.EXITED, status)
    except OSError:
        pass  # nobody waits


def _leave_group(helpers: str) -> None:
    """We are not the container's: neither counted for it nor listed with it."""
    if helpers:
        try:
            groups.enter(helpers)
        except HostError as error:
            log.effect(error.message)


def _drop_output(leaders: list[int], watched: list[int]) -> None:
    """A terminal whose output nobody reads would stop who writes it."""
    for leader in leaders:
        try:
            if os.read(leader, 65536):
                continue
        except OSError:
            pass  # the other side is closed
        watched.remove(leader)
        os.close(leader)
