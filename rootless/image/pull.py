"""Pull: from a reference to a named image in the store.

Order of events, so that a cut at any point leaves a store that is whole: manifest and
configuration are fetched and checked, layers are brought (`rootless.image.bring`), and the name is
set last, by one rename(2). Of a multi-platform image only the chosen platform's manifest is kept,
as podman does; a name with a digest keeps the digest that was asked for, the index's or the
manifest's.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import ImageError, NotFoundError, RegistryError, StoreError, UsageError
from rootless.image import registries_config, resolve
from rootless.image.progress import Silent
from rootless.model import digest as digests
from rootless.model import media
from rootless.model import platform as platforms
from rootless.model import reference as references
from rootless.model.container import PULL_POLICIES
from rootless.model.registries import Endpoint
from rootless.store import blobs, events, guard, index, layers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.auth import Credentials
    from rootless.image.layer_worker import Unpackers
    from rootless.image.progress import Progress
    from rootless.image.resolve import LocalImage
    from rootless.image.source import Source
    from rootless.model.media import Descriptor, Manifest
    from rootless.model.platform import Platform
    from rootless.model.reference import OciPath, Reference
    from rootless.store.paths import Paths

_EMBEDDED = "localhost/busybox"
# Layers on their way at once.
DEFAULT_JOBS = 4
_MAX_INDEX_DEPTH = 4
# A partial download that nobody went on with for a week is given up.
_PARTIAL_SECONDS = 7 * 24 * 3600.0
# Rounds against a removal that runs between the last download and the naming.
_ROUNDS = 3


class PulledImage:
    """The outcome of a pull.

    name: the full name in the store. image_id: the configuration's digest. notes: what unpacking
    had to leave out, one line each.
    """

    __slots__ = ("image_id", "manifest_digest", "name", "notes")

    def __init__(self, name: str, manifest_digest: str, image_id: str, notes: list[str]) -> None:
        self.name = name
        self.manifest_digest = manifest_digest
        self.image_id = image_id
        self.notes = notes


class _Documents:
    """The two documents of an image, verified and checked, and their exact bytes."""

    def __init__(
        self, manifest: Manifest, manifest_data: bytes, config_data: bytes, what: str
    ) -> None:
        self.manifest = manifest
        self.manifest_data = manifest_data
        self.config_data = config_data
        config = media.parse_config(config_data, f"{what}: configuration")
        self.diff_ids = media.diff_ids(config, what)
        self.platform = media.platform_of(config)
        media.check_layers(manifest, self.diff_ids, what)


def pull(
    paths: Paths,
    reference_text: str,
    *,
    platform: Platform | None = None,
    policy: str = "always",
    progress: Progress | None = None,
    jobs: int = DEFAULT_JOBS,
    insecure: bool = False,
    credentials: Credentials | None = None,
) -> PulledImage:
    """Bring the image that `reference_text` means into the store and give it its name.

    platform None is this machine's. policy: one of PULL_POLICIES, as podman-pull(1) defines them.
    insecure lets TLS be unverified or absent; credentials stand for those of the auth files.
    Raises UsageError, NotFoundError, RegistryError, ImageError, StoreError.
    """
    if policy not in PULL_POLICIES:
        raise UsageError(f"--pull {policy}: one of {', '.join(PULL_POLICIES)} is expected")
    place = references.parse_source(reference_text)
    blobs.ensure_layout(paths)
    work = _Pull(paths, platform, progress or Silent(), jobs)
    work.insecure, work.credentials = insecure, credentials
    if isinstance(place, references.OciPath):
        return _told(paths, work.from_directory(place))
    local = _usable_local(paths, reference_text, place, platform, policy)
    if local is not None and (policy in ("missing", "never") or _is_immutable(place, local)):
        return _as_pulled(paths, local)
    if policy == "never":
        raise NotFoundError(f"{reference_text}: not in the store, and pulling is not allowed",
                            hint=f"rl pull {reference_text}")  # fmt: skip
    if place.repository == _EMBEDDED and place.wanted == references.DEFAULT_TAG:
        return _embedded(paths, platform)
    try:
        return _told(paths, work.from_registries(place))
    except (RegistryError, NotFoundError) as error:
        if policy == "newer" and local is not None:
            log.warn(f"{error.message}; using the image that is here")
            return _as_pulled(paths, local)
        raise


def bring_in(
    paths: Paths,
    source: Source,
    names: list[str],
    platform: Platform | None,
    progress: Progress,
) -> PulledImage:
    """Bring one image of `source` in under all of `names`, without a name where there are none.

    Raises ImageError, StoreError; no name is set then.
    """
    work = _Pull(paths, platform, progress, DEFAULT_JOBS)
    work.names = names or [""]
    return work.from_source(source)


def _told(paths: Paths, pulled: PulledImage) -> PulledImage:
    events.emit(paths, events.IMAGE, "pull", pulled.name, {"name": pulled.name})
    return pulled


def _embedded(paths: Paths, platform: Platform | None) -> PulledImage:
    """The image that is assembled here instead of fetched."""
    from rootless.image import embedded

    machine = platforms.host()
    if platform is not None and machine.rank_for(platform) is None:
        raise NotFoundError(
            f"{embedded.NAME}: is made from this machine's busybox, for {machine}, not {platform}",
            hint=f"rl run {embedded.NAME}",
        )

    embedded.build(paths)
    made = resolve.find_local(paths, embedded.NAME)
    if made is None:
        raise StoreError(f"{embedded.NAME}: was removed while it was made")
    return _as_pulled(paths, made)


def _usable_local(
    paths: Paths, text: str, place: Reference, platform: Platform | None, policy: str
) -> LocalImage | None:
    if policy == "always" and not place.digest:
        return None
    found = resolve.find_local(paths, text, platform)
    return found if found is not None and not _lacks(paths, found.manifest_digest) else None


def _is_immutable(place: Reference, local: LocalImage) -> bool:
    """Whether asking again cannot bring anything else: a digest was named, and this is it."""
    return bool(place.digest) and place.digest in (
        local.manifest_digest,
        local.name.rpartition("@")[2],
    )


def _as_pulled(paths: Paths, local: LocalImage) -> PulledImage:
    digest = local.manifest_digest
    image_id = resolve.config_digest(paths, digest)
    return PulledImage(local.name, digest, image_id, [])


def _lacks(paths: Paths, manifest_digest: str) -> bool:
    """Whether a part of a stored image is missing, so that it must be pulled again."""
    try:
        data = blobs.read_trusted(paths, manifest_digest)
        document = media.parse_json(data, manifest_digest)
        manifest = media.parse_manifest(document, media.OCI_MANIFEST, manifest_digest)
        config_data = blobs.read_trusted(paths, manifest.config.digest)
        config = media.parse_config(config_data, manifest.config.digest)
        ids = media.diff_ids(config, manifest.config.digest)
    except (StoreError, ImageError):
        return True
    return not all(layers.has(paths, diff_id) for diff_id in ids)


class _Pull:
    """One pull's wishes: where to, for which platform, whom to tell."""

    def __init__(
        self, paths: Paths, platform: Platform | None, progress: Progress, jobs: int
    ) -> None:
        self._paths = paths
        self._platform = platform or platforms.host()
        self._is_platform_asked_for = platform is not None
        self._progress = progress
        self._jobs = max(1, jobs)
        self.insecure = False
        self.credentials: Credentials | None = None
        # Instead of the source's own one.
        self.names: list[str] = []

    def from_directory(self, place: OciPath) -> PulledImage:
        """Copy from an OCI layout."""
        from rootless.image.source_oci import OciSource

        return self.from_source(OciSource(place, self._platform))

    def from_registries(self, reference: Reference) -> PulledImage:
        """Try each place that may have the image; when none has, tell what each said."""
        failures: list[RegistryError | NotFoundError] = []
        from rootless.image.source_registry import RegistrySource

        for candidate, place in _places(reference, failures):
            endpoint = place
            if self.insecure:
                endpoint = Endpoint(place.domain, place.path, insecure=True)
            try:
                return self.from_source(RegistrySource(candidate, endpoint, self.credentials))
            except (RegistryError, NotFoundError) as error:
                failures.append(_naming(candidate, error))
        raise _summary(reference, failures)

    def from_source(self, source: Source) -> PulledImage:
        """Everything that `source` has of the image."""
        try:
            if not self.names:
                self._progress.message(f"Pulling {source.name}")
            documents = self._documents(source)
        finally:
            # Unpackers are forked next: they must not inherit connections.
            source.close()
        self._check_platform(documents, source.name)
        return self._store(source, documents)

    def _documents(self, source: Source) -> _Documents:
        data, declared = source.root()
        manifest = self._descend(source, data, declared, 0)
        while isinstance(manifest, tuple):
            chosen, depth = manifest
            data, _ = source.manifest(chosen.digest)
            manifest = self._descend(source, data, chosen.media_type, depth)
        config_data = _read_blob(source, manifest.config)
        return _Documents(manifest, data, config_data, source.name)

    def _descend(
        self, source: Source, data: bytes, declared: str, depth: int
    ) -> Manifest | tuple[Descriptor, int]:
        document = media.parse_json(data, source.name)
        kind = media.media_type_of(document, declared, source.name)
        if kind in media.MANIFEST_TYPES:
            return media.parse_manifest(document, kind, source.name)
        if depth >= _MAX_INDEX_DEPTH:
            raise ImageError(f"{source.name}: indexes within indexes, more than {depth} deep")
        entries = media.parse_index(document, source.name)
        return media.choose(entries, self._platform, source.name), depth + 1

    def _check_platform(self, documents: _Documents, name: str) -> None:
        if documents.platform.rank_for(self._platform) is not None or not documents.platform.os:
            return
        text = f"{name}: built for {documents.platform}, not for {self._platform}"
        if self._is_platform_asked_for:
            raise ImageError(text)
        log.warn(text)

    def _store(self, source: Source, documents: _Documents) -> PulledImage:
        notes: list[str] = []
        for _ in range(_ROUNDS):
            missing = self._missing(documents)
            if missing:
                notes += self._bring(source, missing)
            image_id = blobs.write(self._paths, documents.config_data)
            digest = blobs.write(self._paths, documents.manifest_data)
            with guard.adding(self._paths):
                if not self._missing(documents) and not _lacks(self._paths, digest):
                    for name in self.names or [source.name]:
                        self._set_name(name, digest, documents)
                    return PulledImage(source.name, digest, image_id, notes)
        raise StoreError(f"{source.name}: its parts were removed again and again while it came in")

    def _missing(self, documents: _Documents) -> list[tuple[Descriptor, str]]:
        """(layer, diff id to unpack or ""), for each layer that is not wholly here."""
        missing: dict[str, tuple[Descriptor, str]] = {}
        planned: set[str] = set()
        for layer, diff_id in zip(documents.manifest.layers, documents.diff_ids, strict=True):
            is_unpacked = diff_id in planned or layers.has(self._paths, diff_id)
            if not (is_unpacked and blobs.has(self._paths, layer.digest, layer.size)):
                # Two blobs may hold one tree: it is unpacked from the first of them only.
                missing.setdefault(layer.digest, (layer, "" if is_unpacked else diff_id))
            planned.add(diff_id)
        return list(missing.values())

    def _bring(self, source: Source, missing: list[tuple[Descriptor, str]]) -> list[str]:
        """Notes of the unpackers, which are processes: they start before any thread does."""
        from rootless.image.layer_worker import Unpackers

        to_unpack = sum(1 for _, diff_id in missing if diff_id)
        if not to_unpack:
            return self._run(source, missing, None)
        count = min(to_unpack, self._jobs, len(os.sched_getaffinity(0)))
        with Unpackers.start(self._paths, count) as unpackers:
            return self._run(source, missing, unpackers)

    def _run(
        self, source: Source, missing: list[tuple[Descriptor, str]], unpackers: Unpackers | None
    ) -> list[str]:
        from rootless.image import bring, transfer

        bringer = bring.Bringer(self._paths, source, unpackers, self._progress)
        bring.bring_all(bringer, missing, self._jobs)
        transfer.sweep(self._paths, _PARTIAL_SECONDS)
        return bringer.notes

    def _set_name(self, name: str, digest: str, documents: _Documents) -> None:
        known = index.find(self._paths, name)
        if known is not None and known.get("digest") == digest:
            return
        index.set_name(
            self._paths, name, digest,
            media_type=documents.manifest.media_type, size=len(documents.manifest_data),
            platform=documents.platform.as_document(),
        )  # fmt: skip


