"""Images in the store, as a run needs them: configuration and layers.

On the start path: three small files are read and nothing is hashed. What is in the store was
checked when it came in (`rootless.image`), and only this user can write to it. Which image a user
means with a short name or an id is `rootless.image.resolve`'s to say.
"""

from __future__ import annotations

from rootless import log
from rootless.errors import ImageError, RlError, StoreError
from rootless.model import jsontext
from rootless.store import blobs, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.index import Descriptor
    from rootless.store.paths import Paths


class StoredImage:
    """name: the full name, "" when dangling; image_id: the config's digest in hexadecimal.

    config is the whole image configuration document, diff_ids are the layers, lowest first.
    """

    __slots__ = ("config", "diff_ids", "image_id", "manifest", "manifest_digest", "name")

    def __init__(
        self, name: str, manifest_digest: str, manifest: dict[str, Any], config: dict[str, Any]
    ) -> None:
        self.name = name
        self.manifest_digest = manifest_digest
        self.manifest = manifest
        self.config = config
        self.image_id = str(manifest["config"]["digest"]).partition(":")[2]
        self.diff_ids = [blobs.check_digest(one) for one in config["rootfs"]["diff_ids"]]

    def layer_diffs(self, paths: Paths) -> list[str]:
        """The trees for an overlay's lowerdir, highest first.

        A layer that occurs twice is listed once, where it is highest: it hides itself below, and
        the kernel refuses a lowerdir that is given twice.
        """
        return [paths.layer_diff(diff_id) for diff_id in dict.fromkeys(reversed(self.diff_ids))]

    def blob_digests(self) -> list[str]:
        """Every blob that the image consists of: manifest, configuration, compressed layers."""
        parts = [self.manifest["config"], *self.manifest["layers"]]
        return [self.manifest_digest, *(blobs.check_digest(part["digest"]) for part in parts)]


def load(paths: Paths, descriptor: Descriptor) -> StoredImage:
    """The image of a descriptor in the index. Raises StoreError, ImageError when damaged."""
    digest = blobs.check_digest(descriptor.get("digest"))
    try:
        manifest = jsontext.loads(blobs.read_trusted(paths, digest))
        config_digest = blobs.check_digest(manifest["config"]["digest"])
        config = jsontext.loads(blobs.read_trusted(paths, config_digest))
        return StoredImage(index.name_of(descriptor), digest, manifest, config)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"image {index.name_of(descriptor) or digest}: its documents in the store are damaged",
            hint="rl rmi --force IMAGE, then rl pull IMAGE",
        ) from error


def find(paths: Paths, name: str) -> StoredImage | None:
    """The image with the full name `name`."""
    descriptor = index.find(paths, name)
    return None if descriptor is None else load(paths, descriptor)


def _load_or_warn(paths: Paths, entry: Descriptor) -> StoredImage | None:
    try:
        return load(paths, entry)
    except (ImageError, StoreError) as error:
        log.warn(error.message)
        return None


def list_all(paths: Paths) -> list[StoredImage]:
    """Every name and every dangling image; damaged ones are left out with a warning."""
    images = (_load_or_warn(paths, entry) for entry in index.entries(paths))
    return [image for image in images if image is not None]


def list_visible(paths: Paths) -> list[tuple[StoredImage, bool]]:
    """As `list_all`, and the images of additional stores, which are told by True."""
    found = ((_load_or_warn(paths, entry), is_other) for entry, is_other in index.visible(paths))
    return [(image, is_other) for image, is_other in found if image is not None]


def size(paths: Paths, image: StoredImage) -> int:
    """Bytes in the image's files, layers that it shares with others included; those that went with
    an additional store count for nothing."""
    here = (one for one in image.diff_ids if layers.has(paths, one))
    return sum(int(layers.info(paths, one)["size"]) for one in here)


def missing(paths: Paths, manifest_digest: str) -> list[str]:
    """The digests of the blobs and layers that the manifest needs and the store lacks.

    Who adds an image asks this under `guard.adding` just before it sets the name.
    """
    if not blobs.has(paths, manifest_digest):
        return [manifest_digest]
    try:
        image = load(paths, {"digest": manifest_digest})
    except RlError:
        config = jsontext.loads(blobs.read(paths, manifest_digest))["config"]["digest"]
        return [str(config)]
    lacking = [digest for digest in image.blob_digests() if not blobs.has(paths, digest)]
    return lacking + [one for one in image.diff_ids if not layers.has(paths, one)]
