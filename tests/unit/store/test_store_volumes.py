"""Volumes: made when first used, filled while empty, removed by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rootless.errors import NotFoundError, StoreError
from rootless.store import volumes
from rootless.store.paths import Paths


@pytest.fixture
def store(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "store"), str(tmp_path / "run"))


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_a_volume_is_to_be_filled_as_long_as_it_is_empty(store: Paths) -> None:
    assert volumes.names(store) == []
    assert volumes.ensure(store, "b1")
    assert volumes.ensure(store, "b1")
    Path(volumes.data_path(store, "b1"), "file").touch()
    assert not volumes.ensure(store, "b1")
    volumes.ensure(store, "a1")
    assert volumes.names(store) == ["a1", "b1"]


@pytest.mark.usefixtures("strict_umask")
def test_every_user_of_a_container_can_search_it_and_no_other_of_the_host(store: Paths) -> None:
    volumes.ensure(store, "vol")
    modes = {
        path: os.stat(path).st_mode & 0o777
        for path in (
            store.root,
            store.volumes,
            f"{store.volumes}/vol",
            volumes.data_path(store, "vol"),
        )
    }
    assert list(modes.values()) == [0o700, 0o700, 0o700, 0o755]


def test_a_volume_that_a_container_has_closed_is_not_empty(store: Paths) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may list every directory: needs a normal user")
    volumes.ensure(store, "vol")
    os.chmod(volumes.data_path(store, "vol"), 0)
    assert not volumes.ensure(store, "vol")
    os.chmod(volumes.data_path(store, "vol"), 0o700)


def test_remove(store: Paths) -> None:
    volumes.ensure(store, "vol")
    Path(volumes.data_path(store, "vol"), "folder").mkdir()
    volumes.remove(store, "vol")
    assert volumes.names(store) == []
    for name in ("vol", "../volumes", "..", "never"):
        with pytest.raises(NotFoundError, match=f"no such volume: {name}"):
            volumes.remove(store, name)


def test_a_place_that_cannot_be_written(store: Paths) -> None:
    Path(store.root).parent.mkdir(exist_ok=True)
    Path(store.root).write_text("a file where the store should be")
    with pytest.raises(StoreError, match=store.root):
        volumes.ensure(store, "vol")
