"""One repository written to: what is there, mounts, upload sessions, manifests.

distribution-spec (spec.md, "Push"). How a blob's bytes get into an upload session, and what is done
when the connection breaks, is `rootless.image.upload`'s.
"""

from __future__ import annotations

from urllib.parse import urlencode

from rootless.errors import RegistryError
from rootless.image import http
from rootless.image.session import MAX_ERROR_BYTES, Session
from rootless.model import digest as digests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.errors import RlError
    from rootless.image.auth import Credentials
    from rootless.model.registries import Endpoint

_CREATED, _ACCEPTED, _NO_CONTENT = 201, 202, 204
_PATIENCE_SECONDS = 900.0
_DIGEST_HEADER = "Docker-Content-Digest"


class UnexpectedAnswer(RegistryError):
    """The registry would not have a request, and says why; status is HTTP's."""

    def __init__(self, status: int, error: RlError) -> None:
        super().__init__(error.message, error.hint)
        self.status = status


class Destination:
    """A repository that is pushed to; methods may be called from several threads.

    origins: other repositories of the registry from which blobs may be mounted.
    """

    def __init__(
        self,
        client: http.Client,
        endpoint: Endpoint,
        credentials: Credentials | None,
        origins: list[str],
    ) -> None:
        scopes = [f"repository:{endpoint.path}:pull,push"]
        scopes += [f"repository:{path}:pull" for path in origins]
        self.session = Session(client, endpoint, credentials, scopes)

    def __str__(self) -> str:
        return str(self.session)

    def has_blob(self, digest: str, size: int) -> bool:
        """Whether the registry says that it has the blob, and nothing that speaks against it."""
        response = self.session.open(self.session.url(f"blobs/{digest}"), {}, method="HEAD")
        response.discard()
        if response.status in (401, 403):
            raise self._unexpected(response, b"", str(self))
        length, named = response.header("Content-Length"), response.header(_DIGEST_HEADER)
        return (
            response.status == 200
            and length in ("", str(size))
            and (not digests.is_digest(named) or named == digest)
        )

    def mount(self, digest: str, path: str) -> tuple[bool, str]:
        """Whether the blob of repository `path` is here now; else the upload that was begun."""
        query = urlencode({"mount": digest, "from": path})
        return self._begin(f"blobs/uploads/?{query}")

    def begin(self) -> str:
        """The URL of a new upload. Raises UnexpectedAnswer, TransportError."""
        return self._begin("blobs/uploads/")[1]

    def _begin(self, tail: str) -> tuple[bool, str]:
        headers = {"Content-Length": "0"}
        response, data = self.session.read(
            self.session.url(tail), headers, method="POST", body=b"", limit=MAX_ERROR_BYTES
        )
        if response.status == _CREATED:
            return True, ""
        url = self.session.located(response)
        if response.status != _ACCEPTED or not url:
            raise self._unexpected(response, data, str(self))
        return False, url

    def send(self, url: str, headers: dict[str, str], body: http.Body) -> http.Response:
        """PATCH a piece into the upload `url`; the answer, accepted and read."""
        with self.session.open(url, headers, method="PATCH", body=body, attempts=1) as response:
            data = response.read_all(MAX_ERROR_BYTES)
        if response.status not in (_ACCEPTED, _CREATED, _NO_CONTENT):
            raise self._unexpected(response, data, str(self))
        return response

    def state(self, url: str) -> tuple[int, str]:
        """How many bytes the upload `url` has, and its URL from now on; 0 and "" when it is lost.

        Nothing can be said of one with no byte or one: its range is 0-0 in both cases.
        """
        response = self.session.open(url, {}, attempts=1)
        response.discard()
        if response.status != _NO_CONTENT:
            return 0, ""
        size = received(response)
        return (size, self.session.located(response) or url) if size > 1 else (0, "")

    def finish(self, url: str, digest: str, body: bytes) -> None:
        """Close the upload with its last bytes. Raises UnexpectedAnswer, TransportError.

        Some registries read or move the whole blob before they answer.
        """
        separator = "&" if "?" in url else "?"
        target = f"{url}{separator}{urlencode({'digest': digest})}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(body))}
        with self.session.client.patience(_PATIENCE_SECONDS):
            response = self.session.open(target, headers, method="PUT", body=body, attempts=1)
        with response:
            data = response.read_all(MAX_ERROR_BYTES)
        if response.status not in (_CREATED, _ACCEPTED, _NO_CONTENT):
            raise self._unexpected(response, data, f"{self}: blob {digest}")
        self._check_digest(response, digest, f"{self}: blob {digest}")

    def put_manifest(self, wanted: str, media_type: str, data: bytes) -> None:
        """Store the manifest or index under a tag or its digest."""
        where = f"{self}@{wanted}" if digests.is_digest(wanted) else f"{self}:{wanted}"
        response, said = self.session.read(
            self.session.url(f"manifests/{wanted}"),
            {"Content-Type": media_type, "Content-Length": str(len(data))},
            method="PUT", body=data, limit=MAX_ERROR_BYTES,
        )  # fmt: skip
        if response.status not in (_CREATED, _ACCEPTED, 200):
            raise self._unexpected(response, said, f"{where}: manifest")
        self._check_digest(response, digests.of(data), f"{where}: manifest")

    def _check_digest(self, response: http.Response, digest: str, where: str) -> None:
        named = response.header(_DIGEST_HEADER)
        if digests.is_digest(named) and named != digest:
            raise RegistryError(f"{where}: the registry says that it stored {named}, "
                                f"and was sent {digest}")  # fmt: skip

    def _unexpected(self, response: http.Response, data: bytes, where: str) -> UnexpectedAnswer:
        return UnexpectedAnswer(response.status, self.session.refusal(response, data, where))


def received(response: http.Response) -> int:
    """The bytes that an upload has by the answer's Range ("0-LAST"), -1 where it does not say."""
    first, dash, last = response.header("Range").removeprefix("bytes=").partition("-")
    return int(last) + 1 if dash and first == "0" and last.isdigit() and len(last) < 16 else -1
