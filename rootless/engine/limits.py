"""`rl limits`: what was asked for, what is set, what binds, how near it is, what it has cost."""

from __future__ import annotations

from rootless.cgroup import binding, levels, limiting, refusal, resources, usage
from rootless.cgroup import choice as choices
from rootless.cgroup import group as groups
from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup.choice import Choice
from rootless.engine import grouping, live
from rootless.model.value import Value
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.cgroup.binding import Row
    from rootless.cgroup.hierarchy import Hierarchy
    from rootless.cgroup.levels import Level
    from rootless.cgroup.refusal import Delegation
    from rootless.cgroup.usage import Pressure
    from rootless.engine.live import Live
    from rootless.errors import HostError
    from rootless.runtime.oom import OomKill
    from rootless.store.paths import Paths

# The controllers that have a row of their own.
_CONTROLLERS = ("memory", "cpu", "cpuset", "pids", "io")
_PRESSURES = ("memory", "cpu", "io")


class Report(Value):
    """All that is known. group: the directory of its own group, "" without one; reason: why there
    is none, as a sentence, "" where there is one or none is needed; seen_in: the group that binds
    it instead, as in /proc/PID/cgroup; pressure: by resource, then by kind; cpu_stat, events:
    cpu.stat and memory.events of the payload; missing: controllers without which nothing is
    limited, each with its explanation."""

    __slots__ = (
        "cpu_stat", "events", "group", "id", "is_running", "manager", "missing", "name",
        "oom_kills", "pressure", "reason", "rows", "seen_in", "top",
    )  # fmt: skip

    def __init__(self, record: dict[str, Any], *, is_running: bool) -> None:
        self.id: str = record["id"]
        self.name: str = record["name"]
        self.is_running = is_running
        self.manager = ""
        self.group = ""
        self.top = _top(record)
        self.reason = ""
        self.seen_in = ""
        self.rows: list[Row] = []
        self.pressure: dict[str, dict[str, Pressure]] = {}
        self.cpu_stat: dict[str, int] = {}
        self.events: dict[str, int] = {}
        self.oom_kills: list[OomKill] = record.get("oom_kills", [])
        self.missing: list[tuple[str, HostError]] = []


def report(paths: Paths, text: str) -> Report:
    """The report on the container named `text`, running or not. Raises NotFoundError."""
    container_id = containers.find(paths, text)
    record = containers.read_record(paths, container_id)
    found = live.look(paths, text, container_id)
    made = Report(record, is_running=found is not None)
    wanted = record.get("resources") or {}
    if found is None:
        made.rows = binding.Table(_wishes(wanted), [], levels.read_host(), is_own=False).rows()
        _name_devices(made)
        return made
    hierarchy = hierarchies.discover()
    if found.group is not None:
        _describe_group(made, found, hierarchy)
    else:
        _describe_absence(made, found, hierarchy)
    chain = _chain(made, found, hierarchy, wanted)
    made.rows = binding.Table(
        _wishes(wanted), chain, levels.read_host(),
        is_own=found.group is not None, allowed=levels.allowed(found.pid("init")),
    ).rows()  # fmt: skip
    _note_cpu_time(made)
    _name_devices(made)
    return made


def _wishes(wanted: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for setting in resources.settings(wanted):
        yield setting.file, setting.text
        if setting.instead is not None:
            yield setting.instead.file, setting.instead.text


def _chain(made: Report, found: Live, hierarchy: Hierarchy, wanted: dict[str, Any]) -> list[Level]:
    """From the payload's group up; nothing where version 2 limits nothing."""
    if hierarchy.mode != hierarchies.V2:
        return []
    if found.group is not None:
        names = [*levels.FILES, *wanted.get("unified", {})]
        return levels.read_chain(
            hierarchy.mount, found.group.payload, found.group.top, dict.fromkeys(names)
        )
    if not made.seen_in:
        return []
    directory = hierarchies.directory(hierarchy.mount, made.seen_in)
    return levels.read_chain(hierarchy.mount, directory, "")


def _describe_group(made: Report, found: Live, hierarchy: Hierarchy) -> None:
    group = found.group
    if group is None:
        return
    made.group, made.top, made.manager = group.payload, group.top, found.manager
    names = [f"{name}.pressure" for name in _PRESSURES]
    files = levels.read_files(group.payload, ["cpu.stat", "memory.events", *names])
    made.cpu_stat = groups.numbers(files.get("cpu.stat", ""))
    made.events = groups.numbers(files.get("memory.events", ""))
    lines = ((name, usage.pressure(files.get(f"{name}.pressure", ""))) for name in _PRESSURES)
    made.pressure = {name: found_lines for name, found_lines in lines if found_lines}
    where = limiting.delegation(Choice(found.manager, hierarchy), group)
    made.missing = _missing(levels.read_text(f"{group.payload}/cgroup.controllers") or "", where)


def _describe_absence(made: Report, found: Live, hierarchy: Hierarchy) -> None:
    choice = choices.choose()
    if choice.manager == choices.DISABLED:
        made.reason = choice.reason
    else:
        made.reason = "it was started without one"
    if hierarchy.mode == hierarchies.V2:
        made.seen_in = hierarchies.group_of(found.pid("init"))


def _missing(usable: str, where: Delegation) -> list[tuple[str, HostError]]:
    lacking = [name for name in _CONTROLLERS if name not in usable.split()]
    return [(name, refusal.explain(name, name, where, offer=False)) for name in lacking]


def _note_cpu_time(made: Report) -> None:
    for row in made.rows:
        if row.file == "cpu.max":
            row.used = made.cpu_stat.get("usage_usec")


def _name_devices(made: Report) -> None:
    for row in made.rows:
        if row.file == "io.max":
            head, _, number = row.name.rpartition(" ")
            row.name = f"{head} {levels.device_name(number)}"


def _top(record: dict[str, Any]) -> str:
    """The directory of the group that a container had, out of what the OOM killer did to it."""
    name = grouping.name_of(record["id"])
    for kill in record.get("oom_kills", []):
        head, found, rest = kill["limit_of"].partition(f"/{name}")
        if found:
            return f"{head}{found}{rest.partition('/')[0]}"
    return f"/{name}"
