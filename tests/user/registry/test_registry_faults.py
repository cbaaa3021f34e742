"""Registries that fail, lie, hang up or are slow; pulls that are killed, interrupted or doubled."""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless import log
from rootless.errors import ImageError, NotFoundError, RegistryError, StoreError
from rootless.image import pull as pulls
from rootless.image import transfer
from rootless.model import platform
from rootless.store.paths import Paths
from tests.user.registry import fake_registry as faults
from tests.user.registry.conftest import Pull, Recorder, has_all, is_unseen
from tests.user.registry.fake_registry import FakeRegistry, Handler
from tests.user.registry.oci_layout import LAYER, OCI, Layout, digest_of, tar_of

ARCHITECTURE = platform.host().architecture
BIG = os.urandom(3 << 20)


@pytest.fixture
def image(fake: FakeRegistry, layout: Layout) -> dict[str, Any]:
    """Two layers, the second one of 3 MiB."""
    descriptor = layout.image([{"small": b"s"}, {"big": BIG}], architecture=ARCHITECTURE)
    fake.add("v1", descriptor)
    return descriptor


@pytest.fixture
def big(image: dict[str, Any], layout: Layout) -> str:
    return str(layout.read(image)["layers"][1]["digest"])


@pytest.fixture
def name(fake: FakeRegistry) -> str:
    return f"{fake.host}/team/app:v1"


@pytest.fixture(autouse=True)
def no_partials(store: Paths) -> Iterator[None]:
    """Partial downloads stay for the next pull on purpose: the tests look, then clear up."""
    yield
    with contextlib.suppress(FileNotFoundError):
        transfer.sweep(store, -1)


def partials(store: Paths) -> list[Path]:
    return sorted(Path(store.tmp).glob("*.partial"))


def partial_of(store: Paths, digest: str) -> Path:
    return Path(store.tmp) / f"download-{digest.removeprefix('sha256:')}.partial"


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_a_cut_connection_is_resumed(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str
) -> None:
    fake.faults[big] = [faults.cut_after(1 << 20), faults.cut_after(100_000)]
    fetch(name)
    assert has_all(store, layout, image)
    assert fake.ranges_of(big) == ["", f"bytes={1 << 20}-", f"bytes={(1 << 20) + 100_000}-"]


def test_a_registry_without_ranges(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str
) -> None:
    fake.faults[big] = [faults.cut_after(1 << 20)]
    fake.has_ranges = False
    fetch(name)
    assert has_all(store, layout, image)


def test_a_refused_range(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str
) -> None:
    fake.faults[big] = [faults.cut_after(1 << 20), faults.status(416)]
    fetch(name)
    assert has_all(store, layout, image)
    assert fake.ranges_of(big)[-1] == ""


def test_a_lost_connection_leaves_what_came_for_the_next_pull(
    fetch: Pull, fake: FakeRegistry, store: Paths, told: Recorder, layout: Layout, image: Any,
    big: str, name: str,
) -> None:  # fmt: skip
    fake.faults[big] = [faults.cut_after(1 << 20), *[faults.cut_after(0)] * 5]
    with pytest.raises(RegistryError, match="connection closed"):
        fetch(name)
    assert is_unseen(store)
    assert partial_of(store, big).stat().st_size == 1 << 20
    fetch(name)
    assert told.resumed[big] == 1 << 20
    assert has_all(store, layout, image)
    assert partials(store) == []


def test_a_damaged_partial_file_is_started_anew(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str
) -> None:
    fake.faults[big] = [faults.cut_after(1 << 20), *[faults.cut_after(0)] * 5]
    with pytest.raises(RegistryError):
        fetch(name)
    partial_of(store, big).write_bytes(b"\0" * (1 << 20))
    fetch(name)
    assert has_all(store, layout, image)


