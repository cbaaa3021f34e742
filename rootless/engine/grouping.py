"""The control group of a container that starts: asked for early, limits in place before it runs."""

from __future__ import annotations

import os

from rootless import log
from rootless.cgroup import choice as choices
from rootless.errors import HostError, RlError
from rootless.model.container import BEST_EFFORT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cgroup.choice import Choice
    from rootless.cgroup.group import Group
    from rootless.cgroup.scope import Scope
    from rootless.model.container import ContainerSpec
    from rootless.runtime.messages import CgroupRequest

_NAME_DIGITS = 12
# For processes that were sent SIGKILL.
_SECONDS_TO_END = 2.0


def name_of(container_id: str, number: int = 0) -> str:
    """What a container's group is called; its scope has ".scope" after it.

    number: which start it is. Each has a name of its own: systemd forgets a scope at its own time,
    and who restarts a container may still be in the group of the run before.
    """
    name = f"rl-{container_id[:_NAME_DIGITS]}"
    return f"{name}-{number}" if number else name


def place_without_systemd(container_id: str, number: int) -> str:
    """Where a group of our own making is, if there is one: for a start that was cut in between."""
    from rootless.cgroup import hierarchy, subtree

    base = subtree.base_of(hierarchy.discover())
    return f"{base}/{name_of(container_id, number)}" if base else ""


