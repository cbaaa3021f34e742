"""The host's process table, read once: who descends from whom, and what each has used (proc(5))."""

from __future__ import annotations

import os

from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_TICK_USEC = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")


class Process(Value):
    """parent: a pid. cpu_usec: with the children that it has waited for. rss: bytes."""

    __slots__ = ("cpu_usec", "parent", "rss", "threads")

    def __init__(self, parent: int, cpu_usec: int, threads: int, rss: int) -> None:
        self.parent = parent
        self.cpu_usec = cpu_usec
        self.threads = threads
        self.rss = rss


def parse_stat(text: str) -> Process | None:
    """/proc/PID/stat; None for a zombie, which uses nothing any more.

    The name, in parentheses, may hold anything: fields are counted after the last ")".
    """
    fields = text.rpartition(")")[2].split()
    if len(fields) < 22 or fields[0] in ("Z", "X"):
        return None
    # utime, stime, cutime, cstime; a child's time moves to its parent when that waits for it.
    ticks = sum(int(field) for field in fields[11:15])
    return Process(int(fields[1]), ticks * _TICK_USEC, int(fields[17]), int(fields[21]) * _PAGE)


def read() -> dict[int, Process]:
    """All processes that this user may see, by pid."""
    found = {}
    for name in os.listdir("/proc"):
        process = _read_one(name) if name.isdigit() else None
        if process is not None:
            found[int(name)] = process
    return found


def _read_one(name: str) -> Process | None:
    try:
        with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as file:
            return parse_stat(file.read())
    except OSError:
        return None  # ended meanwhile


def family(table: dict[int, Process], root: int) -> list[Process]:
    """The process `root` and all that descend from it, as far as they are in `table`."""
    if root not in table:
        return []
    parents = {pid: process.parent for pid, process in table.items()}
    return [table[pid] for pid in (root, *descendants(parents, root))]


def descendants(
    parents: Mapping[int, int], root: int, *, besides: Container[int] = ()
) -> list[int]:
    """All that descend from `root`, by the parent of each pid, without its children `besides`."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = [pid for pid in children.get(root, ()) if pid not in besides]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, ())
    return found
