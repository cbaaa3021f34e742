"""Which storage driver makes the root file system. Pure."""

from __future__ import annotations

from rootless import log
from rootless.errors import HostError, UsageError
from rootless.model.container import STORAGE_DRIVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.facts import HostFacts

_HINT = "sudo apt-get install fuse-overlayfs; sudo chmod 0666 /dev/fuse"


def choose(asked: str, facts: HostFacts, folder: str, *, shifts: bool) -> str:
    """The driver: the one asked for, else fuse-overlayfs, else native overlay where it is missing.

    folder: where the writable layer will be. shifts: files must be shown with other ids, which
    fuse-overlayfs alone can do.
    """
    if asked and asked not in STORAGE_DRIVERS:
        raise UsageError(
            f"--storage-driver {asked}: no such driver",
            hint=f"one of: {', '.join(STORAGE_DRIVERS)}",
        )
    if shifts and asked in ("overlay", "vfs"):
        log.notice(f"--userns needs shifted ids: storage driver fuse-overlayfs instead of {asked}")
        asked = "fuse-overlayfs"
    if asked in ("overlay", "vfs"):
        return asked
    problem, hint = _obstacle(facts, folder)
    if not problem:
        return "fuse-overlayfs"
    if asked or shifts:
        raise HostError(f"fuse-overlayfs: {problem}", hint=hint)
    log.notice(f"fuse-overlayfs: {problem}; native overlay is tried instead ({hint})")
    return "overlay"


def _obstacle(facts: HostFacts, folder: str) -> tuple[str, str]:
    """Why fuse-overlayfs cannot be used, and what helps; empty when it can."""
    if not facts.fuse_overlayfs:
        return "not installed, or /dev/fuse is not accessible", _HINT
    # It makes the path of its upper directory absolute and then takes ":" for a separator.
    if ":" in folder:
        return "cannot work in a store with a colon in its path", "export RL_ROOT=DIR"
    return "", ""