@pytest.mark.parametrize(
    "fault",
    [
        lambda data: faults.instead(data[:-1] + bytes([data[-1] ^ 1])),
        lambda data: faults.instead(os.urandom(len(data))),
        lambda data: faults.chunked(data + b"more"),
        lambda data: faults.instead(data + b"more"),
        lambda data: faults.instead(data[:1000]),
    ],
    ids=["one-byte", "all-bytes", "chunked-longer", "longer", "shorter"],
)
def test_lies_about_content_leave_nothing(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str,
    fault: Callable[[bytes], faults.Fault],
) -> None:  # fmt: skip
    fake.faults[big] = [fault(layout.path(big).read_bytes())] * 5
    with pytest.raises(RegistryError, match=f"blob {big}"):
        fetch(name)
    assert is_unseen(store)
    assert not partial_of(store, big).exists()


def test_a_manifest_that_is_not_what_was_asked_for(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any
) -> None:
    other = layout.path(layout.image([{"x": b""}])["digest"]).read_bytes()
    fake.faults["manifest"] = [faults.instead(other)]
    with pytest.raises(RegistryError, match=f"{digest_of(other)} instead of {image['digest']}"):
        fetch(f"{fake.host}/team/app@{image['digest']}")


def test_a_huge_manifest_is_not_read(
    fetch: Pull, fake: FakeRegistry, image: Any, name: str
) -> None:
    fake.faults["manifest"] = [faults.instead(b" " * (5 << 20))]
    with pytest.raises(RegistryError, match="larger than 4194304 bytes"):
        fetch(name)


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"config":1}', b'{"manifests":{}}',
     b'{"layers":[1]}', b'{"mediaType":7,"config":{"digest":"sha256:../../x","size":1}}'],
)  # fmt: skip
def test_manifests_that_are_none(
    fetch: Pull, fake: FakeRegistry, store: Paths, image: Any, name: str, body: bytes
) -> None:
    fake.faults["manifest"] = [faults.instead(body)]
    with pytest.raises(ImageError, match=name):
        fetch(name)
    assert is_unseen(store)


def test_schema_1(fetch: Pull, fake: FakeRegistry, image: Any, name: str) -> None:
    fake.faults["manifest"] = [faults.instead(b'{"schemaVersion":1,"fsLayers":[]}')]
    with pytest.raises(ImageError, match="schema 1"):
        fetch(name)


def test_indexes_without_end(fetch: Pull, fake: FakeRegistry, layout: Layout, name: str) -> None:
    inner = layout.image([{"x": b""}], architecture=ARCHITECTURE)
    for _ in range(8):
        inner = layout.index([(inner, {"os": "linux", "architecture": ARCHITECTURE})])
    fake.add("v1", inner)
    with pytest.raises(ImageError, match="more than 4 deep"):
        fetch(name)


def test_a_layer_that_does_not_fit_its_diff_id(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, name: str
) -> None:
    blob = gzip.compress(tar_of({"x": b"1"}))
    config = {
        "architecture": ARCHITECTURE, "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"other")]},
    }  # fmt: skip
    fake.add("v1", layout.manifest(config, [layout.descriptor(blob, f"{LAYER}+gzip")]))
    with pytest.raises(ImageError, match="digest"):
        fetch(name)
    assert is_unseen(store)
    assert partials(store) == []


def test_manifest_and_configuration_must_agree(
    fetch: Pull, fake: FakeRegistry, layout: Layout, name: str
) -> None:
    config = {"architecture": ARCHITECTURE, "os": "linux", "rootfs": {"diff_ids": []}}
    fake.add("v1", layout.manifest(config, [layout.descriptor(b"x", LAYER)]))
    with pytest.raises(ImageError, match="1 layers, the configuration 0"):
        fetch(name)


def test_busy_registries_are_asked_again(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str
) -> None:
    fake.faults["manifest"] = [faults.status(429, Retry_After="0"), faults.status(503)]
    fake.faults[big] = [faults.status(500), faults.status(429, Retry_After="0")]
    fetch(name)
    assert has_all(store, layout, image)


