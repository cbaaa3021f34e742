"""Which storage driver makes the root file system. Pure, but for the cost of a copy."""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import HostError, RlError, UsageError
from rootless.model.container import STORAGE_DRIVERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rootless.engine.facts import HostFacts
    from rootless.model.container import ContainerSpec

FUSE, OVERLAY, VFS = STORAGE_DRIVERS
_HINT = "sudo apt-get install fuse-overlayfs"
_DEVICE_HINT = "sudo modprobe fuse; sudo chmod 0666 /dev/fuse"
_NOT_SHARED = "shows no owners of a shared store's files"
_MIB = 1 << 20


def is_open(spec: ContainerSpec) -> bool:
    """Whether what `choose` does depends on which drivers work."""
    return not spec.rootfs and spec.storage_driver not in (OVERLAY, VFS)


def choose(
    asked: str,
    facts: HostFacts,
    folder: str,
    *,
    shifts: bool,
    before: str = "",
    shared: bool = False,
) -> str:
    """The driver: the one asked for, else the first that works.

    folder: where the writable layer will be. shifts: files must be shown with other ids, which
    fuse-overlayfs alone can do. before: the driver of earlier starts, whose files are there.
    shared: owners stand beside the files (image.publishing), which the kernel's overlay does not
    read. Raises UsageError, HostError. Pure.
    """
    if asked and asked not in STORAGE_DRIVERS:
        raise UsageError(
            f"--storage-driver {asked}: no such driver",
            hint=f"one of: {', '.join(STORAGE_DRIVERS)}",
        )
    if before == VFS:
        return VFS  # its copy is there, and nothing in an upper directory
    if shifts and asked in (OVERLAY, VFS):
        log.notice(f"--userns needs shifted ids: storage driver fuse-overlayfs instead of {asked}")
        asked = FUSE
    if shared and asked == OVERLAY:
        log.notice(f"the image is of a shared store: fuse-overlayfs instead of {asked}")
        asked = ""
    if asked in (OVERLAY, VFS):
        return asked
    problem, hint = _obstacle(facts, folder)
    if not problem:
        return FUSE
    if asked or shifts:
        raise HostError(f"fuse-overlayfs: {problem}", hint=hint)
    return _instead(facts, problem, hint, before, shared=shared)


def _obstacle(facts: HostFacts, folder: str) -> tuple[str, str]:
    """Why fuse-overlayfs cannot be used, and what helps; empty when it can."""
    if not facts.has_fuse:
        return "/dev/fuse cannot be opened", _DEVICE_HINT
    if not facts.fuse_overlayfs:
        return "not installed", _HINT
    # It makes the path of its upper directory absolute and then takes ":" for a separator.
    if ":" in folder:
        return "cannot work in a store with a colon in its path", "export RL_ROOT=DIR"
    return facts.storage.get(FUSE, ""), f"{facts.fuse_overlayfs} --version"


def _instead(facts: HostFacts, problem: str, hint: str, before: str, *, shared: bool) -> str:
    against = _NOT_SHARED if shared else facts.storage.get(OVERLAY, "")
    if not against:
        log.notice(f"fuse-overlayfs: {problem}; native overlay is used instead ({hint})")
        return OVERLAY
    both = f"fuse-overlayfs: {problem}; native overlay: {against}"
    copying = facts.storage.get(VFS, "")
    if copying:
        raise HostError(f"no storage driver works: {both}; vfs: {copying}", hint=hint)
    if before:
        # The container's files are in an upper directory, which a copy would not have.
        raise HostError(f"the container's storage driver does not work: {both}", hint=hint)
    log.notice(f"{both}; the image is copied for each container ({hint})")
    return VFS


def tell_cost(trees: Sequence[str]) -> None:
    """Warn of what a copy of the layers costs. trees: their `diff` directories."""
    count = size = 0
    for tree in trees:
        if not tree.endswith("/diff"):
            continue  # directories alone (image.frames)
        try:
            found = _info(f"{os.path.dirname(tree)}/layer.json")
            count, size = count + int(found["files"]), size + int(found["size"])
        except (RlError, KeyError):
            return  # a directory that is no layer of the store
    log.warn(
        f"storage driver vfs: copying {count} files, {-(-size // _MIB)} MiB,"
        " for this container alone"
    )


def _info(path: str) -> dict[str, int]:
    from rootless.model import jsontext

    try:
        with open(path, "rb") as file:
            found: dict[str, int] = jsontext.loads(file.read())
    except (OSError, ValueError):
        return {}
    return found