class Grouping:
    """One start's group. `ask`, then `settle`; `discard` when the container does not come to be."""

    def __init__(self, spec: ContainerSpec) -> None:
        """Raises HostError when the wished manager cannot work here."""
        self._spec = spec
        self._resources: dict[str, Any] = spec.resources
        self._is_strict = spec.limits != BEST_EFFORT
        insists = bool(spec.cgroup_manager or spec.cgroup_parent)
        # Else a container starts without a group, and without what would come with it.
        self._is_needed = insists or (bool(self._resources) and self._is_strict)
        self.choice: Choice = choices.choose(spec.cgroup_manager)
        if spec.cgroup_parent and not self.choice.is_systemd:
            reason = self.choice.reason or "--cgroup-manager cgroupfs"
            raise HostError(f"--cgroup-parent {spec.cgroup_parent}: no systemd here: {reason}")
        self._scope: Scope | None = None
        self._group: Group | None = None
        self._keeper = 0

    def path_in_document(self, container_id: str) -> str:
        """`linux.cgroupsPath` as OCI runtimes read it: SLICE:PREFIX:NAME for systemd, else a path;
        "" without a group."""
        if self.choice.is_systemd:
            return f"{self._spec.cgroup_parent}:rl:{container_id[:_NAME_DIGITS]}"
        if not self.choice.base:
            return ""
        base = self.choice.base[len(self.choice.hierarchy.mount) :]
        return f"{base}/{name_of(container_id)}"

    def describe(self, container_id: str) -> list[str]:
        """The effects of `ask` and `settle`, one line each. Raises HostError for limits that can
        certainly not be enforced."""
        name = name_of(container_id)
        if self.choice.manager == choices.DISABLED:
            self._limit()
            return [f"control group: none, {self.choice.reason}"]
        if self.choice.is_systemd:
            lines = [f"control group: {name}.scope of the user's systemd"]
        else:
            lines = [f"mkdir {self.choice.base}/{name}"]
        if self._resources:
            from rootless.cgroup import resources

            settings = resources.settings(self._resources)
            lines += [f"write {one.text!r} to payload/{one.file}" for one in settings]
        return lines

    def ask(self, container_id: str, name: str, keeper_pid: int, number: int) -> None:
        """Begin to make the group of the container around its keeper. Raises HostError.

        number: which start of the container it is, from 0.
        """
        self._name = name_of(container_id, number)
        self._keeper = keeper_pid
        if self.choice.manager != choices.SYSTEMD:
            return
        from rootless.cgroup import scope

        try:
            self._scope = scope.Scope(
                self._name,
                keeper_pid,
                description=_description(name, self._spec.image or self._spec.rootfs or ""),
                weights=_weights(self._resources),
                slice_name=self._spec.cgroup_parent,
                hierarchy=self.choice.hierarchy,
                needed=self._is_needed,
            )
        except HostError as error:
            self._do_without_systemd(error)

    def settle(self) -> CgroupRequest | None:
        """The group, with the keeper in it and every limit set; None where there is none.

        Raises HostError for a limit that cannot be enforced.
        """
        try:
            self._group = self._made()
        except HostError as error:
            if self._is_needed:
                raise
            log.effect(f"no control group: {error.message}")
        self._limit()
        if self._group is None:
            return None
        leave = self.choice.manager == choices.CGROUPFS
        return {"top": self._group.top, "container": self._group.container, "leave": leave}

    def discard(self) -> None:
        """Take back what the keeper, which is gone, has not taken back itself.

        A keeper that was killed leaves processes that share the host's pid namespace. What cannot
        be removed is said.
        """
        if self._scope is not None:
            self._scope.forget()
        if self._group is None or not os.path.isdir(self._group.top):
            return
        try:
            self._group.kill()
            if self._scope is None:
                self._remove(self._group)
        except OSError as error:
            # systemd removes a scope at its own time, also between our look and the write.
            if self._scope is None:
                log.warn(f"cgroup {self._group.top}: not removed: {error.strerror}")

    def _remove(self, group: Group) -> None:
        from rootless.cgroup import subtree

        group.wait_until_empty(_SECONDS_TO_END)
        subtree.remove(group)

    def add_helper(self, pid: int) -> None:
        """Have a process of ours that serves the container beside its keeper, where that can be."""
        if self._group is None or not pid:
            return
        from rootless.cgroup import group as groups

        try:
            if self._scope is not None:
                self._scope.attach(self._group.helpers, pid)
            else:
                groups.enter(self._group.helpers, pid)
        except RlError as error:
            log.effect(f"process {pid} stays outside of the container's group: {error.message}")

    def add_forked(self, pids: list[int]) -> None:
        """The same for those that the keeper may have forked before it was in the group itself."""
        if self._group is None:
            return
        from rootless.cgroup import group as groups

        try:
            inside = groups.read(f"{self._group.helpers}/cgroup.procs").split()
        except OSError:
            return  # the command has ended, and everything with it
        for pid in pids:
            if str(pid) not in inside:
                self.add_helper(pid)

    def facts(self) -> dict[str, str]:
        """What is to be remembered: the manager, the group's directory; empty without a group."""
        if self._group is None:
            return {}
        return {"manager": self.choice.manager, "path": self._group.top}

    def _made(self) -> Group | None:
        group = self._from_systemd() or self._below_own()
        if group is None:
            return None
        from rootless.cgroup import group as groups

        try:
            group.make()
            groups.enter(group.helpers, self._keeper)
            _move_forked(group)
            group.delegate()
        except OSError as error:
            raise HostError(f"cgroup {group.top}: {error.strerror}") from error
        return group

    def _from_systemd(self) -> Group | None:
        try:
            return self._scope.wait() if self._scope is not None else None
        except HostError as error:
            self._do_without_systemd(error)
            return None

    def _below_own(self) -> Group | None:
        if self.choice.manager != choices.CGROUPFS:
            return None
        from rootless.cgroup import subtree

        return subtree.make(self.choice.base, self._name, limited=bool(self._resources))

    def _do_without_systemd(self, error: HostError) -> None:
        """Go on with what else there is, where systemd did not answer; its no is an answer."""
        from rootless.tools import systemd

        is_answer = isinstance(error, systemd.ManagerRefused)
        if self._spec.cgroup_manager or self._spec.cgroup_parent or (is_answer and self._is_needed):
            raise error
        log.effect(f"no scope: {error.message}")
        self._scope = None
        self.choice = choices.without_systemd(self.choice, error.message)

    def _limit(self) -> None:
        """Before anything runs, and also where there is no group: then no limit can hold."""
        if not self._resources:
            return
        from rootless.cgroup import limiting

        for problem in limiting.enforce(
            self._group, self._resources, self.choice, strict=self._is_strict
        ):
            log.warn(f"not enforced: {problem.message}")


def _move_forked(group: Group) -> None:
    """What the keeper has forked since it is in the scope goes where the keeper is: no process may
    be in a group that is divided. Raises OSError."""
    from rootless.cgroup import group as groups

    for _ in range(10):  # they fork too
        found = groups.read(f"{group.top}/cgroup.procs").split()
        if not found:
            return
        for pid in found:
            try:
                groups.enter(group.helpers, int(pid))
            except HostError:
                continue  # it has ended


def _description(name: str, source: str) -> str:
    """D-Bus takes UTF-8 only, systemctl(1) shows it on terminals: a path may be neither."""
    shown = "".join(each if each.isprintable() else "?" for each in source)
    return f"rl container {name} ({shown})"


def _weights(resources: dict[str, Any]) -> dict[str, int]:
    if not resources:
        return {}
    from rootless.cgroup import resources as conversions

    return conversions.weights(resources)
