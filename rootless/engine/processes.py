"""The processes of a running container, read from the host's /proc (proc(5)).

Who made a user namespace may look at all that runs in it, so that this needs nobody inside. What
a process says of itself (its name, its arguments) is not to be trusted, nor is the container's
user database.
"""

from __future__ import annotations

import os

from rootless.cgroup import group as groups
from rootless.engine import images
from rootless.kernel import proctable
from rootless.model.idmap import parse_map, to_inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.engine.live import Live
    from rootless.model.idmap import IdMap

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGESIZE")
# Indexes into /proc/PID/stat after the command: proc(5) counts from 1 and begins two before.
_STATE, _PPID, _PGRP, _TTY, _UTIME, _STIME, _NICE, _START, _VSIZE, _RSS = (
    0, 1, 2, 4, 11, 12, 16, 19, 20, 21,
)  # fmt: skip

# Of the keeper's own children; see runtime.services.
_ANSWERING = ("rl-view\n", "rl-sysinfo\n")


class Process:
    """One process as it was a moment ago. pid: on the host. status: /proc/PID/status.

    cpu, start: seconds, start since boot. args: empty for a process that has none, as a zombie.
    """

    __slots__ = ("_fields", "args", "command", "label", "pid", "status")

    def __init__(
        self, pid: int, stat: str, status: dict[str, str], args: list[str], label: str
    ) -> None:
        head, _, tail = stat.rpartition(")")
        self.pid = pid
        self.command = head.partition("(")[2]
        self._fields = tail.split()
        self.status = status
        self.args = args
        self.label = label

    def _number(self, index: int) -> int:
        return int(self._fields[index])

    @property
    def state(self) -> str:
        """One letter."""
        return self._fields[_STATE]

    @property
    def parent(self) -> int:
        """The parent's pid on the host."""
        return self._number(_PPID)

    @property
    def process_group(self) -> int:
        """The process group's id on the host."""
        return self._number(_PGRP)

    @property
    def terminal(self) -> int:
        """The controlling terminal's device number, 0 without."""
        return self._number(_TTY)

    @property
    def nice(self) -> int:
        """-20 to 19."""
        return self._number(_NICE)

    @property
    def cpu(self) -> float:
        """Seconds of CPU time that it has used."""
        return (self._number(_UTIME) + self._number(_STIME)) / _TICKS

    @property
    def start(self) -> float:
        """When it started, in seconds since boot."""
        return self._number(_START) / _TICKS

    @property
    def virtual(self) -> int:
        """Bytes of address space."""
        return self._number(_VSIZE)

    @property
    def resident(self) -> int:
        """Bytes of memory."""
        return self._number(_RSS) * _PAGE

    def ids(self, key: str) -> list[int]:
        """The numbers of a line of the status, such as "Uid" (real, effective, saved, file)."""
        return [int(word) for word in self.status.get(key, "").split() if word.isdecimal()]


class Inside:
    """How the container numbers and names what the host's /proc shows."""

    def __init__(self, init: Process, directory: str) -> None:
        """init: its first process; directory: where its files are (store.containers)."""
        # With --pid host there is no level below ours.
        self._level = len(init.ids("NSpid")) - 1
        self._uids = _map_of(init.pid, "uid_map")
        self._gids = _map_of(init.pid, "gid_map")
        self._users = _names(_read_database(directory, "passwd"))
        self._groups = _names(_read_database(directory, "group"))

    def pid(self, process: Process) -> int:
        """The process's pid as the container sees it."""
        return self._number_in(process.ids("NSpid"), process.pid)

    def process_group(self, process: Process) -> int:
        """Its process group, as the container sees it; 0 for one from outside."""
        return self._number_in(process.ids("NSpgid"), process.process_group)

    def _number_in(self, levels: list[int], otherwise: int) -> int:
        return levels[self._level] if self._level < len(levels) else otherwise

    def user(self, uid: int) -> str:
        """The user of the host's `uid`: its name in the container, else its number there."""
        return _named(self._users, self._uids, uid)

    def group(self, gid: int) -> str:
        """As `user`, for groups."""
        return _named(self._groups, self._gids, gid)


