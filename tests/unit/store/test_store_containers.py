"""Containers on disk: names decided by symlink(2), records, the look for what is left."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from rootless.errors import InUseError, NotFoundError, StoreError
from rootless.store import containers, files
from rootless.store.paths import Paths

ONE, OTHER = "1" * 64, "1" * 8 + "2" * 56


@pytest.fixture
def store(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "store"), str(tmp_path / "run"))


def make(store: Paths, container_id: str, name: str = "") -> None:
    os.makedirs(containers.directory(store, container_id))
    if name:
        containers.claim_name(store, name, container_id)


def test_ids_are_dockers_and_never_the_same() -> None:
    ids = {containers.new_id() for _ in range(50)}
    assert len(ids) == 50
    assert all(len(one) == 64 and int(one, 16) >= 0 for one in ids)


def test_a_name_is_one_containers(store: Paths) -> None:
    make(store, ONE, "web")
    make(store, OTHER)
    with pytest.raises(InUseError, match=f'"web" is in use by container {ONE[:12]}') as caught:
        containers.claim_name(store, "web", OTHER)
    assert (caught.value.exit_code, caught.value.hint) == (125, "rl rm web")
    containers.release_name(store, "web", OTHER)
    assert containers.find(store, "web") == ONE
    containers.release_name(store, "web", ONE)
    containers.claim_name(store, "web", OTHER)
    assert containers.find(store, "web") == OTHER
    containers.release_name(store, "nobodys", ONE)
    containers.release_name(store, "", ONE)


def test_the_name_of_a_container_that_is_gone_is_free(store: Paths) -> None:
    make(store, ONE, "web")
    os.rmdir(containers.directory(store, ONE))
    make(store, OTHER, "web")
    assert containers.find(store, "web") == OTHER


def test_one_of_many_starts_gets_a_stale_name(store: Paths) -> None:
    """Each start is a process; all see the name of a dead container at the same time."""
    make(store, ONE, "web")
    os.rmdir(containers.directory(store, ONE))
    ids = [f"{number:064x}" for number in range(8)]
    children = []
    for container_id in ids:
        os.makedirs(containers.directory(store, container_id))
        pid = os.fork()
        if pid == 0:
            try:
                containers.claim_name(store, "web", container_id)
                os._exit(0)
            except InUseError:
                os._exit(1)
            finally:
                os._exit(2)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    assert sorted(codes) == [0] + [1] * 7
    assert containers.find(store, "web") == ids[codes.index(0)]


def test_find_by_name_id_and_beginning(store: Paths) -> None:
    make(store, ONE, "web")
    make(store, OTHER, ONE[:4])
    assert containers.find(store, ONE) == ONE
    assert containers.find(store, ONE[:9]) == ONE
    assert containers.find(store, ONE[:4]) == OTHER, "a name comes before the beginning of an id"
    with pytest.raises(NotFoundError, match="2 ids begin so"):
        containers.find(store, "111")


@pytest.mark.parametrize("text", ["", "x", ".", "..", "../containers", "web/", "a" * 300, "9"])
def test_find_nothing(store: Paths, text: str) -> None:
    make(store, ONE, "web")
    with pytest.raises(NotFoundError, match="no such container"):
        containers.find(store, text)


def test_find_in_an_empty_store(store: Paths) -> None:
    with pytest.raises(NotFoundError):
        containers.find(store, "web")
    assert containers.all_ids(store) == containers.live_ids(store) == []


def test_records(store: Paths) -> None:
    make(store, ONE)
    with pytest.raises(NotFoundError, match=ONE):
        containers.read_record(store, ONE)
    record = {"id": ONE, "name": "web", "labels": {"ä": "\udcff"}}
    containers.write_record(store, record)
    assert containers.read_record(store, ONE) == record
    assert os.listdir(containers.directory(store, ONE)) == ["container.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\0"])
def test_a_damaged_record_names_the_file_and_the_way_out(store: Paths, text: str) -> None:
    make(store, ONE)
    Path(containers.directory(store, ONE), "container.json").write_text(text)
    with pytest.raises(StoreError, match=r"container\.json: damaged") as caught:
        containers.read_record(store, ONE)
    assert caught.value.hint == f"rl rm -f {ONE}"


def test_state_is_private_and_may_be_missing(store: Paths) -> None:
    assert containers.read_state(store, ONE) == {}
    live = Path(containers.live_directory(store, ONE))
    live.mkdir(parents=True)
    containers.write_state(store, ONE, {"boot": "b"})
    assert containers.read_state(store, ONE) == {"boot": "b"}
    assert (live / "state.json").stat().st_mode & 0o777 == 0o600
    for text in ("", "[]", "{"):
        (live / "state.json").write_text(text)
        assert containers.read_state(store, ONE) == {}


def test_the_live_directory_goes_with_what_is_in_it(store: Paths) -> None:
    live = Path(containers.live_directory(store, ONE))
    (live / "slirp").mkdir(parents=True)
    (live / "slirp/api.sock").touch()
    (live / "lock").touch()
    containers.remove_live_directory(store, ONE)
    containers.remove_live_directory(store, ONE)
    assert not live.exists()


def test_lists_take_nothing_for_a_container_that_is_none(store: Paths) -> None:
    for folder in (store.containers, store.running):
        os.makedirs(f"{folder}/{OTHER}")
        os.makedirs(f"{folder}/{ONE}")
        os.makedirs(f"{folder}/.new-{ONE}")
    assert containers.all_ids(store) == containers.live_ids(store) == [ONE, OTHER]


def test_the_unborn_are_cleared_when_old_and_unlocked(store: Paths) -> None:
    def unborn(letter: str, age: float, pid: int = os.getpid()) -> Path:
        path = Path(store.running, f".new-{letter * 64}-{pid}")
        path.mkdir(parents=True)
        (path / "lock").touch()
        os.utime(path, (time.time() - age,) * 2)
        return path

    young, held, old = unborn("a", 5), unborn("b", 600), unborn("c", 600)
    of_nobody = unborn("e", 5, pid=2**22 + 1)
    without_lock = Path(store.running, ".new-d")
    without_lock.mkdir()
    os.utime(without_lock, (0, 0))
    lock = files.Lock(str(held / "lock"))
    with lock:
        containers.clear_unborn(store)
    assert (young.exists(), held.exists(), old.exists()) == (True, True, False)
    assert not without_lock.exists() and not of_nobody.exists()


def test_the_lock_of_a_container_that_is_gone(store: Paths) -> None:
    with pytest.raises(FileNotFoundError):
        containers.live_lock(store, ONE).acquire()
    os.makedirs(containers.live_directory(store, ONE))
    Path(containers.live_directory(store, ONE), "lock").touch()
    with containers.live_lock(store, ONE):
        assert not containers.live_lock(store, ONE).acquire()


def test_changes_of_a_record_at_the_same_time_all_count(store: Paths) -> None:
    """Each change is a process's; each reads, waits and writes."""
    make(store, ONE)
    containers.write_record(store, {"id": ONE, "log": []})
    children = []
    for number in range(8):
        pid = os.fork()
        if pid == 0:
            try:
                for _ in range(5):
                    with containers.RecordChange(store, ONE) as record:
                        time.sleep(0.001)
                        record["log"].append(number)
            finally:
                os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
    assert sorted(containers.read_record(store, ONE)["log"]) == sorted([*range(8)] * 5)


