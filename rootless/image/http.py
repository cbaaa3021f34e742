"""The one door to HTTP: requests with keep-alive, redirects, proxies and retries.

http.client is used as it is: the package needs no HTTP dependency, and bodies reach the caller
without a copy through another library's buffers. Connections belong to the thread that opened
them; `Client.cancel` wakes every thread that waits in one.

Rules: certificates are verified unless the endpoint is insecure; headers that carry secrets stay
at the origin (scheme, host, port) they were meant for; a body is read up to a limit, always.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import random
import socket
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from rootless import log
from rootless.errors import RegistryError
from rootless.image import proxies, tls, urls
from rootless.model.registries import is_loopback

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TypeVar

    T = TypeVar("T")
    # Pieces need a Content-Length among the headers, and can be gone through several times.
    Body = bytes | Iterable[bytes] | None

CONNECT_SECONDS = 15.0
# No byte for this long means that the other end is gone.
STALL_SECONDS = 60.0
ATTEMPTS = 5
_FIRST_DELAY_SECONDS = 0.5
_MAX_DELAY_SECONDS = 60.0
_MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)
_RETRY_STATUSES = (408, 429, 500, 502, 503, 504)
_SECRET_HEADERS = ("authorization", "cookie")
_WORTH_DRAINING_BYTES = 64 << 10
_MAX_ERROR_BYTES = 64 << 10
# How long who hung up on a body is given to say why.
_LAST_WORD_SECONDS = 5.0
_USER_AGENT = "rl (rootless)"


class TransportError(RegistryError):
    """No usable answer came; `is_temporary` says whether asking again can help."""

    # Whether a server did answer, though not usefully.
    is_busy = False
    # How often asking is worth while.
    attempts = ATTEMPTS

    def __init__(self, message: str, *, is_temporary: bool, is_tls: bool = False) -> None:
        super().__init__(message, hint=_TLS_HINT if is_tls else "")
        self.is_temporary = is_temporary


class Cancelled(RegistryError):
    """Another part of the same work failed or the user interrupted: stop quietly."""


_TLS_HINT = (
    "for a registry without a valid certificate: --tls-verify=false,"
    " or insecure = true in registries.toml"
)


class Response:
    """An answer whose body has not been read yet; a context manager."""

    def __init__(
        self, client: Client, raw: http.client.HTTPResponse, key: urls.Key, url: str
    ) -> None:
        self._client = client
        self._raw = raw
        self._key = key
        self._held: bytes | None = None
        self.url = url
        self.status = raw.status

    def header(self, name: str) -> str:
        """The header's value, "" when it is missing."""
        return self._raw.getheader(name, "") or ""

    def headers(self, name: str) -> list[str]:
        """All values of a header that may be repeated."""
        return self._raw.headers.get_all(name) or []

    @property
    def length(self) -> int | None:
        """Bytes of the body still to come, where the server says so."""
        return self._raw.length

    def read_some(self, limit: int) -> bytes:
        """What has arrived, at most `limit` bytes; b"" at the end. Raises TransportError.

        A body that ends before its announced length is an error, not an end.
        """
        self._client.check()
        if self._held is not None:
            data, self._held = self._held[:limit], self._held[limit:]
            return data
        try:
            expected = self._raw.length
            data = self._raw.read1(limit)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._client.explain(error, self.url) from error
        if not data and expected:
            raise TransportError(
                f"{urls.shown_host(self.url)}: connection closed {expected} bytes early",
                is_temporary=True,
            )
        return data

    def read_all(self, limit: int) -> bytes:
        """The whole body; raises RegistryError when it is longer than `limit` bytes."""
        parts, size = [], 0
        while data := self.read_some(limit + 1 - size):
            parts.append(data)
            size += len(data)
            if size > limit:
                raise RegistryError(
                    f"{urls.shown_url(self.url)}: answer is larger than {limit} bytes"
                )
        return b"".join(parts)

    def hold(self) -> None:
        """Keep a refusal's body for later and free the connection for another request."""
        try:
            self._held = self.read_all(_MAX_ERROR_BYTES)
        except RegistryError:
            self._held = b""
        self.discard()

    def discard(self) -> None:
        """Done with this answer, its body unread."""
        self._finish(is_read=self._drain())

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *exception: object) -> None:
        self._finish(is_read=exception[:1] == (None,) and self._drain())

    def _finish(self, *, is_read: bool) -> None:
        self._client.finish(self._key, reusable=is_read and not self._raw.will_close)
        self._raw.close()

    def _drain(self) -> bool:
        """Whether the body has been read to its end; a short rest is read for the sake of that."""
        rest = self._raw.length
        if self._raw.isclosed() or rest == 0:
            return True
        if rest is None or rest > _WORTH_DRAINING_BYTES:
            return False
        try:
            return len(self._raw.read()) == rest
        except (OSError, http.client.HTTPException):
            return False


