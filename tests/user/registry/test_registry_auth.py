"""Credentials, tokens and TLS: Debian's docker-registry with htpasswd and a certificate, a fake
token server."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from rootless.errors import RegistryError
from rootless.image import tls
from rootless.image.push import Wishes
from rootless.image.push import push as push_image
from rootless.image.tag import tag
from rootless.model import platform
from rootless.store.paths import Paths
from tests.user.registry.conftest import Pull, has_all
from tests.user.registry.fake_registry import FakeRegistry, Handler
from tests.user.registry.oci_layout import Layout, push
from tests.user.registry.secure_registry import PASSWORD, USER, SecureRegistry

AuthFile = Callable[[dict[str, Any]], Path]


@pytest.fixture(autouse=True)
def names_resolve_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """registry.test is 127.0.0.1: no name server is asked for it."""
    real = socket.getaddrinfo

    def resolve(host: Any, *arguments: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == "registry.test" else host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(tls, "_contexts", {})


@pytest.fixture
def auth_file(private_settings: Path, monkeypatch: pytest.MonkeyPatch) -> AuthFile:
    """Write $REGISTRY_AUTH_FILE."""
    path = private_settings / "auth.json"

    def write(document: dict[str, Any]) -> Path:
        path.write_text(json.dumps(document))
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(path))
        return path

    return write


@pytest.fixture
def trusted(secure: SecureRegistry, private_settings: Path) -> None:
    """The user trusts the registry's certificate."""
    folder = private_settings / ".config" / "containers" / "certs.d" / secure.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(secure.certificate.read_bytes())


@pytest.fixture
def image(layout: Layout) -> dict[str, Any]:
    descriptor = layout.image([{"a": b"1"}, {"b": b"2"}], architecture=platform.host().architecture)
    layout.name(descriptor, "v1")
    return descriptor


@pytest.fixture
def pushed(secure: SecureRegistry, layout: Layout, image: dict[str, Any]) -> str:
    push(layout, "v1", f"127.0.0.1:{secure.port}/team/app:v1", f"--dest-creds={USER}:{PASSWORD}")
    return f"{secure.host}/team/app:v1"


def entry(user: str = USER, password: str = PASSWORD) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.usefixtures("trusted")
def test_basic_authentication(
    fetch: Pull, store: Paths, layout: Layout, image: Any, pushed: str, auth_file: AuthFile,
    secure: SecureRegistry,
) -> None:  # fmt: skip
    auth_file({"auths": {secure.host: entry("other", "x"), f"{secure.host}/team": entry()}})
    fetch(pushed)
    assert has_all(store, layout, image)


@pytest.mark.usefixtures("trusted")
def test_missing_and_wrong_credentials(
    fetch: Pull, pushed: str, auth_file: AuthFile, secure: SecureRegistry
) -> None:
    with pytest.raises(RegistryError, match="access denied") as caught:
        fetch(pushed)
    assert caught.value.hint.startswith(f"rl login {secure.host}")
    auth_file({"auths": {secure.host: entry(USER, "wrong")}})
    with pytest.raises(RegistryError, match="credentials were refused") as caught:
        fetch(pushed)
    assert "wrong" not in caught.value.message