def test_a_change_that_fails_is_not_written_and_holds_no_lock(store: Paths) -> None:
    make(store, ONE)
    containers.write_record(store, {"id": ONE, "state": "old"})
    with pytest.raises(StoreError, match="no"), containers.RecordChange(store, ONE) as record:
        record["state"] = "new"
        raise StoreError("no")
    containers.update_record(store, ONE, more=1)
    assert containers.read_record(store, ONE) == {"id": ONE, "state": "old", "more": 1}


def test_a_change_of_what_is_not_there(store: Paths) -> None:
    with pytest.raises(NotFoundError):
        containers.update_record(store, ONE, state="new")


def test_volumes_that_others_use_do_not_go_with_a_container(tmp_path: Path) -> None:
    paths = Paths(str(tmp_path / "s"), str(tmp_path / "r"))
    mine, other, damaged = "a" * 64, "b" * 64, "c" * 64
    for one in (mine, other, damaged):
        os.makedirs(containers.directory(paths, one))
    containers.write_record(paths, {"id": mine, "mounted_volumes": ["alone", "shared"]})
    containers.write_record(paths, {"id": other, "mounted_volumes": ["shared"]})
    Path(containers.directory(paths, damaged), "container.json").write_text("[")
    trees = [f"{paths.volumes}/alone", f"{paths.volumes}/shared", containers.directory(paths, mine)]
    assert containers.without_shared(trees) == [trees[0], trees[2]]
    assert containers.without_shared(trees[2:]) == trees[2:]
    assert containers.without_shared([]) == []
