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
