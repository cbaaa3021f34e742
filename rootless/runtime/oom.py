"""What the kernel's OOM killer takes from a container, noticed while it happens.

The kernel counts in memory.events and wakes who polls that file (cgroup-v2.rst, "Memory Interface
Files"); whom it killed it tells only the kernel log, which a normal user may not read. So who was
there is noted whenever the limit is touched, and looked for after a kill.
"""

from __future__ import annotations

import os
import time

from rootless.cgroup import group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypedDict

    class OomKill(TypedDict):
        """at: seconds since the epoch. count: killed since the last report. pid (on the host),
        command, rss (bytes, as last seen): the largest of those; 0 and "" when it was not seen.
        limit_of: the directory of the group whose limit was reached, "" for the whole machine;
        limit: that limit in bytes, 0 when it cannot be told."""

        at: float
        count: int
        pid: int
        command: str
        rss: int
        limit_of: str
        limit: int


_SIGKILL = 9
_SIGKILL_BIT = 1 << _SIGKILL - 1
_PAGE = os.sysconf("SC_PAGESIZE")
# In /proc/PID/stat after the command: the flags, the resident pages and the wait status (proc(5),
# fields 9, 24 and 52).
_FLAGS_FIELD = 6
_RSS_FIELD = 21
_STATUS_FIELD = 49
_PF_EXITING = 0x4  # include/linux/sched.h
# A group that thrashes at its limit wakes us a hundred times a second.
_LOOK_EVERY = 0.1
_MOST_PROCESSES = 256
# How long who was killed may look as if nothing had happened, and how often it is looked at.
_SECONDS_TO_DIE = 0.2
_STEP = 0.005


class OomWatch:
    """Watches one payload's group; `fd` becomes "changed" for poll(2) with POLLPRI."""

    def __init__(self, payload: str, limited: str, init: int = 0) -> None:
        """payload: the directory of the group that has the processes. limited: the group that has
        the limits, the same or one above. A limit that is touched is counted where it stands and
        above, not below: a watch on the payload's own group would be woken by kills only.
        init: the container's first process, a child of ours that is not waited for before the
        last look, so that it can be asked for its name also when it was killed without having
        been seen. Raises OSError where there is no memory controller.
        """
        self._payload = payload
        self._init = init
        self.fd = os.open(f"{limited}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        self._kills = self._count()
        self._limits = _limit_counts(payload)
        self._seen: dict[int, tuple[str, int]] = {}
        self._looked = 0.0

    def look(self) -> OomKill | None:
        """After a change, or at the end: what was killed since the last look, if anything."""
        try:
            count = self._count() - self._kills or self._note_processes()
        except OSError:
            return None  # the group is gone
        if not count:
            return None
        self._kills += count
        pid, command, rss = self._victim()
        limit_of = self._reached()
        self._seen.pop(pid, None)
        self._looked = 0.0
        return {
            "at": time.time(), "count": count, "pid": pid, "command": command, "rss": rss,
            "limit_of": limit_of, "limit": _limit(limit_of),
        }  # fmt: skip

    def _count(self) -> int:
        return group.numbers(os.pread(self.fd, 4096, 0).decode()).get("oom_kill", 0)

    def _note_processes(self) -> int:
        """How many were killed meanwhile: they are in what was noted before, not in what is now."""
        now = time.monotonic()
        if now - self._looked < _LOOK_EVERY:
            return 0
        found = _processes(self._payload)
        killed = self._count() - self._kills
        if not killed:
            self._seen, self._looked = found, now
        return killed

    def _victim(self) -> tuple[int, str, int]:
        """Waits a moment: the kernel counts a kill before it sends the signal (mm/oom_kill.c)."""
        known = self._seen
        deadline = time.monotonic() + _SECONDS_TO_DIE
        while True:
            now = _processes(self._payload)
            known = {**now, **known}
            gone = [pid for pid in known if pid not in now or _is_dying(pid)]
            if gone:
                pid = max(gone, key=lambda one: known[one][1])
                return pid, *known[pid]
            first = self._unseen()
            if first[0] or time.monotonic() > deadline:
                return first
            time.sleep(_STEP)

    def _unseen(self) -> tuple[int, str, int]:
        found = _look_at(self._init) if self._init and _was_killed(self._init) else None
        return (self._init, *found) if found else (0, "", 0)

    def _reached(self) -> str:
        """Whose limit it was: the group nearest to the payload whose own count has grown."""
        before, self._limits = self._limits, _limit_counts(self._payload)
        for path, count in self._limits.items():
            if count > before.get(path, 0):
                return path
        return ""


def _limit_counts(payload: str) -> dict[str, int]:
    """How often the limit of each group, from the payload's up, was what ended an allocation."""
    counts: dict[str, int] = {}
    # Read before its own: a kill in between must not look like one of a group below.
    below = _count_below(payload)
    path = payload
    while True:
        if path == os.path.dirname(payload):
            # After its own: what it counts beyond that, it counts for groups that it has below.
            counts[f"{payload}/*"] = below
        try:
            counts[path] = group.numbers(group.read(f"{path}/memory.events.local")).get("oom", 0)
        except OSError:
            return counts  # the root has none
        path = os.path.dirname(path)


def _count_below(payload: str) -> int:
    try:
        return group.numbers(group.read(f"{payload}/memory.events")).get("oom", 0)
    except OSError:
        return 0


def _limit(directory: str) -> int:
    try:
        text = group.read(f"{directory}/memory.max").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0


def _processes(payload: str) -> dict[int, tuple[str, int]]:
    """The command and the resident bytes of each process, by pid."""
    found = {}
    for pid in group.pids(payload)[:_MOST_PROCESSES]:
        looks = _look_at(pid)
        if looks is not None:
            found[pid] = looks
    return found


def _look_at(pid: int) -> tuple[str, int] | None:
    """Its command and its resident bytes; None when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            head, _, tail = file.read().rpartition(")")
    except OSError:
        return None
    # The container chooses the name, and people will see it on their terminal.
    command = "".join(each for each in head.partition("(")[2] if each.isprintable())
    return command, int(tail.split()[_RSS_FIELD]) * _PAGE


def _is_dying(pid: int) -> bool:
    """Whether SIGKILL is on its way to it, or it is on its way out: that takes a large one long."""
    try:
        return _is_leaving(pid) or _has_pending_kill(pid)
    except OSError:
        return True


def _is_leaving(pid: int) -> bool:
    with open(f"/proc/{pid}/stat", errors="replace") as file:
        fields = file.read().rpartition(")")[2].split()
    return fields[0] in ("Z", "X") or bool(int(fields[_FLAGS_FIELD]) & _PF_EXITING)


def _was_killed(pid: int) -> bool:
    """Whether SIGKILL has ended it; its parent may read the wait status (proc(5), field 52)."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            status = int(file.read().rpartition(")")[2].split()[_STATUS_FIELD])
    except OSError:
        return False
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == _SIGKILL


def _has_pending_kill(pid: int) -> bool:
    with open(f"/proc/{pid}/status", errors="replace") as file:
        lines = file.read().split("\n")
    fields = dict(line.partition(":")[::2] for line in lines)
    pending = int(fields.get("ShdPnd", "0"), 16) | int(fields.get("SigPnd", "0"), 16)
    return bool(pending & _SIGKILL_BIT)
