"""The columns of `rl top`: podman's names for them (podman-top(1)) and ps's AIX codes (ps(1))."""

from __future__ import annotations

import os

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rootless.engine.processes import Inside, Process

    Show = Callable[["View", Process], str]

DEFAULT = ("user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args")

# /proc/PID/status, "Seccomp".
_SECCOMP = {"0": "disabled", "1": "strict", "2": "filter"}
_FIRST_PTS, _LAST_PTS = 136, 143
_TTY_MAJOR = 4
_EFFECTIVE = 1


class View:
    """What all rows share: the container's numbers and names, and the time.

    uptime: seconds since boot; now: since the epoch.
    """

    def __init__(
        self, inside: Inside, processes: Iterable[Process], *, uptime: float, now: float
    ) -> None:
        self.inside = inside
        self.uptime = uptime
        self.now = now
        self._known = {process.pid: process for process in processes}

    def parent(self, process: Process) -> str:
        """The parent's pid in the container; 0 for one that is outside of it."""
        parent = self._known.get(process.parent)
        return str(self.inside.pid(parent)) if parent else "0"

    def elapsed(self, process: Process) -> float:
        """Seconds since the process started."""
        return max(0.0, self.uptime - process.start)

    def row(self, columns: list[Column], process: Process) -> list[str]:
        """The fields of `process`."""
        return [column.show(self, process) for column in columns]


class Column:
    """A heading, and the text below it."""

    __slots__ = ("head", "show")

    def __init__(self, head: str, show: Show) -> None:
        self.head = head
        self.show = show


def choose(words: Iterable[str]) -> list[Column]:
    """The columns that `words` name, separated by spaces or commas. Raises UsageError."""
    names = [name for word in words for name in word.split(",") if name] or list(DEFAULT)
    return [_column(name) for name in names]


def _column(name: str) -> Column:
    column = COLUMNS.get(_CODES.get(name, name))
    if column is None:
        known = ",".join(COLUMNS)
        raise UsageError(f"rl top: no column is named {name}", hint=f"one of: {known}")
    return column


def duration(seconds: float) -> str:
    """As podman shows a time: 1h2m3.45s."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    hours, minutes = divmod(minutes, 60)
    text = f"{rest / 100:.2f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _percent(view: View, process: Process) -> str:
    elapsed = view.elapsed(process)
    return f"{100 * process.cpu / elapsed if elapsed else 0.0:.3f}"


def _args(view: View, process: Process) -> str:
    return " ".join(process.args) or f"[{process.command}]"


def _tty(view: View, process: Process) -> str:
    major, minor = os.major(process.terminal), os.minor(process.terminal)
    if _FIRST_PTS <= major <= _LAST_PTS:
        return f"pts/{(major - _FIRST_PTS) * 256 + minor}"
    if major == _TTY_MAJOR:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return f"{major}:{minor}" if process.terminal else "?"


def _started(view: View, process: Process) -> str:
    import time

    moment = time.localtime(view.now - view.elapsed(process))
    return (
        f"{moment.tm_year}-{moment.tm_mon:02}-{moment.tm_mday:02}"
        f" {moment.tm_hour:02}:{moment.tm_min:02}:{moment.tm_sec:02}"
    )


def _capabilities(key: str) -> Show:
    def show(view: View, process: Process) -> str:
        from rootless.model.capabilities import NAMES, from_mask

        mask = int(process.status.get(key, "0"), 16)
        if mask == (1 << len(NAMES)) - 1:
            return "full"
        names = [name.removeprefix("CAP_") for name in from_mask(mask)]
        return ",".join(names) or "none"

    return show


def _seccomp(view: View, process: Process) -> str:
    return _SECCOMP.get(process.status.get("Seccomp", ""), "?")


def _user(which: int) -> Show:
    return lambda view, process: view.inside.user(process.ids("Uid")[which])


def _group(which: int) -> Show:
    return lambda view, process: view.inside.group(process.ids("Gid")[which])


def _host_user(view: View, process: Process) -> str:
    import pwd

    uid = process.ids("Uid")[_EFFECTIVE]
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _host_group(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _groups(view: View, process: Process) -> str:
    return ",".join(map(view.inside.group, process.ids("Groups")))


COLUMNS = {
    "args": Column("COMMAND", _args),
    "capamb": Column("AMBIENT CAPS", _capabilities("CapAmb")),
    "capbnd": Column("BOUNDING CAPS", _capabilities("CapBnd")),
    "capeff": Column("EFFECTIVE CAPS", _capabilities("CapEff")),
    "capinh": Column("INHERITED CAPS", _capabilities("CapInh")),
    "capprm": Column("PERMITTED CAPS", _capabilities("CapPrm")),
    "comm": Column("COMMAND", lambda view, process: process.command),
    "etime": Column("ELAPSED", lambda view, process: duration(view.elapsed(process))),
    "group": Column("GROUP", _group(_EFFECTIVE)),
    "groups": Column("GROUPS", _groups),
    "hgroup": Column("HGROUP", lambda view, one: _host_group(one.ids("Gid")[_EFFECTIVE])),
    "hgroups": Column("HGROUPS", lambda view, one: ",".join(map(_host_group, one.ids("Groups")))),
    "hpid": Column("HPID", lambda view, process: str(process.pid)),
    "huser": Column("HUSER", _host_user),
    "label": Column("LABEL", lambda view, process: process.label or "?"),
    "nice": Column("NI", lambda view, process: str(process.nice)),
    "pcpu": Column("%CPU", _percent),
    "pgid": Column("PGID", lambda view, process: str(view.inside.process_group(process))),
    "pid": Column("PID", lambda view, process: str(view.inside.pid(process))),
    "ppid": Column("PPID", View.parent),
    "rgroup": Column("RGROUP", _group(0)),
    "rss": Column("RSS", lambda view, process: str(process.resident // 1024)),
    "ruser": Column("RUSER", _user(0)),
    "seccomp": Column("SECCOMP", _seccomp),
    "state": Column("STATE", lambda view, process: process.state),
    "stime": Column("STIME", _started),
    "time": Column("TIME", lambda view, process: duration(process.cpu)),
    "tty": Column("TTY", _tty),
    "user": Column("USER", _user(_EFFECTIVE)),
    "vsz": Column("VSZ", lambda view, process: str(process.virtual // 1024)),
}  # fmt: skip

# ps(1), "AIX FORMAT DESCRIPTORS".
_CODES = {
    "%C": "pcpu", "%G": "group", "%P": "ppid", "%U": "user", "%a": "args", "%c": "comm",
    "%g": "rgroup", "%n": "nice", "%p": "pid", "%r": "pgid", "%t": "etime", "%u": "ruser",
    "%x": "time", "%y": "tty", "%z": "vsz",
}  # fmt: skip
