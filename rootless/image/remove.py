"""`rl rmi`: taking names from images, and images with what only they need out of the store."""

from __future__ import annotations

from rootless import log
from rootless.errors import InUseError, RlError
from rootless.image import resolve
from rootless.store import blobs, buildcache, events, guard, images, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.image.resolve import LocalImage
    from rootless.store.images import StoredImage
    from rootless.store.index import Descriptor
    from rootless.store.paths import Paths

    # The names or ids of the containers that were made from the image with this manifest.
    InUse = Callable[[StoredImage], list[str]]


def rmi(paths: Paths, text: str, *, force: bool, in_use: InUse) -> list[str]:
    """Untag `text`, or remove the image when that was its last name; what happened, in lines.

    An id of an image with several names needs `force`. in_use names the containers that need the
    image: they forbid its removal, but not the loss of one name among several, and with `force`
    not of the last one, as in docker. Raises NotFoundError, InUseError.
    """
    with guard.removing(paths):
        found = resolve.require(paths, text)
        refuse_others(paths, found, text)
        doomed = _meant(paths, found, text, force=force)
        names = [name for digest in doomed for name in _names_of(paths, digest)]
        if found.is_by_name and len(names) > 1:
            index.remove_name(paths, found.name)
            _tell(paths, "untag", found.name)
            return [f"Untagged: {found.name}"]
        if len(names) > 1 and not force:
            raise InUseError(
                f"{text}: the image has several names: {', '.join(names)}",
                hint=f"rl rmi --force {text}",
            )
        if force and found.is_by_name and any(one and in_use(one) for one in doomed.values()):
            # The image stays without a name, for its containers.
            index.release_name(paths, found.name)
            _tell(paths, "untag", found.name)
            return [f"Untagged: {found.name}"]
        for image in doomed.values():
            _refuse_if_used(image, text, in_use)
        return [line for one in doomed.items() for line in delete(paths, *one)]


def refuse_others(paths: Paths, found: LocalImage, text: str) -> None:
    """Raises InUseError for an image of an additional store, which nobody changes from here."""
    if found.descriptor in index.entries(paths):
        return
    homes = [one.root for one in paths.additional if found.descriptor in index.entries(one)]
    raise InUseError(
        f"{text}: is in the read-only store {', '.join(homes)}",
        hint="rl images --filter readonly=false",
    )


def _meant(
    paths: Paths, found: LocalImage, text: str, *, force: bool
) -> dict[str, StoredImage | None]:
    """The manifests that go. An id means all that have it: compressed otherwise, for example."""
    image = _load(paths, found.descriptor, force=force)
    if image is None or found.is_by_name or text == found.manifest_digest:
        return {found.manifest_digest: image}
    alike = (one for one in images.list_all(paths) if one.image_id == image.image_id)
    return {one.manifest_digest: one for one in alike}


def _load(paths: Paths, descriptor: Descriptor, *, force: bool) -> StoredImage | None:
    """The image; None for a damaged one, which goes with force only."""
    try:
        return images.load(paths, descriptor)
    except RlError:
        if not force:
            raise
        return None


def _names_of(paths: Paths, digest: str) -> list[str]:
    return [name for name, entry in index.names(paths) if entry["digest"] == digest]


def _refuse_if_used(image: StoredImage | None, text: str, in_use: InUse) -> None:
    containers = in_use(image) if image is not None else []
    if containers:
        raise InUseError(
            f"{text}: the image is used by container {', '.join(containers)}",
            hint=f"rl rm {' '.join(containers)}",
        )


def delete(paths: Paths, digest: str, image: StoredImage | None) -> list[str]:
    """Remove the image with this manifest, all of its names, and what only it needs.

    image is None for a damaged one, whose parts are not known. What happened, in lines. The caller
    holds `guard.removing`.
    """
    names = _names_of(paths, digest)
    untagged = [f"Untagged: {name}" for name in names]
    # Out of the index first: what is cut after that is only space, which `prune` finds.
    index.remove_manifest(paths, digest)
    for name in names:
        _tell(paths, "untag", name)
    _tell(paths, "delete", f"sha256:{image.image_id}" if image else digest)
    if image is None:
        blobs.remove(paths, digest)
        return [*untagged, f"Deleted: {digest}"]
    return untagged + _delete_parts(paths, image)


def _tell(paths: Paths, action: str, name: str) -> None:
    events.emit(paths, events.IMAGE, action, name, {"name": name})


def _delete_parts(paths: Paths, image: StoredImage) -> list[str]:
    needed = _still_needed(paths)
    if needed is None:
        blobs.remove(paths, image.manifest_digest)
        return [f"Deleted: {image.manifest_digest}"]
    kept_blobs, kept_layers = needed
    layers.remove(paths, [one for one in image.diff_ids if one not in kept_layers])
    for blob in image.blob_digests():
        if blob not in kept_blobs:
            blobs.remove(paths, blob)
    # The configuration, whose digest is the id, and the layers may be another manifest's too.
    image_id = f"sha256:{image.image_id}"
    removed = [] if image_id in kept_blobs else [image_id]
    removed += [one for one in reversed(image.diff_ids) if one not in kept_layers]
    return [f"Deleted: {digest}" for digest in dict.fromkeys(removed)]


def _still_needed(paths: Paths) -> tuple[set[str], set[str]] | None:
    """The blobs and the layers that the index still leads to, or a step of a build.

    None where an image cannot be read now: what it needs, nobody knows.
    """
    known = images.list_all(paths)
    if len(known) < len(index.entries(paths)):
        log.warn(
            "layers and blobs stay, as long as it is not known whose they are (rl rmi --force)"
        )
        return None
    needed_blobs, needed_layers = buildcache.needed(paths)
    for other in known:
        needed_blobs.update(other.blob_digests())
        needed_layers.update(other.diff_ids)
    return needed_blobs, needed_layers


def prune_unreferenced(paths: Paths) -> list[str]:
    """Remove blobs and layers that no image needs, as cut pulls and removals leave them.

    The digests of what was removed. Dangling images count as images; as long as one cannot be read,
    nothing is removed.
    """
    with guard.removing(paths):
        needed = _still_needed(paths)
        if needed is None:
            return []
        needed_blobs, needed_layers = needed
        gone = layers.remove(paths, set(layers.stored(paths)) - needed_layers)
        for digest in sorted(set(blobs.stored(paths)) - needed_blobs):
            if blobs.remove(paths, digest):
                gone.append(digest)
        return gone
