"""/proc/uptime (proc(5)): how long the container runs, and for how long its CPUs had nothing to do.

Pure, but for the counters that only grow.
"""

from __future__ import annotations

from rootless.procview import cpus, cputime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.cputime import CpuTimes
    from rootless.procview.snapshot import Snapshot


def render(snapshot: Snapshot, times: CpuTimes) -> bytes:
    """The text. Idle time is the sum over all CPUs, that of /proc/stat."""
    elapsed = snapshot.elapsed_usec
    idle = times.total[3] if cputime.update(times, snapshot) else _of_host(snapshot)
    return b"%d.%02d %d.%02d\n" % (
        elapsed // 1_000_000, elapsed // 10_000 % 100, idle // 1_000_000, idle // 10_000 % 100,
    )  # fmt: skip


def _of_host(snapshot: Snapshot) -> int:
    """Where nobody counts what the container uses: what the host had idle meanwhile."""
    idle = host_idle_usec(snapshot.host("uptime")) - snapshot.facts.host_idle_usec
    return min(max(0, idle), snapshot.elapsed_usec * len(cpus.visible(snapshot)))


def host_idle_usec(text: bytes) -> int:
    """The second number of the host's file, in microseconds."""
    words = text.split()
    return int(words[1].replace(b".", b"")) * 10_000 if len(words) == 2 else 0
