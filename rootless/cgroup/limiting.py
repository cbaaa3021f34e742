"""Limits written into a container's group: all that was asked for, or an error that says why."""

from __future__ import annotations

import errno
import os

from rootless import log
from rootless.cgroup import group as groups
from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup import resources
from rootless.errors import HostError
from rootless.model.resources import parse_list
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.cgroup.choice import Choice
    from rootless.cgroup.group import Group
    from rootless.cgroup.refusal import Delegation
    from rootless.cgroup.resources import Setting

    Limits = dict[str, Any]

_ALL_RATES = "rbps=max wbps=max riops=max wiops=max"


def enforce(
    group: Group | None, wanted: Limits, choice: Choice, *, strict: bool, at_start: bool = True
) -> list[HostError]:
    """Bring a container's group to the limits `wanted` (linux.resources of the OCI document).

    at_start: whether the container does not run yet. Returns what could not be done; with `strict`
    raises the first of it, and nothing has changed.
    """
    usable = group.controllers() if group else []
    missing = {name: flag for name, flag in resources.controllers(wanted).items()
               if name not in usable}  # fmt: skip
    problems = []
    if missing:
        from rootless.cgroup import refusal

        where = delegation(choice, group)
        problems = [
            refusal.explain(name, flag, where, offer=strict and at_start)
            for name, flag in missing.items()
        ]
    if strict and problems:
        raise problems[0]
    if group is None:
        return problems
    possible = [one for one in resources.settings(wanted) if one.controller in usable]
    problems += _write_all(_Writer(group, weigh_top=not choice.is_systemd), possible, strict=strict)
    return problems


def _write_all(writer: _Writer, settings: list[Setting], *, strict: bool) -> list[HostError]:
    problems = []
    for setting in settings:
        try:
            writer.write(setting)
        except HostError as problem:
            if strict:
                writer.take_back()
                raise
            problems.append(problem)
    return problems


class _Writer:
    """Writes settings and can take them back. weigh_top: weights go to the whole group as well."""

    def __init__(self, group: Group, *, weigh_top: bool) -> None:
        self._group = group
        self._weigh_top = weigh_top
        self._undo: list[Callable[[], None]] = []

    def write(self, setting: Setting) -> None:
        """Raises HostError."""
        try:
            self._write_first_there_is(setting)
            _check_effective(self._group, setting)
        except OSError as error:
            if not setting.optional:
                from rootless.cgroup import refusal

                tried = setting.instead if error.errno == errno.ENOENT else None
                raise refusal.not_written(tried or setting, error) from error

    def _write_first_there_is(self, setting: Setting) -> None:
        try:
            self._write(setting)
        except FileNotFoundError:
            if setting.instead is None:
                raise
            self._write(setting.instead)

    def _write(self, setting: Setting) -> None:
        for directory in (self._group.payload, self._group.container):
            self._write_file(f"{directory}/{setting.file}", setting.text)
        if self._weigh_top and setting.file in resources.WEIGHT_FILES:
            self._write_file(f"{self._group.top}/{setting.file}", setting.text)

    def _write_file(self, path: str, text: str) -> None:
        old = groups.read(path)
        log.effect(f"write {text!r} to {path}")
        groups.write(path, text)
        self._undo.append(lambda: _restore(path, text, old))

    def take_back(self) -> None:
        """Bring every file back to what it was."""
        while self._undo:
            try:
                self._undo.pop()()
            except OSError as error:
                log.warn(f"{self._group.payload}: an old limit could not be set again: {error}")


def _restore(path: str, written: str, old: str) -> None:
    if os.path.basename(path) != "io.max":
        groups.write(path, old.strip() or "\n")
        return
    device = written.partition(" ")[0]
    line = next((line for line in old.splitlines() if line.startswith(f"{device} ")), "")
    groups.write(path, line or f"{device} {_ALL_RATES}")


def _check_effective(group: Group, setting: Setting) -> None:
    """The kernel takes any CPU into cpuset.cpus and then uses those that the groups above have."""
    if setting.file not in ("cpuset.cpus", "cpuset.mems"):
        return
    got = groups.read(f"{group.payload}/{setting.file}.effective").strip()
    if parse_list(got) != parse_list(setting.text):
        raise HostError(
            f"{setting.flag}: the groups above this container have only {got}",
            hint=f"--{setting.file.replace('.', '-')} {got}",
        )


def delegation(choice: Choice, group: Group | None) -> Delegation:
    """What this user may limit here, for who has to explain a refusal."""
    from rootless.cgroup.refusal import Delegation

    hierarchy = choice.hierarchy
    path = group.top[len(hierarchy.mount) :] if group else hierarchy.own or "/"
    user = idmap.user_name()
    chain = hierarchies.chain(hierarchy.mount, path) if hierarchy.mount else []
    return Delegation(
        mode=hierarchy.mode,
        root_controllers=chain[0][1] if chain else [],
        chain=chain,
        manager=choice.manager,
        manager_reason=choice.reason,
        user=user,
        uid=os.getuid(),
        linger=_lingers(user),
    )


def _lingers(user: str) -> bool | None:
    """loginctl(1), enable-linger; None where nobody keeps such a list."""
    if not os.path.isdir("/run/systemd/system"):
        return None
    try:
        os.stat(f"/var/lib/systemd/linger/{user}")
    except OSError as error:
        return False if error.errno == errno.ENOENT else None
    return True
