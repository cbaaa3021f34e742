"""`rl image mount`: an image's files, read-only, at a path that all programs of the user can read.

A mount of the user namespace would be seen by nobody outside of it. This one is fusermount3's, in
the user's own mount namespace, and the program that answers for it is fuse-overlayfs as root of the
user namespace, where the layers' files can all be read: docs/decisions/0033-image-mounts.md. What
is mounted where, the kernel's list of mounts says; there is no record beside it.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import HostError, InUseError, NotFoundError
from rootless.image import anew, resolve
from rootless.store import files, guard, images
from rootless.tools import fuse_overlayfs, fusermount, idmap, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.images import StoredImage
    from rootless.store.paths import Paths

_OPTIONS = "ro,fsname={},subtype=fuse-overlayfs"


def mount(paths: Paths, text: str) -> str:
    """Mount the image `text`, if it is not; where. Raises NotFoundError, HostError, StoreError."""
    resolve.require(paths, text)
    files.make_dirs(paths.mounts)
    # Nobody removes the image between the question for it and the mount.
    with guard.adding(paths), files.Lock(f"{paths.mounts}/lock"):
        image = images.load(paths, resolve.require(paths, text).descriptor)
        anew.complete(paths, image)
        place = _place(paths, image.image_id)
        if place in fusermount.mounted():
            if _is_alive(place):
                return place
            fusermount.unmount(place, lazy=True)
        files.make_dirs(place)
        _serve(paths, image, place)
    return place


def _place(paths: Paths, image_id: str) -> str:
    return f"{paths.mounts}/{image_id}"


def _is_alive(place: str) -> bool:
    """Whether somebody answers; after the end of the server that is ENOTCONN."""
    try:
        # Not stat(2), whose answer may be remembered.
        os.statvfs(place)
    except OSError:
        return False
    return True


def _serve(paths: Paths, image: StoredImage, place: str) -> None:
    program = spawn.find("fuse-overlayfs", "fuse-overlayfs")
    lowers = [os.path.relpath(tree, paths.layers) for tree in image.layer_diffs(paths)]
    log.effect(f"mount image {image.image_id[:12]} at {place}")
    fuse = fusermount.mount(place, _OPTIONS.format(image.image_id[:12]))
    try:
        idmap.start(lambda: fuse_overlayfs.serve(program, paths.layers, lowers, fuse)).wait()
    finally:
        # With the server's end the mount answers, instead of letting everybody wait.
        os.close(fuse)
    if not _is_alive(place):
        fusermount.unmount(place, lazy=True)
        raise HostError(f"{place}: fuse-overlayfs does not serve it", hint=f"{program} --version")


def unmount(paths: Paths, text: str, *, lazy: bool) -> str:
    """Take the mount of the image `text` off; its id. lazy: also when it is in use.

    Raises NotFoundError when it is not mounted, InUseError.
    """
    image_id = _mounted_id(paths, text)
    if not image_id:
        raise NotFoundError(f"{text}: is not mounted", hint="rl image mount")
    place = _place(paths, image_id)
    fusermount.unmount(place, lazy=lazy)
    os.rmdir(place)
    return image_id


def _mounted_id(paths: Paths, text: str) -> str:
    known = [image_id for image_id, _ in everything(paths)]
    if text in known:
        return text  # the image itself may be gone
    image = images.load(paths, resolve.require(paths, text).descriptor)
    return image.image_id if image.image_id in known else ""


def find(paths: Paths, image_id: str) -> str:
    """Where the image is mounted, "" for nowhere."""
    place = _place(paths, image_id)
    return place if os.path.lexists(place) and place in fusermount.mounted() else ""


def everything(paths: Paths) -> list[tuple[str, str]]:
    """(image id, path) of every mounted image."""
    beginning = f"{paths.mounts}/"
    found = (place for place in fusermount.mounted() if place.startswith(beginning))
    return sorted((place.removeprefix(beginning), place) for place in found)


def refuse_if_mounted(paths: Paths, image: StoredImage) -> None:
    """Raises InUseError that says where."""
    place = find(paths, image.image_id)
    if place:
        name = image.name or image.image_id[:12]
        raise InUseError(f"{name}: is mounted at {place}", hint=f"rl image unmount {name}")
