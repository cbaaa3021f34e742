"""The mounts of a container that has no mount namespace: they are in its caller's.

Nothing but `delete` ends them. The container's root is bound on itself first, so all of them are
below that one mount; what was mounted there before tells whether it is still to be undone.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import RlError
from rootless.kernel import libc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.oci.job import Job


def refuse_where_impossible(job: Job) -> None:
    """Raises RlError where the container's user namespace does not own our mounts."""
    if os.geteuid() != 0 or job.maps is not None or "user" in job.joined:
        raise RlError(
            "config.json: linux.namespaces: a container without a mount namespace takes a caller "
            "who is root, and no user namespace either"
        )


def place_of(root: str) -> str:
    """Our mount namespace and what is mounted at `root` in it, for the record. Raises RlError."""
    try:
        fd = os.open(root, os.O_PATH | os.O_CLOEXEC)
    except OSError as error:
        raise RlError(f"root.path {root}: {(error.strerror or '').lower()}") from error
    try:
        with open(f"/proc/self/fdinfo/{fd}") as file:
            mount = next(line.split()[1] for line in file if line.startswith("mnt_id:"))
    finally:
        os.close(fd)
    return f"{_namespace()} {mount}"


def _namespace() -> str:
    return os.readlink("/proc/self/ns/mnt")


def undo(root: str, before: str) -> None:
    """Unmount what has come to `root` since place_of said `before`; nothing when it is gone."""
    if before.split()[0] != _namespace():
        log.warn(f"{root}: what is mounted there is in another mount namespace, and stays")
        return
    try:
        if place_of(root) != before:
            libc.umount2(root, libc.MNT_DETACH)
    except (OSError, RlError) as error:
        log.effect(f"umount {root}: {error}")