def test_a_registry_that_stays_busy(
    fetch: Pull, fake: FakeRegistry, image: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "notice", said.append)
    fake.faults["manifest"] = [faults.status(429, Retry_After="0")] * 9
    with pytest.raises(RegistryError, match="too many requests"):
        fetch(name)
    assert len(fake.paths("/manifests/")) == 5
    # Nobody waits for seconds without a word.
    assert len(said) == 4
    assert all(
        text.endswith("too many requests (HTTP 429); trying again in 0.0 s") for text in said
    )


def test_a_missing_blob(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str
) -> None:
    layout.path(big).unlink()
    with pytest.raises(NotFoundError, match=f"{big}: not found"):
        fetch(name)
    assert is_unseen(store)


def test_redirects_to_another_host_carry_no_secret(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str,
    private_settings: Path,
) -> None:  # fmt: skip
    (private_settings / ".docker").mkdir()
    auths = {"auths": {fake.host: {"username": "me", "password": "secret"}}}
    (private_settings / ".docker" / "config.json").write_text(json.dumps(auths))

    def demand(handler: Handler) -> bool:
        if handler.headers.get("Authorization"):
            return False
        handler.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="fake"'})
        return True

    fake.gate = demand
    with faults.serving(layout) as storage:
        location = f"http://{storage.host}/v2/elsewhere/{big}"
        fake.faults[big] = [faults.status(307, Location=location)]
        fetch(name)
        assert has_all(store, layout, image)
        assert [headers.get("Authorization") for _, headers in storage.requests] == [None]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://me:pw@localhost/", "ftp://x/"])
def test_redirects_that_are_not_followed(
    fetch: Pull, fake: FakeRegistry, image: Any, name: str, target: str
) -> None:
    fake.faults["manifest"] = [faults.status(302, Location=target)]
    with pytest.raises(RegistryError, match="not followed"):
        fetch(name)


def test_redirects_in_a_circle(fetch: Pull, fake: FakeRegistry, image: Any, name: str) -> None:
    fake.faults["manifest"] = [faults.status(302, Location="/v2/team/app/manifests/v1")] * 20
    with pytest.raises(RegistryError, match="more than 10 redirects"):
        fetch(name)


def test_one_failure_ends_the_other_downloads(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, big: str, name: str
) -> None:
    release = threading.Event()
    small = layout.read(fake.tags["v1"])["layers"][0]["digest"]

    def stall(handler: Handler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[:100_000])
        handler.wfile.flush()
        release.wait(20)

    fake.faults[big] = [stall]
    fake.faults[small] = [lambda handler, data: (time.sleep(0.3), handler.answer(403, b"{}"))[1]]
    start = time.monotonic()
    try:
        with pytest.raises(RegistryError, match="access denied"):
            fetch(name)
        assert time.monotonic() - start < 5
    finally:
        release.set()
    assert is_unseen(store)


def test_an_interrupt_ends_the_pull_at_once(
    fetch: Pull, fake: FakeRegistry, store: Paths, big: str, name: str
) -> None:
    release = threading.Event()

    def interrupt(handler: Handler, data: bytes) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(20)

    fake.faults[big] = [interrupt]
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            fetch(name)
        assert time.monotonic() - start < 5
    finally:
        release.set()
    assert is_unseen(store)
    # The registry's own threads end a moment after their connections.
    deadline = time.monotonic() + 10
    while threading.active_count() > 4 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert threading.active_count() <= 4


