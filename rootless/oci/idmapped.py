"""Idmapped binds: `idmap`, `ridmap`, and a mount's own uidMappings and gidMappings.

The kernel takes the map from a user namespace, which is made for it and not entered by anybody. It
asks for CAP_SYS_ADMIN where the file system was mounted, so that for the host's own file systems it
takes the host's root; what a user namespace has mounted itself can be mapped in there
(mount_setattr(2)).
"""

from __future__ import annotations

import os

from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, signals
from rootless.oci import mounting
from rootless.oci.document import InvalidDocument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.oci.mountoptions import MountOptions

    Rows = list[dict[str, Any]]


def tree(mount: dict[str, Any], options: MountOptions, linux: dict[str, Any]) -> int:
    """A detached copy of the bind's source with its ids mapped: by maps of the mount's own, or else
    by those of the container. Raises RuntimeSetupError and InvalidDocument."""
    if "=" in options.idmap:
        raise InvalidDocument(f"mounts: {options.idmap}: use uidMappings and gidMappings")
    uids = mount.get("uidMappings") or linux["uidMappings"]
    gids = mount.get("gidMappings") or linux["gidMappings"]
    if not uids or not gids:
        raise InvalidDocument(f"mounts: {mount['destination']}: idmap without a map of both kinds")
    try:
        made = mounting.open_tree(mount["source"], recursive=options.is_recursive)
        _map(made, _namespace(uids, gids), recursive=options.idmap == "ridmap")
        return made
    except OSError as error:
        raise RuntimeSetupError(
            f"mount {mount['source']} on {mount['destination']}: idmap:"
            f" {(error.strerror or '').lower()}"
        ) from error


def _map(tree: int, namespace: int, *, recursive: bool) -> None:
    flags = libc.AT_EMPTY_PATH | (libc.AT_RECURSIVE if recursive else 0)
    try:
        libc.mount_setattr(tree, "", flags, attr_set=libc.MOUNT_ATTR_IDMAP, userns_fd=namespace)
    finally:
        os.close(namespace)


def _namespace(uids: Rows, gids: Rows) -> int:
    """A descriptor of a user namespace with these maps."""
    pid = libc.fork_into(libc.CLONE_NEWUSER)
    if pid == 0:
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        while True:
            signals.sigwait((signals.SIGTERM,))
    try:
        for name, rows in (("uid_map", uids), ("gid_map", gids)):
            with open(f"/proc/{pid}/{name}", "w") as file:
                file.write(_text(rows))
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.kill(pid, signals.SIGKILL)
        os.waitpid(pid, 0)


def _text(rows: Rows) -> str:
    try:
        return "".join(f"{row['containerID']} {row['hostID']} {row['size']}\n" for row in rows)
    except (KeyError, TypeError) as error:
        raise InvalidDocument("mounts: maps need containerID, hostID and size") from error
