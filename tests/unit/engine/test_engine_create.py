"""A container's place: claimed as a whole, filled, and taken back without a trace."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.engine import create, request
from rootless.errors import BusyError, InUseError
from rootless.model import names
from rootless.store import containers, files
from rootless.store.paths import Paths
from tests.unit.engine.plans import CONTAINER_ID, network, plan_of, spec_of

OTHER = "f" * 64


@pytest.fixture
def store(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "store"), str(tmp_path / "run"))


@pytest.fixture
def strict_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def everything(folder: str) -> list[str]:
    """Files and links below `folder`; directories are not counted."""
    return sorted(
        os.path.join(where, name) for where, _, names in os.walk(folder) for name in names
    )


def claimed(store: Paths, name: str = "") -> create.Place:
    place = create.Place(store, CONTAINER_ID)
    place.claim(name)
    return place


def record() -> dict[str, str]:
    return {"id": CONTAINER_ID, "name": "web"}


def test_nobody_sees_a_container_without_its_lock(
    store: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The live directory appears by one rename(2), with the lock already held."""
    real, seen = os.rename, []

    def rename(source: str, target: str) -> None:
        real(source, target)
        if target == containers.live_directory(store, CONTAINER_ID):
            seen.append(files.Lock(f"{target}/lock", blocking=False).acquire())

    monkeypatch.setattr(os, "rename", rename)
    place = claimed(store)
    assert seen == [False]
    assert containers.live_ids(store) == [CONTAINER_ID]
    place.forget()
    assert containers.live_ids(store) == []


def test_a_free_name_is_found_when_the_first_idea_is_taken(store: Paths) -> None:
    os.makedirs(containers.directory(store, OTHER))
    first_idea = names.pick(bytes.fromhex(CONTAINER_ID[:8]))
    containers.claim_name(store, first_idea, OTHER)
    place = claimed(store)
    assert place.name not in ("", first_idea)
    assert containers.find(store, place.name) == CONTAINER_ID


def test_when_every_idea_is_taken_the_id_is_the_name(store: Paths) -> None:
    os.makedirs(containers.directory(store, OTHER))
    for start in range(0, 64, 8):
        name = names.pick(bytes.fromhex(CONTAINER_ID[start : start + 8]))
        if not os.path.lexists(f"{store.names}/{name}"):
            containers.claim_name(store, name, OTHER)
    assert claimed(store).name == CONTAINER_ID


def test_a_wished_name_that_is_taken_leaves_nothing(store: Paths) -> None:
    os.makedirs(containers.directory(store, OTHER))
    containers.claim_name(store, "web", OTHER)
    place = create.Place(store, CONTAINER_ID)
    with pytest.raises(InUseError):
        place.claim("web")
    place.discard()
    assert containers.all_ids(store) == [OTHER]
    assert containers.live_ids(store) == []
    assert containers.find(store, "web") == OTHER


@pytest.mark.usefixtures("strict_umask")
def test_files_and_layers(store: Paths) -> None:
    place = claimed(store, "web")
    made = plan_of("-v", "named:/data", "-v", "/anonymous")
    place.keep(made, record())
    copy_up = place.fill(made)
    folder = Path(place.directory)
    assert json.loads((folder / "container.json").read_text()) == {
        **record(),
        "runtime": store.running,
    }
    for name in ("hostname", "hosts", "resolv.conf"):
        assert (folder / name).read_text() == made.files[name]
        assert (folder / name).stat().st_mode & 0o777 == 0o644, "any user of the container reads it"
    assert [os.readlink(folder / "l" / number) for number in ("0", "1")] == made.image.layers
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in ("upper", "work", "merged")}
    assert modes == {"upper": 0o755, "work": 0o700, "merged": 0o700}
    assert copy_up == [(use.path, use.target) for use in made.volumes]


def test_volumes_that_are_not_filled(store: Paths) -> None:
    place = claimed(store, "web")
    os.makedirs(f"{store.volumes}/used/_data/x")
    assert place.fill(plan_of("-v", "used:/u", "-v", "new:/n:nocopy")) == []


def test_discard_takes_everything_back_but_what_others_may_use(store: Paths) -> None:
    os.makedirs(f"{store.volumes}/before/_data")
    Path(store.volumes, "before/_data/precious").touch()
    place = claimed(store, "web")
    made = plan_of("-v", "before:/b", "-v", "named:/n", "-v", "/anonymous")
    record_of_it = request.record_of(spec_of(), made, None, network=network("none"))
    place.keep(made, {**record_of_it, "id": CONTAINER_ID})
    place.fill(made)
    assert len(os.listdir(store.volumes)) == 3, "the anonymous one was there to be taken back"
    place.discard()
    left = [path for path in everything(store.root) if not path.startswith(store.locks)]
    assert left == [f"{store.volumes}/before/_data/precious"]
    assert sorted(os.listdir(store.volumes)) == ["before", "named"]
    assert everything(store.running) == []
    assert place.lock.fd == -1


def test_discard_before_anything_was_made(store: Paths) -> None:
    create.Place(store, CONTAINER_ID).discard()
    assert everything(store.root) == []


def started_again(store: Paths, before: dict[str, Any]) -> create.Place:
    place = create.Place(store, CONTAINER_ID, before)
    place.claim("")
    return place


def once_made(store: Paths, **fields: Any) -> dict[str, Any]:
    os.makedirs(containers.directory(store, CONTAINER_ID))
    before = {**record(), "status": "exited", "stop_requested": False, **fields}
    containers.write_record(store, before)
    return before


def test_who_comes_second_to_start_a_container_takes_nothing_from_the_first(store: Paths) -> None:
    before = once_made(store)
    first = started_again(store, before)
    second = create.Place(store, CONTAINER_ID, before)
    with pytest.raises(BusyError):
        second.claim("")
    second.discard()
    assert containers.is_held(store.running, CONTAINER_ID)
    first.forget()
    assert everything(store.running) == []


def test_a_start_keeps_what_others_have_changed_meanwhile(store: Paths) -> None:
    before = once_made(store, resources={})
    place = started_again(store, before)
    containers.update_record(store, CONTAINER_ID, name="other", resources={"pids": {"limit": 5}})
    place.write(plan_of(), {**before, "status": "running", "exit_code": None})
    now = containers.read_record(store, CONTAINER_ID)
    assert (now["name"], now["resources"]) == ("other", {"pids": {"limit": 5}})
    assert (now["status"], place.name, place.record["name"]) == ("running", "other", "other")
    place.discard()
    assert containers.read_record(store, CONTAINER_ID)["status"] == "exited"
    assert containers.read_record(store, CONTAINER_ID)["name"] == "other"


def test_a_stop_that_comes_during_a_start_wins(store: Paths) -> None:
    before = once_made(store, status="restarting")
    place = started_again(store, before)
    containers.update_record(store, CONTAINER_ID, stop_requested=True)
    with pytest.raises(InUseError, match="was stopped"):
        place.write(plan_of(), {**before, "status": "running"})
    place.discard()
    now = containers.read_record(store, CONTAINER_ID)
    assert (now["status"], now["stop_requested"]) == ("restarting", True)
    assert everything(store.running) == []
