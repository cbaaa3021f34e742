"""What the files of the view are made of: texts of the host and of control groups, at one moment.

Nothing here knows where texts come from: `source` reads them from the kernel, tests from dicts.
Each is asked for at most once in the life of a snapshot, so that all figures in one answer agree.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from rootless.procview.tasks import Tasks

    class Reader(Protocol):
        """Where texts come from; None for a file that is not there or refuses to be read.

        layouts: what rendering has found out about the form of the host's files, and keeps.
        """

        layouts: dict[str, object]

        def host(self, name: str) -> bytes | None:
            """See Snapshot.host."""

        def level(self, index: int, file: str) -> bytes | None:
            """See Snapshot.level."""

        def tasks(self) -> Tasks | None:
            """See Snapshot.tasks."""


class Facts:
    """What a container's start has fixed.

    started_usec: CLOCK_BOOTTIME at its start, in microseconds; boot_usec: when the host booted,
    microseconds since the epoch; host_idle_usec: how long its CPUs, added up, had been idle at the
    container's start. depth: how many groups are looked at: that of the readers, then each
    one above it. own: how many of the first of these are the container's alone: one, and those
    nested in it for readers in there; with 0 the first is what the payload happens to be in.
    affinity: the CPUs to which the container was confined by other means than a group, None for
    all.
    """

    __slots__ = ("affinity", "boot_usec", "depth", "host_idle_usec", "own", "started_usec")

    def __init__(
        self,
        started_usec: int,
        boot_usec: int,
        *,
        depth: int = 0,
        own: int = 0,
        affinity: frozenset[int] | None = None,
        host_idle_usec: int = 0,
    ) -> None:
        self.started_usec = started_usec
        self.boot_usec = boot_usec
        self.depth = depth
        self.own = own
        self.affinity = affinity
        self.host_idle_usec = host_idle_usec


class Snapshot:
    """One moment. now_usec: its CLOCK_BOOTTIME in microseconds."""

    __slots__ = ("_reader", "_stats", "_texts", "elapsed_usec", "facts", "layouts", "now_usec")

    def __init__(self, reader: Reader, facts: Facts, now_usec: int) -> None:
        self._reader = reader
        self._texts: dict[tuple[int, str], bytes | None] = {}
        self._stats: dict[int, dict[bytes, bytes]] = {}
        self.facts = facts
        self.now_usec = now_usec
        self.elapsed_usec = max(0, now_usec - facts.started_usec)
        self.layouts = reader.layouts

    def host(self, name: str) -> bytes:
        """A file of the host's /proc ("meminfo") or, as "cpu/online", of its CPUs' directory in
        sysfs; empty when the host has none."""
        key = -1, name
        if key not in self._texts:
            self._texts[key] = self._reader.host(name)
        return self._texts[key] or b""

    def level(self, index: int, file: str) -> bytes | None:
        """A file of the group `index` steps above the readers'; None when it has none."""
        key = index, file
        if key not in self._texts:
            self._texts[key] = self._reader.level(index, file)
        return self._texts[key]

    def own(self, file: str) -> bytes | None:
        """A file of the nearest group of the container's own that has it; None without one.

        A group nested in the container need not have all controllers: what it uses of the others
        is counted with the group above it.
        """
        for index in range(self.facts.own):
            text = self.level(index, file)
            if text is not None:
                return text
        return None

    def own_level(self, *files: str) -> int | None:
        """Which group it is whose file `own` gives: the nearest that has all of `files`."""
        for index in range(self.facts.own):
            if all(self.level(index, file) is not None for file in files):
                return index
        return None

    def memory_stat(self, index: int) -> dict[bytes, bytes]:
        """memory.stat of the group `index` steps above the readers', taken apart."""
        if index not in self._stats:
            self._stats[index] = keyed(self.level(index, "memory.stat") or b"")
        return self._stats[index]

    def tasks(self) -> Tasks | None:
        """What the threads of the group do; None without a group of its own."""
        return self._reader.tasks() if self.facts.own else None


def keyed(text: bytes) -> dict[bytes, bytes]:
    """A flat keyed file (cgroup-v2.rst, "Interface Files"): memory.stat, cpu.stat, /proc/vmstat."""
    words = text.split()
    return dict(zip(words[::2], words[1::2]))


def number(text: bytes | None) -> int | None:
    """A file with one number; None for "max" and for a file that is not there."""
    word = (text or b"").strip()
    return int(word) if word.isdigit() else None
