"""The supervisor of a detached container: a small process that stays as long as the container.

It is forked from rl before rl loads what planning and starting need, and takes over once the
command runs: output goes to the log and to who is attached, the end goes into the record, and the
restart policy is followed. It waits in poll(2) and nowhere else.
"""

from __future__ import annotations

import _socket
import os
import select
import time

from rootless.engine import clients, logs
from rootless.engine.clients import Client
from rootless.engine.detached_streams import Streams
from rootless.engine.ending import Ending
from rootless.engine.pump import milliseconds, poll
from rootless.errors import EXIT_SIGNAL_BASE, RlError
from rootless.kernel import channel, libc, proc, signals
from rootless.kernel.channel import Channel
from rootless.model import restart
from rootless.runtime import messages
from rootless.store import containers, paths
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.health_monitor import Monitor

TAKEN, REFUSED = "taken", "refused"
# A client that does not read must not keep a container from ending.
_SECONDS_FOR_LAST_WORDS = 2.0


def main(launcher: Channel) -> None:
    """The supervisor's life. launcher: says "take-over" with what engine.detach puts together, and
    "runs" when the command does."""
    received = launcher.receive()
    if received is None:
        return  # nothing came to run
    (_, facts), fds = received
    try:
        supervisor = Supervisor(facts, fds)
        # Before the launcher can end: its directory is its caller's.
        os.chdir("/")
        launcher.send(TAKEN)
    except (OSError, RlError) as error:
        launcher.send(REFUSED, str(error))
        return
    if launcher.receive() is None:
        return  # it could not be executed, or nobody is left who looks after the start
    launcher.close()
    # For the rl that it may become.
    os.environ["RL_ROOT"] = supervisor.paths.root
    os.environ["RL_RUNTIME_DIR"] = supervisor.paths.runtime
    # What imports have used in between, a tenth of all.
    libc.give_memory_back()
    supervisor.run()


