"""The host's control groups as this process sees them (cgroups(7)): version, mount, own group."""

from __future__ import annotations

import os

from rootless.model.value import Value

_MOUNT = "/sys/fs/cgroup"
# Where systemd mounts version 2 beside version 1, for its own use: without any controller.
_HYBRID_MOUNT = f"{_MOUNT}/unified"

V2 = "v2"
HYBRID = "hybrid"
V1 = "v1"
NONE = "none"


class Hierarchy(Value):
    """mode: V2, HYBRID, V1 or NONE. mount: where cgroup2 is mounted, "" without. own: the group of
    this process below it, beginning with "/", "" where the mount does not show it."""

    __slots__ = ("mode", "mount", "own")

    def __init__(self, mode: str, mount: str, own: str) -> None:
        self.mode = mode
        self.mount = mount
        self.own = own

    @property
    def directory(self) -> str:
        """Our own group as a directory; "" where the mount does not show it."""
        return directory(self.mount, self.own) if self.own else ""


def discover(mount: str = _MOUNT, hybrid_mount: str = _HYBRID_MOUNT) -> Hierarchy:
    """Look at this host. Never fails."""
    # The root group has this file in version 2 only.
    if os.path.exists(f"{mount}/cgroup.controllers"):
        return Hierarchy(V2, mount, _own_group(mount))
    if os.path.exists(f"{hybrid_mount}/cgroup.controllers"):
        return Hierarchy(HYBRID, hybrid_mount, _own_group(hybrid_mount))
    has_v1 = os.path.isdir(f"{mount}/memory") or os.path.isdir(f"{mount}/cpu")
    return Hierarchy(V1 if has_v1 else NONE, "", "")


def _own_group(mount: str) -> str:
    group = group_of("self")
    return group if group and os.path.isdir(directory(mount, group)) else ""


def group_of(pid: int | str) -> str:
    """The version 2 group of a process, as in /proc/PID/cgroup; "" when it cannot be told.

    Outside the root of our cgroup namespace a path begins with "/..": nothing we could enter.
    """
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().split("\n")
    except OSError:
        return ""
    path = next((line[3:] for line in lines if line.startswith("0::")), "")
    return "" if path.startswith("/..") else path


def directory(mount: str, group: str) -> str:
    """The directory of `group` ("/" is the hierarchy's root)."""
    return mount + group.rstrip("/")


def place_beside(directory: str, first: int) -> str:
    """Where a new process of a container goes: into its group `directory`, or, where the container
    has divided that (no process may be in it then), to its process `first`."""
    if not read_words(f"{directory}/cgroup.subtree_control"):
        return directory
    place = discover().mount + group_of(first)
    return place if place.startswith(f"{directory}/") else directory


def read_words(path: str) -> list[str]:
    """The words in a file of a group; none when it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().split()
    except OSError:
        return []


def controllers(mount: str, group: str) -> list[str]:
    """What a group may limit: its cgroup.controllers."""
    return read_words(f"{directory(mount, group)}/cgroup.controllers")


def ancestors(group: str) -> list[str]:
    """`group` and all above it, the root first: "/", "/a", "/a/b"."""
    names = [name for name in group.split("/") if name]
    return ["/"] + ["/" + "/".join(names[: count + 1]) for count in range(len(names))]


def chain(mount: str, group: str) -> list[tuple[str, list[str]]]:
    """Each of the ancestors of `group`, and itself, with its controllers, from the root down."""
    return [(one, controllers(mount, one)) for one in ancestors(group)]
