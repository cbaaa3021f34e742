"""One check of a container's health, and what becomes of its result.

The result goes into the container's record (model.health), whoever asked: its supervisor, or the
user with `rl healthcheck run`.
"""

from __future__ import annotations

import time

from rootless.errors import NotFoundError
from rootless.model import health
from rootless.model.healthcheck import Check
from rootless.model.moment import rfc3339
from rootless.store import containers, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

# Exit codes of `rl healthcheck run`; any other is an error of ours.
HEALTHY, UNHEALTHY = 0, 1


def note(paths: Paths, container_id: str, begun: int, result: dict[str, Any]) -> None:
    """Put `result` (model.health.result) into the record, and tell of a change of status.

    begun: the start ("starts" in the record) that was checked; nothing is noted once the container
    has ended, or after a later start: a check that was cut short says nothing of it.
    """
    with containers.RecordChange(paths, container_id) as record:
        if record.get("starts") != begun or record.get("status") != "running":
            return
        check = Check(**record["health_check"])
        known = record.get("health") or health.starting(None)
        seconds = time.time() - float(record["started"])
        record["health"] = health.after(
            known, result, retries=check.retries, in_start_period=seconds < check.start_period / 1e9
        )
        changed = record["health"]["status"] != known["status"]
    if changed:
        events.of_container(paths, f"health_status: {record['health']['status']}", record)


def note_broken(paths: Paths, container_id: str, begun: int, words: str) -> None:
    """A check came to nothing, which counts as a failure. words: why."""
    now = rfc3339(time.time_ns())
    try:
        note(paths, container_id, begun, health.result(now, now, health.TIMED_OUT, words.encode()))
    except NotFoundError:
        pass  # removed meanwhile
