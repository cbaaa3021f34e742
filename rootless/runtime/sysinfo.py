"""`--sysinfo`: the container's calls of sysinfo(2), answered by a fork of the keeper.

Init installs the filter and sends its listener to the keeper. The answering process is outside of
the container, like that of the view; it has CAP_SYS_PTRACE, to write into its callers' memory, and
where other ids are mapped it is none of the user's: it can reach what is in the container's user
namespace, and no other process of the user.
"""

from __future__ import annotations

import _socket
import errno
import os

from rootless import log
from rootless.errors import HostError, RuntimeSetupError
from rootless.kernel import capabilities, libc, notify, signals
from rootless.kernel.channel import Channel, close_all_but, pair
from rootless.model.idmap import parse_map
from rootless.procview import notified
from rootless.procview.notified import Listener
from rootless.procview.page import Page
from rootless.procview.source import Host
from rootless.procview.sysinfo import Answers
from rootless.procview.watched import Watched
from rootless.runtime import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.runtime.messages import Request

_YAMA = "/proc/sys/kernel/yama/ptrace_scope"
_NO_ATTACH = "3"
_LISTENER = "listener"
_KEPT = ["CAP_SYS_PTRACE"]


class Sysinfo:
    """Answers as soon as init has sent its listener.

    fd: for poll(2), readable when `look` has something to do; -1 when there is nothing to watch.
    """

    def __init__(self, request: Request) -> None:
        """Notes in the request where init sends to. Raises HostError where it cannot be."""
        _check_yama()
        self._host = Host()
        self._seccomp = request["sysinfo_seccomp"]
        # For its counters alone.
        self._readers = view.readers_of(self._host, request, Page())
        self._answers = Answers(self._readers)
        self._uid = _last_id("uid_map")
        self._gid = _last_id("gid_map")
        self._channel, self._init_side = pair()
        request["listener_to"] = self._init_side.fd
        self.fd = self._channel.fd
        self._watched: Watched | None = None

    @property
    def pid(self) -> int:
        """Of the process that answers, 0 without one."""
        return self._watched.pid if self._watched else 0

    @property
    def private(self) -> list[int]:
        """Descriptors that init may not have."""
        return [self._channel.fd, *self._host.fds()]

    def init_is_forked(self) -> None:
        """Let go of init's side, so that its death is noticed."""
        self._init_side.close()

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
            return  # init has ended, and says itself why
        listener = Listener(received[1][0])
        self._watched = Watched(listener, lambda: self._fork(listener), purpose="sysinfo")

    def _fork(self, listener: Listener) -> int:
        pid = os.fork()
        if pid == 0:
            self._serve(listener)
        return pid

    def _serve(self, listener: Listener) -> NoReturn:
        try:
            libc.prctl_name("rl-sysinfo")
            libc.set_command_line("rl-sysinfo")
            close_all_but({0, 1, 2, listener.fd, *self._host.fds()})
            self._give_up_privileges()
            self._readers.container.resume()
            if self._seccomp:
                libc.seccomp_set_mode_filter(self._seccomp)
            notified.serve(listener, self._answers.structure)
        except BaseException as error:
            log.warn(f"sysinfo: {error!r}")
            os._exit(1)
        os._exit(0)

    def _give_up_privileges(self) -> None:
        libc.prctl(libc.PR_SET_KEEPCAPS, 1)
        os.setresgid(self._gid, self._gid, self._gid)
        os.setresuid(self._uid, self._uid, self._uid)
        capabilities.set_sets({"permitted": _KEPT, "effective": _KEPT})
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
        # After the change of ids, which clears it.
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)


def _check_yama() -> None:
    try:
        with open(_YAMA) as file:
            scope = file.read().strip()
    except OSError:
        return  # a kernel without Yama
    if scope == _NO_ATTACH:
        raise HostError(
            f"--sysinfo: nobody may write into another process's memory here ({_YAMA} is 3)",
            hint="cat /etc/sysctl.d/*ptrace*  # holds until the next boot",
        )


def _last_id(name: str) -> int:
    """Of this user namespace: hardly anything in an image uses it. 0 where it is the only one."""
    with open(f"/proc/self/{name}") as file:
        return max(first + count - 1 for first, _, count in parse_map(file.read()))


def install(program: bytes, listener_to: int) -> None:
    """In init: have the keeper answer. Raises RuntimeSetupError."""
    channel = Channel(_socket.socket(fileno=listener_to))
    try:
        listener = notify.install(program)
        # Nothing here may call sysinfo(2) before the keeper has it; afterwards init has no copy,
        # or the payload could answer itself.
        channel.send(_LISTENER, fds=[listener])
        os.close(listener)
    except OSError as error:
        raise _refused(error) from error
    finally:
        channel.close()


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
