"""Images made here: from a config and its layers to a manifest in the store, with its names.

The order of things is that of a pull: what the manifest needs is there first, the name is set last,
under `guard.adding`. An image that is made again, byte for byte, is the image that was there.
"""

from __future__ import annotations

from rootless.errors import StoreError, UsageError
from rootless.model import image_config, media
from rootless.store import blobs, events, guard, images, index

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from rootless.image.layer_writer import NewLayer
    from rootless.store.paths import Paths

    Json = dict[str, Any]

OCI, DOCKER = "oci", "docker"
FORMATS = (OCI, DOCKER)
_MANIFESTS = {OCI: media.OCI_MANIFEST, DOCKER: media.DOCKER_MANIFEST}
_CONFIGS = {OCI: media.OCI_CONFIG, DOCKER: media.DOCKER_CONFIG}
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
_TO_DOCKER = {media.OCI_LAYER: _DOCKER_LAYER, f"{media.OCI_LAYER}+gzip": f"{_DOCKER_LAYER}.gzip"}
_TO_OCI = {docker: oci for oci, docker in _TO_DOCKER.items()}


class MadeImage:
    """image_id: the config's digest; manifest_digest; names: the full names that it was given."""

    __slots__ = ("image_id", "manifest_digest", "names")

    def __init__(self, image_id: str, manifest_digest: str, names: Sequence[str]) -> None:
        self.image_id = image_id
        self.manifest_digest = manifest_digest
        self.names = tuple(names)


def check_format(image_format: str) -> str:
    """`image_format` if there is one of that name. Raises UsageError."""
    if image_format not in FORMATS:
        raise UsageError(f"--format {image_format}: one of {', '.join(FORMATS)} is expected")
    return image_format


def make(
    paths: Paths,
    config: Mapping[str, Any],
    layers: Sequence[Mapping[str, Any]],
    names: Sequence[str] = (),
    *,
    fresh: Sequence[NewLayer] = (),
    image_format: str = OCI,
    annotations: Mapping[str, str] | None = None,
) -> MadeImage:
    """Put an image into the store.

    config: the whole document, of as many diff ids as there are layers. layers: their descriptors
    as a manifest has them, lowest first. names: full ones; without any the image is dangling.
    fresh: those of the layers that were just written: they are adopted here. Raises StoreError
    when a part is not in the store.
    """
    data = image_config.canonical(config)
    parts = [_as_in(image_format, layer) for layer in layers]
    with guard.adding(paths):
        for layer in fresh:
            layer.adopt()
        image_id = blobs.write(paths, data)
        head = {"mediaType": _CONFIGS[image_format], "digest": image_id, "size": len(data)}
        manifest = _manifest(image_format, head, parts, annotations)
        digest = blobs.write(paths, manifest)
        lacking = images.missing(paths, digest)
        if lacking:
            raise StoreError(
                f"{names[0] if names else image_id}: its parts are gone: {', '.join(lacking)}",
                hint="do it again",
            )
        for name in names or ("",):
            index.set_name(
                paths, name, digest, media_type=_MANIFESTS[image_format], size=len(manifest),
                platform=_platform(config),
            )  # fmt: skip
    for name in names:
        events.emit(paths, events.IMAGE, "tag", image_id, {"name": name})
    return MadeImage(image_id, digest, names)


def _manifest(
    image_format: str, config: Json, layers: list[Json], annotations: Mapping[str, str] | None
) -> bytes:
    document: Json = {
        "schemaVersion": 2,
        "mediaType": _MANIFESTS[image_format],
        "config": config,
        "layers": layers,
    }
    if annotations and image_format == OCI:
        document["annotations"] = dict(annotations)
    return image_config.canonical(document)


def _as_in(image_format: str, layer: Mapping[str, Any]) -> Json:
    """A layer's descriptor with the media type that it has in a manifest of that format."""
    names = _TO_DOCKER if image_format == DOCKER else _TO_OCI
    kind = str(layer["mediaType"])
    return {"mediaType": names.get(kind, kind), "digest": layer["digest"], "size": layer["size"]}


def _platform(config: Mapping[str, Any]) -> dict[str, str]:
    keys = ("architecture", "os", "variant")
    return {key: str(config[key]) for key in keys if config.get(key)}
