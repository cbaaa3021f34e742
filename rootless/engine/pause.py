"""`rl pause` and `rl unpause`: the freezer of cgroup v2 (cgroup-v2.rst, "cgroup.freeze").

Only the payload is frozen, never what serves it: SIGKILL reaches a frozen process, and the keeper
unwinds as ever. Other signals wait until it goes on.
"""

from __future__ import annotations

from rootless import log
from rootless.cgroup import group as groups
from rootless.engine import live
from rootless.errors import HostError, RlError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cgroup.group import Group
    from rootless.engine.live import Live

# A process in the middle of a disk's or a network file system's answer stops only after it.
_SECONDS = 10.0


def pause(found: Live) -> None:
    """Stop every process of the container; returns when none runs.

    Raises HostError where it has no group or does not stop, RlError when it is paused already.
    """
    group = found.require_group("rl pause")
    if live.is_frozen(group):
        raise RlError(f"container {found.text}: is already paused", f"rl unpause {found.text}")
    log.effect(f"freeze {group.payload}")
    if not _freeze(found, group, frozen=True):
        _freeze(found, group, frozen=False)
        raise HostError(
            f"container {found.text}: does not stop within {_SECONDS:.0f} seconds,"
            " and was let go on",
            hint=f"rl top {found.text} pid state args",
        )


def unpause(found: Live) -> None:
    """Let the container go on. Raises HostError and RlError, as `pause` does."""
    group = found.require_group("rl unpause")
    # A process that does not stop keeps a group from being frozen, though it is to be.
    if not live.is_frozen(group) and not _is_to_freeze(group.payload):
        raise RlError(f"container {found.text}: is not paused", "rl ps")
    log.effect(f"thaw {group.payload}")
    if not _freeze(found, group, frozen=False):
        raise HostError(
            f"container {found.text}: a group above it is frozen", hint=_find_frozen(group)
        )


def _freeze(found: Live, group: Group, *, frozen: bool) -> bool:
    try:
        # A process that a group above holds does not go on, however long we wait.
        return group.freeze(frozen=frozen, seconds=_SECONDS if frozen else 1.0)
    except FileNotFoundError:
        raise RlError(f"container {found.text}: is not running", "rl ps -a") from None
    except OSError as error:
        raise HostError(f"{group.payload}/cgroup.freeze: {error.strerror}") from error


def _is_to_freeze(directory: str) -> bool:
    try:
        return groups.read(f"{directory}/cgroup.freeze").strip() == "1"
    except OSError:
        return False  # gone, or the root of the hierarchy


def _find_frozen(group: Group) -> str:
    """A command that thaws the group above that is frozen."""
    path = group.top
    while path and not _is_to_freeze(path):
        path = path.rpartition("/")[0]
    return f"echo 0 > {path}/cgroup.freeze" if path else f"cat {group.payload}/cgroup.events"
