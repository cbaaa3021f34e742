"""What a container uses, as runc's `events` has it; parts that the group does not count are left
out."""

from __future__ import annotations

from rootless.cgroup import group as groups
from rootless.cgroup import usage
from rootless.errors import RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.statedir import Record

_NANO = 1000


def read(record: Record) -> dict[str, Any]:
    """The `data` of one event. Raises RlError without a control group."""
    directory = record.status.get("cgroup", "")
    if not directory:
        raise RlError(f"container {record.id} has no control group that would count")
    return {"cpu": _cpu(directory), "memory": _memory(directory), "pids": _pids(directory)}


def _text(directory: str, name: str) -> str:
    try:
        return groups.read(f"{directory}/{name}")
    except OSError:
        return ""


def _cpu(directory: str) -> dict[str, Any]:
    figures = groups.numbers(_text(directory, "cpu.stat"))
    times = {"total": "usage_usec", "kernel": "system_usec", "user": "user_usec"}
    found = {name: figures.get(key, 0) * _NANO for name, key in times.items()}
    throttling = {"periods": figures.get("nr_periods", 0),
                  "throttledPeriods": figures.get("nr_throttled", 0),
                  "throttledTime": figures.get("throttled_usec", 0) * _NANO}  # fmt: skip
    return {"usage": found, "throttling": throttling}


def _memory(directory: str) -> dict[str, Any]:
    amounts = {"usage": "memory.current", "limit": "memory.max", "max": "memory.peak"}
    found = {name: usage.count(_text(directory, file)) for name, file in amounts.items()}
    raw = groups.numbers(_text(directory, "memory.stat"))
    known = {name: value for name, value in found.items() if value is not None}
    return {"usage": known, "raw": raw} if known else {}


def _pids(directory: str) -> dict[str, Any]:
    amounts = {"current": "pids.current", "limit": "pids.max"}
    found = {name: usage.count(_text(directory, file)) for name, file in amounts.items()}
    return {name: value for name, value in found.items() if value is not None}
