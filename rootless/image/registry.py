"""One repository at one registry endpoint: manifests and blobs by the OCI distribution protocol.

distribution-spec (spec.md, "Pull") and Docker's token protocol (distribution, docs/spec/auth).
Nothing here is checked against a digest but manifests, which are small; blobs are the caller's.
"""

from __future__ import annotations

import json
import threading
import time
from urllib.parse import urlencode, urlsplit

from rootless.errors import NotFoundError, RegistryError
from rootless.image import auth, http
from rootless.model import digest as digests
from rootless.model import media

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    from rootless.image.auth import Challenge, Credentials
    from rootless.model.registries import Endpoint

    T = TypeVar("T")

_MAX_TOKEN_ANSWER_BYTES = 1 << 20
_MAX_ERROR_BYTES = 64 << 10
# The protocol's minimum; a token is dropped a little before it ends.
_DEFAULT_TOKEN_SECONDS = 60.0
_TOKEN_MARGIN_SECONDS = 10.0
_LOGIN_HINT = "podman login {host} (writes the auth file that rl reads)"


class Repository:
    """Reads one repository; methods may be called from several threads."""

    def __init__(
        self, client: http.Client, endpoint: Endpoint, credentials: Credentials | None
    ) -> None:
        self._client = client
        self._endpoint = endpoint
        self._credentials = credentials
        self._base = ""
        self._authorization = ""
        self._expires = float("inf")
        self._challenges: list[Challenge] = []
        self._guard = threading.Lock()

    def __str__(self) -> str:
        return self._endpoint.repository

    def manifest(self, wanted: str) -> tuple[bytes, str]:
        """The manifest or index under a tag or digest, and its Content-Type.

        Raises NotFoundError, RegistryError (refused, failed, other content than its digest).
        """
        headers = {"Accept": ", ".join(media.ACCEPTED)}
        where = f"{self}@{wanted}" if digests.is_digest(wanted) else f"{self}:{wanted}"

        def read(authorization: dict[str, str]) -> tuple[http.Response, bytes]:
            return self._client.read(
                self._url(f"manifests/{wanted}"), {**headers, **authorization},
                limit=media.MAX_MANIFEST_BYTES, insecure=self._endpoint.insecure,
            )  # fmt: skip

        response, data = self._authorized(read, lambda answer: answer[0])
        if response.status != 200:
            raise self._refusal(response.status, data, where, response)
        _check_manifest_digest(data, wanted, response.header("Docker-Content-Digest"), where)
        return data, response.header("Content-Type")

    def blob(self, digest: str, size: int) -> bytes:
        """A small blob, at most `size` bytes of it accepted. Raises as `manifest`."""

        def read(authorization: dict[str, str]) -> tuple[http.Response, bytes]:
            return self._client.read(
                self._url(f"blobs/{digest}"), authorization,
                limit=max(size, _MAX_ERROR_BYTES), insecure=self._endpoint.insecure,
            )  # fmt: skip

        response, data = self._authorized(read, lambda answer: answer[0])
        if response.status != 200:
            raise self._refusal(response.status, data, f"{self}@{digest}", response)
        return data

    def open_blob(self, digest: str, offset: int = 0, *, attempts: int) -> http.Response:
        """The blob from byte `offset` on: status 206 from there, 200 from the beginning.

        416 comes through as well. Raises NotFoundError, RegistryError.
        """
        ranged = {"Range": f"bytes={offset}-"} if offset else {}

        def get(authorization: dict[str, str]) -> http.Response:
            return self._client.open(
                self._url(f"blobs/{digest}"), {**ranged, **authorization},
                insecure=self._endpoint.insecure, attempts=attempts,
            )  # fmt: skip

        response = self._authorized(get, lambda answer: answer)
        if response.status in (200, 206, 416):
            return response
        with response:
            data = response.read_all(_MAX_ERROR_BYTES)
            raise self._refusal(response.status, data, f"{self}@{digest}", response)

    def _url(self, tail: str) -> str:
        return f"{self._find_base()}/v2/{self._endpoint.path}/{tail}"

    def _find_base(self) -> str:
        """https://HOST, or http://HOST where the endpoint may speak it and only it answers."""
        with self._guard:
            if not self._base:
                host = self._endpoint.host
                insecure = self._endpoint.insecure
                self._base = self._probe(host) if insecure else f"https://{host}"
            return self._base

    def _probe(self, host: str) -> str:
        failures = []
        for scheme in ("https", "http"):
            try:
                base = f"{scheme}://{host}"
                self._client.open(f"{base}/v2/", {}, insecure=True, attempts=1).discard()
                return base
            except http.TransportError as error:
                if error.is_busy:
                    return base
                failures.append(error)
        # Both say the same when nothing listens; the second one is about what was tried last.
        raise failures[-1]

    def _authorized(
        self, request: Callable[[dict[str, str]], T], response_of: Callable[[T], http.Response]
    ) -> T:
        """`request` with what is known of authorization, once more after a 401."""
        used = self._current_authorization()
        answer = request({"Authorization": used} if used else {})
        response = response_of(answer)
        if response.status != 401:
            return answer
        challenges = auth.parse_challenges(response.headers("WWW-Authenticate"))
        response.discard()
        fresh = self._renew(used, challenges)
        return request({"Authorization": fresh}) if fresh else answer

    def _current_authorization(self) -> str:
        with self._guard:
            if self._authorization and time.monotonic() > self._expires:
                self._authorization = ""
                self._answer(self._challenges)
            return self._authorization

    def _renew(self, used: str, challenges: list[Challenge]) -> str:
        """What to send instead of `used`, "" when there is nothing else to send."""
        with self._guard:
            # Another thread may have been told the same and have asked for a new one already.
            if self._authorization == used:
                self._authorization = ""
                self._answer(challenges)
            return self._authorization if self._authorization != used else ""

    def _answer(self, challenges: list[Challenge]) -> None:
        self._challenges = challenges
        bearer = next((one for one in challenges if one.scheme == "bearer"), None)
        if bearer and bearer.parameters.get("realm"):
            token, seconds = self._fetch_token(bearer.parameters)
            self._authorization = f"Bearer {token}"
            self._expires = time.monotonic() + max(seconds - _TOKEN_MARGIN_SECONDS, 1.0)
        elif any(one.scheme == "basic" for one in challenges) and self._credentials:
            self._check_secrecy(self._base)
            self._authorization = self._credentials.basic_header
            self._expires = float("inf")

    def _fetch_token(self, parameters: dict[str, str]) -> tuple[str, float]:
        realm = parameters["realm"]
        query = {
            "service": parameters.get("service", ""),
            "scope": parameters.get("scope") or f"repository:{self._endpoint.path}:pull",
        }
        headers: dict[str, str] = {}
        body = None
        if self._credentials:
            self._check_secrecy(realm)
            if self._credentials.identity_token:
                body = _oauth_form(query, self._credentials.identity_token)
                headers["Content-Type"] = "application/x-www-form-urlencoded"
            else:
                headers["Authorization"] = self._credentials.basic_header
        url = realm if body else f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        response, data = self._client.read(
            url, headers, limit=_MAX_TOKEN_ANSWER_BYTES, body=body,
            insecure=self._endpoint.insecure,
        )  # fmt: skip
        if response.status != 200:
            raise self._refusal(response.status, data, f"{self}: token", response)
        return _parse_token(data, realm)

    def _check_secrecy(self, url: str) -> None:
        """Refuse to show a password to everybody on the way."""
        if urlsplit(url).scheme != "https" and not self._endpoint.insecure:
            raise RegistryError(
                f"{self}: asks for credentials over plain HTTP ({http.shown_url(url)})"
            )

    def _refusal(
        self, status: int, data: bytes, where: str, response: http.Response
    ) -> RegistryError | NotFoundError:
        host = self._endpoint.host
        reason = _reason(data)
        if status == 404:
            return NotFoundError(f"{where}: not found at {host}{reason}")
        if status in (401, 403):
            text = "credentials were refused" if self._credentials else "access denied"
            hint = _LOGIN_HINT.format(host=self._endpoint.domain)
            return RegistryError(f"{where}: {text} by {host}{reason}", hint=hint)
        url = http.shown_url(response.url)
        return RegistryError(f"{where}: {url} answered HTTP {status}{reason}")


