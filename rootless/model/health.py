"""The state of a health check as a container's record keeps it under "health". Pure.

{"status": one of STATUSES, "failing_streak": failures in a row,
"log": [{"start", "end": RFC 3339, "exit_code", "output"}, …], the last ones}
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

STARTING, HEALTHY, UNHEALTHY, NONE = "starting", "healthy", "unhealthy", "none"
STATUSES = (STARTING, HEALTHY, UNHEALTHY, NONE)
# docker's: results that are kept, and bytes of a command's output in each.
MOST_RESULTS = 5
MOST_OUTPUT = 4096
# The exit code in the result of a command that did not end in time.
TIMED_OUT = -1


def status(record: Mapping[str, Any]) -> str:
    """How the container is: NONE where nobody asks."""
    found = (record.get("health") or {}).get("status")
    return str(found) if found in STATUSES else NONE


def suffix(record: Mapping[str, Any]) -> str:
    """What `rl ps` shows behind "Up 3 minutes": " (healthy)", or nothing."""
    known = status(record)
    if known == NONE:
        return ""
    return " (health: starting)" if known == STARTING else f" ({known})"


def starting(before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The state at a start of a container; the results of earlier runs stay."""
    return {"status": STARTING, "failing_streak": 0, "log": list((before or {}).get("log", []))}


def after(
    known: Mapping[str, Any], result: Mapping[str, Any], *, retries: int, in_start_period: bool
) -> dict[str, Any]:
    """The state once `result`, a row for the log, has come.

    in_start_period: its failure does not count, unless the container has been healthy.
    """
    status, streak = known.get("status", STARTING), int(known.get("failing_streak", 0))
    if result["exit_code"] == 0:
        status, streak = HEALTHY, 0
    elif not (in_start_period and status == STARTING):
        streak += 1
        if streak >= retries:
            status = UNHEALTHY
    log = [*known.get("log", []), dict(result)][-MOST_RESULTS:]
    return {"status": status, "failing_streak": streak, "log": log}


def result(start: str, end: str, exit_code: int, output: bytes, note: str = "") -> dict[str, Any]:
    """A row for the log. output: as the command wrote it. note: put before it."""
    shown = output[:MOST_OUTPUT].decode(errors="replace")
    tail = "..." if len(output) > MOST_OUTPUT else ""
    return {"start": start, "end": end, "exit_code": exit_code, "output": f"{note}{shown}{tail}"}
