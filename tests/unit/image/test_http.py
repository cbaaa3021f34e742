from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rootless.errors import RegistryError
from rootless.image import http, urls

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """A local web server: `answers` are used up in turn, then everything is 200 "ok"."""

    daemon_threads = True
    handle_error = staticmethod(lambda *_: None)  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answers: list[Answer] = []
        self.seen: list[tuple[str, dict[str, str], int]] = []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.server.seen.append((self.path, dict(self.headers), self.client_address[1]))
        answer = self.server.answers.pop(0) if self.server.answers else ok
        answer(self)


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


ok = reply(200, b"ok")


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def serve(server: Server) -> threading.Thread:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    return thread


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = serve(made)
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[http.Client]:
    monkeypatch.setattr(http, "backoff", lambda number: 0.0)
    made = http.Client()
    yield made
    made.close()


def get(client: http.Client, url: str, **headers: str) -> tuple[int, bytes]:
    response, data = client.read(url, headers, limit=1000)
    return response.status, data


def test_a_connection_is_kept(client: http.Client, server: Server) -> None:
    for path in ("/a", "/b", "/c"):
        assert get(client, server.url + path) == (200, b"ok")
    assert len({port for _, _, port in server.seen}) == 1


def test_an_unread_short_answer_does_not_cost_the_connection(
    client: http.Client, server: Server
) -> None:
    client.open(server.url, {}).discard()
    assert get(client, server.url) == (200, b"ok")
    assert len({port for _, _, port in server.seen}) == 1


def test_a_connection_that_went_stale_is_made_anew(client: http.Client, server: Server) -> None:
    get(client, server.url)
    server.answers = [hang_up]
    response, data = client.read(server.url, {}, limit=10)
    assert (response.status, data) == (200, b"ok")


def test_temporary_failures_are_tried_again(client: http.Client, server: Server) -> None:
    server.answers = [hang_up, reply(503), reply(429, Retry_After="0"), reply(500)]
    assert get(client, server.url) == (200, b"ok")
    assert len(server.seen) == 5


def test_lasting_failures_end(client: http.Client, server: Server) -> None:
    server.answers = [reply(502)] * 9
    with pytest.raises(http.TransportError, match="HTTP 502"):
        get(client, server.url)
    assert len(server.seen) == http.ATTEMPTS


def test_a_broken_body_is_read_again(client: http.Client, server: Server) -> None:
    def cut(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    server.answers = [cut]
    assert get(client, server.url) == (200, b"ok")


def test_other_statuses_are_the_caller_s(client: http.Client, server: Server) -> None:
    server.answers = [reply(404, b"no")]
    assert get(client, server.url) == (404, b"no")


def test_a_long_answer_is_refused(client: http.Client, server: Server) -> None:
    server.answers = [reply(200, b"x" * 1001)]
    with pytest.raises(RegistryError, match="larger than 1000 bytes"):
        get(client, server.url)


def test_secrets_stay_at_their_origin(client: http.Client, server: Server) -> None:
    other = Server()
    thread = serve(other)
    server.answers = [
        reply(302, Location="/same?x=1"),
        reply(307, Location=f"{other.url}/elsewhere"),
    ]
    assert get(client, server.url, Authorization="secret", Range="bytes=1-") == (200, b"ok")
    assert [h.get("Authorization") for _, h, _ in server.seen] == ["secret", "secret"]
    assert [(h.get("Authorization"), h["Range"]) for _, h, _ in other.seen] == [(None, "bytes=1-")]
    assert server.seen[1][0] == "/same?x=1"
    other.shutdown()
    other.server_close()
    thread.join()


def test_a_refused_connection_is_told_at_once(client: http.Client) -> None:
    with pytest.raises(http.TransportError, match=r"127\.0\.0\.1:9: Conn") as caught:
        get(client, "http://127.0.0.1:9/")
    assert not caught.value.is_temporary


def test_cancel_wakes_a_waiting_thread(client: http.Client, server: Server) -> None:
    release = threading.Event()
    server.answers = [lambda handler: (release.wait(10), ok(handler))[1]]
    failures: list[BaseException] = []

    def wait() -> None:
        try:
            get(client, server.url)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    while not server.seen:
        time.sleep(0.01)
    start = time.monotonic()
    client.cancel()
    thread.join(5)
    release.set()
    assert time.monotonic() - start < 2
    assert [type(error) for error in failures] == [http.Cancelled]
    with pytest.raises(http.Cancelled):
        get(client, server.url)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("3", 3.0), ("999999999", 60.0), ("", None), ("soon", None), ("-1", None),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("Wed, 21 Oct 2115 07:28:00 GMT", 60.0)],
)  # fmt: skip
def test_retry_after(value: str, expected: float | None) -> None:
    assert http._retry_after(value) == expected


def test_pauses_grow() -> None:
    pauses = [http.backoff(number) for number in range(1, 5)]
    assert pauses == sorted(pauses)
    assert 0.3 < pauses[0] < 0.7


@pytest.mark.parametrize(
    ("url", "expected"),
    [("https://A.org/x", "https://a.org:443"), ("http://a.org:80", "http://a.org:80"),
     ("http://[::1]:5000/v2", "http://[::1]:5000")],
)  # fmt: skip
def test_origin(url: str, expected: str) -> None:
    assert urls.origin_of(url) == expected


def test_a_signature_is_not_shown() -> None:
    assert urls.shown_url("https://a.org/blob?sig=secret") == "https://a.org/blob"


def test_hostile_text_is_made_printable() -> None:
    assert urls.printable("\x1b[0mred\r\nline" + "x" * 999).isprintable()