def _places(
    reference: Reference, failures: list[RegistryError | NotFoundError]
) -> Iterator[tuple[Reference, Endpoint]]:
    """Each place to ask, in order: candidates, and for each of them its mirrors."""
    registries = registries_config.load()
    for candidate in registries.candidates(reference):
        try:
            endpoints = registries.endpoints(candidate)
        except RegistryError as error:
            failures.append(error)
            continue
        for endpoint in endpoints:
            yield candidate, endpoint


def _naming(
    reference: Reference, failure: RegistryError | NotFoundError
) -> RegistryError | NotFoundError:
    """`failure` with the image in its message, where that only tells of a host or a blob."""
    if reference.repository in failure.message:
        return failure
    kind = NotFoundError if isinstance(failure, NotFoundError) else RegistryError
    return kind(f"{reference.name}: {failure.message}", failure.hint)


def _summary(
    reference: Reference, failures: list[RegistryError | NotFoundError]
) -> RegistryError | NotFoundError:
    if len(failures) == 1:
        return failures[0]
    if not failures:
        return RegistryError(
            f"{reference}: a short name, and there is no registry to look for it in",
            hint="write its registry too, such as docker.io/library/NAME",
        )
    said = "; ".join(failure.message for failure in failures)
    all_missing = all(isinstance(failure, NotFoundError) for failure in failures)
    kind = NotFoundError if all_missing else RegistryError
    hint = next((failure.hint for failure in failures if failure.hint), "")
    return kind(f"{reference}: nowhere to be had: {said}", hint=hint)


def _read_blob(source: Source, descriptor: Descriptor) -> bytes:
    """A small blob (a configuration), whole and verified; read again when the connection breaks."""
    what = f"{source.name}: configuration {descriptor.digest}"
    if descriptor.size > media.MAX_CONFIG_BYTES:
        raise ImageError(f"{what}: larger than {media.MAX_CONFIG_BYTES} bytes")
    data = source.read_blob(descriptor.digest, descriptor.size)
    if len(data) != descriptor.size or digests.of(data) != descriptor.digest:
        raise ImageError(f"{what}: what was received has another digest or size")
    return data
