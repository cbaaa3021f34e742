"""How much memory the container has, uses, and can still get. Pure.

The smallest limit on the way up is the size of its machine. What it uses is what its own group
uses. What is left for it is what the fullest one of all the groups with a limit has left, and the
host: memory that others have taken is gone, however little the container has used itself.
"""

from __future__ import annotations

import os

from rootless.procview.snapshot import number

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot

PAGE = os.sysconf("SC_PAGESIZE")
# What the kernel takes back before anything else; shared memory and tmpfs are not among it.
_RECLAIMABLE = b"active_file", b"inactive_file", b"slab_reclaimable"


class Memory:
    """All in bytes. stat: memory.stat of the group whose use is shown; None where the host's shows.

    total, free and available mean what they mean in /proc/meminfo (proc(5)).
    """

    __slots__ = ("available", "free", "stat", "swap_free", "swap_limited", "swap_total", "total")

    def __init__(self) -> None:
        self.stat: dict[bytes, bytes] | None = None
        self.total = self.free = self.available = 0
        self.swap_total = self.swap_free = 0
        self.swap_limited = False


def measure(snapshot: Snapshot) -> Memory:
    """Look at all groups and the host."""
    memory = Memory()
    text = snapshot.host("meminfo")
    memory.total = _host(text, b"MemTotal:")
    # Kernels before 3.14 have no MemAvailable; without it nothing is known to be taken by others.
    memory.available = _host(text, b"\nMemAvailable:") or memory.total
    shown = _apply_limits(snapshot, memory)
    _measure_swap(snapshot, memory, text)
    if shown is not None:
        _measure_use(snapshot, memory, shown)
    return memory


def _host(text: bytes, name: bytes) -> int:
    """A field of /proc/meminfo."""
    start = text.find(name)
    if start < 0:
        return 0
    start += len(name)
    return int(text[start : text.index(b"kB", start)]) * 1024


def _apply_limits(snapshot: Snapshot, memory: Memory) -> int | None:
    """Make total and available those of the groups; return whose use is to be shown."""
    binding = None
    for index in range(snapshot.facts.depth):
        limit = limit_of(snapshot, index)
        if limit is None:
            continue
        if limit < memory.total:
            # A machine of size 0 makes programs divide by it.
            memory.total = max(limit, PAGE)
            binding = index
        memory.available = min(memory.available, _room(snapshot, index, limit))
    own = snapshot.own_level("memory.stat", "memory.current")
    return binding if own is None else own


def limit_of(snapshot: Snapshot, index: int) -> int | None:
    """The smaller one of memory.max and memory.high: above that nothing runs at its usual speed."""
    hard = number(snapshot.level(index, "memory.max"))
    soft = number(snapshot.level(index, "memory.high"))
    return hard if soft is None else soft if hard is None else min(hard, soft)


def _room(snapshot: Snapshot, index: int, limit: int) -> int:
    current = number(snapshot.level(index, "memory.current"))
    if current is None:
        return limit
    reclaimable = _reclaimable(snapshot.memory_stat(index))
    return max(0, limit - current + min(current, reclaimable))


def _reclaimable(stat: dict[bytes, bytes]) -> int:
    return sum([int(stat.get(key, b"0")) for key in _RECLAIMABLE])


def _measure_use(snapshot: Snapshot, memory: Memory, shown: int) -> None:
    """What is neither in use nor page cache of the group `shown` is free.

    memory.stat lags behind memory.current, and a limit may have been lowered below the use: where
    figures contradict each other they are cut, so that the sum of the parts stays the whole.
    """
    memory.stat = snapshot.memory_stat(shown)
    current = number(snapshot.level(shown, "memory.current")) or 0
    reclaimable = _reclaimable(memory.stat)
    memory.available = min(memory.available, memory.total)
    memory.free = max(0, min(memory.available - reclaimable, memory.total - current))


def _measure_swap(snapshot: Snapshot, memory: Memory, text: bytes) -> None:
    host = memory.swap_total = _host(text, b"\nSwapTotal:")
    memory.swap_free = _host(text, b"\nSwapFree:")
    if not host:
        return
    for index in range(snapshot.facts.depth):
        limit = number(snapshot.level(index, "memory.swap.max"))
        if limit is not None:
            used = number(snapshot.level(index, "memory.swap.current")) or 0
            memory.swap_total = min(memory.swap_total, limit)
            memory.swap_free = min(memory.swap_free, max(0, limit - used))
    used = number(snapshot.own("memory.swap.current")) or 0
    memory.swap_limited = memory.swap_total < host
    memory.swap_free = max(0, min(memory.swap_free, memory.swap_total - used))
