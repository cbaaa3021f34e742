"""Registries, layouts and a pull that talks to them; nothing outside the test is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rootless.image import http
from rootless.image.progress import Silent
from rootless.image.pull import PulledImage, pull
from rootless.store import blobs, index, layers
from rootless.store.paths import Paths
from tests.user.registry.fake_registry import FakeRegistry, serving
from tests.user.registry.oci_layout import Layout
from tests.user.registry.secure_registry import SecureRegistry


class Recorder(Silent):
    """What a pull told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.resumed: dict[str, int] = {}
        self.outcomes: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def begin(self, digest: str, total: int, have: int) -> None:
        self.resumed[digest] = have

    def finish(self, digest: str, outcome: str) -> None:
        self.outcomes.append(outcome)


Pull = Callable[..., PulledImage]


@pytest.fixture(autouse=True)
def private_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own: no auth file, configuration or proxy of the machine has a say."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "RL_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    return home


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries are tested for what they do, not for how long they wait."""
    monkeypatch.setattr(http, "backoff", lambda number: 0.01)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def fake(layout: Layout) -> Iterator[FakeRegistry]:
    with serving(layout) as server:
        yield server


@pytest.fixture
def told() -> Recorder:
    return Recorder()


@pytest.fixture
def fetch(store: Paths, told: Recorder) -> Pull:
    """`pull` into the test's store."""
    return lambda text, **options: pull(store, text, progress=told, **options)


def content_of(store: Paths, diff_id: str, name: str) -> bytes:
    return (Path(store.layer_diff(diff_id)) / name).read_bytes()


def is_unseen(store: Paths) -> bool:
    """Whether no image has a name, and no layer is there but the small one of `image`.

    Layers that were complete before another one failed may stay: the next pull needs them.
    """
    trees = [Path(store.layers) / name / "diff" for name in os.listdir(store.layers)]
    return index.entries(store) == [] and not any((tree / "big").exists() for tree in trees)


def has_all(store: Paths, layout: Layout, descriptor: dict[str, str]) -> bool:
    """Whether every blob and layer of the image is in the store."""
    manifest = layout.read(descriptor)
    config = layout.read(manifest["config"])
    parts = [descriptor, manifest["config"], *manifest["layers"]]
    return all(blobs.has(store, part["digest"], part["size"]) for part in parts) and all(
        layers.has(store, diff_id) for diff_id in config["rootfs"]["diff_ids"]
    )


@pytest.fixture
def settings(private_settings: Path) -> Callable[[str], None]:
    """Write the user's registries.toml."""

    def write(text: str) -> None:
        folder = private_settings / ".config" / "rl"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "registries.toml").write_text(text)

    return write


@pytest.fixture(scope="session")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRegistry]:
    server = SecureRegistry(tmp_path_factory.mktemp("secure"))
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.process.kill()
        server.process.wait()