class Supervisor:
    """One container, from the moment it runs. facts, fds: see engine.detach."""

    def __init__(self, facts: dict[str, Any], fds: list[int]) -> None:
        self.paths = paths.discover()
        record = facts["record"]
        self.id: str = record["id"]
        self._facts = facts
        self._ending = Ending(self.paths, record, facts["remove"])
        control, self._init_fd, self._lock_fd, *rest = fds
        self._control = Channel(_socket.socket(fileno=control))
        count = 1 if facts["terminal"] else 3
        self._streams = Streams(
            rest[:count],
            logs.open_writer(self.paths, record),
            self._clients_of_output,
            interactive=facts["interactive"],
            once=facts["stdin_once"],
        )
        self._network = rest[count : count + facts["network_fds"]]
        network_pid: int = facts["network_pid"]
        self._network_fd = os.pidfd_open(network_pid) if network_pid else -1
        self._clients: list[Client] = []
        if facts["has_client"]:
            sock = _socket.socket(fileno=rest[-1])
            self._clients.append(Client(sock, attached=True))
        self._listener = clients.listen(containers.live_directory(self.paths, self.id))
        self._status: int | None = None
        self._has_unwound = self._is_clean = self._is_stopped = False
        self._began = 0.0
        self._deadline: float | None = None
        self._monitor = self._health_monitor(record) if record.get("health") else None

    def run(self) -> None:
        """Until the container has ended and everything of it is unmade; may become its restart."""
        self._began = time.monotonic()
        if self._facts["timeout"]:
            self._deadline = self._began + self._facts["timeout"]
        while self._status is None:
            self._turn(self._until_deadline())
            self._check_deadline()
        if self._monitor is not None:
            self._monitor.close()
        self._streams.drain()
        self._stop_network()
        while not self._has_unwound:
            self._turn(None)
        self._streams.close()
        self._end(spawn.exit_code_of(self._status))

    def _health_monitor(self, record: dict[str, Any]) -> Monitor:
        from rootless.engine import health_monitor

        group = self._facts["group"].get("path", "")
        return health_monitor.of_container(self.paths, record, group, self._kill)

    def _clients_of_output(self) -> list[Client]:
        return [client for client in self._clients if client.is_attached]

    # --- waiting

    def _turn(self, timeout_ms: int | None) -> None:
        masks = {self._control.fd: select.POLLIN}
        if len(self._clients) < clients.MOST:
            masks[self._listener.fileno()] = select.POLLIN
        if self._status is None:
            self._streams.wants(masks)
            if self._monitor is not None:
                self._monitor.wants(masks)
        for client in self._clients:
            masks[client.fd] = client.events if self._streams.takes_input else client.events & ~1
        ready = poll({fd: mask for fd, mask in masks.items() if mask}, timeout_ms)
        self._streams.handle(ready)
        self._serve_clients(ready)
        if self._control.fd in ready:
            self._hear_keeper()
        if self._monitor is not None and self._status is None:
            self._monitor.turn(ready)

    def _until_deadline(self) -> int | None:
        deadlines = [self._deadline] if self._deadline is not None else []
        if self._monitor is not None:
            deadlines.append(self._monitor.deadline)
        return milliseconds(min(deadlines) - time.monotonic()) if deadlines else None

    def _check_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            self._deadline = None
            self._kill()

    def _kill(self) -> None:
        signals.send(self._init_fd, signals.SIGKILL)

    # --- the keeper

    def _hear_keeper(self) -> None:
        received = self._control.receive()
        if received is None:
            self._has_unwound = True
            if self._status is None:
                # It was killed, and its children with it.
                self._kill()
                self._status = EXIT_SIGNAL_BASE + signals.SIGKILL << 8
            return
        message = received[0]
        if message[0] == messages.EXITED:
            self._status = message[1]
        elif message[0] == messages.UNWOUND:
            self._is_clean = True
        elif message[0] == messages.OOM:
            self._try_to_note(lambda: self._ending.note_oom(message[1]))
        elif message[0] == messages.DRIVER_DIED:
            words = f"the container's file system died ({message[1]})"
            self._try_to_note(lambda: self._update(error=words))
        elif message[0] == messages.FAILED:
            error = messages.failure_of(message)
            self._try_to_note(lambda: self._update(error=error.message))

    # --- clients

    def _serve_clients(self, ready: dict[int, int]) -> None:
        for client in self._clients:
            if ready.get(client.fd, 0) & select.POLLOUT:
                client.flush()
            if client.is_open and ready.get(client.fd, 0) & ~select.POLLOUT:
                for message in client.receive():
                    self._answer(client, message)
        self._clients = [client for client in self._clients if client.is_open]
        if self._listener.fileno() in ready:
            newcomer = clients.accept(self._listener)
            if newcomer is not None:
                self._clients.append(newcomer)

    def _answer(self, client: Client, message: tuple[Any, ...]) -> None:
        try:
            self._do(client, message)
        except (IndexError, TypeError, ValueError, OverflowError):
            client.close()  # it does not speak our language

    def _do(self, client: Client, message: tuple[Any, ...]) -> None:
        kind = message[0]
        if kind == clients.ATTACH:
            client.is_attached = True
            client.queue(clients.ATTACHED, self._facts["terminal"])
        elif kind == clients.INPUT:
            self._streams.give(message[1])
        elif kind == clients.END_OF_INPUT:
            self._streams.end_input()
        elif kind == clients.STOP:
            self._is_stopped = True
            client.queue(clients.STOP)
        elif kind == clients.RESIZE:
            self._streams.resize(message[1], message[2])

    # --- the end

    def _stop_network(self) -> None:
        for fd in self._network:
            os.close(fd)
        self._network = []
        if self._network_fd >= 0:
            signals.send(self._network_fd, signals.SIGKILL)
            channel.wait_readable([self._network_fd], 5000)
            os.close(self._network_fd)

    def _end(self, code: int) -> None:
        is_noted = self._note_exit(code)
        wait = self._seconds_to_restart(code) if is_noted and not self._facts["remove"] else None
        if wait is not None and self._waits_for_restart(wait):
            self._leave()
            self._say_goodbye(code)
            # A fresh rl starts it, as somebody at a terminal would.
            spawn.become_rl("container", "restarted", self.id)
        if is_noted:
            self._leave()
        self._say_goodbye(code)

    def _note_exit(self, code: int) -> bool:
        """Whether the end is in the record; else, on a full disk, recovery finds it beside it."""
        try:
            self._ending.note_exit(code)
            return True
        except (OSError, RlError):
            end = {"exit_code": code, "finished": time.time()}
            state = containers.read_state(self.paths, self.id)
            self._try_to_note(lambda: containers.write_state(self.paths, self.id, {**state, **end}))
            return False

    def _leave(self) -> None:
        self._listener.close()
        if not self._is_clean:
            from rootless.engine import recover

            self._try_to_note(lambda: recover.end_rest(self.paths, self.id))
        self._try_to_note(self._leave_group)
        self._try_to_note(self._ending.leave)
        os.close(self._lock_fd)

    def _leave_group(self) -> None:
        """The keeper could not remove a group of our own making: we are in it as well."""
        from rootless.cgroup.choice import CGROUPFS

        facts = self._facts["group"]
        if facts.get("manager") != CGROUPFS or not os.path.isdir(facts["path"]):
            return
        from rootless.cgroup import subtree
        from rootless.cgroup.group import Group

        subtree.remove(Group(facts["path"]), leave=True)

    def _say_goodbye(self, code: int) -> None:
        """Who is attached, or waits, hears of the end; the next run has clients of its own."""
        for client in self._clients:
            client.queue(clients.END, code)
            client.finish(_SECONDS_FOR_LAST_WORDS)

    def _update(self, **changes: Any) -> None:
        containers.update_record(self.paths, self.id, **changes)

    def _try_to_note(self, note: Any) -> None:
        """Nobody hears a complaint of ours; the record says what it can, recovery does the rest."""
        try:
            note()
        except (OSError, RlError):
            pass

    # --- restarts

    def _seconds_to_restart(self, code: int) -> float | None:
        """How long to wait before the next start; None when there is to be none."""
        try:
            record = containers.read_record(self.paths, self.id)
            policy = restart.parse(record.get("restart", ""))
        except RlError:
            return None
        in_a_row = int(record.get("restarts_in_a_row", 0))
        is_stopped = self._is_stopped or bool(record.get("stop_requested"))
        if not policy.wants(code, in_a_row, stop_requested=is_stopped):
            return None
        wait, in_a_row = restart.delay(in_a_row, time.monotonic() - self._began)
        me = [proc.boot_id(), os.getpid(), proc.start_time(os.getpid())]
        try:
            self._update(
                status="restarting", restarts_in_a_row=in_a_row, restart_at=time.time() + wait,
                restart_count=int(record.get("restart_count", 0)) + 1, restarter=me,
            )  # fmt: skip
        except (OSError, RlError):
            return None  # a full disk, or the container is gone
        return wait

    def _waits_for_restart(self, seconds: float) -> bool:
        """Whether, after that time, the container is still to be started again."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            masks = {self._listener.fileno(): select.POLLIN}
            masks.update((client.fd, client.events) for client in self._clients)
            self._serve_clients(poll(masks, milliseconds(left)))
            if self._is_to_stop():
                self._try_to_note(lambda: self._update(status="exited"))
                return False
        return True

    def _is_to_stop(self) -> bool:
        if self._is_stopped:
            return True
        try:
            return bool(containers.read_record(self.paths, self.id).get("stop_requested"))
        except RlError:
            return True  # removed, or damaged
