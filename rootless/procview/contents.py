"""The files of one container's view by name, and what has to be remembered between readings."""

from __future__ import annotations

from rootless.procview import (
    cpuinfo,
    cpus,
    diskstats,
    loadavg,
    meminfo,
    pressure,
    stat,
    swaps,
    uptime,
    vmstat,
)
from rootless.procview.cputime import CpuTimes
from rootless.procview.loadavg import LoadState
from rootless.procview.source import now_usec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from rootless.procview.snapshot import Snapshot
    from rootless.procview.source import Source

    class Keeper(Protocol):
        """What outlives a server: page.Page, for one."""

        def keep(self, state: bytes) -> None:
            """See page.Page."""

        def kept(self) -> bytes:
            """See page.Page."""


# A tick of the kernel's clock: so long all answers are of one moment.
_TICK_USEC = 10_000
_PURE: dict[str, Callable[[Snapshot], bytes]] = {
    "meminfo": meminfo.render,
    "cpuinfo": cpuinfo.render,
    "swaps": swaps.render,
    "diskstats": diskstats.render,
    "vmstat": vmstat.render,
    "cpu/online": cpus.online,
    "cpu/possible": cpus.online,
    "cpu/present": cpus.online,
    "cpu/offline": cpus.offline,
}
_PRESSURE = {f"pressure/{name}": name for name in ("cpu", "memory", "io", "irq")}
# What they say depends on what they have said before.
_COUNTING = ("stat", "uptime", "loadavg")
# Those below cpu/ belong into /sys/devices/system/cpu, the others into /proc.
FILES = (*_PURE, *_PRESSURE, *_COUNTING)


class Contents:
    """What the files say, of one Source. Not for several threads.

    keeper: where counters are kept for the next server, before they are in any answer.
    """

    __slots__ = ("_keeper", "_load", "_snapshot", "_source", "_texts", "_times")

    def __init__(self, source: Source, keeper: Keeper) -> None:
        self._source = source
        self._keeper = keeper
        self._times = CpuTimes()
        self._load = LoadState()
        self._snapshot = source.snapshot()
        self._texts: dict[str, bytes] = {}

    def text(self, name: str) -> bytes:
        """What the file `name`, one of FILES, says now; at most a tick old."""
        snapshot = self._fresh()
        text = self._texts.get(name)
        if text is None:
            text = self._texts[name] = self._render(name, snapshot)
        return text

    def node_memory(self, host: bytes) -> bytes:
        """What meminfo of the only NUMA node says, instead of the host's."""
        return meminfo.of_node(self._fresh(), host)

    def cpus(self) -> list[int]:
        """Which CPU of the host each of the container's is: index → the host's number."""
        return cpus.visible(self._fresh())

    def has(self, name: str) -> bool:
        """Whether the host has the file `name` at all: pressure depends on how it was booted."""
        return name.startswith("cpu/") or bool(self._fresh().host(name))

    def resume(self) -> None:
        """Go on where a server before this one was killed, so that no counter falls back."""
        kept = self._keeper.kept()
        if kept:
            self._load.restore(kept[: loadavg.SAVED_SIZE])
            self._times.restore(kept[loadavg.SAVED_SIZE :])

    def _fresh(self) -> Snapshot:
        if not 0 <= now_usec() - self._snapshot.now_usec < _TICK_USEC:
            self._snapshot = self._source.snapshot()
            self._texts = {}
        return self._snapshot

    def _render(self, name: str, snapshot: Snapshot) -> bytes:
        if name in _COUNTING:
            text = self._count(name, snapshot)
            self._keeper.keep(self._load.save() + self._times.save())
            return text
        if name in _PRESSURE:
            return pressure.render(snapshot, _PRESSURE[name])
        return _PURE[name](snapshot)

    def _count(self, name: str, snapshot: Snapshot) -> bytes:
        if name == "stat":
            return stat.render(snapshot, self._times)
        if name == "uptime":
            return uptime.render(snapshot, self._times)
        return loadavg.render(snapshot, self._load)
