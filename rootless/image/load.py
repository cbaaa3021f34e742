"""Load: images out of archives and directories, through the same doors as a pull.

Read are OCI layouts (image-spec, image-layout.md) and docker's archives (moby, image/spec/v1.2.md),
as rl, docker, podman, skopeo and buildah write them. Where an archive is both, the layout counts:
it has the manifests, and so the digests. Each image gets its names when all of it is in the store;
of one that is damaged there is nothing.
"""

from __future__ import annotations

import hashlib
import json

from rootless.errors import ImageError, UsageError
from rootless.image import archive_files, decompress, pull
from rootless.image.save import FULL_NAME
from rootless.image.source_oci import LocalSource
from rootless.model import digest as digests
from rootless.model import media
from rootless.model import reference as references
from rootless.model.registries import LOCAL_DOMAIN
from rootless.store import blobs, events
from rootless.store.index import REF_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.image.archive_files import Files, Range
    from rootless.image.progress import Progress
    from rootless.model.media import Descriptor
    from rootless.model.platform import Platform
    from rootless.store.paths import Paths

_MAX_IMAGES = 1000
_NO_PLATFORM = "unknown/unknown"
_READ_BYTES = 1 << 20


class LoadedImage:
    """image_id: the configuration's digest; names: full ones; notes: what unpacking left out."""

    __slots__ = ("image_id", "names", "notes")

    def __init__(self, image_id: str, names: list[str], notes: list[str]) -> None:
        self.image_id = image_id
        self.names = names
        self.notes = notes


def load(
    paths: Paths, source: str, platform: Platform | None, progress: Progress
) -> Iterator[LoadedImage]:
    """Bring in every image of the archive or directory `source` ("": standard input), in turn.

    platform: which one of an image for several. Raises ImageError, StoreError, HostError.
    """
    blobs.ensure_layout(paths)
    with archive_files.opened(paths, source) as found:
        for image in _images(found):
            progress.message(f"Loading {image.name}")
            done = pull.bring_in(paths, image, image.names, platform, progress)
            for name in image.names or [done.image_id]:
                events.emit(paths, events.IMAGE, "load", name, {"name": name})
            yield LoadedImage(done.image_id, image.names, done.notes)


def _images(found: Files) -> list[ArchivedImage]:
    layout, docker = _document(found, "index.json"), _document(found, "manifest.json")
    if isinstance(layout, dict):
        images = _of_layout(found, layout)
        if images:
            return images
    if isinstance(docker, list) and docker:
        return [_of_docker(found, row) for row in docker[:_MAX_IMAGES]]
    if found.find("repositories") is not None:
        raise ImageError(f"{found.what}: an archive of a docker from before 1.10 (2016)",
                         hint="docker load it, and docker save it again")  # fmt: skip
    raise ImageError(
        f"{found.what}: holds no images: neither an OCI layout nor a docker archive",
        hint=f"rl import {found.source or '-'}  # if it is a root file system",
    )


def _document(found: Files, name: str) -> Any:
    """The JSON of the file `name`, None where there is none."""
    data = _small(found, name, media.MAX_MANIFEST_BYTES)
    if data is None:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        raise ImageError(f"{found.what}: {name}: not readable as JSON") from None


def _small(found: Files, name: str, limit: int) -> bytes | None:
    place = found.find(name)
    if place is None:
        return None
    try:
        if place.size > limit:
            raise ImageError(f"{found.what}: {name}: larger than {limit} bytes")
        return place.read(0, limit)
    finally:
        place.close()


class _Bytes:
    """A Stream of one of the archive's files."""

    def __init__(self, place: Range, offset: int) -> None:
        self.offset = offset
        self._place = place
        self._position = offset

    def read_some(self, limit: int) -> bytes:
        """See Stream."""
        data = self._place.read(self._position, limit)
        self._position += len(data)
        return data

    def __enter__(self) -> _Bytes:
        return self

    def __exit__(self, *exception: object) -> None:
        self._place.close()


class ArchivedImage(LocalSource):
    """One image of an archive, as a Source. names: full ones, none for an image without any."""

    def __init__(self, found: Files, names: list[str], root: tuple[bytes, str]) -> None:
        super().__init__()
        self.name = names[0] if names else f"an image of {found.what}"
        self.names = names
        self._found = found
        self._root = root

    def member(self, digest: str) -> str:
        """The name of the file with the blob."""
        return f"blobs/sha256/{digests.hex_of(digest)}"

    def root(self) -> tuple[bytes, str]:
        """See Source."""
        return self._root

    def manifest(self, digest: str) -> tuple[bytes, str]:
        """See Source."""
        return _manifest(self._found, self.member(digest), digest), ""

    def read_blob(self, digest: str, size: int) -> bytes:
        """See Source."""
        data = _small(self._found, self.member(digest), size)
        if data is None:
            raise self._missing(digest)
        return data

    def open_blob(self, digest: str, size: int, offset: int) -> _Bytes:
        """See Source."""
        place = self._found.find(self.member(digest))
        if place is None:
            raise self._missing(digest)
        if place.size != size:
            place.close()
            raise ImageError(f"{self._found.what}: {self.member(digest)}: has {place.size} bytes, "
                             f"its descriptor says {size}")  # fmt: skip
        return _Bytes(place, offset)

    def _missing(self, digest: str) -> ImageError:
        return ImageError(f"{self._found.what}: {self.member(digest)}: missing, "
                          f"although {self.name} needs it")  # fmt: skip


