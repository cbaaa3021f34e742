"""The launcher's side: start a keeper, hand it the request, follow the container to its end."""

from __future__ import annotations

import os

from rootless.errors import HostError, RlError, RuntimeSetupError
from rootless.kernel import channel, libc, processors, signals
from rootless.model.idmap import IdMaps
from rootless.runtime import messages
from rootless.runtime.stdio import Stdio
from rootless.tools import idmap, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from rootless.model.idmap import IdMap
    from rootless.runtime.joined import Joined
    from rootless.runtime.messages import Ground, Request


_MAP, _MAPPED, _WAKE = "map", "mapped", "wake"


class _Mapper:
    """The supervisor, which has nothing else to do yet, as the one who writes the id maps: a start
    of a program may wait for a processor, which a launcher that plans had better not do."""

    def __init__(self, supervisor: channel.Channel) -> None:
        self._supervisor = supervisor

    def start(self, pid: int, maps: IdMaps) -> _Mapper:
        """Ask for it."""
        self._supervisor.send(_MAP, pid, maps.uids, maps.gids)
        return self

    def wait(self) -> None:
        """Until it is done. Raises HostError."""
        received = self._supervisor.receive()
        if received is None:
            raise HostError("id maps: the container's supervisor has ended")
        if received[0][0] != _MAPPED:
            raise messages.failure_of(received[0])


