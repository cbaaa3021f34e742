"""`rl manifest`: one name for images of several platforms.

A list is put together here and pushed: first the images that it names, each with its blobs, then
the index itself. An image in it is one of the store's, or one that is in a registry already, which
is not fetched for the sake of the list; to the same registry its blobs are mounted.
"""

from __future__ import annotations

from rootless.errors import ImageError, NotFoundError, RegistryError, UsageError
from rootless.image import auth, http, openblobs, pull, push, registries_config, resolve
from rootless.image.registry import Repository
from rootless.image.tag import new_name
from rootless.model import digest as digests
from rootless.model import image_config, media
from rootless.model import platform as platforms
from rootless.model import reference as references
from rootless.store import blobs, events, images, lists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.push import Pushed, Wishes
    from rootless.model.platform import Platform
    from rootless.model.reference import Reference
    from rootless.store.paths import Paths

    Json = dict[str, Any]

_TRANSPORT = "docker://"
_OURS = (lists.SOURCE, lists.MANIFEST)


class Change:
    """What is said of an entry beside its content: parts of its platform, and annotations."""

    __slots__ = ("annotations", "platform")

    def __init__(self, platform: Json, annotations: dict[str, str]) -> None:
        self.platform = {key: value for key, value in platform.items() if value}
        self.annotations = annotations

    def apply(self, entry: Json) -> None:
        """Change the descriptor `entry`."""
        if self.platform:
            entry["platform"] = {**(entry.get("platform") or {}), **self.platform}
        if self.annotations:
            entry["annotations"] = {**(entry.get("annotations") or {}), **self.annotations}


def index_of(document: Json, *, docker: bool = False) -> bytes:
    """The image index that the list stands for; always the same bytes for the same entries."""
    entries = [{k: v for k, v in one.items() if k not in _OURS} for one in document["entries"]]
    if docker and any(one["mediaType"] != media.DOCKER_MANIFEST for one in entries):
        raise UsageError("--format v2s2: not all of its images have manifests of docker's format",
                         hint="--format oci")  # fmt: skip
    kind = media.DOCKER_INDEX if docker else media.OCI_INDEX
    return image_config.canonical({"schemaVersion": 2, "mediaType": kind, "manifests": entries})


def create(paths: Paths, text: str, *, amend: bool) -> str:
    """Begin an empty list; its full name. amend: go on with one that is there. UsageError."""
    name = new_name(text)
    blobs.ensure_layout(paths)
    if lists.find(paths, name) is not None:
        if amend:
            return name
        raise UsageError(f"{name}: there is such a list already",
                         hint=f"rl manifest create --amend {text}")  # fmt: skip
    if resolve.find_local(paths, name) is not None:
        raise UsageError(f"{name}: is the name of an image", hint=f"rl untag {name} {name}")
    lists.put(paths, name, {"entries": []})
    return name


def add(
    paths: Paths, name: str, image: str, change: Change, wishes: Wishes, *, every: bool
) -> bytes:
    """Add `image` to the list `name` (a full one), in place of the same one; the index then.

    every: all images of an index, not only this machine's. Raises NotFoundError, RegistryError,
    ImageError, UsageError.
    """
    lists.require(paths, name)
    fresh = _entries(paths, image, wishes, every=every)
    for entry in fresh:
        change.apply(entry)

    def edit(document: Json) -> None:
        new = {entry["digest"] for entry in fresh}
        kept = [entry for entry in document["entries"] if entry["digest"] not in new]
        document["entries"] = kept + fresh

    return index_of(lists.change(paths, name, edit))


def annotate(paths: Paths, name: str, image: str, change: Change) -> bytes:
    """Change what is said of one entry; the index then. Raises NotFoundError."""

    def edit(document: Json) -> None:
        change.apply(_entry(paths, name, document, image))

    return index_of(lists.change(paths, name, edit))


