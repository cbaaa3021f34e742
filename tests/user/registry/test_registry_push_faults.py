"""Pushes to a registry that fails, lies, hangs up, forgets, is full or wants small pieces."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from rootless.errors import RegistryError
from rootless.image import http, upload
from rootless.image.push import Pushed, Wishes, push
from rootless.image.tag import tag
from rootless.model import platform
from rootless.store.paths import Paths
from tests.user.registry import fake_registry as faults
from tests.user.registry.conftest import Pull, Recorder
from tests.user.registry.fake_registry import FakeRegistry, Handler
from tests.user.registry.oci_layout import Layout

BIG = os.urandom(6 << 20)
Send = Callable[..., Pushed]


@pytest.fixture
def origin(tmp_path: Any) -> Layout:
    """Where the image comes from: the fake registry's own layout is empty."""
    return Layout(tmp_path / "origin")


@pytest.fixture
def image(origin: Layout, fetch: Pull) -> dict[str, Any]:
    """Two layers, the second one of 6 MiB, in the store as localhost/app:v1."""
    files = [{"small": b"s"}, {"big": BIG}]
    descriptor = origin.image(files, architecture=platform.host().architecture)
    origin.name(descriptor, "localhost/app:v1")
    fetch(f"oci:{origin.folder}")
    return descriptor


@pytest.fixture
def big(image: dict[str, Any], origin: Layout) -> str:
    return str(origin.read(image)["layers"][1]["digest"])


@pytest.fixture
def send(store: Paths, told: Recorder, fake: FakeRegistry, image: Any) -> Send:
    def call(**wishes: Any) -> Pushed:
        told.outcomes.clear()
        target = f"{fake.host}/team/app:v1"
        return push(store, "app:v1", target, Wishes(progress=told, **wishes))

    return call


def is_whole(fake: FakeRegistry, origin: Layout, image: Any) -> bool:
    manifest = origin.read(image)
    parts = [*manifest["layers"], manifest["config"]]
    same = [
        fake.layout.path(one["digest"]).read_bytes() == origin.path(one["digest"]).read_bytes()
        for one in parts
    ]
    return all(same) and fake.tags["v1"]["digest"] == image["digest"]


def ranges(fake: FakeRegistry) -> list[str]:
    return [h["Content-Range"] for _, h in fake.requests if "Content-Range" in h]


def test_large_blobs_go_in_one_piece_and_small_ones_with_the_last_request(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any
) -> None:
    send()
    assert is_whole(fake, origin, image)
    assert fake.methods.count("PATCH") == 1 and ranges(fake) == []
    assert fake.methods.count("PUT blob") == 3 and fake.methods[-1] == "PUT manifest"


def test_a_cut_is_resumed_where_the_registry_is(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any, big: str, told: Recorder
) -> None:
    fake.push_faults["PATCH"] = [faults.keep_then_cut(2 << 20), faults.keep_then_cut(100_000)]
    send()
    assert is_whole(fake, origin, image)
    size = origin.path(big).stat().st_size
    first, second = 2 << 20, (2 << 20) + 100_000
    assert ranges(fake) == [f"{first}-{size - 1}", f"{second}-{size - 1}"]
    assert told.resumed[big] == second
    assert any("trying again" in message for message in told.messages)


def test_after_a_cut_what_is_left_goes_in_pieces(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "_PIECE_BYTES", 2 << 20)
    fake.push_faults["PATCH"] = [faults.keep_then_cut(1 << 20)]
    send()
    assert is_whole(fake, origin, image)
    assert [one.partition("-")[0] for one in ranges(fake)] == ["1048576", "3145728", "5242880"]


@pytest.mark.parametrize("state", [404, 500, 204], ids=["forgotten", "failing", "without range"])
def test_an_upload_that_is_lost_begins_again(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any, state: int
) -> None:
    fake.push_faults["PATCH"] = [faults.keep_then_cut(1 << 20)]
    fake.push_faults["GET upload"] = [faults.status(state)]
    send()
    assert is_whole(fake, origin, image)
    assert len(fake.uploads) >= 4  # one for each of three blobs, and one more for the lost one


