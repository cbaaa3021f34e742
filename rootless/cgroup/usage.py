"""What a group has used, out of the texts of its files (cgroup-v2.rst). Pure.

A text that is "" is a file that the group does not have: the outcome is None then.
"""

from __future__ import annotations

from rootless.cgroup.group import numbers
from rootless.model.value import Value


def count(text: str) -> int | None:
    """A file with one number: memory.current, pids.current, memory.peak."""
    word = text.strip()
    return int(word) if word.isdigit() else None


def cpu_usec(stat: str) -> int | None:
    """Microseconds of CPU time: cpu.stat, which every group has, with the controller or not."""
    return numbers(stat).get("usage_usec")


def memory_in_use(current: str, stat: str) -> int | None:
    """Bytes as docker counts them: without what the page cache gives back before anything else."""
    used = count(current)
    if used is None:
        return None
    return max(0, used - numbers(stat).get("inactive_file", 0))


def block_bytes(stat: str | None) -> tuple[int, int] | None:
    """(read, written) over all devices: io.stat. Without the controller the file is not there."""
    if stat is None:
        return None
    pairs = [word.partition("=")[::2] for word in stat.split()]
    return _total(pairs, "rbytes"), _total(pairs, "wbytes")


def _total(pairs: list[tuple[str, str]], key: str) -> int:
    return sum(int(value) for name, value in pairs if name == key and value.isdigit())


class Pressure(Value):
    """A line of memory.pressure and its like (Documentation/accounting/psi.rst).

    avg10, avg60, avg300: percent of the last 10, 60 and 300 seconds in which processes waited;
    total: microseconds since the group began.
    """

    __slots__ = ("avg10", "avg60", "avg300", "total")

    def __init__(self, avg10: float, avg60: float, avg300: float, total: int) -> None:
        self.avg10 = avg10
        self.avg60 = avg60
        self.avg300 = avg300
        self.total = total


def pressure(text: str) -> dict[str, Pressure]:
    """The line of each kind: "some" (at least one process waited), "full" (all did)."""
    found = {}
    for line in text.splitlines():
        kind, *words = line.split()
        values = dict(word.partition("=")[::2] for word in words)
        try:
            found[kind] = Pressure(
                float(values["avg10"]), float(values["avg60"]), float(values["avg300"]),
                int(values["total"]),
            )  # fmt: skip
        except (KeyError, ValueError):
            continue  # a line of a kernel to come
    return found


def net_bytes(text: str) -> tuple[int, int]:
    """(received, sent) over all interfaces but the loopback: /proc/PID/net/dev (proc(5))."""
    received = sent = 0
    for line in text.splitlines():
        name, colon, rest = line.rpartition(":")
        fields = rest.split()
        if colon and name.strip() != "lo" and len(fields) >= 9 and fields[0].isdigit():
            received += int(fields[0])
            sent += int(fields[8])
    return received, sent