def of_container(live: Live, entered: Iterable[int] = ()) -> list[Process]:
    """All of the container's processes, in the order of their pids; none when it has ended.

    entered: the processes that wait for commands of `rl exec` (store.execs). Only a control group
    knows the orphans of those commands where the container shares the host's pid namespace.
    """
    if live.group is not None:
        pids = groups.pids(live.group.payload)
    else:
        # Orphans come to the keeper where the container shares the host's pid namespace.
        # With another runtime they are below who waits for the first of them.
        keeper = live.pid("waiting") or live.pid("keeper")
        besides = {live.pid("server"), *_answering(keeper)}
        pids = _descendants([keeper, *entered], besides=besides) if keeper else []
    found = (read(pid) for pid in sorted(set(pids)))
    return [process for process in found if process is not None]


def read(pid: int) -> Process | None:
    """The process `pid` as it is now; None when there is none."""
    try:
        stat = _text(f"/proc/{pid}/stat")
        lines = _text(f"/proc/{pid}/status").split("\n")
    except OSError:
        return None
    status = {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
    args = _text_or_nothing(f"/proc/{pid}/cmdline").split("\0")
    label = _text_or_nothing(f"/proc/{pid}/attr/current").rstrip("\0\n")
    return Process(pid, stat, status, args[:-1], label)


def uptime() -> float:
    """Seconds since boot, on the clock of `Process.start`."""
    return float(_text("/proc/uptime").split()[0])


def _descendants(tops: Iterable[int], *, besides: set[int]) -> list[int]:
    """Also those that have ended and are still listed."""
    parents = {int(name): _parent_of(int(name)) for name in os.listdir("/proc") if name.isdecimal()}
    found = (proctable.descendants(parents, top, besides=besides) for top in tops)
    return [pid for pids in found for pid in pids]


def _answering(keeper: int) -> set[int]:
    """What answers the container's questions: other processes after the first have been killed.

    An orphan of the container's could have taken such a name, and is missing then (--pid host).
    """
    # Empty where the kernel has no such file (CONFIG_PROC_CHILDREN).
    children = _text_or_nothing(f"/proc/{keeper}/task/{keeper}/children").split()
    return {int(pid) for pid in children if _text_or_nothing(f"/proc/{pid}/comm") in _ANSWERING}


def _parent_of(pid: int) -> int:
    try:
        return int(_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[_PPID])
    except OSError:
        return -1


def _map_of(pid: int, name: str) -> IdMap:
    """The id map as seen from our own user namespace: (inside, ours, how many)."""
    return parse_map(_text_or_nothing(f"/proc/{pid}/{name}"))


def _named(names: dict[int, str], id_map: IdMap, outside: int) -> str:
    inside = to_inside(id_map, outside)
    return "?" if inside is None else names.get(inside, str(inside))


def _names(text: str) -> dict[int, str]:
    """Id → name of passwd(5) or group(5); the first line for an id counts."""
    found: dict[int, str] = {}
    for line in text.split("\n"):
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdecimal() and len(fields[2]) < 11 and fields[0]:
            found.setdefault(int(fields[2]), fields[0])
    return found


def _read_database(directory: str, name: str) -> str:
    """/etc/passwd or /etc/group, read from the layers: they need no look through the container's
    mounts, which its processes may have changed, and which FUSE does not show from outside."""
    # What `rl run` gives a container of its own hides the image's.
    own = images.read_in_layers([directory], name)
    # With the driver vfs the whole tree is in merged, which is an empty directory otherwise.
    trees = [f"{directory}/merged", f"{directory}/upper", *_layers(f"{directory}/l")]
    return own or images.read_in_layers(trees, f"etc/{name}")


def _layers(links: str) -> list[str]:
    """The container's layers, the topmost first (engine.create makes links to them)."""
    try:
        names = sorted(filter(str.isdecimal, os.listdir(links)), key=int)
        return [os.readlink(f"{links}/{name}") for name in names]
    except OSError:
        return []  # being removed


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def _text_or_nothing(path: str) -> str:
    try:
        return _text(path)
    except OSError:
        return ""
