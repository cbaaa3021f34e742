"""Which user namespace a container gets, and who may write its maps (user_namespaces(7)).

A document may bring its own maps, may be run by somebody who is root of a user namespace already
(podman calls its runtime so, and then asks for none), or may ask for nothing at all as a normal
user: then the container gets the user's canonical maps, because nothing else could be done.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import HostError
from rootless.model.idmap import IdMaps, format_map, to_outside
from rootless.oci.document import InvalidDocument, namespace
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.idmap import IdMap


def choose(document: dict[str, Any]) -> IdMaps | None:
    """The maps of the user namespace to make; None to stay in ours, or to join one by its path.

    A namespace that has to be made without having been asked for is put into the document.
    """
    linux = document["linux"]
    wanted = namespace(document, "user")
    if wanted is not None and "path" in wanted:
        return None
    if wanted is None:
        if os.geteuid() == 0:
            return None
        linux["namespaces"].insert(0, {"type": "user"})
    uids, gids = (_rows(linux, key) for key in ("uidMappings", "gidMappings"))
    if not uids and not gids:
        return idmap.canonical_maps()
    if not uids or not gids:
        raise InvalidDocument("config.json: linux: uidMappings and gidMappings go together")
    return IdMaps(uids, gids)


def _rows(linux: dict[str, Any], key: str) -> IdMap:
    try:
        return tuple(
            (int(row["containerID"]), int(row["hostID"]), int(row["size"])) for row in linux[key]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidDocument(
            f"config.json: linux.{key}: needs containerID, hostID and size"
        ) from error


def write(pid: int, maps: IdMaps) -> None:
    """Give the user namespace of process `pid` its maps. Raises HostError."""
    try:
        if _is_own_id_alone(maps):
            _write_own_id(pid, maps)
        elif os.geteuid() == 0:
            _write_both(pid, maps)
        else:
            _by_helpers(pid, maps)
    except OSError as error:
        raise HostError(
            f"user namespace: {error.filename or 'its maps'}: {(error.strerror or '').lower()}",
            hint='grep "$(id -un)" /etc/subuid /etc/subgid',
        ) from error


def _is_own_id_alone(maps: IdMaps) -> bool:
    own = ((os.geteuid(), 1), (os.getegid(), 1))
    rows = (maps.uids, maps.gids)
    return os.geteuid() != 0 and all(
        len(each) == 1 and each[0][1:] == mine for each, mine in zip(rows, own, strict=True)
    )


def _write_own_id(pid: int, maps: IdMaps) -> None:
    # Without privileges a gid may be mapped only after setgroups(2) is given up.
    with open(f"/proc/{pid}/setgroups", "w") as file:
        file.write("deny")
    _write_both(pid, maps)


def _write_both(pid: int, maps: IdMaps) -> None:
    for name, rows in (("uid_map", maps.uids), ("gid_map", maps.gids)):
        log.effect(f"write /proc/{pid}/{name}: {format_map(rows).strip()!r}")
        with open(f"/proc/{pid}/{name}", "w") as file:
            file.write(format_map(rows))


def _by_helpers(pid: int, maps: IdMaps) -> None:
    helpers = idmap.MapHelpers()
    helpers.start("newuidmap", pid, maps.uids)
    helpers.start("newgidmap", pid, maps.gids)
    helpers.wait()


def has_root(maps: IdMaps | None) -> bool:
    """Whether id 0 is mapped in the namespace, so that its first process can be root."""
    return maps is None or (
        to_outside(maps.uids, 0) is not None and to_outside(maps.gids, 0) is not None
    )
