"""Which processes are a container's: those of its control group, else of its pid namespace."""

from __future__ import annotations

import os

from rootless.cgroup import group as groups

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.oci.statedir import Record


def of(record: Record) -> list[int]:
    """Their pids, in our own pid namespace; the first process is among them while it runs."""
    found = groups.pids(record.status["cgroup"]) if record.status.get("cgroup") else []
    pid = record.pid
    if not found and pid:
        found = _same_namespace(pid) if record.status.get("own_pids", True) else [pid]
    return sorted(found)


def _same_namespace(pid: int) -> list[int]:
    wanted = _namespace(str(pid))
    if wanted is None:
        return [pid]
    return [
        int(name) for name in os.listdir("/proc") if name.isdigit() and _namespace(name) == wanted
    ]


def _namespace(name: str) -> int | None:
    try:
        return os.stat(f"/proc/{name}/ns/pid").st_ino
    except OSError:
        return None
