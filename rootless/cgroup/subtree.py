"""The cgroupfs manager: a container's group below our own, where somebody has given us that.

Such a place is a scope made with `systemd-run --user --scope -p Delegate=yes`, a job of a batch
system, or a container with a tree of its own. A group with processes cannot pass controllers on
(cgroup-v2.rst, "No Internal Process Constraint"): for limits the processes in it, which are ours,
move to a group beside the containers' and go back when the last of these ends.
"""

from __future__ import annotations

import errno
import fcntl
import os

from rootless import log
from rootless.cgroup import group as groups
from rootless.cgroup.group import Group
from rootless.errors import HostError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cgroup.hierarchy import Hierarchy

PREFIX = "rl-"
_ASIDE = "rl-aside"
# New processes of a busy shell may appear while its others are moved.
_ROUNDS = 100


def base_of(hierarchy: Hierarchy) -> str:
    """The directory in which we may make groups, "" when there is none."""
    own = hierarchy.directory
    if os.path.basename(own) == _ASIDE:
        own = os.path.dirname(own)
    if not own or own == hierarchy.mount:
        return ""
    may = all(os.access(path, os.W_OK) for path in (own, f"{own}/cgroup.procs"))
    return own if may and os.access(f"{own}/cgroup.subtree_control", os.W_OK) else ""


def make(base: str, name: str, *, limited: bool) -> Group:
    """The group `name` below `base`. limited: with controllers, for which processes may move.

    Raises HostError.
    """
    group = Group(f"{base}/{name}")
    log.effect(f"mkdir {group.top}")
    try:
        with _Lock(base):
            if limited:
                _pass_controllers_on(base)
            os.mkdir(group.top, 0o755)
            group.make()
    except OSError as error:
        _take_back(group, error)
        raise HostError(
            f"cgroup {group.top}: {error.strerror}", hint=f"cat {base}/cgroup.procs"
        ) from error
    return group


def remove(group: Group, *, leave: bool = False) -> None:
    """Remove a group and, when it was the last one here, put everything back.

    leave: this process is in it, and gets out first. Raises OSError.
    """
    base = os.path.dirname(group.top)
    with _Lock(base):
        aside = f"{base}/{_ASIDE}"
        if leave:
            groups.write(f"{aside if os.path.isdir(aside) else base}/cgroup.procs", "0")
        group.remove()
        if os.path.isdir(aside) and not _has_containers(base):
            _put_back(base, aside)


def _take_back(group: Group, error: OSError) -> None:
    # What exists already is another container's.
    if not isinstance(error, FileExistsError):
        try:
            remove(group)
        except OSError as second:
            log.effect(f"{group.top}: not removed: {second.strerror}")


class _Lock:
    """Containers that start and end at once in one place take turns."""

    def __init__(self, base: str) -> None:
        self._fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def __enter__(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *error: object) -> None:
        os.close(self._fd)


def _pass_controllers_on(base: str) -> None:
    offered = groups.read(f"{base}/cgroup.controllers").split()
    missing = set(offered) - set(groups.read(f"{base}/cgroup.subtree_control").split())
    if not missing:
        return
    for _ in range(_ROUNDS):
        try:
            groups.pass_on(base, sorted(missing))
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
        _move_aside(base)
    raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))


def _move_aside(base: str) -> None:
    aside = f"{base}/{_ASIDE}"
    log.effect(f"move the processes of {base} to {aside}")
    os.makedirs(aside, exist_ok=True)
    _move_all(base, aside)


def _move_all(source: str, target: str) -> None:
    for pid in groups.read(f"{source}/cgroup.procs").split():
        if pid == "0":
            continue  # of another pid namespace: to write it would move ourselves
        try:
            groups.write(f"{target}/cgroup.procs", pid)
        except ProcessLookupError:
            continue


def _has_containers(base: str) -> bool:
    return any(name.startswith(PREFIX) and name != _ASIDE for name in os.listdir(base))


def _put_back(base: str, aside: str) -> None:
    if _others(base):
        return
    names = groups.read(f"{base}/cgroup.subtree_control").split()
    if names:
        groups.write(f"{base}/cgroup.subtree_control", " ".join(f"-{name}" for name in names))
    for _ in range(_ROUNDS):
        _move_all(aside, base)
        try:
            os.rmdir(aside)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise


def _others(base: str) -> bool:
    """Whether somebody else has groups here, which still need the controllers."""
    with os.scandir(base) as entries:
        return any(entry.is_dir() and entry.name != _ASIDE for entry in entries)
