"""Volumes and the containers that use them: a volume stays as long as one of them is there."""

from __future__ import annotations

from rootless.engine import recover
from rootless.errors import InUseError, NotFoundError
from rootless.store import containers, events, volumes
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths


def users(paths: Paths) -> dict[str, list[str]]:
    """For each volume that is used, the names of its containers, which run or do not."""
    found: dict[str, list[str]] = {}
    for container_id in containers.all_ids(paths):
        record = recover.record_or_nothing(paths, container_id)
        for volume in record.get("mounted_volumes", []):
            found.setdefault(volume, []).append(record.get("name") or container_id[:12])
    return found


def remove(paths: Paths, name: str) -> None:
    """Remove volume `name` with its data. Raises NotFoundError, InUseError when it is used."""
    if name not in volumes.names(paths):
        raise NotFoundError(f"no such volume: {name}", hint="rl volume ls")
    users_of_it = users(paths).get(name)
    if users_of_it:
        raise InUseError(
            f"volume {name}: is used by container {', '.join(users_of_it)}",
            hint=f"rl rm {' '.join(users_of_it)}",
        )
    # Files of the containers' users belong to subordinate ids.
    idmap.call(lambda: volumes.remove(paths, name))
    events.emit(paths, events.VOLUME, "destroy", name, {"driver": "local"})


def unused(paths: Paths, *, named: bool) -> list[str]:
    """The volumes that no container uses: anonymous ones, with `named` also the others."""
    used = users(paths)
    names = (name for name in volumes.names(paths) if name not in used)
    return [name for name in names if named or volumes.is_anonymous(name)]


def size(paths: Paths, name: str) -> int:
    """Bytes on disk in the volume. Raises OSError."""
    from rootless.store import trees

    return int(idmap.call(lambda: trees.du(f"{paths.volumes}/{name}")[0]))
