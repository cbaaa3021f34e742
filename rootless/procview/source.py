"""Where the texts of the view come from: the host's /proc and sysfs, and control groups.

Descriptors are kept: a file of these is made anew at each pread(2) from its beginning. The host's
are opened at once, by whoever makes a Source, because later a path such as /proc/meminfo could lead
to the view itself, and a server that reads its own files waits for itself for ever.
"""

from __future__ import annotations

import os
import time

from rootless.procview import tasks
from rootless.procview.snapshot import Facts, Snapshot
from rootless.procview.uptime import host_idle_usec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.procview.tasks import Tasks

HOST_FILES = (
    "meminfo", "stat", "uptime", "loadavg", "swaps", "diskstats", "vmstat", "cpuinfo",
    "pressure/cpu", "pressure/memory", "pressure/io", "pressure/irq",
)  # fmt: skip
_CPU_FILES = ("online",)
_SYSFS = "/sys/devices/system/cpu"
_SIZE = 1 << 16
# Files that the kernel gives in pieces, however large the buffer is.
_IN_PIECES = frozenset(("swaps", "diskstats", "vmstat", "cpuinfo"))
# How long what the threads do stays true, and how long a missing file is not looked for again:
# a controller may come with `rl update`, but mostly it does not.
_TASKS_USEC = 500_000
_ABSENT_USEC = 1_000_000
_MISSING = -1


def now_usec() -> int:
    """CLOCK_BOOTTIME in microseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class Host:
    """The host's files, opened; without privileges, and by paths that are still its own."""

    __slots__ = ("_fds", "boot_usec", "idle_usec")

    def __init__(self, proc: str = "/proc", sysfs: str = _SYSFS) -> None:
        paths = {name: f"{proc}/{name}" for name in HOST_FILES}
        paths |= {f"cpu/{name}": f"{sysfs}/{name}" for name in _CPU_FILES}
        self._fds = {name: _open(path) for name, path in paths.items()}
        self.boot_usec = time.time_ns() // 1000 - now_usec()
        self.idle_usec = host_idle_usec(self.read("uptime") or b"")

    def read(self, name: str) -> bytes | None:
        """One of the files; None when the host has none."""
        fd = self._fds.get(name, _MISSING)
        if fd < 0:
            return None
        try:
            return tasks.read_whole(fd) if name in _IN_PIECES else os.pread(fd, _SIZE, 0)
        except OSError:
            return None  # EOPNOTSUPP: pressure is counted only if the kernel was told to

    def fds(self) -> list[int]:
        """The descriptors, for a server that closes all others."""
        return [fd for fd in self._fds.values() if fd >= 0]


class Level:
    """The files of one group."""

    __slots__ = ("_absent", "_fds", "directory")

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._fds: dict[str, int] = {}
        self._absent: dict[str, int] = {}

    def read(self, file: str, now: int) -> bytes | None:
        """A file of the group as of `now` (see now_usec); None for one that cannot be read."""
        fd = self._fds.get(file)
        if fd is None:
            fd = self._find(file, now)
        try:
            return os.pread(fd, _SIZE, 0) if fd >= 0 else None
        except OSError:
            return None  # ENODEV: the group is gone; EOPNOTSUPP: not counted

    def _find(self, file: str, now: int) -> int:
        if now < self._absent.get(file, 0):
            return _MISSING
        fd = _open(f"{self.directory}/{file}")
        if fd >= 0:
            self._fds[file] = fd
        else:
            self._absent[file] = now + _ABSENT_USEC
        return fd

    def close(self) -> None:
        """Close the files."""
        while self._fds:
            os.close(self._fds.popitem()[1])


class Source:
    """One group's view of a host.

    levels: the readers' group, then each one above it, up to where cgroup2 is mounted, without the
    root, which has no limits; none where they are not known. The rest: see snapshot.Facts.
    """

    def __init__(
        self,
        host: Host,
        levels: Sequence[Level],
        *,
        own: int,
        started_usec: int,
        affinity: frozenset[int] | None = None,
    ) -> None:
        self.layouts: dict[str, object] = {}
        self.facts = Facts(
            started_usec, host.boot_usec, depth=len(levels), own=own, affinity=affinity,
            host_idle_usec=host.idle_usec,
        )  # fmt: skip
        self._host = host
        self._levels = list(levels)
        self._inherited = 0
        self._tasks: Tasks | None = None
        self._tasks_usec = 0
        self._now = 0

    def snapshot(self) -> Snapshot:
        """The present moment."""
        self._now = now_usec()
        return Snapshot(self, self.facts, self._now)

    def host(self, name: str) -> bytes | None:
        """See snapshot.Reader."""
        return self._host.read(name)

    def level(self, index: int, file: str) -> bytes | None:
        """See snapshot.Reader."""
        return self._levels[index].read(file, self._now)

    def tasks(self) -> Tasks | None:
        """See snapshot.Reader; at most half a second old."""
        if self._tasks is None or self._now - self._tasks_usec > _TASKS_USEC:
            self._tasks = tasks.look(self._levels[0].directory)
            self._tasks_usec = self._now
        return self._tasks

    def below(self, directories: Sequence[str]) -> Source:
        """That of a group nested in ours: its directory, and those between it and ours, upwards.

        The levels from ours on are the same objects.
        """
        facts = self.facts
        found = Source(
            self._host, [*map(Level, directories), *self._levels],
            own=facts.own + len(directories), started_usec=facts.started_usec,
            affinity=facts.affinity,
        )  # fmt: skip
        found._inherited = len(self._levels)
        return found

    def close(self) -> None:
        """Close the files of the groups, but not of those that belong to another Source."""
        for level in self._levels[: len(self._levels) - self._inherited]:
            level.close()


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return _MISSING
