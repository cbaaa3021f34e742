"""`rl diff`: what a container has changed in its image; and where that is, for `rl commit`."""

from __future__ import annotations

import os

from rootless.errors import RlError, describe_os_error
from rootless.runtime import changes
from rootless.store import containers
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

# Those that keep a writable layer.
_LAYERED = ("fuse-overlayfs", "overlay")


class WritableLayer:
    """upper: the directory; layers: the trees below it, topmost first; ours: the paths at which rl
    mounts something of its own, which the user has not asked for."""

    __slots__ = ("layers", "ours", "upper")

    def __init__(self, upper: str, layers: list[str], ours: list[str]) -> None:
        self.upper = upper
        self.layers = layers
        self.ours = ours


def of_container(paths: Paths, text: str) -> list[tuple[str, str]]:
    """("C", "A" or "D"; path) of each change, by path. Raises NotFoundError, RlError."""
    container_id = containers.find(paths, text)
    place = writable_layer(paths, container_id, text, containers.read_record(paths, container_id))
    if not os.path.isdir(place.upper):
        return []  # it has never been started
    try:
        found = idmap.call(lambda: changes.find(place.upper, place.layers, place.ours))
    except OSError as error:
        raise RlError(f"container {text}: {describe_os_error(error)}") from error
    return [(kind, path) for kind, path in found]


def writable_layer(
    paths: Paths, container_id: str, text: str, record: dict[str, Any]
) -> WritableLayer:
    """Where the changes of the container, called `text`, are.

    Raises RlError for a driver that keeps none apart.
    """
    driver = record.get("root", {}).get("driver", _LAYERED[0])
    if driver not in _LAYERED:
        raise RlError(
            f"container {text}: its storage driver {driver} keeps no list of changes",
            hint=f"rl commit --squash {text} NAME; rl export {text}",
        )
    folder = containers.directory(paths, container_id)
    layers = [f"{folder}/l/{number}" for number in range(int(record["root"]["layers"]))]
    document = containers.read_config(paths, container_id)
    theirs = {mount["destination"] for mount in record.get("mounts", ())}
    places = (mount["destination"] for mount in document["mounts"])
    ours = [place.rstrip("/") for place in places if place not in theirs]
    return WritableLayer(f"{folder}/upper", layers, ours)
