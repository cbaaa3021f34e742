"""Push: an image of the store to a registry, byte for byte as it is here.

Blobs first, several at once, then the manifest, which names the image there: a push that is cut
leaves nothing that anybody could pull. A blob that the registry has is not sent; one that another
repository of the same registry may have is asked to be mounted from there. Which those are is seen
from the names in the store: an image came from where its name says, or was pushed there.
"""

from __future__ import annotations

from functools import partial

from rootless.errors import NotFoundError, RegistryError, UsageError
from rootless.image import auth, crew, http, openblobs, registries_config, resolve
from rootless.image.openblobs import Blob, OpenBlobs
from rootless.image.progress import Silent
from rootless.image.registry_writer import Destination, UnexpectedAnswer
from rootless.image.upload import Upload
from rootless.model import digest as digests
from rootless.model import media
from rootless.model import reference as references
from rootless.model.registries import LOCAL_DOMAIN, Endpoint
from rootless.store import blobs, events, images

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.image.auth import Credentials
    from rootless.image.progress import Progress
    from rootless.model.reference import Reference
    from rootless.store.paths import Paths

# Blobs on their way at once.
DEFAULT_JOBS = 4
# Repositories that a blob is asked to be mounted from: each costs a request when it has it not.
_MAX_ORIGINS = 2
_MAX_ORIGINS_IN_ALL = 8


class Pushed:
    """name: the full name in the registry; digest and size (bytes): the manifest's."""

    __slots__ = ("digest", "name", "size")

    def __init__(self, name: str, digest: str, size: int) -> None:
        self.name = name
        self.digest = digest
        self.size = size


class Wishes:
    """How to push: insecure lets TLS be unverified or absent; credentials stand for the files'.

    compression: "gzip" or "zstd", to have the layers packed so; "" leaves them as they are.
    """

    __slots__ = ("compression", "credentials", "insecure", "jobs", "progress")

    def __init__(
        self,
        *,
        insecure: bool = False,
        credentials: Credentials | None = None,
        progress: Progress | None = None,
        jobs: int = DEFAULT_JOBS,
        compression: str = "",
    ) -> None:
        self.compression = compression
        self.insecure = insecure
        self.credentials = credentials
        self.progress = progress or Silent()
        self.jobs = jobs


def push(paths: Paths, text: str, destination: str, wishes: Wishes) -> Pushed:
    """Push the image `text` to `destination`, to its own name when that is "".

    Raises UsageError, NotFoundError, RegistryError, StoreError.
    """
    found = resolve.require(paths, text)
    target = target_of(text, found, destination)
    media_type = str(found.descriptor.get("mediaType") or media.OCI_MANIFEST)
    connection = connect(paths, target, [found.manifest_digest], wishes)
    wishes.progress.message(f"Pushing {found.name or text} to {target.name}")
    with OpenBlobs(paths, [found.manifest_digest]) as opened:
        data = _manifest(paths, found.manifest_digest, opened, wishes)
        digest = digests.of(data)
        if target.digest and target.digest != digest:
            raise UsageError(f"{target}: the image has the digest {digest}")
        connection.send_blobs(opened)
        connection.put(target.wanted, media_type, data)
    events.emit(paths, events.IMAGE, "push", target.name, {"name": target.name})
    return Pushed(target.name, digest, len(data))


def _manifest(paths: Paths, digest: str, opened: OpenBlobs, wishes: Wishes) -> bytes:
    if not wishes.compression:
        return blobs.read(paths, digest)
    from rootless.image import repack

    return repack.repack(paths, digest, opened, wishes.compression, wishes.progress)


def target_of(text: str, found: resolve.LocalImage, destination: str) -> Reference:
    """Where to push to. Raises UsageError for what is no place in a registry."""
    if not destination and not (found.is_by_name and found.name):
        raise UsageError(f"{text}: an id does not say where to push to",
                         hint=f"rl push {text} REGISTRY/NAME[:TAG]")  # fmt: skip
    source = references.parse_source(destination or found.name)
    if isinstance(source, references.OciPath):
        raise UsageError(f"{destination}: not in a registry",
                         hint=f"rl save --format oci-dir -o {source.directory} {text}")  # fmt: skip
    target = source.within(references.DEFAULT_DOMAIN) if source.is_short else source
    if target.domain == LOCAL_DOMAIN and not destination:
        raise UsageError(f"{found.name}: its name says no registry to push to",
                         hint=f"rl push {text} REGISTRY/{target.path}")  # fmt: skip
    return target


