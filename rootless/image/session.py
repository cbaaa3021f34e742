"""Talking to one repository of a registry: its base URL, and whatever it wants for authorization.

Docker's token protocol (distribution, docs/spec/auth) and basic authentication. What is asked and
what the answers mean is for those above: `rootless.image.registry` reads, `registry_writer` writes.
"""

from __future__ import annotations

import json
import threading
import time
from urllib.parse import urlencode, urljoin, urlsplit

from rootless import config
from rootless.errors import NotFoundError, RegistryError
from rootless.image import auth, http, urls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from rootless.image.auth import Challenge, Credentials
    from rootless.model.registries import Endpoint

    T = TypeVar("T")

_MAX_TOKEN_ANSWER_BYTES = 1 << 20
MAX_ERROR_BYTES = 64 << 10
# The protocol's minimum; a token is dropped a little before it ends.
_DEFAULT_TOKEN_SECONDS = 60.0
_TOKEN_MARGIN_SECONDS = 10.0


def _check_allowed(endpoint: Endpoint) -> None:
    """Raises RegistryError for a place that the site lets nobody ask.

    Here, so that it holds for each registry, mirror and location that any file or flag names.
    """
    from rootless.store import site

    allowed = site.policy().registries
    wanted = f"{endpoint.domain}/{endpoint.path}".rstrip("/")
    # Of a whole registry, as for a login, some part must be allowed.
    if allowed is not None and not any(_reaches(wanted, one, endpoint.path) for one in allowed):
        raise RegistryError(
            f"{wanted}: not allowed here ({config.system_file('rl.toml')}: registries)",
            f"from {', '.join(allowed)}",
        )


def _reaches(wanted: str, allowed: str, path: str) -> bool:
    return f"{wanted}/".startswith(f"{allowed}/") or (
        not path and allowed.partition("/")[0] == wanted
    )


