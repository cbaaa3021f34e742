"""`rl diff`: what a container has changed in its image."""

from __future__ import annotations

import os

from rootless.errors import RlError, describe_os_error
from rootless.runtime import changes
from rootless.store import containers
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.paths import Paths

# Those that keep a writable layer.
_LAYERED = ("fuse-overlayfs", "overlay")


def of_container(paths: Paths, text: str) -> list[tuple[str, str]]:
    """("C", "A" or "D"; path) of each change, by path. Raises NotFoundError, RlError."""
    container_id = containers.find(paths, text)
    record = containers.read_record(paths, container_id)
    driver = record.get("root", {}).get("driver", _LAYERED[0])
    if driver not in _LAYERED:
        raise RlError(f"container {text}: its storage driver {driver} keeps no list of changes")
    folder = containers.directory(paths, container_id)
    if not os.path.isdir(f"{folder}/upper"):
        return []  # it has never been started
    layers = [f"{folder}/l/{number}" for number in range(len(os.listdir(f"{folder}/l")))]
    document = containers.read_config(paths, container_id)
    ours = [mount["destination"].rstrip("/") for mount in document["mounts"]]
    try:
        found = idmap.call(lambda: changes.find(f"{folder}/upper", layers, ours))
    except OSError as error:
        raise RlError(f"container {text}: {describe_os_error(error)}") from error
    return [(kind, path) for kind, path in found]
