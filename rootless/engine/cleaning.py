"""`rl system df`, `prune` and `reset`: what the store takes, and how to have it back."""

from __future__ import annotations

import os

from rootless.engine import image_mounts, listing, live, recover, remove, volumes
from rootless.errors import InUseError, NotFoundError, RlError
from rootless.image import unsquash
from rootless.store import containers, guard, images, layers, trees
from rootless.store import volumes as volume_store
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

    Record = dict[str, Any]

_ENDED = ("created", "exited")


class Usage:
    """What one kind of thing takes. rows: (name, bytes, whether something uses it) of each."""

    __slots__ = ("reclaimable", "rows", "size")

    def __init__(
        self,
        rows: list[tuple[str, int, bool]],
        size: int | None = None,
        reclaimable: int | None = None,
    ) -> None:
        self.rows = rows
        self.size = sum(row[1] for row in rows) if size is None else size
        unused = sum(row[1] for row in rows if not row[2])
        self.reclaimable = unused if reclaimable is None else reclaimable

    @property
    def active(self) -> int:
        """How many are used."""
        return sum(row[2] for row in self.rows)


def image_usage(paths: Paths) -> Usage:
    """Of the images: bytes in their unpacked layers, each layer counted once in the sum."""
    stored = {image.image_id: image for image in images.list_all(paths)}
    used = {record["image_id"] for record in listing.records(paths)}
    sizes = {one: _layer_size(paths, one) for image in stored.values() for one in image.diff_ids}
    needed = {one for image in stored.values() if image.image_id in used for one in image.diff_ids}
    rows = [
        (image_id, sum(sizes[one] for one in set(image.diff_ids)), image_id in used)
        for image_id, image in stored.items()
    ]
    free = sum(size for one, size in sizes.items() if one not in needed)
    return Usage(rows, sum(sizes.values()), free)


def unpacked_usage(paths: Paths) -> Usage:
    """Of image files that were unpacked: bytes on disk; those of no container are not used."""
    used, places = unsquash.used(paths), unsquash.places(paths)
    sizes = idmap.call(lambda: [_tree_size(place) for place in places]) if places else []
    rows = zip(places, sizes, strict=True)
    return Usage([(os.path.basename(place), size, place in used) for place, size in rows])


def _layer_size(paths: Paths, diff_id: str) -> int:
    try:
        return int(layers.info(paths, diff_id)["size"])
    except (RlError, KeyError, ValueError):
        return 0


def shared_sizes(paths: Paths) -> dict[str, int]:
    """For each image id, how many bytes of its unpacked layers other images have as well."""
    layers_of = {one.image_id: set(one.diff_ids) for one in images.list_all(paths)}
    count: dict[str, int] = {}
    for diff_ids in layers_of.values():
        for one in diff_ids:
            count[one] = count.get(one, 0) + 1
    return {
        image_id: sum(_layer_size(paths, one) for one in diff_ids if count[one] > 1)
        for image_id, diff_ids in layers_of.items()
    }


def container_usage(paths: Paths) -> Usage:
    """Of the containers: bytes in their writable layers; those that have ended are not used."""
    found = listing.current(paths)
    sizes = listing.sizes(paths, found) if found else {}
    return Usage([(one["name"], sizes[one["id"]][0], one["status"] not in _ENDED) for one in found])


def volume_usage(paths: Paths) -> Usage:
    """Of the volumes: bytes on disk; those of no container are not used."""
    names = volume_store.names(paths)
    used = volumes.users(paths)
    sizes = idmap.call(lambda: [_tree_size(f"{paths.volumes}/{one}") for one in names])
    return Usage([(name, size, name in used) for name, size in zip(names, sizes, strict=True)])


def _tree_size(path: str) -> int:
    try:
        return trees.du(path)[0]
    except OSError:
        return 0  # gone meanwhile


def prune_containers(paths: Paths, takes: Callable[[Record], bool]) -> tuple[list[str], int]:
    """Remove the containers that have ended and that `takes` wants: (ids, bytes given back)."""
    doomed = [one for one in listing.current(paths) if one["status"] in _ENDED and takes(one)]
    sizes = listing.sizes(paths, doomed) if doomed else {}
    removed, freed = [], 0
    for record in doomed:
        try:
            removed.append(remove.remove(paths, record["id"], force=False))
            freed += sizes[record["id"]][0]
        except (NotFoundError, InUseError):
            continue  # removed or started since we looked
    return removed, freed


def reset(paths: Paths, *, force: bool) -> None:
    """Remove every container, image and volume, and all else that we keep of the store.

    force: also what runs. Raises InUseError, RlError. What is not ours in its directory stays.
    """
    recover.tidy(paths)
    running = [one.id for one in live.find_all(paths)]
    if running and not force:
        raise InUseError(
            f"rl system reset: {len(running)} container{'s' * (len(running) > 1)} still running",
            hint="rl rm --force --all, or: rl system reset --force",
            exit_code=1,
        )
    for container_id in containers.all_ids(paths):
        try:
            remove.remove(paths, container_id, force=True, with_volumes=True)
        except NotFoundError:
            continue
    for image_id, _ in image_mounts.everything(paths):
        image_mounts.unmount(paths, image_id, lazy=force)
    if os.path.isdir(paths.locks):
        with guard.removing(paths):
            _remove_all(paths)
    else:
        _remove_all(paths)


def _remove_all(paths: Paths) -> None:
    recover.remove_trees(
        [paths.names, paths.containers, paths.volumes, paths.build, paths.lists, paths.index,
         paths.unpacked, paths.frames, paths.shared_mark,
         paths.oci_layout,
         os.path.dirname(paths.blobs), paths.layers, paths.other_layers, paths.tmp, paths.locks,
         paths.running,
         os.path.dirname(paths.events), paths.execs, paths.mounts]
    )  # fmt: skip
    try:
        os.rmdir(paths.root)
    except OSError:
        pass  # something of somebody else's is in it


def in_use_by(
    paths: Paths, takes: Callable[[StoredImage], bool]
) -> Callable[[StoredImage], list[str]]:
    """For image.prune: who keeps an image, besides what `takes` does not want."""

    def users(image: StoredImage) -> list[str]:
        if not takes(image):
            return ["--filter"]
        found = (one for one in listing.records(paths) if one["manifest"] == image.manifest_digest)
        return [str(one["name"]) for one in found]

    return users