@pytest.mark.usefixtures("trusted")
def test_a_credential_helper(
    fetch: Pull, store: Paths, layout: Layout, image: Any, pushed: str, auth_file: AuthFile,
    secure: SecureRegistry, private_settings: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    helper = private_settings / "docker-credential-test"
    answer = json.dumps({"ServerURL": "x", "Username": USER, "Secret": PASSWORD})
    helper.write_text(
        f'#!/bin/sh\n[ "$1" = get ] && [ "$(cat)" = {secure.host} ] && echo \'{answer}\'\n'
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{private_settings}:{os.environ['PATH']}")
    auth_file({"credHelpers": {secure.host: "test"}})
    fetch(pushed)
    assert has_all(store, layout, image)


def test_an_unknown_certificate_is_refused(fetch: Pull, pushed: str) -> None:
    with pytest.raises(RegistryError, match="TLS: self-signed certificate") as caught:
        fetch(pushed)
    assert "insecure = true" in caught.value.hint


def test_insecure_takes_any_certificate(
    fetch: Pull, store: Paths, layout: Layout, image: Any, pushed: str, auth_file: AuthFile,
    secure: SecureRegistry, settings: Any,
) -> None:  # fmt: skip
    auth_file({"auths": {secure.host: entry()}})
    settings(f'[[registry]]\nlocation = "{secure.host}"\ninsecure = true')
    fetch(pushed)
    assert has_all(store, layout, image)


def test_loopback_takes_any_certificate(
    fetch: Pull, pushed: str, auth_file: AuthFile, secure: SecureRegistry
) -> None:
    auth_file({"auths": {f"localhost:{secure.port}": entry()}})
    name = f"localhost:{secure.port}/team/app:v1"
    assert fetch(name).name == name


class Tokens:
    """The gate of a registry that wants tokens, and the server that gives them."""

    def __init__(self, registry: FakeRegistry, *, seconds: int = 300) -> None:
        self.registry = registry
        self.seconds = seconds
        self.valid: set[str] = set()
        self.asked: list[dict[str, list[str]]] = []
        self.shown: list[str | None] = []

    def __call__(self, handler: Handler) -> bool:
        if urlsplit(handler.path).path == "/token":
            self._give(handler)
            return True
        given = (handler.headers.get("Authorization") or "").removeprefix("Bearer ")
        if given in self.valid:
            return False
        challenge = (
            f'Bearer realm="http://{self.registry.host}/token",service="fake, really",'
            'scope="repository:team/app:pull"'
        )
        handler.answer(401, b"{}", {"WWW-Authenticate": challenge})
        return True

    def _give(self, handler: Handler) -> None:
        query = urlsplit(handler.path).query or getattr(handler, "body", b"").decode()
        self.asked.append(parse_qs(query))
        self.shown.append(handler.headers.get("Authorization"))
        token = f"token-{len(self.asked)}"
        self.valid.add(token)
        answer = {"token": token, "expires_in": self.seconds}
        handler.answer(200, json.dumps(answer).encode())


@pytest.fixture
def tokens(fake: FakeRegistry, image: dict[str, Any]) -> Tokens:
    fake.add("v1", image)
    gate = Tokens(fake)
    fake.gate = gate
    return gate


def test_an_anonymous_token(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, tokens: Tokens
) -> None:
    fetch(f"{fake.host}/team/app:v1")
    assert has_all(store, layout, image)
    assert tokens.asked == [{"service": ["fake, really"], "scope": ["repository:team/app:pull"]}]
    assert tokens.shown == [None]


def test_a_token_for_credentials(
    fetch: Pull, fake: FakeRegistry, tokens: Tokens, auth_file: AuthFile
) -> None:
    auth_file({"auths": {fake.host: entry()}})
    fetch(f"{fake.host}/team/app:v1")
    assert tokens.shown == [f"Basic {entry()['auth']}"]


def test_an_identity_token_is_exchanged(
    fetch: Pull, fake: FakeRegistry, tokens: Tokens, auth_file: AuthFile
) -> None:
    auth_file({"auths": {fake.host: {"identitytoken": "refresh-me"}}})
    fetch(f"{fake.host}/team/app:v1")
    assert tokens.asked[0]["grant_type"] == ["refresh_token"]
    assert tokens.asked[0]["refresh_token"] == ["refresh-me"]
    assert tokens.shown == [None]


def test_a_token_that_was_withdrawn_is_renewed(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, tokens: Tokens
) -> None:
    def withdraw(handler: Handler, data: bytes) -> None:
        tokens.valid.clear()
        handler.content(data)

    fake.faults[layout.read(image)["config"]["digest"]] = [withdraw]
    fetch(f"{fake.host}/team/app:v1")
    assert has_all(store, layout, image)
    # One for the manifest, one for both layers together.
    assert len(tokens.asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"{}",
        b'{"token": "a\\r\\nX: y"}',
        b'{"token": 7}',
        b'{"token": "a", "expires_in": 1%s}' % (b"0" * 400),
    ],
    ids=["nothing", "list", "empty", "two lines", "number", "endless"],
)
def test_token_answers_that_are_none(
    fetch: Pull, fake: FakeRegistry, tokens: Tokens, answer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "_give", lambda handler: handler.answer(200, answer))
    with pytest.raises(RegistryError, match="token"):
        fetch(f"{fake.host}/team/app:v1")


def test_an_endless_demand_ends(fetch: Pull, fake: FakeRegistry, tokens: Tokens) -> None:
    def refuse(handler: Handler) -> None:
        handler.answer(200, b'{"token": "never-good"}')

    tokens._give = refuse  # type: ignore[method-assign]
    with pytest.raises(RegistryError, match="access denied"):
        fetch(f"{fake.host}/team/app:v1")
    assert len(fake.paths("/manifests/")) == 2


def test_a_proxy_from_the_environment(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    fake.add("v1", image)
    settings('[[registry]]\nlocation = "example.invalid"\ninsecure = true')
    monkeypatch.setenv("http_proxy", f"http://user:pa%20ss@{fake.host}")

    def strip(handler: Handler) -> bool:
        handler.path = urlsplit(handler.path).path
        return False

    fake.gate = strip
    fetch("example.invalid/team/app:v1")
    assert has_all(store, layout, image)
    path, headers = fake.requests[-1]
    assert path.startswith("http://example.invalid/v2/team/app/")
    assert headers["Host"] == "example.invalid"
    assert headers["Proxy-Authorization"] == f"Basic {base64.b64encode(b'user:pa ss').decode()}"


class Tunnel(threading.Thread):
    """A proxy that knows CONNECT, for one connection after another, to one place."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.target = port
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.asked: list[str] = []
        self.start()

    def run(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self.target)) as server:
            self.asked.append(client.recv(65536).decode(errors="replace"))
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=pump, args=(server, client), daemon=True)
            back.start()
            pump(client, server)
            back.join()


def pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@pytest.mark.usefixtures("trusted")
def test_a_tunnel_through_a_proxy(
    fetch: Pull, store: Paths, layout: Layout, image: Any, pushed: str, auth_file: AuthFile,
    secure: SecureRegistry, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    auth_file({"auths": {secure.host: entry()}})
    tunnel = Tunnel(secure.port)
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:pw@127.0.0.1:{tunnel.port}")
    fetch(pushed)
    tunnel.socket.close()
    assert has_all(store, layout, image)
    assert tunnel.asked[0].startswith(f"CONNECT {secure.host} HTTP/1.")
    assert "Proxy-Authorization: Basic dXNlcjpwdw==" in tunnel.asked[0]
    assert not any("Authorization: Basic " + entry()["auth"] in one for one in tunnel.asked)


@pytest.fixture
def local(fetch: Pull, layout: Layout, image: Any) -> str:
    """The image in the store, under its name there."""
    layout.manifests = []
    layout.name(image, "localhost/app:v1")
    return fetch(f"oci:{layout.folder}").name


@pytest.mark.usefixtures("trusted")
def test_a_push_over_tls(
    store: Paths, local: str, layout: Layout, image: Any, auth_file: AuthFile,
    secure: SecureRegistry, fetch: Pull,
) -> None:  # fmt: skip
    target = f"{secure.host}/team/pushed:v1"
    with pytest.raises(RegistryError, match="unauthorized: access denied") as caught:
        push_image(store, local, target, Wishes())
    assert caught.value.hint == f"rl login {secure.host}"
    auth_file({"auths": {secure.host: entry()}})
    assert push_image(store, local, target, Wishes()).digest == image["digest"]
    assert fetch(target).manifest_digest == image["digest"]


def test_a_push_with_an_unknown_certificate(
    store: Paths, local: str, image: Any, auth_file: AuthFile, secure: SecureRegistry
) -> None:
    auth_file({"auths": {secure.host: entry()}})
    target = f"{secure.host}/team/insecure:v1"
    with pytest.raises(RegistryError, match="TLS: self-signed certificate") as caught:
        push_image(store, local, target, Wishes())
    assert "--tls-verify=false" in caught.value.hint
    assert push_image(store, local, target, Wishes(insecure=True)).digest == image["digest"]


def test_a_token_for_pushing_and_mounting(
    store: Paths, fake: FakeRegistry, local: str, layout: Layout, image: Any, tokens: Tokens
) -> None:
    tag(store, local, [f"{fake.host}/other/app:v1"])
    push_image(store, local, f"{fake.host}/team/app:v2", Wishes(jobs=1))
    scopes = [scope for asked in tokens.asked for scope in asked["scope"]]
    assert scopes[:2] == ["repository:team/app:pull,push", "repository:other/app:pull"]
    assert fake.tags["v2"]["digest"] == image["digest"]


def test_a_token_that_ends_during_a_push(
    store: Paths, fake: FakeRegistry, local: str, layout: Layout, image: Any, tokens: Tokens
) -> None:
    def withdraw(handler: Handler, data: bytes) -> None:
        tokens.valid.clear()
        handler.answer(404, b"")

    fake.push_faults["HEAD"] = [withdraw] * 3
    push_image(store, local, f"{fake.host}/team/app:v2", Wishes(jobs=1))
    assert fake.tags["v2"]["digest"] == image["digest"]
    assert len(tokens.asked) == 4


def test_a_token_server_that_gives_no_token_for_other_repositories(
    store: Paths, fake: FakeRegistry, local: str, image: Any, tokens: Tokens
) -> None:
    give = tokens._give

    def strict(handler: Handler) -> None:
        if "other" in handler.path:
            handler.answer(403, b"{}")
        else:
            give(handler)

    tokens._give = strict  # type: ignore[method-assign]
    tag(store, local, [f"{fake.host}/other/app:v1"])
    push_image(store, local, f"{fake.host}/team/app:v2", Wishes())
    assert fake.tags["v2"]["digest"] == image["digest"]
