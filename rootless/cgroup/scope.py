"""The systemd manager: a container's group is a scope of the user's own systemd.

systemd.scope(5), systemd.resource-control(5) "Delegate="; what we may do below such a scope is in
systemd's CGROUP_DELEGATION.md.
"""

from __future__ import annotations

import os

from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup.group import Group
from rootless.errors import HostError
from rootless.tools import systemd

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cgroup.hierarchy import Hierarchy
    from rootless.tools.systemd import Job, Property

# CPUWeight and IOWeight that nobody has set (CGROUP_WEIGHT_INVALID in systemd's cgroup-util.h), and
# "infinity" of its limits.
_NO_WEIGHT = _INFINITY = 2**64 - 1

# What a stopped scope's processes have before SIGKILL, in microseconds: docker's ten seconds.
_STOP_TIMEOUT = 10_000_000
# How long a start waits for a manager that does not answer before it goes on without, in seconds;
# and where it cannot go on, for a manager on a busy machine.
_PATIENCE = 5.0
_PATIENCE_FOR_LIMITS = 15.0
# For what nothing depends on, while the command runs already.
_PATIENCE_FOR_HELPERS = 2.0


def unit_name(name: str) -> str:
    """The unit of the container's group `name`."""
    return f"{name}.scope"


def set_weights(group: Group, weights: dict[str, int | None]) -> None:
    """Change CPUWeight and IOWeight of a running container's scope; None for the default.

    Raises HostError.
    """
    if weights:
        unit = os.path.basename(group.top)
        properties: list[Property] = [
            (name, "t", _NO_WEIGHT if weight is None else weight)
            for name, weight in weights.items()
        ]
        systemd.Manager().set_properties(unit, properties)


def enter(group: Group, pid: int, place: str) -> None:
    """Have systemd move a process of ours into `place`, a group of a running container's.

    Raises HostError.
    """
    _attach(os.path.basename(group.top), place, pid, _PATIENCE_FOR_LIMITS)


def _attach(unit: str, directory: str, pid: int, seconds: float) -> None:
    child = directory.partition(unit)[2]
    systemd.Manager(seconds=seconds).attach(unit, child, [pid])


class Scope:
    """A scope that systemd has been asked for, around a process of ours."""

    def __init__(
        self,
        name: str,
        pid: int,
        *,
        description: str,
        weights: dict[str, int],
        slice_name: str = "",
        hierarchy: Hierarchy,
        needed: bool,
    ) -> None:
        """Ask; systemd works on it while the caller goes on.

        weights: CPUWeight and IOWeight, which count between scopes. slice_name: "" for the
        manager's default. needed: nothing starts without it. Raises ManagerUnreachable and its like
        (tools.systemd).
        """
        properties: list[Property] = [
            ("Description", "s", description),
            ("Delegate", "b", True),
            ("CollectMode", "s", "inactive-or-failed"),
            ("TimeoutStopUSec", "t", _STOP_TIMEOUT),
            # Else DefaultTasksMax, 15 % of what the machine can have, binds before --pids-limit.
            ("TasksMax", "t", _INFINITY),
        ]
        if slice_name:
            properties.append(("Slice", "s", slice_name))
        properties += [(key, "t", value) for key, value in weights.items()]
        self._pid = pid
        self._hierarchy = hierarchy
        self._name = unit_name(name)
        manager = systemd.Manager(seconds=_PATIENCE_FOR_LIMITS if needed else _PATIENCE)
        self._job: Job = manager.start_scope(self._name, [pid], properties)

    def wait(self) -> Group:
        """The scope's group, once systemd has made it. Raises HostError."""
        self._job.wait()
        group = hierarchies.group_of(self._pid)
        if not group.endswith(f"/{self._name}"):
            raise HostError(f"{self._name}: systemd has put process {self._pid} into {group}")
        return Group(hierarchies.directory(self._hierarchy.mount, group))

    def attach(self, directory: str, pid: int) -> None:
        """Move a process of ours into `directory`, a group of the scope. Raises HostError."""
        _attach(self._name, directory, pid, _PATIENCE_FOR_HELPERS)

    def forget(self) -> None:
        """Do not wait for it: it ends with its process."""
        self._job.close()
