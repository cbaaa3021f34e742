"""/proc/stat (proc(5)). Pure, but for the counters that only grow.

docs/procview.md has the reasons, field by field.
"""

from __future__ import annotations

import os

from rootless.procview import cpus, cputime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.cputime import CpuTimes, Times
    from rootless.procview.snapshot import Snapshot

_TICK_USEC = 1_000_000 // os.sysconf("SC_CLK_TCK")


def render(snapshot: Snapshot, times: CpuTimes) -> bytes:
    """The text, made of the group's cpu.stat; without one of the host's lines for these CPUs."""
    if not cputime.update(times, snapshot):
        return _of_host(snapshot)
    lines = [b"cpu  ", _columns(times.total)]
    for index in range(times.count):
        lines += (b"cpu%d " % index, _columns(times.of(index)))
    lines.append(_rest(snapshot))
    return b"".join(lines)


def _columns(times: Times) -> bytes:
    """user nice system idle, then iowait irq softirq steal guest guest_nice, which no group has."""
    user, nice, system, idle = times
    return b"%d %d %d %d 0 0 0 0 0 0\n" % (
        user // _TICK_USEC, nice // _TICK_USEC, system // _TICK_USEC, idle // _TICK_USEC,
    )  # fmt: skip


def _rest(snapshot: Snapshot) -> bytes:
    tasks = snapshot.tasks()
    running, blocked = (tasks.running, tasks.blocked) if tasks else (0, 0)
    return (
        b"intr 0\nctxt 0\nbtime %d\nprocesses 0\nprocs_running %d\nprocs_blocked %d\n"
        b"softirq 0 0 0 0 0 0 0 0 0 0 0\n" % (boot_time(snapshot), running, blocked)
    )


def boot_time(snapshot: Snapshot) -> int:
    """When the container's machine came up: its start, in seconds since the epoch."""
    return (snapshot.facts.boot_usec + snapshot.facts.started_usec) // 1_000_000


def _of_host(snapshot: Snapshot) -> bytes:
    """The host's counters of the visible CPUs, and of all where that is all."""
    text = snapshot.host("stat")
    head, intr, rest = text.partition(b"\nintr ")
    lines = head.split(b"\n")
    found = {line.split(b" ", 1)[0]: line for line in lines[1:]}
    names = [b"cpu%d" % cpu for cpu in cpus.visible(snapshot)]
    shown = [found[name].split()[1:] for name in names if name in found]
    if len(shown) in (0, len(found)):
        return _with_boot_time(text, snapshot)
    sums = [b"%d" % sum(map(int, column)) for column in zip(*shown)]
    numbered = [b" ".join([b"cpu%d" % at, *columns]) for at, columns in enumerate(shown)]
    text = b"\n".join([b"cpu  " + b" ".join(sums), *numbered]) + intr + rest
    return _with_boot_time(text, snapshot)


def _with_boot_time(text: bytes, snapshot: Snapshot) -> bytes:
    before, name, after = text.partition(b"\nbtime ")
    if not name:
        return text
    return before + name + b"%d\n" % boot_time(snapshot) + after.partition(b"\n")[2]
