"""When a detached container's health is checked, and by whom.

Part of its supervisor, which loads this only where there is a check. Each check is a process of its
own (`rl healthcheck run ID`, see engine.healthcheck): nothing that it needs stays in the
supervisor's memory, and nothing that it does can hold the supervisor up.
"""

from __future__ import annotations

import os
import select
import time

from rootless.cgroup import group as groups
from rootless.engine import healthcheck
from rootless.errors import RlError
from rootless.kernel import signals
from rootless.model import health
from rootless.model.healthcheck import Check
from rootless.store import containers
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from rootless.store.paths import Paths

_NANOSECONDS = 1e9
# An image may ask for a nanosecond; each check costs the host some 0.1 s of a CPU.
_SHORTEST_INTERVAL = 0.1
# `rl` itself stops a command that takes too long; this is for an rl that does not end either.
_SECONDS_FOR_RL = 20.0
# An rl that finds the container ending may be quicker than the news of that end.
_SECONDS_OF_DOUBT = 0.5
# What our child may need of our environment, to find the same store and the user's systemd.
_KEPT = (
    "DBUS_SESSION_BUS_ADDRESS", "HOME", "RL_CONFIG", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR",
)  # fmt: skip


class Schedule:
    """The times of a container's checks, in seconds of one clock. Pure.

    began: when the container started. `due` is when the next check is to begin.
    """

    def __init__(self, check: Check, began: float) -> None:
        self._check = check
        self._end_of_start_period = began + check.start_period / _NANOSECONDS
        self.due = began
        self.put_off(health.STARTING, began)

    def put_off(self, status: str, now: float) -> None:
        """A check has ended, or cannot be made at present. status: of the container, by now."""
        check = self._check
        starts = status == health.STARTING and now < self._end_of_start_period
        interval = check.start_interval if starts else check.interval
        self.due = now + max(interval / _NANOSECONDS, _SHORTEST_INTERVAL)

    def latest_end(self, now: float) -> float:
        """When a check that begins now has to be over."""
        return now + self._check.timeout / _NANOSECONDS + _SECONDS_FOR_RL


class Monitor:
    """The checks of one running container, one at a time.

    begin: starts one and returns its pid. is_paused: whether none can be made. broken: called with
    the exit code of an `rl` that could not tell how the container is. status: the container's, now.
    unhealthy: called each time that becomes "unhealthy".
    """

    def __init__(
        self,
        check: Check,
        *,
        begin: Callable[[], int],
        is_paused: Callable[[], bool],
        broken: Callable[[int], None],
        status: Callable[[], str],
        unhealthy: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._begin = begin
        self._is_paused = is_paused
        self._broken = broken
        self._status = status
        self._unhealthy = unhealthy
        self._clock = clock
        self._schedule = Schedule(check, clock())
        self._known = health.STARTING
        self._pid = 0
        self._fd = -1
        self._latest_end = 0.0
        # The exit code of an rl that could not tell, until that is to be believed.
        self._doubtful: int | None = None
        self._believed_from = 0.0

    @property
    def deadline(self) -> float:
        """When `turn` has something to do, by the clock."""
        if self._doubtful is not None:
            return self._believed_from
        return self._latest_end if self._fd >= 0 else self._schedule.due

    def wants(self, masks: dict[int, int]) -> None:
        """Add to `masks` what poll(2) is to wait for."""
        if self._fd >= 0:
            masks[self._fd] = select.POLLIN

    def turn(self, ready: Mapping[int, int]) -> None:
        """Do what is to be done now; `ready` is what poll(2) has found. Never waits."""
        if self._fd >= 0 and self._fd in ready:
            self._end()
        elif self._clock() < self.deadline:
            return
        elif self._fd >= 0:
            self._kill()
            self._latest_end = self._clock() + _SECONDS_FOR_RL
        elif self._doubtful is not None:
            self._believe(self._doubtful)
        elif self._is_paused():
            self._schedule.put_off(self._known, self._clock())
        else:
            self._start()

    def close(self) -> None:
        """The container has ended: so does a check of it."""
        if self._fd >= 0:
            self._kill()
            self._reap()

    def _start(self) -> None:
        now = self._clock()
        try:
            self._pid = self._begin()
            self._fd = os.pidfd_open(self._pid)
        except OSError:
            # No process or no memory for one, maybe for a moment; that says nothing of health.
            self._schedule.put_off(self._known, now)
            return
        self._latest_end = self._schedule.latest_end(now)

    def _end(self) -> None:
        code = self._reap()
        if code in (healthcheck.HEALTHY, healthcheck.UNHEALTHY):
            self._settle()
        else:
            self._doubtful, self._believed_from = code, self._clock() + _SECONDS_OF_DOUBT

    def _believe(self, code: int) -> None:
        self._doubtful = None
        if not self._is_paused():
            self._broken(code)
        self._settle()

    def _settle(self) -> None:
        before, self._known = self._known, self._status()
        self._schedule.put_off(self._known, self._clock())
        if self._known == health.UNHEALTHY != before:
            self._unhealthy()

    def _kill(self) -> None:
        signals.send(self._fd, signals.SIGKILL)

    def _reap(self) -> int:
        os.close(self._fd)
        self._fd = -1
        return spawn.exit_code_of(os.waitpid(self._pid, 0)[1])


def of_container(
    paths: Paths, record: Mapping[str, Any], group: str, kill: Callable[[], None]
) -> Monitor:
    """The monitor of the container with `record`, from its start on.

    group: the directory of its control group, "" without one. kill: ends the container at once.
    """
    container_id = str(record["id"])
    check = Check(**record["health_check"])
    begun = int(record["starts"])

    def broken(code: int) -> None:
        words = f"rl healthcheck run: exit code {code}"
        _quietly(lambda: healthcheck.note_broken(paths, container_id, begun, words))

    def unhealthy() -> None:
        if check.on_failure == "kill":
            kill()
        elif check.on_failure != "none":
            # Each goes on after our own end, which it is about to bring.
            _quietly(lambda: _begin_rl(paths, check.on_failure, container_id))

    return Monitor(
        check,
        begin=lambda: _begin_rl(paths, "healthcheck", "run", container_id),
        is_paused=lambda: bool(group) and _is_frozen(group),
        broken=broken,
        status=lambda: _status(paths, container_id),
        unhealthy=unhealthy,
    )


def _begin_rl(paths: Paths, *words: str) -> int:
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= spawn.clean_environment()
    environment |= {"RL_ROOT": paths.root, "RL_RUNTIME_DIR": paths.runtime}
    return spawn.spawn([*spawn.command_of_rl(), *words], env=environment, own_session=True).pid


def _is_frozen(group: str) -> bool:
    try:
        return groups.is_frozen(groups.Group(group))
    except OSError:
        return False  # it is about to end


def _status(paths: Paths, container_id: str) -> str:
    try:
        return health.status(containers.read_record(paths, container_id))
    except (OSError, RlError):
        return health.NONE


def _quietly(act: Callable[[], object]) -> None:
    """A full store is no reason to end the container."""
    try:
        act()
    except (OSError, RlError):
        pass