def connect(
    paths: Paths,
    target: Reference,
    manifests: Iterable[str],
    wishes: Wishes,
    known: dict[str, list[str]] | None = None,
) -> Connection:
    """A Connection to the registry of `target`; of `manifests`, blobs may be mounted there.

    known: for further blobs, repositories of that registry that have them.
    """
    endpoint = endpoint_of(target, insecure=wishes.insecure)
    here = [digest for digest in manifests if blobs.has(paths, digest)]
    origins = {**_origins(paths, target, endpoint, set(here)), **(known or {})}
    every = list(dict.fromkeys(path for found in origins.values() for path in found))
    client = http.Client()
    credentials = wishes.credentials or auth.find(endpoint.repository)
    writer = Destination(client, endpoint, credentials, every[:_MAX_ORIGINS_IN_ALL])
    return Connection(client, writer, origins, wishes)


def endpoint_of(reference: Reference, *, insecure: bool) -> Endpoint:
    """Where writing to `reference` goes: never to a mirror. Raises RegistryError when blocked."""
    place = registries_config.load().endpoints(reference)[-1]
    return Endpoint(place.domain, place.path, insecure=place.insecure or insecure)


def _origins(
    paths: Paths, target: Reference, endpoint: Endpoint, manifests: set[str]
) -> dict[str, list[str]]:
    """For each blob the repositories of the same registry that may have it."""
    origins: dict[str, list[str]] = {}
    for image, _ in images.list_visible(paths):
        if not image.name or image.name.startswith(f"{target.repository}:"):
            continue
        place = _place_of(image.name)
        if place is None or place.domain != endpoint.domain or place.path == endpoint.path:
            continue
        for digest in image.blob_digests()[1:]:
            known = origins.setdefault(digest, [])
            if place.path not in known and len(known) < _MAX_ORIGINS:
                known.append(place.path)
    wanted = {digest for manifest in manifests for digest in openblobs.parts(paths, manifest)}
    return {digest: found for digest, found in origins.items() if digest in wanted}


def _place_of(name: str) -> Endpoint | None:
    try:
        return endpoint_of(references.parse(name), insecure=False)
    except (RegistryError, UsageError):
        return None


class Connection:
    """A registry's repository that is pushed to."""

    def __init__(
        self,
        client: http.Client,
        writer: Destination,
        origins: dict[str, list[str]],
        wishes: Wishes,
    ) -> None:
        self._client = client
        self._writer = writer
        self._origins = origins
        self._wishes = wishes

    def send_blobs(self, opened: OpenBlobs) -> None:
        """Bring every blob there. Raises RegistryError, StoreError."""
        # The largest first: the last thread to end then has the least left to do.
        ordered = sorted(opened.blobs, key=lambda blob: -blob.size)
        jobs = [partial(self._send, blob) for blob in ordered]
        crew.work_all(self, jobs, max(1, self._wishes.jobs))

    def take_over(self, parts: dict[str, int]) -> bool:
        """Whether the registry has all of `parts` (sizes by digest) now, without being sent any."""
        return all(
            self._writer.has_blob(digest, size)
            or any(self._mount(digest, path)[0] for path in self._origins.get(digest, ()))
            for digest, size in parts.items()
        )

    def _send(self, blob: Blob) -> None:
        progress = self._wishes.progress
        if self._writer.has_blob(blob.digest, blob.size):
            progress.finish(blob.digest, "already there")
            return
        url = ""
        for path in self._origins.get(blob.digest, ()):
            is_mounted, url = self._mount(blob.digest, path)
            if is_mounted:
                progress.finish(blob.digest, f"mounted from {path}")
                return
        Upload(self._writer, blob, progress, url).run()
        progress.finish(blob.digest, "pushed")

    def _mount(self, digest: str, path: str) -> tuple[bool, str]:
        try:
            return self._writer.mount(digest, path)
        except (UnexpectedAnswer, NotFoundError):
            # It may not be read by us, or mounting is not known there: sending always works.
            return False, ""

    def put(self, wanted: str, media_type: str, data: bytes) -> None:
        """Store a manifest or index under `wanted`, a tag or its digest."""
        try:
            self._writer.put_manifest(wanted, media_type, data)
        finally:
            self._client.close()

    def cancel(self) -> None:
        """See crew.Owner."""
        self._client.cancel()

    def close(self) -> None:
        """See crew.Owner."""
        self._client.close()


def shown_digest(pushed: Pushed) -> str:
    """As `docker push` ends: TAG: digest: DIGEST size: BYTES."""
    tag = pushed.name.rpartition("@" if "@" in pushed.name else ":")[2]
    return f"{digests.short(tag) if digests.is_digest(tag) else tag}: " \
           f"digest: {pushed.digest} size: {pushed.size}"  # fmt: skip
