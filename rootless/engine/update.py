"""`rl update`: other limits for a container, at once where it runs, and for its next start."""

from __future__ import annotations

import os

from rootless import config
from rootless.cgroup import choice as choices
from rootless.cgroup import hierarchy, limiting, resources, scope
from rootless.cgroup.choice import Choice
from rootless.engine import live
from rootless.errors import HostError, RlError
from rootless.store import containers, events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cgroup.group import Group
    from rootless.engine.live import Live
    from rootless.store.paths import Paths

    Limits = dict[str, Any]


def update(paths: Paths, text: str, wanted: Limits) -> None:
    """Change the limits `wanted` (linux.resources of the OCI document) of the container `text`.

    All of them or, with an error, none; what is not mentioned stays. One update at a time. Raises
    NotFoundError, UsageError where they contradict those it has, HostError where one cannot hold.
    """
    if config.system_file("rl.toml"):
        from rootless.engine import policy

        policy.check_limits(wanted)
    container_id = containers.find(paths, text)
    with containers.RecordChange(paths, container_id) as record:
        old = record.get("resources", {})
        merged = resources.merge(old, wanted)
        found = live.look(paths, text, container_id)
        if found is not None:
            _apply(found, old, resources.touched(merged, wanted))
        elif os.path.isdir(containers.live_directory(paths, container_id)):
            raise RlError(f"container {text}: is just starting or ending", hint="rl ps -a")
        record["resources"] = merged
    events.of_container(paths, "update", record)


def _apply(found: Live, old: Limits, wanted: Limits) -> None:
    if found.group is None:
        _refuse(found, wanted)
    elif found.manager == choices.SYSTEMD:
        _apply_to_scope(found, found.group, old, wanted)
    else:
        limiting.enforce(found.group, wanted, _choice(found), strict=True, at_start=False)


def _refuse(found: Live, wanted: Limits) -> None:
    """Raise HostError that says why there is no group, unless nothing needs one."""
    choice = choices.choose()
    if choice.manager == choices.DISABLED:
        limiting.enforce(None, wanted, choice, strict=True, at_start=False)
    elif resources.controllers(wanted):
        found.require_group("rl update")


def _apply_to_scope(found: Live, group: Group, old: Limits, wanted: Limits) -> None:
    """Weights belong to the scope too, and to systemd, which would write its own over ours."""
    before = resources.weights(old)
    weights: dict[str, int | None] = {**resources.weights(wanted)}
    scope.set_weights(group, weights)
    try:
        limiting.enforce(group, wanted, _choice(found), strict=True, at_start=False)
    except HostError:
        scope.set_weights(group, {name: before.get(name) for name in weights})
        raise


def _choice(found: Live) -> Choice:
    return Choice(found.manager, hierarchy.discover())
