"""System calls of the container that a fork of the keeper answers.

`--sysinfo`: sysinfo(2). Where one id alone is mapped: calls about users (`runtime.emulation`). A
process has one listener at most, so one process answers both.

Init installs the filter and sends its listener to the keeper. The answering process is outside of
the container, like that of the view; it has CAP_SYS_PTRACE, to write into its callers' memory, and
where other ids are mapped it is none of the user's: it can reach what is in the container's user
namespace, and no other process of the user.
"""

from __future__ import annotations

import _socket
import errno
import os

from rootless import log, quickload
from rootless.errors import HostError, RuntimeSetupError
from rootless.kernel import capabilities, libc, notify, signals
from rootless.kernel.channel import Channel, close_all_but, pair
from rootless.model.idmap import parse_map
from rootless.procview import notified
from rootless.procview.notified import Listener
from rootless.procview.watched import Watched

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from rootless.kernel.notify import Notification
    from rootless.procview.sysinfo import Answers
    from rootless.runtime.emulation import Emulation
    from rootless.runtime.idstate import IdState
    from rootless.runtime.messages import EmulationRequest, Request

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
_NO_ATTACH = "3"
_LISTENER = "listener"
_FOR_SYSINFO = ("CAP_SYS_PTRACE",)
# To walk its callers' paths as they would, and to note what root of the container may note.
_FOR_USERS = ("CAP_SYS_PTRACE", "CAP_SYS_CHROOT", "CAP_DAC_OVERRIDE", "CAP_FOWNER")


class Sysinfo:
    """sysinfo(2), by the texts of the view of /proc."""

    def __init__(self, request: Request) -> None:
        """Raises HostError where it cannot be answered."""
        from rootless.procview.page import Page
        from rootless.procview.source import Host
        from rootless.procview.sysinfo import Answers
        from rootless.runtime import view

        _check_yama()
        self._host = Host()
        # For its counters alone.
        self._readers = view.readers_of(self._host, request, Page())
        self._answers: Answers = Answers(self._readers)

    def fds(self) -> list[int]:
        """Of the host's files."""
        return self._host.fds()

    def begin(self) -> None:
        """In the process that answers."""
        self._readers.container.resume()

    def structure(self, pid: int, arch: int) -> bytes:
        """What it tells a process."""
        return self._answers.structure(pid, arch)


class Answering:
    """Answers as soon as init has sent its listener through `channel`.

    seccomp: the filter of the process that answers. sysinfo: where that is answered. state: where
    calls about users are.

    fd: for poll(2), readable when `look` has something to do; -1 when there is nothing to watch.
    """

    def __init__(
        self,
        seccomp: bytes,
        sysinfo: Sysinfo | None,
        state: IdState | None,
        channel: Channel,
    ) -> None:
        self._seccomp = seccomp
        self._sysinfo = sysinfo
        self._state = state
        self._uid = _last_id("uid_map")
        self._gid = _last_id("gid_map")
        self._channel = channel
        self.fd = self._channel.fd
        self._watched: Watched | None = None

    @property
    def pid(self) -> int:
        """Of the process that answers, 0 without one."""
        return self._watched.pid if self._watched else 0

    @property
    def private(self) -> list[int]:
        """Descriptors that init may not have."""
        return [self._channel.fd, *self._host_fds()]

    def _host_fds(self) -> list[int]:
        return self._sysinfo.fds() if self._sysinfo else []

    def look(self) -> None:
        """Take the listener, or put another process in the place of one that has died."""
        if self._watched:
            self._watched.look()
        else:
            self._take_listener()
        self.fd = self._watched.fd if self._watched else -1

    def stop(self) -> None:
        """End it."""
        if self._watched:
            self._watched.stop()

    def _take_listener(self) -> None:
        received = self._channel.receive()
        self._channel.close()
        if received is None:
            return  # init has ended, and says itself why; or it does without
        self.take_base(received[0][1:])
        listener = Listener(received[1][0])
        purpose = "sysinfo" if self._sysinfo else "calls about users"
        self._watched = Watched(listener, lambda: self._fork(listener), purpose=purpose)
        self._watched.begin()

    def take_base(self, who: tuple[Any, ...]) -> None:
        """Know who the process is that has sent the listener."""
        if self._state is not None:
            self._state.take_base(*who)

    def _fork(self, listener: Listener) -> int:
        pid = os.fork()
        if pid == 0:
            self.serve(listener)
        return pid

    def serve(self, listener: Listener, *, dies_with_parent: bool = True) -> NoReturn:
        """Be the process that answers."""
        try:
            name = "rl-sysinfo" if self._sysinfo else "rl-users"
            libc.prctl_name(name)
            libc.set_command_line(name)
            close_all_but({0, 1, 2, listener.fd, *self._host_fds()})
            self._give_up_privileges()
            if dies_with_parent:
                # After the change of ids, which clears it.
                libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
            notified.serve_calls(listener, self._begin(listener))
        except BaseException as error:
            log.warn(f"system calls answered from outside: {error!r}")
            os._exit(1)
        os._exit(0)

    def _begin(self, listener: Listener) -> Callable[[Notification], int | None]:
        """Get ready, and confined; what answers."""
        sysinfo, emulation = self._sysinfo, self._emulation(listener)
        if sysinfo:
            sysinfo.begin()
        if self._seccomp:
            libc.seccomp_set_mode_filter(self._seccomp)

        def answer(waiting: Notification) -> int | None:
            if emulation is not None:
                value = emulation.answer(waiting)
                if value is not None:
                    return value
            if sysinfo is not None and (emulation is None or not emulation.knows(waiting)):
                return notified.write_structure(listener, waiting, sysinfo.structure)
            return None

        return answer

    def _emulation(self, listener: Listener) -> Emulation | None:
        if self._state is None:
            return None
        from rootless.runtime.emulation import Emulation

        emulation = Emulation(listener, self._state)
        emulation.begin()
        # From now on the root can be a container's.
        quickload.forget()
        return emulation

    def _give_up_privileges(self) -> None:
        kept = _FOR_USERS if self._state is not None else _FOR_SYSINFO
        libc.prctl(libc.PR_SET_KEEPCAPS, 1)
        os.setresgid(self._gid, self._gid, self._gid)
        os.setresuid(self._uid, self._uid, self._uid)
        capabilities.set_sets({"permitted": kept, "effective": kept})
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)


