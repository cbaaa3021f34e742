"""One repository at one registry endpoint: manifests and blobs by the OCI distribution protocol.

distribution-spec (spec.md, "Pull"). Nothing here is checked against a digest but manifests, which
are small; blobs are the caller's.
"""

from __future__ import annotations

from rootless.errors import RegistryError
from rootless.image.session import MAX_ERROR_BYTES, Session
from rootless.model import digest as digests
from rootless.model import media

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image import http
    from rootless.image.auth import Credentials
    from rootless.model.registries import Endpoint


class Repository:
    """Reads one repository; methods may be called from several threads."""

    def __init__(
        self, client: http.Client, endpoint: Endpoint, credentials: Credentials | None
    ) -> None:
        self._session = Session(client, endpoint, credentials)

    def __str__(self) -> str:
        return str(self._session)

    def manifest(self, wanted: str) -> tuple[bytes, str]:
        """The manifest or index under a tag or digest, and its Content-Type.

        Raises NotFoundError, RegistryError (refused, failed, other content than its digest).
        """
        where = f"{self}@{wanted}" if digests.is_digest(wanted) else f"{self}:{wanted}"
        response, data = self._session.read(
            self._session.url(f"manifests/{wanted}"), {"Accept": ", ".join(media.ACCEPTED)},
            limit=media.MAX_MANIFEST_BYTES,
        )  # fmt: skip
        if response.status != 200:
            raise self._session.refusal(response, data, where)
        _check_manifest_digest(data, wanted, response.header("Docker-Content-Digest"), where)
        return data, response.header("Content-Type")

    def blob(self, digest: str, size: int) -> bytes:
        """A small blob, at most `size` bytes of it accepted. Raises as `manifest`."""
        limit = max(size, MAX_ERROR_BYTES)
        response, data = self._session.read(self._session.url(f"blobs/{digest}"), {}, limit=limit)
        if response.status != 200:
            raise self._session.refusal(response, data, f"{self}@{digest}")
        return data

    def open_blob(self, digest: str, offset: int = 0, *, attempts: int) -> http.Response:
        """The blob from byte `offset` on: status 206 from there, 200 from the beginning.

        416 comes through as well. Raises NotFoundError, RegistryError.
        """
        ranged = {"Range": f"bytes={offset}-"} if offset else {}
        url = self._session.url(f"blobs/{digest}")
        response = self._session.open(url, ranged, attempts=attempts)
        if response.status in (200, 206, 416):
            return response
        with response:
            data = response.read_all(MAX_ERROR_BYTES)
            raise self._session.refusal(response, data, f"{self}@{digest}")


def _check_manifest_digest(data: bytes, wanted: str, header: str, where: str) -> None:
    actual = digests.of(data)
    expected = wanted if digests.is_digest(wanted) else header
    if digests.is_digest(expected) and expected != actual:
        raise RegistryError(f"{where}: the registry sent a manifest with digest {actual} "
                            f"instead of {expected}")  # fmt: skip
