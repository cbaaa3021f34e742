"""CPU time since the container's start, for /proc/stat and /proc/uptime: counters that only grow.

A group counts what its processes have used, not where. So each of its CPUs gets the same share,
and what was not used is idle: elapsed time times the number of CPUs, less what was used. Both
change when the number of CPUs does; the sums up to then are kept here.
"""

from __future__ import annotations

import struct

from rootless.procview import cpus
from rootless.procview.snapshot import keyed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot

    Times = tuple[int, int, int, int]

_ZERO = (0, 0, 0, 0)
# count, changed_usec, total, start; after it the bases, four numbers each.
_HEAD = struct.Struct("=10Q")
_TIMES = struct.Struct("=4Q")


class CpuTimes:
    """One container's counters, each (user, nice, system, idle) in microseconds.

    total: all CPUs that it ever had. count: how many it has. bases: what each CPU, also one that
    it has no more, had at the last change of their number, and start: the total at that change.
    changed_usec: how long the container had run then.
    """

    __slots__ = ("_tail", "bases", "changed_usec", "count", "start", "total")

    def __init__(self) -> None:
        self.total: Times = _ZERO
        self.start: Times = _ZERO
        self.bases: list[Times] = []
        self.count = 0
        self.changed_usec = 0
        self._tail = b""

    def advance(self, elapsed_usec: int, count: int, used: tuple[int, int, int]) -> None:
        """Take notice of the CPU time `used` (user, nice, system) so far, on `count` CPUs now."""
        if not self.count:
            self._change(0, count)
        user, nice, system = map(max, used, self.total)
        start = self.start
        busy = user - start[0] + nice - start[1] + system - start[2]
        # Accounting by ticks and a quota's slack let a group use more than its CPUs for a moment.
        idle = start[3] + (elapsed_usec - self.changed_usec) * self.count - busy
        self.total = user, nice, system, max(idle, self.total[3])
        if count != self.count:
            self._change(elapsed_usec, count)

    def _change(self, elapsed_usec: int, count: int) -> None:
        self.bases = [self.of(index) for index in range(len(self.bases))]
        self.bases += [_ZERO] * (count - len(self.bases))
        self.start = self.total
        self.changed_usec = elapsed_usec
        self.count = count
        self._tail = b"".join([_TIMES.pack(*base) for base in self.bases])

    def of(self, index: int) -> Times:
        """One CPU's counters."""
        base = self.bases[index]
        if index >= self.count:
            return base
        count, total, start = self.count, self.total, self.start
        return (
            base[0] + (total[0] - start[0]) // count,
            base[1] + (total[1] - start[1]) // count,
            base[2] + (total[2] - start[2]) // count,
            base[3] + (total[3] - start[3]) // count,
        )

    def save(self) -> bytes:
        """What a successor needs to go on, for restore()."""
        return _HEAD.pack(self.count, self.changed_usec, *self.total, *self.start) + self._tail

    def restore(self, saved: bytes) -> None:
        """Go on from what save() gave."""
        head = _HEAD.unpack_from(saved)
        self.count, self.changed_usec = head[:2]
        self.total, self.start = head[2:6], head[6:]
        self._tail = saved[_HEAD.size :]
        self.bases = list(_TIMES.iter_unpack(self._tail))


def update(times: CpuTimes, snapshot: Snapshot) -> bool:
    """Advance `times` to the snapshot; False where the container's CPU time is not counted."""
    text = snapshot.own("cpu.stat")
    if not text:
        return False
    stat = keyed(text)
    # nice_usec: Linux 6.13.
    nice = int(stat.get(b"nice_usec", b"0"))
    used = max(0, int(stat[b"user_usec"]) - nice), nice, int(stat[b"system_usec"])
    times.advance(snapshot.elapsed_usec, len(cpus.visible(snapshot)), used)
    return True