def remove_entry(paths: Paths, name: str, image: str) -> bytes:
    """Take one entry out; the index then. Raises NotFoundError."""

    def edit(document: Json) -> None:
        document["entries"].remove(_entry(paths, name, document, image))

    return index_of(lists.change(paths, name, edit))


def _entry(paths: Paths, name: str, document: Json, image: str) -> Json:
    """The entry that `image`, a digest or the name of an image of the store, means."""
    entries: list[Json] = document["entries"]
    if digests.is_digest(image):
        found = [one for one in entries if one["digest"] == image]
    else:
        local = resolve.find_local(paths, image)
        digest = local.manifest_digest if local else ""
        names = _names_in_registries(image)
        found = [
            one for one in entries if one["digest"] == digest or one.get(lists.SOURCE) in names
        ]
    if len(found) == 1:
        return found[0]
    how_many = "several images" if found else "not"
    raise NotFoundError(f"{image}: {how_many} in the list {name}, name one by its digest",
                        hint=f"rl manifest inspect {name}")  # fmt: skip


def _names_in_registries(text: str) -> list[str]:
    place = references.parse_source(text)
    if isinstance(place, references.OciPath):
        return []
    return [candidate.name for candidate in registries_config.candidates(place)]


def _entries(paths: Paths, text: str, wishes: Wishes, *, every: bool) -> list[Json]:
    found = None if text.startswith(_TRANSPORT) else resolve.find_local(paths, text)
    if found is not None:
        image = images.load(paths, found.descriptor)
        plain = {key: found.descriptor[key] for key in ("mediaType", "digest", "size")}
        return [{**plain, "platform": media.platform_of(image.config).as_document()}]
    place = references.parse_source(text)
    if isinstance(place, references.OciPath):
        raise UsageError(f"{text}: not in the store", hint=f"rl pull {text}")
    failures: list[RegistryError | NotFoundError] = []
    for candidate in registries_config.candidates(place):
        try:
            return _remote_entries(candidate, wishes, every=every)
        except (NotFoundError, RegistryError) as error:
            failures.append(error)
    raise failures[0] if failures else NotFoundError(f"{text}: no such image")


def fetch(reference: Reference, wishes: Wishes) -> tuple[Repository, bytes, str]:
    """What a registry has under `reference`: its repository, the bytes, their media type."""
    endpoint = push.endpoint_of(reference, insecure=wishes.insecure)
    credentials = wishes.credentials or auth.find(endpoint.repository)
    repository = Repository(http.Client(), endpoint, credentials)
    data, declared = repository.manifest(reference.wanted)
    document = media.parse_json(data, reference.name)
    return repository, data, media.media_type_of(document, declared, reference.name)


def _remote_entries(reference: Reference, wishes: Wishes, *, every: bool) -> list[Json]:
    repository, data, kind = fetch(reference, wishes)
    if kind in media.MANIFEST_TYPES:
        return [_remote(repository, reference, data, kind, None)]
    found = media.parse_index(media.parse_json(data, reference.name), reference.name)
    wanted = found if every else [media.choose(found, platforms.host(), reference.name)]
    return [
        _remote(repository, reference, repository.manifest(one.digest)[0], one.media_type,
                one.platform)
        for one in wanted if one.media_type in media.MANIFEST_TYPES
    ]  # fmt: skip


def _remote(
    repository: Repository, reference: Reference, data: bytes, kind: str, platform: Platform | None
) -> Json:
    what = reference.name
    manifest = media.parse_manifest(media.parse_json(data, what), kind, what)
    if platform is None:
        config = repository.blob(manifest.config.digest, manifest.config.size)
        if digests.of(config) != manifest.config.digest:
            raise ImageError(f"{what}: the registry sent another configuration than was asked for")
        platform = media.platform_of(media.parse_config(config, what))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ImageError(f"{what}: its manifest is not UTF-8") from None
    return {
        "mediaType": kind, "digest": digests.of(data), "size": len(data),
        "platform": platform.as_document(), lists.SOURCE: reference.name,
        lists.MANIFEST: text,
    }  # fmt: skip


