"""Containers that run, for the commands that look at them or act on them from outside."""

from __future__ import annotations

import os

from rootless.cgroup import choice as choices
from rootless.cgroup import group as groups
from rootless.cgroup.group import Group
from rootless.errors import HostError, InUseError, RlError
from rootless.kernel import proc
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

PAUSED = "paused"


class Live:
    """A container that runs. text: what the user called it; state: store.containers.read_state.

    group: its control group, None where it has none.
    """

    __slots__ = ("group", "id", "state", "text")

    def __init__(self, text: str, container_id: str, state: dict[str, Any]) -> None:
        self.text = text
        self.id = container_id
        self.state = state
        self.group = _group_in(state)

    @property
    def manager(self) -> str:
        """Who made the group: one of cgroup.choice's names, "" without a group."""
        return str(self.state.get("cgroup", {}).get("manager", ""))

    def pid(self, name: str) -> int:
        """The pid of "init", "keeper", "server", "view", "network", "waiting" (with
        another runtime, for "init"); 0 when it is not it."""
        pid, started = self.state.get("processes", {}).get(name, (0, 0))
        return int(pid) if proc.is_alive(pid, started) else 0

    def require_group(self, what: str) -> Group:
        """The group, which `what` ("rl pause") cannot do without. Raises HostError."""
        if self.group is not None:
            return self.group
        choice = choices.choose()
        if choice.manager == choices.DISABLED:
            reason = f": {choice.reason}"
            hint = "rl info"
        else:
            reason = ", and was started without one"
            hint = f"rl rm --force {self.text}; rl run --cgroup-manager {choice.manager} …"
        raise HostError(f"container {self.text}: {what} needs a cgroup of its own{reason}", hint)


def find(paths: Paths, text: str) -> Live:
    """The running container named `text`. Raises NotFoundError, RlError when it does not run."""
    container_id = containers.find(paths, text)
    found = look(paths, text, container_id)
    if found is None:
        require_here(paths, text, containers.read_record(paths, container_id))
        raise RlError(f"container {text}: is not running", hint="rl ps -a")
    return found


def elsewhere(paths: Paths, record: dict[str, Any]) -> str:
    """Where the container of `record` runs when we cannot see it, "" when there is no such place.

    A home that several hosts share holds the containers of all of them; on one host, what runs is
    noted in RL_RUNTIME_DIR, which need not be the same in each session.
    """
    if record.get("status") not in ("running", "restarting"):
        return ""
    host = record.get("host", proc.host())
    if host != proc.host():
        return f"on host {host}"
    runtime = record.get("runtime", paths.running)
    if runtime != paths.running and containers.is_held(runtime, record["id"]):
        return f"with --runtime-dir {os.path.dirname(runtime)}"
    return ""


def require_here(paths: Paths, text: str, record: dict[str, Any]) -> None:
    """Raises InUseError when the container, called `text`, runs where we cannot see it."""
    place = elsewhere(paths, record)
    if not place:
        return
    kind, _, name = place.rpartition(" ")
    hint = f"rl --runtime-dir {name} stop {text}"
    if kind == "on host":
        hint = f"there: rl stop {text}; where {name} is no more: RL_HOST={name} rl rm -f {text}"
    raise InUseError(f"container {text}: runs {place}", hint)


def find_all(paths: Paths) -> list[Live]:
    """Every container that runs."""
    found = (look(paths, one, one) for one in containers.live_ids(paths))
    return [live for live in found if live is not None]


def look(paths: Paths, text: str, container_id: str) -> Live | None:
    """The container `container_id`, which the user called `text`, if it runs."""
    live = Live(text, container_id, containers.read_state(paths, container_id))
    return live if live.state.get("boot") == proc.boot_id() and live.pid("init") else None


def _group_in(state: dict[str, Any]) -> Group | None:
    path = state.get("cgroup", {}).get("path", "")
    return Group(path) if path and os.path.isdir(path) else None


def is_frozen(group: Group | None) -> bool:
    """Whether nothing of the payload runs, by our doing or by that of a group above it."""
    if group is None:
        return False
    try:
        return groups.is_frozen(group)
    except OSError:
        return False  # gone meanwhile


def status(paths: Paths, record: dict[str, Any]) -> str:
    """The record's status, "paused" for a running container whose group is frozen now."""
    known = str(record["status"])
    if known != "running":
        return known
    state = containers.read_state(paths, record["id"])
    return PAUSED if is_frozen(_group_in(state)) else known