def test_an_upload_that_vanishes_between_two_pieces(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any
) -> None:
    fake.push_faults["PATCH"] = [faults.says(404, "BLOB_UPLOAD_UNKNOWN", "unknown upload")]
    send()
    assert is_whole(fake, origin, image)


def test_a_registry_that_always_hangs_up(send: Send, fake: FakeRegistry, told: Recorder) -> None:
    fake.push_faults["PATCH"] = [faults.keep_then_cut(0)] * 100
    with pytest.raises(RegistryError, match=f"{fake.host}: "):
        send()
    assert len(fake.push_faults["PATCH"]) == 95
    assert "PUT manifest" not in fake.methods and fake.tags == {}


def test_the_answer_to_the_last_request_gets_lost(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any
) -> None:
    fake.push_faults["PUT blob"] = [faults.take_then_cut] * 3
    fake.push_faults["PUT manifest"] = [faults.take_then_cut]
    send()
    assert is_whole(fake, origin, image)
    # Nothing was sent twice.
    assert len(fake.uploads) == 3 and fake.methods.count("PATCH") == 1


def test_the_last_request_of_a_blob_may_take_long(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(handler: Handler, data: bytes) -> None:
        time.sleep(1.5)
        handler.put(False)

    monkeypatch.setattr(http, "STALL_SECONDS", 0.7)
    fake.push_faults["PUT blob"] = [slow] * 3
    send()
    assert is_whole(fake, origin, image) and fake.methods.count("PUT blob") == 3
    # Nothing else may.
    fake.push_faults["PUT manifest"] = [slow] * 9
    with pytest.raises(RegistryError, match="timed out"):
        send()


def test_too_large_requests_get_smaller(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any
) -> None:
    fake.gate = faults.refuse_larger_than(2 << 20)
    send()
    assert is_whole(fake, origin, image)
    lengths = [int(h.get("Content-Length") or 0) for path, h in fake.requests if "state=" in path]
    assert 1 << 20 < sorted(lengths)[-2] <= 2 << 20


def test_a_limit_that_is_smaller_than_any_piece(send: Send, fake: FakeRegistry) -> None:
    fake.gate = faults.refuse_larger_than(100_000)
    with pytest.raises(RegistryError, match="HTTP 413") as caught:
        send()
    assert "limits the size of requests" in caught.value.hint


def test_a_full_disk_there(send: Send, fake: FakeRegistry) -> None:
    detail = {"DriverName": "filesystem", "Enclosed": "no space left on device"}
    full = faults.says(500, "UNKNOWN", "unknown error", detail)
    fake.push_faults["PATCH"] = [full] * 100
    with pytest.raises(RegistryError, match=r"HTTP 500.*no space left on device"):
        send()
    assert fake.tags == {}


def test_an_overloaded_registry_is_waited_for(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any
) -> None:
    fake.push_faults["POST"] = [faults.status(503)]
    fake.push_faults["PATCH"] = [faults.says(429, "TOOMANYREQUESTS", "slow down")]
    fake.push_faults["PUT manifest"] = [faults.status(502)]
    send()
    assert is_whole(fake, origin, image)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PATCH", "PUT blob", "PUT manifest"])
@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_says_who_and_what_to_do(
    send: Send, fake: FakeRegistry, method: str, code: int
) -> None:
    fake.push_faults[method] = [faults.says(code, "DENIED", "not yours")] * 20
    with pytest.raises(RegistryError, match="access denied") as caught:
        send()
    assert caught.value.hint == f"rl login {fake.host}"
    assert caught.value.message.startswith(f"{fake.host}/team/app")
    assert ("unauthorized" if code == 401 else "denied: ") in caught.value.message
    assert method == "HEAD" or "not yours" in caught.value.message
    assert fake.tags == {}


def test_a_refusal_in_the_middle_of_a_body_is_heard(send: Send, fake: FakeRegistry) -> None:
    fake.push_faults["PATCH"] = [faults.refuse_unread(403)] * 5
    with pytest.raises(RegistryError, match="denied"):
        send()


def other_digest(handler: Handler, data: bytes) -> None:
    handler.answer(201, b"", {"Docker-Content-Digest": f"sha256:{'0' * 64}"})


@pytest.mark.parametrize("method", ["PUT blob", "PUT manifest"])
def test_a_registry_that_lies_about_digests(send: Send, fake: FakeRegistry, method: str) -> None:
    fake.push_faults[method] = [other_digest] * 5
    with pytest.raises(RegistryError, match=f"says that it stored sha256:{'0' * 64}"):
        send()
    assert fake.tags == {}


def test_a_registry_that_finds_another_digest(send: Send, fake: FakeRegistry) -> None:
    fake.push_faults["PUT blob"] = [faults.says(400, "DIGEST_INVALID", "digest invalid")] * 5
    with pytest.raises(RegistryError, match="HTTP 400: digest invalid"):
        send()


def test_it_is_said_to_be_there_with_another_size(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any
) -> None:
    def lie(handler: Handler, data: bytes) -> None:
        handler.answer(200, b"", {"Content-Length": "7"})

    fake.push_faults["HEAD"] = [lie] * 3
    send()
    assert is_whole(fake, origin, image)


def test_more_bytes_than_were_sent(send: Send, fake: FakeRegistry) -> None:
    def more(handler: Handler, data: bytes) -> None:
        handler.read_body()
        handler.answer(202, b"", {"Range": "0-99999999", "Location": handler.path})

    fake.push_faults["PATCH"] = [more]
    with pytest.raises(RegistryError, match="has 100000000 bytes and was sent"):
        send()


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "http://user:pw@127.0.0.1/x", ""],
    ids=["scheme", "user", "nothing"],
)  # fmt: skip
def test_an_upload_somewhere_odd(send: Send, fake: FakeRegistry, location: str) -> None:
    def begin(handler: Handler, data: bytes) -> None:
        handler.answer(202, b"", {"Location": location} if location else {})

    fake.push_faults["POST"] = [begin] * 3
    with pytest.raises(RegistryError):
        send()


