"""/proc/loadavg (proc(5)): the load of the container's own threads, computed when it is read.

The kernel looks at its run queues every five seconds; here nobody does while nobody reads. What
happened since the last reading is told by the CPU time that the group has used meanwhile.
"""

from __future__ import annotations

import struct
from math import exp

from rootless.procview import cpus
from rootless.procview.snapshot import keyed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot
    from rootless.procview.tasks import Tasks

# Seconds over which the three averages fade (include/linux/sched/loadavg.h).
_SPANS = 60.0, 300.0, 900.0
# The kernel's own step, in seconds: for so long a count of threads stands for the time before it.
_STEP = 5.0
# read_usec, used_usec, averages.
_SAVED = struct.Struct("=QQ3d")
SAVED_SIZE = _SAVED.size


class LoadState:
    """The averages as of the last reading: its time, and the CPU time used up to then (µs, both
    since the container's start)."""

    __slots__ = ("averages", "read_usec", "used_usec")

    def __init__(self) -> None:
        self.averages = [0.0, 0.0, 0.0]
        self.read_usec = 0
        self.used_usec = 0

    def advance(self, elapsed_usec: int, used_usec: int, tasks: Tasks, count: int) -> None:
        """Take notice of what the threads do now, on `count` CPUs, and of `used_usec` so far."""
        passed = (elapsed_usec - self.read_usec) / 1e6
        if passed <= 0:
            return
        # At most all: CPU time is accounted in portions, and of a moment it may be any number.
        busy = min(count, max(0, used_usec - self.used_usec) / 1e6 / passed)
        if passed > _STEP:
            self._fade(passed - _STEP, _mean(busy, tasks.running, count))
        # Who reads does not run while it waits for the text, and may be all the load that there is.
        self._fade(min(passed, _STEP), max(tasks.running, busy) + tasks.blocked)
        self.read_usec = elapsed_usec
        self.used_usec = used_usec

    def _fade(self, seconds: float, load: float) -> None:
        """The kernel's formula for any time instead of five seconds: load for `seconds`."""
        factors = [exp(-seconds / span) for span in _SPANS]
        pairs = zip(self.averages, factors)
        self.averages = [old * factor + load * (1 - factor) for old, factor in pairs]

    def save(self) -> bytes:
        """What a successor needs to go on, for restore()."""
        return _SAVED.pack(self.read_usec, self.used_usec, *self.averages)

    def restore(self, saved: bytes) -> None:
        """Go on from what save() gave."""
        self.read_usec, self.used_usec, *self.averages = _SAVED.unpack(saved)


def _mean(busy: float, running: int, count: int) -> float:
    """The load of a time in which nobody looked and `busy` CPUs were in use on average.

    Threads that wait for a CPU use none. But `running` of them, there now, would have used
    min(running, count) CPUs all the time: for the part of it that agrees with `busy` they count.
    """
    if not running:
        return busy
    return max(busy, running * min(1.0, busy / min(running, count)))


def render(snapshot: Snapshot, state: LoadState) -> bytes:
    """The text; the host's where the container's threads are not in a group of their own."""
    tasks = snapshot.tasks()
    text = snapshot.own("cpu.stat")
    if tasks is None or not text:
        return snapshot.host("loadavg")
    used = int(keyed(text)[b"usage_usec"])
    state.advance(snapshot.elapsed_usec, used, tasks, len(cpus.visible(snapshot)))
    one, five, fifteen = state.averages
    return b"%.2f %.2f %.2f %d/%d %d\n" % (
        one, five, fifteen, tasks.running, tasks.total, tasks.last_pid,
    )  # fmt: skip
