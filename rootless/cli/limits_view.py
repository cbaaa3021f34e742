"""What `rl limits` prints: a report as text, and as a document."""

from __future__ import annotations

import time

from rootless.cgroup import binding
from rootless.cli import output
from rootless.engine import oomtext
from rootless.model.units import binary_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cgroup.binding import Amount, Row
    from rootless.cgroup.usage import Pressure
    from rootless.engine.limits import Report
    from rootless.runtime.oom import OomKill

_HEADS = ("RESOURCE", "REQUESTED", "SET", "EFFECTIVE", "BOUND BY", "USED", "PEAK")
_NOTHING = "--"
_UNLIMITED = "not limited"
_KINDS = {"some": "some", "full": "all"}
_EVENTS = {
    "low": "went below what is reserved for it",
    "high": "was slowed down above memory.high",
    "max": "touched its limit",
    "oom": "found nothing to give back at its limit",
    "oom_kill": "lost a process to the OOM killer",
}


def show(report: Report) -> None:
    """Print the report for people."""
    blocks = [
        _head(report),
        _resources(report),
        _missing(report),
        _pressure(report),
        _counters(report),
        _kills(report),
    ]
    for index, block in enumerate(filter(None, blocks)):
        if index:
            output.write_line("")
        for line in block:
            output.write_line(line)


def _head(report: Report) -> list[str]:
    title = f"{report.name} ({output.short_id(report.id)})"
    if not report.is_running:
        return [f"{title}: does not run"]
    if report.group:
        # The payload's group, as `systemd-cgls` and /proc/PID/cgroup have it.
        return [f"{title}: {report.group}"]
    lines = [f"{title}: has no cgroup of its own, so no limit of its own: {report.reason}"]
    if report.seen_in:
        lines.append(f"It shares {report.seen_in} with other processes, which binds it as follows.")
    return lines


def _resources(report: Report) -> list[str]:
    """The table, without the rows and the columns in which nothing stands."""
    rows = [_row(row) for row in report.rows]
    rows = [row for row in rows if any(cell != _NOTHING for cell in row[1:])]
    if not rows:
        return ["No limit was requested."]
    columns = [
        column
        for column in zip(_HEADS, *rows, strict=True)
        if any(cell != _NOTHING for cell in column[1:])
    ]
    return output.table_lines(list(zip(*columns, strict=True)))


def _row(row: Row) -> list[str]:
    return [
        row.name,
        _amount(row.requested, row.unit),
        _amount(row.set, row.unit),
        _amount(row.effective, row.unit),
        _bound(row),
        _used(row.used, row.unit),
        _used(row.peak, row.unit),
    ]


def _amount(amount: Amount, unit: str) -> str:
    if amount is None:
        return _NOTHING
    if amount == binding.MAX:
        return _UNLIMITED if unit != binding.LIST else "all"
    if not isinstance(amount, (int, float)):
        return str(amount)
    if unit in (binding.BYTES, binding.RESERVED):
        return binary_size(amount)
    if unit == binding.RATE:
        return f"{binary_size(amount)}/s"
    if unit == binding.OPERATIONS:
        return f"{amount}/s"
    return f"{amount:.10g} CPU" if unit == binding.CPUS else f"{amount:.10g}"


def _bound(row: Row) -> str:
    if not row.bound_by:
        return _NOTHING
    if row.unit == binding.WEIGHT:
        return f"its share in {row.bound_by}"
    if row.bound_used is None:
        return row.bound_by
    return f"{row.bound_by}, {_amount(row.bound_used, row.unit)} in use"


def _used(used: int | None, unit: str) -> str:
    if used is not None and unit == binding.CPUS:
        return _seconds(used)
    return _amount(used, unit)


def _seconds(microseconds: int) -> str:
    if microseconds < 1_000_000:
        return f"{microseconds / 1000:.3g}ms"
    seconds = microseconds / 1_000_000
    return f"{seconds:.3g}s" if seconds < 100 else f"{seconds:.0f}s"