def test_an_upload_elsewhere_gets_no_secret(
    send: Send, fake: FakeRegistry, origin: Layout, image: Any
) -> None:
    from rootless.image.auth import Credentials

    def gate(handler: Handler) -> bool:
        host = handler.headers["Host"]
        if host.startswith("localhost") or "Authorization" in handler.headers:
            return False
        handler.answer(401, b"", {"WWW-Authenticate": "Basic realm=x"})
        return True

    def begin(handler: Handler, data: bytes) -> None:
        handler.server.uploads["far"] = bytearray()
        port = fake.host.partition(":")[2]
        location = f"http://localhost:{port}/v2/team/app/blobs/uploads/far"
        handler.answer(202, b"", {"Location": location})

    fake.gate = gate
    fake.push_faults["POST"] = [begin]
    send(jobs=1, credentials=Credentials("me", "secret"))
    assert is_whole(fake, origin, image)
    far = [h for path, h in fake.requests if "uploads/far" in path]
    assert far and not any("Authorization" in headers for headers in far)


def test_a_refused_mount_is_sent(
    send: Send, store: Paths, fake: FakeRegistry, origin: Layout, image: Any, told: Recorder
) -> None:
    tag(store, "app:v1", [f"{fake.host}/other/app:v1"])
    manifest = origin.read(image)
    config = manifest["config"]["digest"]
    fake.mountable = {("other/app", config)}
    fake.layout.blob(origin.path(config).read_bytes())
    fake.push_faults["HEAD"] = [faults.status(404)] * 3
    send()
    assert is_whole(fake, origin, image)
    assert sorted(told.outcomes) == ["mounted from other/app", "pushed", "pushed"]


def test_an_interrupt_ends_it_soon(
    send: Send, fake: FakeRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    import signal
    import threading

    def slow(handler: Handler, data: bytes) -> None:
        threading.Event().wait(30)

    fake.push_faults["PATCH"] = [slow]
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        send()
    assert time.monotonic() - before < 20 and fake.tags == {}