class Launch:
    """One container on its way up; that it is begun needs no knowledge of it and can come very
    early.

    supervise: for a container that its caller does not wait for, what a process of its own runs
    with its end of the channel `supervisor`; that process outlives us. supervisor_pid: 0 without.
    keep_output: see Stdio. joined: of other containers, None for namespaces of its own.
    """

    def __init__(
        self,
        supervise: Callable[[channel.Channel], None] | None = None,
        *,
        keep_output: bool = False,
        joined: Joined | None = None,
    ) -> None:
        self.stdio = Stdio(keep=keep_output, detached=supervise is not None)
        self.control, self._keeper_control = channel.pair()
        self.setup, self._init_setup = channel.pair()
        self.joined = joined
        self._pending = idmap.begin(
            self._keeper, joined.user_fd if joined else -1, self._prepare_keeper
        )
        self._keeper_control.close()
        self._init_setup.close()
        self.keeper_pid = self._pending.pid
        processors.begin_elsewhere(self.keeper_pid)
        self.supervisor: channel.Channel | None = None
        self.supervisor_pid = 0
        if supervise is not None:
            # After the keeper, which has more to do: the first gets the processor that is free.
            self._fork_supervisor(supervise)
        self.init_pid = 0
        self.waiting_pid = 0  # with another runtime: who waits for init
        self._init_fd = -1
        self._maps: IdMaps | None = None
        self._has_early_network = False
        self._is_let_go = False
        self.server_pids: list[int] = []
        self.view_pid = 0
        self.times: list[tuple[str, int]] = []

    def _fork_supervisor(self, supervise: Callable[[channel.Channel], None]) -> None:
        ours, theirs = channel.pair()
        pid = os.fork()
        if pid == 0:
            _become_supervisor(supervise, theirs)
        theirs.close()
        processors.begin_elsewhere(pid)
        self.supervisor, self.supervisor_pid = ours, pid

    def _prepare_keeper(self) -> None:
        """While the launcher still plans and the maps are being written."""
        self.control.close()
        self.setup.close()
        self.stdio.close_launcher_side()
        load_for_keepers()

    def _keeper(self) -> None:
        from rootless.runtime import keeper

        processors.run_anywhere()
        keeper.main(self._keeper_control, self._init_setup, self.stdio)

    def request_maps(self) -> IdMaps:
        """The user's canonical maps, which are being written from now on. Harmless when repeated.

        Raises HostError where user namespaces are forbidden.
        """
        if self._maps is not None:
            return self._maps
        maps = self._maps = idmap.canonical_maps()
        write = _Mapper(self.supervisor).start if self.supervisor else None
        self._pending.request(maps, write)
        return maps

    def begin(self, ground: Ground, lock_fd: int) -> None:
        """Have the keeper begin, with the container's lock to hold as long as it lives.

        Raises HostError when the maps could not be written.
        """
        self._pending.finish()
        self.control.send(ground, fds=[lock_fd])

    def send(self, request: Request) -> None:
        """Give the keeper the rest of its work."""
        fds = list(self.joined.fds.values()) if self.joined else []
        self.control.send(request, fds=fds)
        self._has_early_network = bool(request["early"])
        self._close_joined()

    @staticmethod
    def _wake_supervisor(supervisor: channel.Channel) -> None:
        """From now on we mostly wait: its imports take no processor from ours, or the keeper's."""
        try:
            supervisor.send(_WAKE)
        except OSError:
            pass  # it was killed, as will be seen when it is to take over

    def _close_joined(self) -> None:
        if self.joined is not None:
            self.joined.close()

    def wait_for_init(self) -> int:
        """Until the container's first process and its network namespace are there: the pid of the
        process, in our pid namespace."""
        message, fds = self._control_message(messages.INIT)
        self.init_pid = message[1]
        self.server_pids, self.view_pid = message[2]
        # By descriptor: the pid itself may be somebody else's once the keeper has reaped it.
        self._init_fd = fds[0]
        self.times.append(("root file system mounted, init forked", message[3]))
        if not self._has_early_network:
            self._setup_message(messages.NETWORK)
        return self.init_pid

    def wait_until_ready(self, *, terminal: bool) -> int:
        """Until init waits for GO; the terminal's leader descriptor, -1 without one."""
        if self.supervisor is not None:
            self._wake_supervisor(self.supervisor)
        leader = -1
        if terminal:
            leader = self._setup_message(messages.TERMINAL)[1][0]
        message, fds = self._setup_message(messages.READY)
        if fds:
            self._follow_other(message[1], fds[0])
        self.stdio.close_container_side()
        return leader

    def _follow_other(self, pid: int, pidfd: int) -> None:
        """The container's first process is another runtime's; init waits for it."""
        os.close(self._init_fd)
        self.waiting_pid, self.init_pid, self._init_fd = self.init_pid, pid, pidfd

    def go(self) -> None:
        """Let init become the payload; returns when exec has succeeded.

        Raises RuntimeSetupError with exit code 126 or 127 when it has not.
        """
        self.setup.send(messages.GO)
        self.times += self._setup_message(messages.STARTING)[0][1]
        received = self.setup.receive()
        if received is not None:
            raise self._failure(received[0])
        self.setup.close()

    def _control_message(self, kind: str) -> tuple[tuple[Any, ...], list[int]]:
        received = self.control.receive()
        if received is None:
            raise RuntimeSetupError("the container's keeper ended without a word")
        if received[0][0] != kind:
            raise self._failure(received[0])
        return received

    def _setup_message(self, kind: str) -> tuple[tuple[Any, ...], list[int]]:
        received = self.setup.receive()
        if received is None:
            raise self._reason_of_keeper()
        if received[0][0] != kind:
            raise self._failure(received[0])
        return received

    def _failure(self, message: tuple[Any, ...]) -> RlError:
        error = messages.failure_of(message)
        # A dead file server shows as "Transport endpoint is not connected" in init: its own words
        # are the cause.
        if "Transport endpoint" in error.message or "Software caused" in error.message:
            return self._reason_of_keeper()
        return error

    def _reason_of_keeper(self) -> RlError:
        while (received := self.control.receive()) is not None:
            if received[0][0] == messages.FAILED:
                return messages.failure_of(received[0])
            if received[0][0] == messages.DRIVER_DIED:
                return RuntimeSetupError(received[0][1])
        return RuntimeSetupError("the container's first process ended before the command ran")

    @property
    def init_fd(self) -> int:
        """A pidfd of the container's first process."""
        return self._init_fd

    def abandon(self) -> None:
        """Give up: the keeper kills what runs and unwinds. Waits for it, and for a supervisor.

        Harmless when repeated, and once the supervisor has the container.
        """
        if self._is_let_go:
            return
        self.dismiss_supervisor()
        for end in (self.control, self.setup):
            end.close()
        self.stdio.close_container_side()
        self.stdio.close_launcher_side()
        self._pending.abandon()
        self._close_joined()
        self.reap()

    def dismiss_supervisor(self) -> None:
        """End the supervisor, and with it its copies of what keeps a container; waits for it."""
        if self.supervisor is not None:
            self.supervisor.close()
            self.supervisor = None
            os.waitpid(self.supervisor_pid, 0)

    def let_go(self) -> None:
        """The supervisor has copies of everything: close ours, so that it alone keeps the
        container."""
        self._is_let_go = True
        self.control.close()
        self.stdio.close_launcher_side()
        os.close(self._init_fd)
        if self.supervisor is not None:
            self.supervisor.close()

    def reap(self) -> int:
        """Wait for the keeper; its exit code."""
        try:
            return spawn.exit_code_of(os.waitpid(self.keeper_pid, 0)[1])
        except ChildProcessError:
            return 0

    def signal_init(self, number: int) -> None:
        """Send a signal to the container's first process; one that has ended is no error."""
        signals.send(self._init_fd, number)

    def kill(self) -> None:
        """SIGKILL the container."""
        self.signal_init(signals.SIGKILL)


def load_for_keepers() -> None:
    """Import what every keeper needs."""
    from rootless.runtime import init, keeper, reaper, view  # noqa: F401
    from rootless.tools import fuse_overlayfs  # noqa: F401


def _write_maps(launcher: channel.Channel, pid: int, uids: IdMap, gids: IdMap) -> None:
    try:
        idmap.write_maps(pid, IdMaps(uids, gids)).wait()
        launcher.send(_MAPPED)
    except (RlError, OSError) as error:
        messages.send_failure(launcher, error, "id maps")


def _become_supervisor(
    supervise: Callable[[channel.Channel], None], mine: channel.Channel
) -> NoReturn:
    code = 1
    try:
        # Neither a closed terminal nor Ctrl-C at it ends what was detached from it.
        os.setsid()
        libc.prctl_name("rl-supervisor")
        libc.set_command_line("rl-supervisor")
        # Who reads what the caller prints would wait for us.
        null = channel.null_fd()
        for number in range(3):
            os.dup2(null, number)
        channel.close_all_but({mine.fd})
        received = mine.receive()
        if received is not None and received[0][0] == _MAP:
            _write_maps(mine, *received[0][1:])
            received = mine.receive()
        if received is not None:
            processors.run_anywhere()
            supervise(mine)
        code = 0
    finally:
        os._exit(code)
