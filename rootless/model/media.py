"""Manifests, indexes and image configurations: parsed and checked before anything believes them.

Formats: image-spec (descriptor.md, manifest.md, image-index.md, config.md) and Docker's schema 2
(distribution, docs/spec/manifest-v2-2.md). Every function takes bytes or documents of unknown
origin and raises ImageError, whatever they hold; `what` names their owner in the message.
"""

from __future__ import annotations

import json

from rootless.errors import ImageError
from rootless.model import config_types
from rootless.model import digest as digests
from rootless.model.config_types import shown
from rootless.model.platform import Platform

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Json = dict[str, Any]

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
CONFIG_TYPES = (OCI_CONFIG, DOCKER_CONFIG)
ACCEPTED = (*MANIFEST_TYPES, *INDEX_TYPES)
_SCHEMA1_PREFIX = "application/vnd.docker.distribution.manifest.v1+"
_LAYER_BASES = (
    OCI_LAYER,
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)
LAYER_TYPES = frozenset(
    base + tail for base in _LAYER_BASES for tail in ("", "+gzip", "+zstd", ".gzip", ".zstd")
)

# containers/image and containerd refuse larger ones too; a config may carry a long history.
MAX_MANIFEST_BYTES = 4 << 20
MAX_CONFIG_BYTES = 8 << 20
# overlayfs takes at most 500 lower layers; docker and podman stop at 127 and 128.
MAX_LAYERS = 500
_MAX_SIZE = 1 << 44


class Descriptor:
    """A reference to content: media type, digest and size, with a platform inside an index."""

    __slots__ = ("annotations", "digest", "media_type", "platform", "size")

    def __init__(
        self,
        media_type: str,
        digest: str,
        size: int,
        platform: Platform | None = None,
        annotations: dict[str, str] | None = None,
    ) -> None:
        self.media_type = media_type
        self.digest = digest
        self.size = size
        self.platform = platform
        self.annotations = annotations or {}

    def __repr__(self) -> str:
        return f"Descriptor({self.media_type!r}, {self.digest!r}, {self.size})"


class Manifest:
    """An image manifest: one configuration and its layers, lowest first."""

    __slots__ = ("config", "layers", "media_type")

    def __init__(self, media_type: str, config: Descriptor, layers: list[Descriptor]) -> None:
        self.media_type = media_type
        self.config = config
        self.layers = layers


def parse_json(data: bytes, what: str) -> Json:
    """`data` as a JSON object."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        start = data[:24].decode("ascii", "replace")
        raise ImageError(f"{what}: not readable as JSON, it begins with {start!r}") from None
    if not isinstance(document, dict):
        raise ImageError(f"{what}: a JSON object is expected, not {type(document).__name__}")
    return document


def media_type_of(document: Json, header: str, what: str) -> str:
    """The media type of a manifest or index: its own word, else the `header`'s, else its shape.

    Refuses schema 1, and documents that could be read as both kinds (CVE-2021-41190).
    """
    own = document.get("mediaType", "")
    kind = own if isinstance(own, str) and own else header.partition(";")[0].strip()
    if document.get("schemaVersion") == 1 or kind.startswith(_SCHEMA1_PREFIX):
        raise ImageError(
            f"{what}: Docker schema 1 manifest, a format that ended in 2019",
            hint="push the image again with a current docker, podman or skopeo",
        )
    if "manifests" in document and ("layers" in document or "config" in document):
        raise ImageError(f"{what}: claims to be an index and a manifest at once")
    if kind in ACCEPTED:
        return kind
    if kind not in ("", "application/json", "text/plain", "application/octet-stream"):
        raise ImageError(f"{what}: media type {shown(kind)} is not an image manifest or index")
    return OCI_INDEX if "manifests" in document else OCI_MANIFEST


def parse_manifest(document: Json, media_type: str, what: str) -> Manifest:
    """The manifest in `document`; config and layer types are checked to be an image's."""
    config = descriptor(document.get("config"), f"{what}: config")
    if config.media_type not in CONFIG_TYPES:
        raise ImageError(f"{what}: not a container image but {shown(config.media_type)}")
    rows = _list(document.get("layers"), f"{what}: layers", MAX_LAYERS)
    layers = [descriptor(row, f"{what}: layer {number}") for number, row in enumerate(rows, 1)]
    for layer in layers:
        _check_layer_type(layer.media_type, what)
    return Manifest(media_type, config, layers)


def _check_layer_type(media_type: str, what: str) -> None:
    if media_type.endswith("+encrypted"):
        raise ImageError(f"{what}: layers are encrypted, which is not supported")
    if media_type not in LAYER_TYPES:
        raise ImageError(f"{what}: layer of unknown media type {shown(media_type)}")