class Session:
    """Requests to one repository; methods may be called from several threads.

    scopes: what a token is asked for, such as "repository:team/app:pull,push"; without any, what
    the registry itself names. Raises RegistryError where the site does not allow it.
    """

    def __init__(
        self,
        client: http.Client,
        endpoint: Endpoint,
        credentials: Credentials | None,
        scopes: list[str] | None = None,
    ) -> None:
        _check_allowed(endpoint)
        self.client = client
        self.endpoint = endpoint
        self._credentials = credentials
        self._scopes = scopes or []
        self._base = ""
        self._authorization = ""
        self._expires = float("inf")
        self._challenges: list[Challenge] = []
        self._guard = threading.Lock()

    def __str__(self) -> str:
        return self.endpoint.repository.rstrip("/")

    def url(self, tail: str) -> str:
        """The URL of `tail` in the repository, such as "blobs/DIGEST"."""
        return f"{self.base()}/v2/{self.endpoint.path}/{tail}"

    def base(self) -> str:
        """https://HOST, or http://HOST where the endpoint may speak it and only it answers."""
        with self._guard:
            if not self._base:
                host = self.endpoint.host
                insecure = self.endpoint.insecure
                self._base = self._probe(host) if insecure else f"https://{host}"
            return self._base

    def _probe(self, host: str) -> str:
        failures = []
        for scheme in ("https", "http"):
            try:
                base = f"{scheme}://{host}"
                self.client.open(f"{base}/v2/", {}, insecure=True, attempts=1).discard()
                return base
            except http.TransportError as error:
                if error.is_busy:
                    return base
                failures.append(error)
        # Both say the same when nothing listens; the second one is about what was tried last.
        raise failures[-1]

    def located(self, response: http.Response) -> str:
        """The URL that an answer's Location means, "" where it has none. Raises RegistryError."""
        location = response.header("Location")
        target = urljoin(response.url, location) if location else ""
        parts, own = urlsplit(target), urlsplit(self.base())
        if parts.scheme == "http" and own.scheme == "https" and parts.hostname == own.hostname:
            # Behind a proxy that ends TLS, registries are known to name themselves wrongly.
            return f"{self.base()}{target.partition(parts.netloc)[2]}"
        is_weaker = parts.scheme == "http" and own.scheme == "https"
        if target and (parts.scheme not in ("http", "https") or "@" in parts.netloc or is_weaker):
            raise RegistryError(f"{self}: the registry points to {urls.shown_url(target)}")
        return target

    def open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        method: str = "GET",
        body: http.Body = None,
        attempts: int = http.ATTEMPTS,
    ) -> http.Response:
        """An authorized request, whose answer's body is the caller's. Raises RegistryError."""

        def request(authorization: dict[str, str]) -> http.Response:
            return self.client.open(
                url, {**headers, **self._for(url, authorization)}, method=method, body=body,
                insecure=self.endpoint.insecure, attempts=attempts,
            )  # fmt: skip

        return self._authorized(request, lambda answer: answer)

    def read(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        limit: int,
        method: str = "GET",
        body: http.Body = None,
    ) -> tuple[http.Response, bytes]:
        """An authorized request and its answer's whole body. Raises RegistryError."""

        def request(authorization: dict[str, str]) -> tuple[http.Response, bytes]:
            return self.client.read(
                url, {**headers, **self._for(url, authorization)}, method=method, body=body,
                limit=limit, insecure=self.endpoint.insecure,
            )  # fmt: skip

        return self._authorized(request, lambda answer: answer[0])

    def _for(self, url: str, authorization: dict[str, str]) -> dict[str, str]:
        """A secret is for the registry's own origin: uploads may go elsewhere."""
        return authorization if urls.origin_of(url) == urls.origin_of(self.base()) else {}

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
        response.hold()
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
        scopes = self._scopes_for(parameters.get("scope", ""))
        try:
            return self._ask_for_token(parameters, scopes)
        except http.TransportError:
            raise
        except RegistryError:
            if len(self._scopes) < 2:
                raise
        # A server may refuse altogether for the sake of a repository that only mounts need.
        del self._scopes[1:]
        return self._ask_for_token(parameters, self._scopes_for(parameters.get("scope", "")))

    def _ask_for_token(self, parameters: dict[str, str], scopes: list[str]) -> tuple[str, float]:
        realm = parameters["realm"]
        query = [("service", parameters.get("service", ""))]
        query += [("scope", scope) for scope in scopes]
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
        response, data = self.client.read(
            url, headers, limit=_MAX_TOKEN_ANSWER_BYTES, method="POST" if body else "GET",
            body=body, insecure=self.endpoint.insecure,
        )  # fmt: skip
        if response.status != 200:
            raise self.refusal(response, data, f"{self}: token")
        return _parse_token(data, realm)

    def _scopes_for(self, named: str) -> list[str]:
        """What to ask for, where the registry's challenge has `named`."""
        if not self._scopes:
            path = self.endpoint.path
            return [named or f"repository:{path}:pull"] if named or path else []
        return list(dict.fromkeys([*self._scopes, *named.split()]))

    def _check_secrecy(self, url: str) -> None:
        """Refuse to show a password to everybody on the way."""
        if urlsplit(url).scheme != "https" and not self.endpoint.insecure:
            raise RegistryError(
                f"{self}: asks for credentials over plain HTTP ({urls.shown_url(url)})"
            )

    def refusal(
        self, response: http.Response, data: bytes, where: str
    ) -> RegistryError | NotFoundError:
        """What an answer of another status than was hoped for means; data is its body."""
        host, status = self.endpoint.host, response.status
        reason = urls.reason_in(data)
        if status == 404:
            return NotFoundError(f"{where}: not found at {host}{reason}")
        hint = f"rl login {self.endpoint.domain}"
        if status == 401 and self._credentials:
            text = f"{where}: credentials were refused by {host}{reason}"
            return RegistryError(text, hint=f"{hint}  # again: the password may have changed")
        if status in (401, 403):
            what = "unauthorized: " if status == 401 else "denied: "
            who = f" to user {self._credentials.username}" if self._credentials else ""
            return RegistryError(f"{where}: {what}access denied{who} by {host}{reason}", hint=hint)
        url = urls.shown_url(response.url)
        return RegistryError(f"{where}: {url} answered HTTP {status}{reason}")


def _oauth_form(query: list[tuple[str, str]], identity_token: str) -> bytes:
    # One scope parameter, of several words (RFC 6749, section 3.3).
    scope = " ".join(value for key, value in query if key == "scope")
    rest = [(key, value) for key, value in query if key != "scope"]
    form = [
        ("grant_type", "refresh_token"), ("refresh_token", identity_token), ("client_id", "rl"),
        *rest, ("scope", scope),
    ]  # fmt: skip
    return urlencode(form).encode()


def _parse_token(data: bytes, realm: str) -> tuple[str, float]:
    try:
        document = json.loads(data)
        token = document.get("token") or document.get("access_token")
        seconds = float(document.get("expires_in") or _DEFAULT_TOKEN_SECONDS)
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        raise RegistryError(f"{urls.shown_url(realm)}: the token answer is not readable") from None
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise RegistryError(f"{urls.shown_url(realm)}: the answer holds no token")
    return token, seconds
