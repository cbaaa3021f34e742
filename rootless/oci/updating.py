"""`update`: new limits for a container that runs."""

from __future__ import annotations

from rootless.cgroup import resources as limits
from rootless.errors import RlError
from rootless.oci import cgroups
from rootless.oci.statedir import STOPPED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.statedir import Record


def update(record: Record, wanted: dict[str, Any]) -> None:
    """Write the limits of `wanted`, a linux.resources. Raises RlError."""
    if record.state == STOPPED:
        raise RlError(f"cannot update container {record.id}: it is {STOPPED}", "rl-oci list")
    part = cgroups.limits_of(wanted)
    cgroups.write(record.status.get("cgroup", ""), limits.settings(part))
    scope, told = record.status.get("scope", ""), cgroups.known_to_systemd(part)
    if scope and told:
        cgroups.systemd_of_user(15.0).set_properties(scope, list(told.values()))