def in_a_process(store: Paths, name: str) -> int:
    """The pid of a process that pulls `name`; its exit code is 0 when that worked."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            pulls.pull(store, name)
            code = 0
        finally:
            os._exit(code)
    return pid


def test_a_killed_pull_is_continued(
    fetch: Pull, fake: FakeRegistry, store: Paths, told: Recorder, layout: Layout, image: Any,
    big: str, name: str,
) -> None:  # fmt: skip
    sent, release = threading.Event(), threading.Event()

    def stall(handler: Handler, data: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data[: 2 << 20])
        handler.wfile.flush()
        sent.set()
        release.wait(20)

    fake.faults[big] = [stall]
    pid = in_a_process(store, name)
    assert sent.wait(10)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and size_of(partial_of(store, big)) < 2 << 20:
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    release.set()
    fetch(name)
    assert told.resumed[big] == 2 << 20
    assert has_all(store, layout, image)
    sweep_workspaces(store)
    assert list(Path(store.tmp).iterdir()) == []


def sweep_workspaces(store: Paths) -> None:
    """What the next command does about unpacking that was killed; workers end on their own."""
    from rootless.store import layers

    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and list(Path(store.tmp).glob("unpack-*")):
        layers.sweep(store)
        time.sleep(0.02)


def test_two_pulls_at_once_do_the_work_once(
    fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str
) -> None:
    def slow(handler: Handler, data: bytes) -> None:
        time.sleep(0.5)
        handler.content(data)

    fake.faults[big] = [slow]
    codes = [os.waitpid(pid, 0)[1] for pid in [in_a_process(store, name) for _ in range(3)]]
    assert codes == [0, 0, 0]
    assert has_all(store, layout, image)
    assert len(fake.paths(big)) == 1


def test_a_full_disk_leaves_the_store_and_the_bytes_that_came(
    fetch: Pull, fake: FakeRegistry, store: Paths, layout: Layout, image: Any, big: str, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    write = os.pwrite

    def full(fd: int, data: Any, offset: int) -> int:
        if offset > 1 << 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreError, match="No space left") as caught:
            fetch(name)
    assert "df -h" in caught.value.hint
    assert is_unseen(store)
    assert partial_of(store, big).stat().st_size > 0
    fetch(name)
    assert has_all(store, layout, image)


def test_a_configuration_that_lies(
    fetch: Pull, fake: FakeRegistry, layout: Layout, image: Any, name: str
) -> None:
    config = layout.read(image)["config"]["digest"]
    fake.faults[config] = [faults.instead(b"{}")]
    with pytest.raises(ImageError, match="another digest or size"):
        fetch(name)


def test_words_of_a_registry_are_made_printable(
    fetch: Pull, fake: FakeRegistry, image: Any, name: str
) -> None:
    words = json.dumps({"errors": [{"message": "\x1b[2Jfoo\nbar"}]}).encode()
    fake.faults["manifest"] = [lambda handler, data: handler.answer(403, words)]
    with pytest.raises(RegistryError) as caught:
        fetch(name)
    assert caught.value.message.endswith("[2Jfoo bar")
    assert caught.value.message.isprintable()


def test_media_types_of_docker(fetch: Pull, fake: FakeRegistry, layout: Layout, name: str) -> None:
    docker = "application/vnd.docker"
    tar = tar_of({"x": b"1"})
    config = {"architecture": ARCHITECTURE, "os": "linux", "rootfs": {"diff_ids": [digest_of(tar)]}}
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{docker}.distribution.manifest.v2+json",
        "config": layout.document(config, f"{docker}.container.image.v1+json"),
        "layers": [layout.descriptor(gzip.compress(tar), f"{docker}.image.rootfs.diff.tar.gzip")],
    }
    inner = layout.document(manifest, manifest["mediaType"])
    index = {
        "schemaVersion": 2,
        "mediaType": f"{docker}.distribution.manifest.list.v2+json",
        "manifests": [{**inner, "platform": {"os": "linux", "architecture": ARCHITECTURE}}],
    }
    fake.add("v1", layout.document(index, index["mediaType"]))
    assert fetch(name).manifest_digest == inner["digest"]
    assert OCI not in fake.requests[-1][0]


def test_a_host_that_no_name_server_knows(fetch: Pull) -> None:
    with pytest.raises(RegistryError, match="host name cannot be resolved") as caught:
        fetch("nowhere.invalid:5000/x")
    assert caught.value.hint == "getent hosts nowhere.invalid; env | grep -i proxy"