def begin(request: Request) -> tuple[Answering, Channel] | None:
    """What answers for a container, and init's end of the channel, whose number is noted in the
    request.

    Raises HostError for a --sysinfo that cannot be. Calls about users that nobody can answer are
    none: init sees to them then.
    """
    sysinfo = Sysinfo(request) if request["tells_sysinfo"] else None
    state = state_of(request["emulation"])
    if sysinfo is None and state is None:
        return None
    channel, init_side = pair()
    request["listener_to"] = init_side.fd
    return Answering(request["answered_seccomp"], sysinfo, state, channel), init_side


def begin_for_command(
    emulation: EmulationRequest, seccomp: bytes, join: Callable[[], None]
) -> Channel | None:
    """What answers for a command that enters a container: a process that ends with the last one
    that has the command's filter. The end of the channel that `install` is to send to, None where
    nobody can answer.

    join: has that process be in the container's user namespace, and wherever else it should be.
    """
    state = state_of(emulation)
    if state is None:
        return None
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _serve_command(theirs, state, seccomp, join)
    theirs.close()
    return ours


def _serve_command(
    channel: Channel, state: IdState, seccomp: bytes, join: Callable[[], None]
) -> NoReturn:
    try:
        join()
        answering = Answering(seccomp, None, state, channel)
        received = channel.receive()
        channel.close()
        if received is not None:
            answering.take_base(received[0][1:])
            answering.serve(Listener(received[1][0]), dies_with_parent=False)
    finally:
        os._exit(1)


def state_of(emulation: EmulationRequest | None) -> IdState | None:
    """What the answers to calls about users share, None where there are none."""
    if emulation is None or _is_forbidden():
        return None
    # What a server needs is loaded before it is forked: it may have to be forked often.
    from rootless.runtime import emulation as _  # noqa: F401
    from rootless.runtime.idstate import IdState

    return IdState()


def _is_forbidden() -> bool:
    try:
        with open(_YAMA) as file:
            return file.read().strip() == _NO_ATTACH
    except OSError:
        return False  # a kernel without Yama


def _check_yama() -> None:
    if _is_forbidden():
        raise HostError(
            f"--sysinfo: nobody may write into another process's memory here ({_YAMA} is 3)",
            hint="cat /etc/sysctl.d/*ptrace*  # holds until the next boot",
        )


def _last_id(name: str) -> int:
    """Of this user namespace: hardly anything in an image uses it. 0 where it is the only one."""
    with open(f"/proc/self/{name}") as file:
        return max(first + count - 1 for first, _, count in parse_map(file.read()))


def install(
    program: bytes,
    listener_to: int,
    *,
    is_asked: bool = True,
    emulation: EmulationRequest | None = None,
    user: Mapping[str, Any] | None = None,
) -> None:
    """In init: have the keeper answer the calls of `program`. Raises RuntimeSetupError.

    is_asked: the user wants it, else one without an answer will do. emulation: what calls about
    users get; where nobody can answer them, those that change something succeed and do nothing.
    user: who we are, as an OCI `process.user`. listener_to: -1 where nobody listens.
    """
    who = _fields_of(user) if user else ()
    if listener_to < 0:
        _pretend(emulation)
        return
    channel = Channel(_socket.socket(fileno=listener_to))
    try:
        listener = _listener(program, emulation, is_asked=is_asked)
        # Nothing here may make such a call before the keeper has it; afterwards init has no copy,
        # or the payload could answer itself.
        channel.send(_LISTENER, *who, fds=[listener])
        os.close(listener)
    except OSError as error:
        if is_asked:
            raise _refused(error) from error
        _pretend(emulation)
    finally:
        channel.close()


def _fields_of(user: Mapping[str, Any]) -> tuple[int, int, tuple[int, ...]]:
    return user["uid"], user["gid"], tuple(user.get("additionalGids", ()))


def _listener(program: bytes, emulation: EmulationRequest | None, *, is_asked: bool) -> int:
    try:
        return notify.install(program)
    except OSError as error:
        if emulation is None or is_asked or error.errno != errno.EINVAL:
            raise
        return notify.install(emulation["older"], uninterrupted=False)


def _pretend(emulation: EmulationRequest | None) -> None:
    if emulation is not None:
        libc.seccomp_set_mode_filter(emulation["pretending"])


def _refused(error: OSError) -> RuntimeSetupError:
    if error.errno == errno.EBUSY:
        return RuntimeSetupError(
            "--sysinfo: seccomp has one listener at most, and this process is below another's",
            hint="grep Seccomp_filters /proc/self/status  # of the container that this runs in",
        )
    return RuntimeSetupError(
        f"--sysinfo: this kernel has no system calls answered from outside: {error.strerror}",
        hint="uname -r  # Linux 5.19 or newer is needed",
    )
