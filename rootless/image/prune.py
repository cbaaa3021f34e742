"""`rl image prune`: images that nobody uses, and whatever in the store belongs to no image."""

from __future__ import annotations

import os

from rootless.errors import RlError
from rootless.image import frames, remove, transfer, unsquash
from rootless.store import blobs, buildcache, guard, images, layers, lists, trees
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.remove import InUse
    from rootless.store.paths import Paths


def prune(paths: Paths, *, everything: bool, in_use: InUse) -> tuple[list[str], int]:
    """Remove what is not needed: (what happened, in lines; the bytes that this freed).

    That is: dangling images, or with `everything` all images, except those that `in_use` names
    containers of and those in a manifest list, and what builds have left for later ones; blobs and
    layers without an image; downloads and layers that were given up; unpacked image files that no
    container uses. What other processes are working on stays, or is fetched again by them.
    """
    if not os.path.isdir(paths.tmp):
        return [], 0
    before = dict(_sizes(paths))
    lines = _prune_images(paths, everything=everything, in_use=in_use)
    if everything:
        with guard.removing(paths):
            buildcache.forget_steps(paths)
        buildcache.forget_mounts(paths)
        frames.prune(paths)
    lines += [f"Deleted: {digest}" for digest in remove.prune_unreferenced(paths)]
    layers.sweep(paths)
    freed = sum(size for path, size in before.items() if not os.path.lexists(path))
    trees_gone, given_back = unsquash.prune(paths)
    return lines + trees_gone, freed + given_back + transfer.sweep(paths, 0)


def _prune_images(paths: Paths, *, everything: bool, in_use: InUse) -> list[str]:
    lines = []
    with guard.removing(paths):
        candidates = [one for one in images.list_all(paths) if everything or not one.name]
        listed = lists.digests(paths)
        for image in {one.manifest_digest: one for one in candidates}.values():
            if not in_use(image) and image.manifest_digest not in listed:
                lines += remove.delete(paths, image.manifest_digest, image)
    return lines


def _sizes(paths: Paths) -> Iterator[tuple[str, int]]:
    """Every path that may go, with the bytes in its files."""
    for digest in blobs.stored(paths):
        yield paths.blob(digest), _file_size(paths.blob(digest))
    for diff_id in layers.stored(paths):
        yield paths.layer(diff_id), _layer_size(paths, diff_id)
    for path in [*layers.workspaces(paths), *buildcache.mount_directories(paths)]:
        yield path, _tree_size(path)


def _file_size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0


def _tree_size(path: str) -> int:
    try:
        # Subordinate ids may own what is in it.
        return int(idmap.call(lambda: trees.du(path)[0]))
    except (RlError, OSError):
        return 0  # gone meanwhile


def _layer_size(paths: Paths, diff_id: str) -> int:
    try:
        return int(layers.info(paths, diff_id)["size"])
    except (RlError, KeyError, ValueError):
        return 0
