"""An image in a registry, as a Source."""

from __future__ import annotations

from rootless.errors import RegistryError
from rootless.image import auth, http, urls
from rootless.image.registry import Repository

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.auth import Credentials
    from rootless.model.reference import Reference
    from rootless.model.registries import Endpoint


class BlobStream:
    """A blob's answer whose offset has been understood."""

    def __init__(self, response: http.Response, offset: int) -> None:
        self.offset = offset
        self._response = response

    def read_some(self, limit: int) -> bytes:
        """As Response.read_some."""
        return self._response.read_some(limit)

    def __enter__(self) -> BlobStream:
        return self

    def __exit__(self, *exception: object) -> None:
        self._response.__exit__(*exception)


class RegistrySource:
    """`reference` read at one endpoint: the registry it names, or a mirror."""

    def __init__(
        self, reference: Reference, endpoint: Endpoint, credentials: Credentials | None = None
    ) -> None:
        self.name = reference.name
        self._wanted = reference.wanted
        self._client = http.Client()
        credentials = credentials or auth.find(endpoint.repository)
        self._repository = Repository(self._client, endpoint, credentials)

    def root(self) -> tuple[bytes, str]:
        """See Source."""
        return self._repository.manifest(self._wanted)

    def manifest(self, digest: str) -> tuple[bytes, str]:
        """See Source."""
        return self._repository.manifest(digest)

    def read_blob(self, digest: str, size: int) -> bytes:
        """See Source."""
        return self._repository.blob(digest, size)

    def open_blob(self, digest: str, size: int, offset: int) -> BlobStream:
        """See Source. One attempt only: the transfer counts failures."""
        response = self._repository.open_blob(digest, offset, attempts=1)
        if response.status == 416:
            # Ranges are refused; without one, what is there already is read once more.
            response.discard()
            response, offset = self._repository.open_blob(digest, attempts=1), 0
        try:
            return BlobStream(response, _offset_of(response, digest, size, offset))
        except RegistryError:
            response.discard()
            raise

    def check(self) -> None:
        """See Source."""
        self._client.check()

    def pause(self, seconds: float) -> None:
        """See Source."""
        self._client.pause(seconds)

    def cancel(self) -> None:
        """See Source."""
        self._client.cancel()

    def close(self) -> None:
        """See Source."""
        self._client.close()


def _offset_of(response: http.Response, digest: str, size: int, asked: int) -> int:
    """Where the body starts; refuses one whose announced length cannot be right."""
    where = f"blob {digest} at {urls.shown_url(response.url).split('/')[2]}"
    offset = 0
    if response.status == 206:
        # RFC 9110, section 14.4: "bytes FIRST-LAST/COMPLETE".
        first = response.header("Content-Range").removeprefix("bytes ").partition("-")[0]
        if first != str(asked):
            raise RegistryError(f"{where}: another range was sent than bytes {asked} and up")
        offset = asked
    if response.length is not None and response.length != size - offset:
        raise RegistryError(
            f"{where}: {response.length + offset} bytes are sent, its descriptor says {size}"
        )
    return offset