class Client:
    """Connections to any number of hosts, for any number of threads."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._sockets: dict[int, socket.socket] = {}
        self._guard = threading.Lock()
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Make every request of every thread end now with Cancelled."""
        self._cancelled.set()
        with self._guard:
            for sock in self._sockets.values():
                _shut(sock)

    def check(self) -> None:
        """Raise Cancelled after `cancel`."""
        if self._cancelled.is_set():
            raise Cancelled("interrupted")

    def close(self) -> None:
        """Close the calling thread's idle connections."""
        for key in list(self._pool()):
            self._drop(key)

    def open(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        insecure: bool = False,
        method: str = "GET",
        body: Body = None,
        attempts: int = ATTEMPTS,
    ) -> Response:
        """Ask for `url`, following redirects; the caller judges the status.

        Temporary failures, 429 and 5xx are tried again; raises TransportError in the end.
        """
        return self.retry(lambda: self._follow(url, headers, method, body, insecure), attempts)

    def read(
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        limit: int,
        insecure: bool = False,
        method: str = "GET",
        body: Body = None,
    ) -> tuple[Response, bytes]:
        """As `open`, with the body read (again, when the connection breaks within it)."""

        def attempt() -> tuple[Response, bytes]:
            with self._follow(url, headers, method, body, insecure) as response:
                return response, response.read_all(limit)

        return self.retry(attempt)

    def retry(self, attempt: Callable[[], T], attempts: int = ATTEMPTS) -> T:
        """The result of `attempt`, called again with growing pauses while it fails temporarily."""
        for number in range(1, attempts + 1):
            try:
                return attempt()
            except _RetryAfter as error:
                failure: TransportError = error
                delay = error.seconds if error.seconds is not None else backoff(number)
            except TransportError as error:
                failure, delay = error, backoff(number)
            if not failure.is_temporary or number >= min(attempts, failure.attempts):
                raise failure
            log.notice(f"{failure.message}; trying again in {delay:.1f} s")
            self.pause(delay)
        raise AssertionError("attempts must be positive")

    @contextlib.contextmanager
    def patience(self, seconds: float) -> Iterator[None]:
        """Let answers to the calling thread take so long to begin, instead of STALL_SECONDS."""
        self._local.patience = seconds
        try:
            yield
        finally:
            del self._local.patience

    def pause(self, seconds: float) -> None:
        """Sleep; raises Cancelled at once after `cancel`."""
        self._cancelled.wait(seconds)
        self.check()

    def _follow(
        self, url: str, headers: Mapping[str, str], method: str, body: Body, insecure: bool
    ) -> Response:
        origin, sent = urls.origin_of(url), dict(headers)
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._exchange(url, sent, method, body, insecure)
            location = response.header("Location")
            if response.status not in _REDIRECTS or not location:
                return _raise_if_busy(response)
            with response:
                target = urls.joined(url, location)
            urls.check_redirect(url, target)
            if urls.origin_of(target) != origin:
                sent = {k: v for k, v in sent.items() if k.lower() not in _SECRET_HEADERS}
                if method in ("PUT", "PATCH"):
                    urls.refuse_redirect(url, target)
                # What was agreed for one host says nothing about another one.
                insecure = is_loopback(urlsplit(target).netloc)
                method, body = "HEAD" if method == "HEAD" else "GET", None
            origin, url = urls.origin_of(target), target
        raise RegistryError(f"{urls.shown_url(url)}: more than {_MAX_REDIRECTS} redirects")

    def _exchange(
        self, url: str, headers: dict[str, str], method: str, body: Body, insecure: bool
    ) -> Response:
        self.check()
        parts = urlsplit(url)
        key = urls.key_of(url, insecure)
        proxy = proxies.for_url(parts.scheme, key[1], key[2])
        target = url if proxy and parts.scheme == "http" else urls.target_of(url)
        was_used = key in self._pool()
        try:
            return self._send(key, proxy, target, url, headers, method, body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._drop(key)
            is_closed = isinstance(error, (ConnectionError, http.client.BadStatusLine))
            # Of a body in pieces the server may have kept some: the caller has to ask.
            if was_used and is_closed and (body is None or isinstance(body, bytes)):
                # The server closed an idle connection: no failure, a new one is due.
                return self._exchange(url, headers, method, body, insecure)
            raise self.explain(error, url) from error

    def _send(
        self,
        key: urls.Key,
        proxy: proxies.Proxy | None,
        target: str,
        url: str,
        headers: dict[str, str],
        method: str,
        body: Body,
    ) -> Response:
        connection = self._pool().get(key) or self._connect(key, proxy)
        extra = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        if proxy and key[0] == "http":
            extra.update(proxy.headers)
        try:
            connection.request(method, target, body=body, headers={**extra, **headers})
        except ConnectionError:
            return Response(self, _last_word(connection), key, url)
        sock = connection.sock
        sock.settimeout(getattr(self._local, "patience", STALL_SECONDS))
        answer = connection.getresponse()
        sock.settimeout(STALL_SECONDS)
        return Response(self, answer, key, url)

    def _connect(self, key: urls.Key, proxy: proxies.Proxy | None) -> http.client.HTTPConnection:
        scheme, host, port, insecure = key
        via = (proxy.host, proxy.port) if proxy else (host, port)
        if scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                *via, timeout=CONNECT_SECONDS, context=tls.context(host, port, insecure=insecure)
            )
            if proxy:
                connection.set_tunnel(host, port, headers=proxy.headers)
        else:
            connection = http.client.HTTPConnection(*via, timeout=CONNECT_SECONDS)
        connection.connect()
        connection.sock.settimeout(STALL_SECONDS)
        with self._guard:
            self._sockets[id(connection)] = connection.sock
        self._pool()[key] = connection
        return connection

    def _pool(self) -> dict[urls.Key, http.client.HTTPConnection]:
        pool: dict[urls.Key, http.client.HTTPConnection] | None = getattr(self._local, "pool", None)
        if pool is None:
            pool = self._local.pool = {}
        return pool

    def _drop(self, key: urls.Key) -> None:
        connection = self._pool().pop(key, None)
        if connection is not None:
            with self._guard:
                self._sockets.pop(id(connection), None)
            connection.close()

    def finish(self, key: urls.Key, *, reusable: bool) -> None:
        """The calling thread is done with an answer over `key`."""
        if not reusable:
            self._drop(key)

    def explain(self, error: Exception, url: str) -> RegistryError:
        """`error` as a TransportError that names the host, or Cancelled."""
        if self._cancelled.is_set():
            return Cancelled("interrupted")
        where = urls.shown_host(url)
        if isinstance(error, ssl.SSLError):
            reason = getattr(error, "verify_message", "") or error.reason or "handshake failed"
            is_cut = isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
            return TransportError(f"{where}: TLS: {reason}", is_temporary=is_cut, is_tls=not is_cut)
        if isinstance(error, socket.gaierror):
            return _unresolved(error, where)
        if isinstance(error, TimeoutError):
            return TransportError(f"{where}: timed out", is_temporary=True)
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        temporary = isinstance(error, (OSError, http.client.HTTPException))
        temporary = temporary and not isinstance(error, (ConnectionRefusedError, ValueError))
        return TransportError(f"{where}: {urls.printable(text)}", is_temporary=temporary)


