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

    from rootless.procview.snapshot import Snapshot
    from rootless.procview.source import Source

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
# Those below cpu/ belong into /sys/devices/system/cpu, the others into /proc.
FILES = (*_PURE, *_PRESSURE, "stat", "uptime", "loadavg")


class Contents:
    """What the files say, of one Source. Not for several threads."""

    __slots__ = ("_load", "_snapshot", "_source", "_texts", "_times")

    def __init__(self, source: Source) -> None:
        self._source = source
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

    def cpus(self) -> list[int]:
        """Which CPU of the host each of the container's is: index → the host's number."""
        return cpus.visible(self._fresh())

    def has(self, name: str) -> bool:
        """Whether the host has the file `name` at all: pressure depends on how it was booted."""
        return name.startswith("cpu/") or bool(self._fresh().host(name))

    def save(self) -> tuple[list[int], list[float]]:
        """What the next server needs so that no counter falls back: plain numbers."""
        return self._times.save(), self._load.save()

    def restore(self, saved: tuple[list[int], list[float]]) -> None:
        """Go on from what save() gave."""
        times, load = saved
        self._times.restore(times)
        self._load.restore(load)

    def _fresh(self) -> Snapshot:
        if not 0 <= now_usec() - self._snapshot.now_usec < _TICK_USEC:
            self._snapshot = self._source.snapshot()
            self._texts = {}
        return self._snapshot

    def _render(self, name: str, snapshot: Snapshot) -> bytes:
        if name == "stat":
            return stat.render(snapshot, self._times)
        if name == "uptime":
            return uptime.render(snapshot, self._times)
        if name == "loadavg":
            return loadavg.render(snapshot, self._load)
        if name in _PRESSURE:
            return pressure.render(snapshot, _PRESSURE[name])
        return _PURE[name](snapshot)