def _manifest(found: Files, member: str, digest: str) -> bytes:
    data = _small(found, member, media.MAX_MANIFEST_BYTES)
    if data is None:
        raise ImageError(f"{found.what}: {member}: missing, although index.json names it")
    if digests.of(data) != digest:
        raise ImageError(f"{found.what}: {member}: its content has another digest")
    return data


def _of_layout(found: Files, document: dict[str, Any]) -> list[ArchivedImage]:
    names: dict[str, list[str]] = {}
    entries: dict[str, Descriptor] = {}
    for entry in media.parse_index(document, f"{found.what}: index.json")[:_MAX_IMAGES]:
        # Attestations stand beside the images that they are about.
        if entry.media_type in media.ACCEPTED and str(entry.platform) != _NO_PLATFORM:
            entries[entry.digest] = entry
            name = _full_name(entry.annotations)
            names.setdefault(entry.digest, []).extend([name] if name else [])
    made = []
    for digest, entry in entries.items():
        data = _manifest(found, f"blobs/sha256/{digests.hex_of(digest)}", digest)
        unique = list(dict.fromkeys(names[digest]))
        made.append(ArchivedImage(found, unique, (data, entry.media_type)))
    return made


def _full_name(annotations: dict[str, str]) -> str:
    """The name in annotations, "" where there is none: a word alone is a tag."""
    for key in (FULL_NAME, REF_NAME):
        text = annotations.get(key, "")
        if "/" in text or ":" in text:
            try:
                parsed = references.parse(text)
            except UsageError:
                continue
            return (parsed.within(LOCAL_DOMAIN) if parsed.is_short else parsed).name
    return ""


class _DockerImage(ArchivedImage):
    """members: where each blob is."""

    def __init__(
        self, found: Files, names: list[str], root: tuple[bytes, str], members: dict[str, str]
    ) -> None:
        super().__init__(found, names, root)
        self._members = members

    def member(self, digest: str) -> str:
        """See ArchivedImage."""
        return self._members.get(digest, digest)


def _of_docker(found: Files, row: object) -> ArchivedImage:
    """An image of manifest.json, with the manifest that it would have."""
    what = f"{found.what}: manifest.json"
    fields = row if isinstance(row, dict) else {}
    config_name, layer_names = fields.get("Config"), fields.get("Layers") or []
    tags = fields.get("RepoTags") or []
    if not (isinstance(config_name, str) and _are_texts(layer_names) and _are_texts(tags)):
        raise ImageError(f"{what}: not readable: Config, RepoTags and Layers are expected")
    config_data = _small(found, config_name, media.MAX_CONFIG_BYTES)
    if config_data is None:
        raise ImageError(f"{what}: names {config_name[:200]!r}, which is missing")
    diff_ids = media.diff_ids(media.parse_config(config_data, what), what)
    if len(diff_ids) != len(layer_names):
        raise ImageError(
            f"{what}: {len(layer_names)} layers, the configuration has {len(diff_ids)}"
        )
    layers = [_layer(found, *pair) for pair in zip(layer_names, diff_ids, strict=True)]
    config = {
        "mediaType": media.OCI_CONFIG, "digest": digests.of(config_data), "size": len(config_data),
    }  # fmt: skip
    manifest = {
        "schemaVersion": 2, "mediaType": media.OCI_MANIFEST, "config": config, "layers": layers,
    }  # fmt: skip
    members = {str(layer["digest"]): name for layer, name in zip(layers, layer_names, strict=True)}
    members[str(config["digest"])] = config_name
    data = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
    names = [references.parse_qualified(tag).name for tag in tags]
    return _DockerImage(found, names, (data, media.OCI_MANIFEST), members)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _layer(found: Files, name: str, diff_id: str) -> dict[str, object]:
    """The descriptor of a layer as it lies in the archive."""
    place = found.find(name)
    if place is None:
        raise ImageError(f"{found.what}: manifest.json names {name[:200]!r}, which is missing")
    try:
        kind = decompress.compression_of(place.read(0, 4))
        # Of a plain one the digest is known, and verified when it is read.
        digest = _digest_of(place) if kind else diff_id
        media_type = f"{media.OCI_LAYER}+{kind}" if kind else media.OCI_LAYER
        return {"mediaType": media_type, "digest": digest, "size": place.size}
    finally:
        place.close()


def _digest_of(place: Range) -> str:
    state, offset = hashlib.sha256(), 0
    while data := place.read(offset, _READ_BYTES):
        state.update(data)
        offset += len(data)
    return digests.PREFIX + state.hexdigest()