def _missing(report: Report) -> list[str]:
    """What cannot be limited here, and once for all of the same cause what would change that."""
    lines = [
        f"No limit of {name}: {error.message.removeprefix(f'{name}: ')}"
        for name, error in report.missing
    ]
    hints = dict.fromkeys(error.hint for _, error in report.missing)
    return [*lines, *(f"hint: {hint}" for hint in hints if hint)]


def _pressure(report: Report) -> list[str]:
    """Time in which processes could not go on, for want of a resource."""
    quiet = [name for name, kinds in report.pressure.items() if not _has_waited(kinds)]
    rows = [
        [f"waited for {name}", _KINDS.get(kind, kind), *_percents(line), _seconds(line.total)]
        for name, kinds in report.pressure.items() if name not in quiet
        for kind, line in kinds.items()
    ]  # fmt: skip
    lines = []
    if rows:
        heads = ("PRESSURE", "PROCESSES", "LAST 10 S", "LAST 60 S", "LAST 5 MIN", "IN ALL")
        lines = output.table_lines([heads, *rows])
    if quiet:
        lines.append(f"Never waited for {' or '.join(quiet)}.")
    return lines


def _has_waited(kinds: dict[str, Pressure]) -> bool:
    return any(line.total for line in kinds.values())


def _percents(line: Pressure) -> list[str]:
    return [f"{percent:.1f}%" for percent in (line.avg10, line.avg60, line.avg300)]


def _counters(report: Report) -> list[str]:
    lines = []
    periods, throttled = (report.cpu_stat.get(key, 0) for key in ("nr_periods", "nr_throttled"))
    if periods:
        seconds = _seconds(report.cpu_stat.get("throttled_usec", 0))
        lines.append(
            f"CPU limit: reached in {throttled} of {periods} periods, held back for {seconds}"
        )
    for key, words in _EVENTS.items():
        count = report.events.get(key, 0)
        if count:
            lines.append(f"Memory: {words} {count} time{'s' if count > 1 else ''}")
    return lines


def _kills(report: Report) -> list[str]:
    if not report.oom_kills:
        return []
    return ["Killed for want of memory:", *(f"  {_kill(one, report)}" for one in report.oom_kills)]


def _kill(kill: OomKill, report: Report) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(kill["at"]))
    age = output.human_age(max(0.0, time.time() - kill["at"]))
    what = oomtext.victim(kill) or "a process that ended unseen"
    if kill["count"] > 1:
        what = f"{kill['count']} processes, among them {what}"
    return f"{at} ({age})   {what} at {oomtext.whose_limit(kill, report.top)}"


def document(report: Report) -> dict[str, Any]:
    """The report for programs: sizes in bytes, times in microseconds, null for what is not there.

    "max" is no limit; bound_by.path is null for the host.
    """
    return {
        "id": report.id,
        "name": report.name,
        "running": report.is_running,
        "manager": report.manager or None,
        "cgroup": report.group or None,
        "shared_cgroup": report.seen_in or None,
        "without_cgroup_because": report.reason or None,
        "resources": [_row_document(row) for row in report.rows],
        "missing_controllers": [
            {"controller": name, "reason": error.message.removeprefix(f"{name}: "),
             "hint": error.hint}
            for name, error in report.missing
        ],
        "pressure": _pressure_document(report),
        "cpu_stat": report.cpu_stat,
        "memory_events": report.events,
        "oom_kills": report.oom_kills,
    }  # fmt: skip


def _pressure_document(report: Report) -> dict[str, Any]:
    return {
        name: {
            kind: {"avg10": line.avg10, "avg60": line.avg60, "avg300": line.avg300,
                   "total": line.total}
            for kind, line in kinds.items()
        }
        for name, kinds in report.pressure.items()
    }  # fmt: skip


def _row_document(row: Row) -> dict[str, Any]:
    bound = None
    if row.bound_by:
        bound = {"name": row.bound_by, "path": row.bound_path or None, "used": row.bound_used}
    return {
        "resource": row.name, "file": row.file, "unit": row.unit, "requested": row.requested,
        "set": row.set, "effective": row.effective, "bound_by": bound,
        "used": row.used, "peak": row.peak,
    }  # fmt: skip
