"""`rl diff`: what a container has changed in its image; and where that is, for `rl commit`."""

from __future__ import annotations

import contextlib
import os

from rootless.engine import image_files
from rootless.errors import RlError, describe_os_error
from rootless.image import tree_changes
from rootless.runtime import changes
from rootless.store import containers, layers
from rootless.tools import idmap, spawn, squashfuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from rootless.store.paths import Paths

# Those that keep a writable layer.
_LAYERED = ("fuse-overlayfs", "overlay")
# That which has a copy of everything.
_WHOLE = "vfs"


class WritableLayer:
    """upper: the directory; layers: the trees below it, topmost first; ours: the paths at which rl
    mounts something of its own, which the user has not asked for. owner: as LayerWriter.write has
    it. squash: as in a RootfsRequest."""

    __slots__ = ("layers", "ours", "owner", "squash", "upper")

    def __init__(
        self,
        upper: str,
        layers: list[str],
        ours: list[str],
        owner: tuple[int, int] | None = None,
        squash: tuple[str, str] | None = None,
    ) -> None:
        self.upper = upper
        self.layers = layers
        self.ours = ours
        self.owner = owner
        self.squash = squash

    def call(self, look: Callable[[], Any]) -> Any:
        """What `look` returns, as root of the user namespace, where the layers can be read.

        Raises RlError, OSError."""
        return idmap.call(look if self.squash is None else lambda: self._mounted(look))

    def _mounted(self, look: Callable[[], Any]) -> Any:
        from rootless.runtime import keeper, rootfs

        if self.squash is None:
            return look()
        keeper.leave_mounts_of_host()
        server = rootfs.mount_squash(os.path.dirname(self.upper), self.squash)
        try:
            return look()
        finally:
            server.kill()


def squash_of(record: dict[str, Any]) -> tuple[str, str] | None:
    """How the image file of the container with `record` is mounted: a RootfsRequest's `squash`.

    Raises HostError, and RlError when the file is not what it was."""
    path = record["root"].get("squash")
    if not path:
        return None
    image_files.require_unchanged(record)
    return spawn.find(squashfuse.PROGRAM, "squashfuse"), path


def of_container(paths: Paths, text: str) -> list[tuple[str, str]]:
    """("C", "A" or "D"; path) of each change, by path. Raises NotFoundError, RlError."""
    container_id = containers.find(paths, text)
    record = containers.read_record(paths, container_id)
    with opened(paths, container_id, text, record) as place:
        if not os.path.isdir(place.upper):
            return []  # it has never been started
        try:
            found = place.call(lambda: changes.find(place.upper, place.layers, place.ours))
        except OSError as error:
            raise RlError(f"container {text}: {describe_os_error(error)}") from error
    return [(kind, path) for kind, path in found]


@contextlib.contextmanager
def opened(
    paths: Paths, container_id: str, text: str, record: dict[str, Any]
) -> Iterator[WritableLayer]:
    """`writable_layer`, for the driver vfs too, whose whole tree is compared with the layers then.

    What is in `upper` stays the container's: it is to be copied.
    """
    driver = record.get("root", {}).get("driver")
    if driver != _WHOLE or not os.path.exists(_tree(paths, container_id, "is-copied")):
        yield writable_layer(paths, container_id, text, record)
        return
    with layers.Workspace(paths) as workspace:
        upper = f"{workspace.path}/upper"
        place = _place(paths, container_id, record, upper)
        tree = _tree(paths, container_id, "merged")
        try:
            place.call(lambda: tree_changes.fill(tree, place.layers, upper))
        except OSError as error:
            raise RlError(f"container {text}: {describe_os_error(error)}") from error
        yield place


def writable_layer(
    paths: Paths, container_id: str, text: str, record: dict[str, Any]
) -> WritableLayer:
    """Where the changes of the container, called `text`, are.

    Raises RlError for a driver that keeps none apart.
    """
    driver = record.get("root", {}).get("driver", _LAYERED[0])
    if driver not in (*_LAYERED, _WHOLE):
        raise RlError(
            f"container {text}: its storage driver {driver} keeps no list of changes",
            hint=f"rl export {text}",
        )
    return _place(paths, container_id, record, _tree(paths, container_id, "upper"))


def _tree(paths: Paths, container_id: str, name: str) -> str:
    return f"{containers.directory(paths, container_id)}/{name}"


def _place(paths: Paths, container_id: str, record: dict[str, Any], upper: str) -> WritableLayer:
    count = int(record["root"]["layers"])
    lowers = [_tree(paths, container_id, f"l/{number}") for number in range(count)]
    document = containers.read_config(paths, container_id)
    theirs = {mount["destination"] for mount in record.get("mounts", ())}
    places = (mount["destination"] for mount in document["mounts"])
    ours = [place.rstrip("/") for place in places if place not in theirs]
    return WritableLayer(upper, lowers, ours, _owner_in(record), squash_of(record))


def _owner_in(record: dict[str, Any]) -> tuple[int, int] | None:
    """Who the one id of the container is, where it has no other."""
    if not record.get("one_id"):
        return None
    inner = record["root"].get("inner_maps")
    return (inner[0][0][0], inner[1][0][0]) if inner else (0, 0)
