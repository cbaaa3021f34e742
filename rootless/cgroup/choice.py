"""Who makes a container's group: the user's systemd manager, ourselves below our own group, nobody.

Found from the uid and from where this process is; the environment is not asked.
"""

from __future__ import annotations

from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup.hierarchy import Hierarchy
from rootless.errors import HostError
from rootless.model.value import Value

SYSTEMD = "systemd"
CGROUPFS = "cgroupfs"
DISABLED = "disabled"

# Groups that batch systems make for a job: a container must not leave it, or it would escape the
# job's limits, its accounting and its end. Slurm's cgroup/v2 plugin, OpenPBS's cgroups hook.
_JOBS = {"slurmstepd.scope": "Slurm", "pbs_jobs.service": "PBS"}


class Choice(Value):
    """manager: SYSTEMD, CGROUPFS or DISABLED. base: for CGROUPFS the directory to make groups in.

    reason: why it is not SYSTEMD, as a part of a sentence; "" where it is, or was not wanted.
    """

    __slots__ = ("base", "hierarchy", "manager", "reason")

    def __init__(
        self, manager: str, hierarchy: Hierarchy, *, base: str = "", reason: str = ""
    ) -> None:
        self.manager = manager
        self.hierarchy = hierarchy
        self.base = base
        self.reason = reason

    @property
    def is_systemd(self) -> bool:
        """Whether the group is a scope."""
        return self.manager == SYSTEMD


def choose(wished: str = "") -> Choice:
    """The manager for a new container; wished: SYSTEMD, CGROUPFS, DISABLED or "" for any.

    Raises HostError when the wished one cannot work here.
    """
    hierarchy = hierarchies.discover()
    if wished == DISABLED:
        return Choice(DISABLED, hierarchy, reason="--cgroup-manager disabled")
    if wished == CGROUPFS:
        return _insist(_below_own(hierarchy, ""), CGROUPFS)
    if wished == SYSTEMD:
        return _insist(_systemd(hierarchy), SYSTEMD)
    job = job_around(hierarchy.own)
    if job:
        return _below_own(hierarchy, f"this process belongs to a {job} job")
    choice = _systemd(hierarchy)
    return choice if choice.manager == SYSTEMD else _below_own(hierarchy, choice.reason)


def without_systemd(choice: Choice, reason: str) -> Choice:
    """What is left when the manager that was chosen did not answer."""
    return _below_own(choice.hierarchy, reason)


def _insist(choice: Choice, wished: str) -> Choice:
    if choice.manager == wished:
        return choice
    raise HostError(
        f"--cgroup-manager {wished}: {choice.reason or 'not possible here'}",
        hint="rl run --cgroup-manager disabled …",
    )


def _systemd(hierarchy: Hierarchy) -> Choice:
    if hierarchy.mode != hierarchies.V2:
        return Choice(DISABLED, hierarchy, reason=_mode_in_words(hierarchy.mode))
    from rootless.tools import systemd

    absence = systemd.Manager().absence()
    if absence is not None:
        return Choice(DISABLED, hierarchy, reason=absence.message)
    return Choice(SYSTEMD, hierarchy)


def _below_own(hierarchy: Hierarchy, reason: str) -> Choice:
    if hierarchy.mode != hierarchies.V2:
        return Choice(DISABLED, hierarchy, reason=_mode_in_words(hierarchy.mode))
    from rootless.cgroup import subtree

    base = subtree.base_of(hierarchy)
    if base:
        return Choice(CGROUPFS, hierarchy, base=base, reason=reason)
    own = hierarchy.own or "of this process"
    return Choice(DISABLED, hierarchy, reason=reason or f"the cgroup {own} is not ours to divide")


def _mode_in_words(mode: str) -> str:
    if mode == hierarchies.HYBRID:
        return "this host has cgroup v1 and v2 side by side, and all controllers are v1's"
    if mode == hierarchies.V1:
        return "this host has cgroup v1, which gives a normal user nothing"
    return "no cgroup file system is mounted"


def job_around(group: str) -> str:
    """The batch system that has made `group` or one above it for a job, "" when none has."""
    names = group.split("/")
    return next((job for name, job in _JOBS.items() if name in names), "")