def parse_index(document: Json, what: str) -> list[Descriptor]:
    """The entries of an index or manifest list."""
    rows = _list(document.get("manifests"), f"{what}: manifests", 10_000)
    return [descriptor(row, f"{what}: entry {number}") for number, row in enumerate(rows, 1)]


def descriptor(document: object, what: str) -> Descriptor:
    """The descriptor in `document`."""
    if not isinstance(document, dict):
        raise ImageError(f"{what}: a descriptor is expected")
    media_type, digest, size = (document.get(key) for key in ("mediaType", "digest", "size"))
    if not isinstance(digest, str) or digests.problem_of(digest):
        problem = digests.problem_of(digest) if isinstance(digest, str) else "it is missing"
        raise ImageError(f"{what}: digest {shown(digest)}: {problem}")
    if type(size) is not int or not 0 <= size <= _MAX_SIZE:
        raise ImageError(f"{what}: size {shown(size)} is not a number of bytes")
    if not isinstance(media_type, str) or not media_type:
        raise ImageError(f"{what}: no media type")
    platform = _platform(document.get("platform"), what)
    return Descriptor(media_type, digest, size, platform, _texts(document.get("annotations")))


def _platform(document: object, what: str) -> Platform | None:
    if document is None:
        return None
    fields = document if isinstance(document, dict) else {}
    values = [fields.get(key) or "" for key in ("os", "architecture", "variant")]
    if not all(isinstance(value, str) for value in values):
        raise ImageError(f"{what}: platform {shown(document)} is not readable")
    return Platform(*(shown(value) for value in values)) if any(values) else None


def _texts(document: object) -> dict[str, str]:
    if not isinstance(document, dict):
        return {}
    return {key: value for key, value in document.items() if isinstance(value, str)}


def choose(entries: list[Descriptor], wanted: Platform, what: str) -> Descriptor:
    """The entry of an index that fits `wanted` best; raises ImageError listing what there is."""
    ranked = []
    for entry in entries:
        rank = entry.platform.rank_for(wanted) if entry.platform else None
        if rank is not None and entry.media_type in ACCEPTED:
            ranked.append((rank, entry))
    if ranked:
        return min(ranked, key=lambda pair: pair[0])[1]
    # Old builders write entries without a platform: usable when there is no choice to make.
    plain = [entry for entry in entries if not entry.platform and entry.media_type in ACCEPTED]
    if len(plain) == 1 and len(plain) == len(entries):
        return plain[0]
    raise ImageError(f"{what}: no image for {wanted}; there is: {_platforms(entries)}")


def _platforms(entries: list[Descriptor]) -> str:
    # Attestations are listed under unknown/unknown: they are no images.
    names = {str(entry.platform) for entry in entries if entry.platform} - {"unknown/unknown"}
    shown = sorted(names)[:20]
    return ", ".join(shown) + (", …" if len(names) > 20 else "") if names else "nothing"


def parse_config(data: bytes, what: str) -> Json:
    """An image configuration whose parts that we use have the right types (config.md)."""
    document = parse_json(data, what)
    config_types.check(document, what)
    diff_ids(document, what)
    return document


def diff_ids(config: Json, what: str) -> list[str]:
    """The digests of the uncompressed layers, lowest first."""
    rootfs = config.get("rootfs")
    ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    rows = _list(ids, f"{what}: rootfs.diff_ids", MAX_LAYERS)
    for row in rows:
        if not digests.is_digest(row):
            raise ImageError(f"{what}: rootfs.diff_ids: {shown(row)} is not a sha256 digest")
    return rows


def platform_of(config: Json) -> Platform:
    """The platform that an image configuration names."""
    names = (str(config.get(key) or "") for key in ("os", "architecture", "variant"))
    return Platform(*(shown(name) for name in names))


def check_layers(manifest: Manifest, ids: list[str], what: str) -> None:
    """That manifest and configuration speak of the same layers."""
    if len(manifest.layers) != len(ids):
        raise ImageError(
            f"{what}: the manifest has {len(manifest.layers)} layers, the configuration {len(ids)}"
        )
    seen: dict[str, str] = {}
    for layer, diff_id in zip(manifest.layers, ids, strict=True):
        if seen.setdefault(layer.digest, diff_id) != diff_id:
            raise ImageError(f"{what}: layer {layer.digest} has two different diff_ids")


def _list(value: object, what: str, limit: int) -> list[Any]:
    if not isinstance(value, list):
        raise ImageError(f"{what}: a list is expected")
    if len(value) > limit:
        raise ImageError(f"{what}: {len(value)} entries, at most {limit} are accepted")
    return value