def push_list(
    paths: Paths, name: str, destination: str, wishes: Wishes, *, every: bool, docker: bool
) -> Pushed:
    """Push the list `name`; every: with the images that it names. "" is its own name's registry.

    Raises NotFoundError, RegistryError, StoreError, UsageError.
    """
    document = lists.require(paths, name)
    index = index_of(document, docker=docker)
    place = references.parse_source(destination or name)
    if isinstance(place, references.OciPath):
        raise UsageError(f"{destination}: not in a registry")
    target = place.within(references.DEFAULT_DOMAIN) if place.is_short else place
    if target.domain == "localhost" and not destination:
        raise UsageError(f"{name}: its name says no registry to push to",
                         hint=f"rl manifest push {name} REGISTRY/{target.path}")  # fmt: skip
    entries: list[Json] = document["entries"] if every else []
    wishes.progress.message(f"Pushing {name} to {target.name}")
    connection = push.connect(
        paths, target, [one["digest"] for one in entries], wishes, _origins(entries, target)
    )
    manifests = _bring_blobs(paths, name, entries, target, connection)
    for entry in entries:
        connection.put(entry["digest"], entry["mediaType"], manifests[entry["digest"]])
    connection.put(target.wanted, media.DOCKER_INDEX if docker else media.OCI_INDEX, index)
    events.emit(paths, events.IMAGE, "push", target.name, {"name": target.name})
    return push.Pushed(target.name, digests.of(index), len(index))


def _origins(entries: list[Json], target: Reference) -> dict[str, list[str]]:
    """Where in the target's registry the blobs of images that are not in the store are."""
    origins: dict[str, list[str]] = {}
    for entry in entries:
        source = references.parse(entry.get(lists.SOURCE) or "localhost/x")
        if source.domain == target.domain and source.path != target.path:
            for digest in _parts(entry):
                origins.setdefault(digest, []).append(source.path)
    return origins


def _parts(entry: Json) -> dict[str, int]:
    document = media.parse_json(entry[lists.MANIFEST].encode(), entry["digest"])
    manifest = media.parse_manifest(document, entry["mediaType"], entry["digest"])
    return {part.digest: part.size for part in (*manifest.layers, manifest.config)}


def _bring_blobs(
    paths: Paths, name: str, entries: list[Json], target: Reference, connection: push.Connection
) -> dict[str, bytes]:
    """Bring what the entries need to the registry; the bytes of their manifests."""
    manifests: dict[str, bytes] = {}
    from_here: list[str] = []
    for entry in entries:
        digest = entry["digest"]
        if lists.MANIFEST in entry and not blobs.has(paths, digest):
            manifests[digest] = entry[lists.MANIFEST].encode()
            if connection.take_over(_parts(entry)):
                continue
            pulled = pull.pull(paths, _pinned(entry), platform=_platform(entry))
            digest = pulled.manifest_digest
        elif not blobs.has(paths, digest):
            raise NotFoundError(
                f"{name}: its image {digest} for {_platform(entry)} is not in the store any more",
                hint=f"rl manifest remove {name} {digest}",
            )
        from_here.append(digest)
    with openblobs.OpenBlobs(paths, from_here) as opened:
        connection.send_blobs(opened)
        manifests.update({digest: blobs.read(paths, digest) for digest in from_here})
    return manifests


def _pinned(entry: Json) -> str:
    """The image's name in the registry where it was found, with its digest."""
    return f"{references.parse(entry[lists.SOURCE]).repository}@{entry['digest']}"


def _platform(entry: Json) -> Platform:
    known = entry.get("platform") or {}
    return platforms.Platform(*(str(known.get(k, "")) for k in ("os", "architecture", "variant")))
