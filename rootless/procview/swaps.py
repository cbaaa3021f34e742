"""/proc/swaps (proc(5)): one area without a device, as large as the container may use. Pure."""

from __future__ import annotations

from rootless.procview.memory import measure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.snapshot import Snapshot

_HEADER = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"


def render(snapshot: Snapshot) -> bytes:
    """The text; the host's where the container has neither a group of its own nor a limit."""
    memory = measure(snapshot)
    if memory.stat is None and not memory.swap_limited:
        return snapshot.host("swaps")
    total, free = memory.swap_total >> 10, memory.swap_free >> 10
    if not total:
        return _HEADER
    return _HEADER + b"none%36svirtual\t\t%d\t\t%d\t\t0\n" % (b"", total, total - free)