def _oauth_form(query: dict[str, str], identity_token: str) -> bytes:
    form = {"grant_type": "refresh_token", "refresh_token": identity_token, "client_id": "rl"}
    return urlencode({**form, **query}).encode()


def _parse_token(data: bytes, realm: str) -> tuple[str, float]:
    try:
        document = json.loads(data)
        token = document.get("token") or document.get("access_token")
        seconds = float(document.get("expires_in") or _DEFAULT_TOKEN_SECONDS)
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        raise RegistryError(f"{http.shown_url(realm)}: the token answer is not readable") from None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise RegistryError(f"{http.shown_url(realm)}: the answer holds no token")
    return token, seconds


def _check_manifest_digest(data: bytes, wanted: str, header: str, where: str) -> None:
    actual = digests.of(data)
    expected = wanted if digests.is_digest(wanted) else header
    if digests.is_digest(expected) and expected != actual:
        raise RegistryError(f"{where}: the registry sent a manifest with digest {actual} "
                            f"instead of {expected}")  # fmt: skip


def _reason(data: bytes) -> str:
    """The registry's own words (distribution-spec, "Error Codes"), made safe to print."""
    try:
        first = json.loads(data)["errors"][0]
        text = http.printable(str(first.get("message") or first.get("code") or ""))
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return ""
    return f": {text}" if text else ""
