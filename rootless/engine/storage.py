"""Which storage driver makes the root file system. Pure."""

from __future__ import annotations

from rootless import log
from rootless.errors import HostError, UsageError
from rootless.model.container import STORAGE_DRIVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.engine.facts import HostFacts

_HINT = "sudo apt-get install fuse-overlayfs; sudo chmod 0666 /dev/fuse"


def choose(asked: str, facts: HostFacts, *, shifts: bool) -> str:
    """The driver: the one asked for, else fuse-overlayfs, else native overlay where it is missing.

    shifts: files must be shown with other ids, which fuse-overlayfs alone can do.
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
    if facts.fuse_overlayfs:
        return "fuse-overlayfs"
    if asked or shifts:
        raise HostError("fuse-overlayfs: not installed, or /dev/fuse is not accessible", hint=_HINT)
    log.notice(f"fuse-overlayfs cannot be used here: native overlay is tried instead ({_HINT})")
    return "overlay"