def _unresolved(error: socket.gaierror, where: str) -> TransportError:
    text = f"{where}: host name cannot be resolved: {error.strerror}"
    failure = TransportError(text, is_temporary=error.errno == socket.EAI_AGAIN)
    # A machine without a network says so as well: that must not take long to find out.
    failure.attempts = 2
    failure.hint = f"getent hosts {where.partition(':')[0]}; env | grep -i proxy"
    return failure


class _RetryAfter(TransportError):
    """429 or 5xx, with the pause in seconds that the server asks for."""

    is_busy = True

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message, is_temporary=True)
        self.seconds = seconds


def backoff(number: int) -> float:
    """Seconds to wait after failure `number` (from 1): doubling, spread so that crowds part."""
    return float(_FIRST_DELAY_SECONDS * 2 ** (number - 1) * random.uniform(0.75, 1.25))


def _last_word(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
    """The answer of a server that hung up while a body was sent: it may have said why."""
    if connection.sock is None:
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
    connection.sock.settimeout(_LAST_WORD_SECONDS)
    answer = connection.getresponse()
    answer.will_close = True
    return answer


def _raise_if_busy(response: Response) -> Response:
    if response.status not in _RETRY_STATUSES:
        return response
    with response:
        seconds = _retry_after(response.header("Retry-After"))
        said = urls.reason_in(response.read_all(_MAX_ERROR_BYTES))
    kind = "too many requests" if response.status == 429 else "server error"
    text = f"{urls.shown_url(response.url)}: {kind} (HTTP {response.status}){said}"
    raise _RetryAfter(text, seconds)


def _retry_after(value: str) -> float | None:
    if value.isascii() and value.isdigit():
        return min(float(value[:6]), _MAX_DELAY_SECONDS)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(seconds, 0.0), _MAX_DELAY_SECONDS)


def _shut(sock: socket.socket) -> None:
    try:
        # The plain method also for TLS: SSLSocket's own would pull the TLS state from under
        # the thread that reads.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        pass
