"""After a crash: what nobody looks after is cleared, what somebody looks after is left alone.

Trees are removed in this process: here no file belongs to a subordinate id. The same on real
containers, in their user namespaces, is in tests/user/run.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless import log
from rootless.engine import lifecycle, made, recover, remove
from rootless.errors import InUseError, NotFoundError
from rootless.kernel import proc
from rootless.store import containers
from rootless.store.paths import Paths
from rootless.tools import idmap

ONE = "1" * 64
VOLUME = "2" * 64


@pytest.fixture
def store(tmp_path: Path) -> Paths:
    return Paths(str(tmp_path / "store"), str(tmp_path / "run"))


@pytest.fixture(autouse=True)
def no_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    def call(function: Callable[[], Any]) -> Any:
        return function()

    monkeypatch.setattr(idmap, "call", call)


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    log.install(lambda level, text: lines.append(f"{level}: {text}"), debug=False)
    yield lines
    log.install(lambda level, text: None, debug=False)


def born(store: Paths, *, live: bool = True, **record: Any) -> Path:
    """A container as a start leaves it when it is cut; the record is {} for none."""
    directory = Path(containers.directory(store, ONE))
    directory.mkdir(parents=True)
    (directory / "upper").mkdir()
    Path(store.volumes, VOLUME, "_data").mkdir(parents=True)
    Path(store.volumes, "named", "_data").mkdir(parents=True)
    if live:
        live = Path(containers.live_directory(store, ONE))
        live.mkdir(parents=True)
        (live / "lock").touch()
    containers.claim_name(store, "web", ONE)
    if record:
        containers.write_record(store, {"id": ONE, "name": "web", "volumes": [VOLUME], **record})
    return directory


def is_gone(store: Paths) -> bool:
    left = [containers.directory(store, ONE), f"{store.volumes}/{VOLUME}", f"{store.names}/web"]
    return not any(map(os.path.lexists, left))


def test_a_container_that_was_to_be_removed_goes_with_its_volumes(store: Paths) -> None:
    born(store, status="running", remove=True)
    recover.sweep(store)
    assert is_gone(store)
    assert containers.live_ids(store) == []
    assert Path(store.volumes, "named").exists()


def test_a_look_at_what_is_being_removed_makes_no_lock(store: Paths) -> None:
    """Its owner has unlinked the lock and comes to rmdir(2) next; or was killed before that."""
    live = Path(containers.live_directory(store, ONE))
    live.mkdir(parents=True)
    (live / "not yet removed").touch()
    recover.sweep(store)
    assert [path.name for path in live.iterdir()] == ["not yet removed"]
    (live / "not yet removed").unlink()
    recover.sweep(store)
    assert not live.exists()


def test_a_container_without_a_record_goes(store: Paths) -> None:
    directory = born(store)
    containers.write_state(store, ONE, {"name": "web", "remove": [f"{store.volumes}/{VOLUME}"]})
    recover.sweep(store)
    assert not directory.exists()
    assert is_gone(store)


def test_a_container_that_stays_gets_its_record_put_right(store: Paths) -> None:
    directory = born(store, status="running", remove=False)
    recover.sweep(store)
    record = containers.read_record(store, ONE)
    assert (record["status"], record["exit_code"]) == ("exited", recover.UNKNOWN_EXIT)
    assert record["finished"] > 0
    assert (directory / "upper").exists()
    assert containers.find(store, "web") == ONE
    assert containers.live_ids(store) == []


def test_an_end_that_was_seen_is_not_changed(store: Paths) -> None:
    born(store, status="exited", exit_code=3, remove=False)
    recover.sweep(store)
    assert containers.read_record(store, ONE)["exit_code"] == 3


def test_who_is_looked_after_is_left_alone(store: Paths) -> None:
    born(store, status="running", remove=True)
    with containers.live_lock(store, ONE):
        recover.sweep(store)
    assert containers.live_ids(store) == [ONE]
    assert containers.read_record(store, ONE)["status"] == "running"


@pytest.mark.parametrize(("boot", "ends"), [("this", True), ("another", False)])
def test_processes_of_this_boot_are_killed(store: Paths, boot: str, ends: bool) -> None:
    born(store, status="running", remove=True)
    with subprocess.Popen(["sleep", "60"]) as child:
        state = {
            "boot": proc.boot_id() if boot == "this" else "another",
            "processes": {"init": [child.pid, proc.start_time(child.pid)], "keeper": [0, 0]},
        }
        containers.write_state(store, ONE, state)
        recover.sweep(store)
        assert (proc.start_time(child.pid) == 0) is ends
        child.kill()
    assert is_gone(store)


def test_a_pid_that_is_somebody_elses_by_now_is_spared(store: Paths) -> None:
    born(store, status="running", remove=True)
    with subprocess.Popen(["sleep", "60"]) as child:
        wrong = proc.start_time(child.pid) - 1
        state = {"boot": proc.boot_id(), "processes": {"init": [child.pid, wrong]}}
        containers.write_state(store, ONE, state)
        recover.sweep(store)
        assert child.poll() is None
        child.kill()


def test_what_cannot_be_cleared_is_told_and_the_rest_goes_on(
    store: Paths, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    born(store, status="running", remove=True)

    def fail(trees: list[str]) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(recover, "remove_trees", fail)
    recover.sweep(store)
    assert said == [f"warning: container {ONE[:12]}: could not be cleared: Device or resource busy"]
    lock = containers.live_lock(store, ONE)
    assert lock.acquire(), "the next command has to be able to try again"
    lock.release()


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"status": "running", "host": "here", "remove": False}, "exited"),
        ({"status": "running", "host": "here", "remove": True}, None),
        ({"status": "running", "host": "elsewhere", "remove": True}, "running"),
        ({"status": "exited", "host": "here", "remove": False}, "exited"),
    ],
)
def test_records_after_a_reboot(store: Paths, record: dict[str, Any], expected: str | None) -> None:
    """The runtime directory is gone: only the records still say that something runs."""
    if record["host"] == "here":
        record = {**record, "host": os.uname().nodename}
    born(store, live=False, **record)
    recover.heal_records(store)
    if expected is None:
        assert is_gone(store)
    else:
        assert containers.read_record(store, ONE)["status"] == expected


def test_what_runs_is_not_healed(store: Paths) -> None:
    born(store, status="running", host=os.uname().nodename, remove=True)
    recover.heal_records(store)
    assert containers.read_record(store, ONE)["status"] == "running"


@pytest.mark.parametrize("name", ["..", "../x", "", "a/b", "."])
def test_a_record_cannot_name_other_trees(store: Paths, name: str) -> None:
    trees = containers.trees_of(store, ONE, {"volumes": [name]})
    assert trees == [containers.directory(store, ONE)]


def test_rm(store: Paths) -> None:
    born(store, live=False, status="exited", remove=False)
    assert remove.remove(store, "web", force=False, with_volumes=True) == ONE
    assert is_gone(store)
    assert Path(store.volumes, "named").exists()
    with pytest.raises(NotFoundError, match="no such container: web"):
        remove.remove(store, "web", force=False)


def test_rm_of_a_damaged_container(store: Paths) -> None:
    directory = born(store, live=False)
    (directory / "container.json").write_text("{")
    assert remove.remove(store, ONE[:8], force=False, with_volumes=True) == ONE
    assert not directory.exists()


def test_rm_refuses_what_runs(store: Paths) -> None:
    born(store, status="running", remove=False)
    state = {
        "boot": proc.boot_id(),
        "processes": {"init": [os.getpid(), proc.start_time(os.getpid())]},
    }
    containers.write_state(store, ONE, state)
    refusal = pytest.raises(InUseError, match="container web: is running")
    with containers.live_lock(store, ONE), refusal as caught:
        remove.remove(store, "web", force=False)
    assert (caught.value.hint, caught.value.exit_code) == ("rl rm --force web", 1)
    assert containers.read_record(store, ONE)["status"] == "running"


def test_rm_with_force_kills_and_waits_for_who_looks_after_it(store: Paths) -> None:
    """A child stands for keeper and payload: it has the lock, and is ended by the kill."""
    born(store, status="running", remove=False)
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        containers.live_lock(store, ONE).acquire()
        os.write(write_end, b"locked")
        time.sleep(60)
        os._exit(0)
    os.read(read_end, 6)
    state = {"boot": proc.boot_id(), "processes": {"init": [pid, proc.start_time(pid)]}}
    containers.write_state(store, ONE, state)
    assert remove.remove(store, ONE, force=True, with_volumes=True) == ONE
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    assert is_gone(store)
    assert containers.live_ids(store) == []


def test_rm_that_was_cut_is_brought_to_its_end(store: Paths) -> None:
    """It keeps the volumes, when it was to keep them."""
    directory = born(store, status="exited", removing=[containers.directory(store, ONE)])
    recover.sweep(store)
    assert not directory.exists()
    assert Path(store.volumes, VOLUME).exists()
    assert containers.live_ids(store) == []


def test_rm_waits_for_who_has_the_container_for_a_moment(store: Paths) -> None:
    """As `rl cp` has one that does not run."""
    born(store, live=False, status="exited")
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        lock = containers.claim_live(store, ONE)
        os.write(write_end, b"claimed")
        time.sleep(0.3)
        containers.remove_live_directory(store, ONE)
        os._exit(0 if lock is not None else 1)
    os.read(read_end, 7)
    assert remove.remove(store, ONE, force=False, with_volumes=True) == ONE
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert is_gone(store)


@pytest.mark.parametrize("status", ["running", "restarting"])
def test_what_runs_on_another_host_is_left_alone(
    store: Paths, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """In a home that several hosts share; each has a runtime directory of its own."""
    directory = born(store, live=False, status=status, host="elsewhere.example")
    recover.heal_records(store)
    assert containers.read_record(store, ONE)["status"] == status
    for act in (
        lambda: remove.remove(store, "web", force=True),
        lambda: made.to_start(store, "web"),
        lambda: lifecycle.stop(store, "web"),
        lambda: lifecycle.wait(store, "web"),
        lambda: lifecycle.kill(store, "web", "KILL"),
    ):
        containers.update_record(store, ONE, spec={})
        with pytest.raises(InUseError, match=r"container web: runs on host elsewhere\.example"):
            act()
    assert directory.is_dir()
    monkeypatch.setenv("RL_HOST", "elsewhere.example")
    remove.remove(store, "web", force=True)
    assert not directory.exists()


def test_what_runs_with_another_runtime_directory_is_left_alone(
    store: Paths, tmp_path: Path
) -> None:
    other = Paths(store.root, str(tmp_path / "other"))
    directory = born(store, live=False, status="running", host=proc.host(), runtime=other.running)
    lock = containers.claim_live(other, ONE)
    assert lock is not None
    recover.heal_records(store)
    assert containers.read_record(store, ONE)["status"] == "running"
    with pytest.raises(InUseError, match=f"with --runtime-dir {tmp_path}/other"):
        remove.remove(store, "web", force=True)
    assert directory.is_dir()
    # As after a reboot, when that directory is empty or its lock free.
    lock.release()
    recover.heal_records(store)
    assert containers.read_record(store, ONE)["status"] == "exited"


def test_a_restart_lasts_as_long_as_who_is_to_do_it(store: Paths) -> None:
    me = [proc.boot_id(), os.getpid(), proc.start_time(os.getpid())]
    born(store, live=False, status="restarting", host=proc.host(), restarter=me, exit_code=3)
    recover.heal_records(store)
    assert containers.read_record(store, ONE)["status"] == "restarting"
    with pytest.raises(InUseError, match="is about to be started again"):
        remove.remove(store, "web", force=False)
    containers.update_record(store, ONE, restarter=[*me[:2], 1])
    recover.heal_records(store)
    assert containers.read_record(store, ONE)["status"] == "exited"


def test_an_end_that_only_the_supervisor_has_seen(store: Paths) -> None:
    """It could not write into the record, on a full disk."""
    born(store, status="running")
    containers.write_state(store, ONE, {"exit_code": 7, "finished": 12.5})
    recover.sweep(store)
    record = containers.read_record(store, ONE)
    assert (record["status"], record["exit_code"], record["finished"]) == ("exited", 7, 12.5)


def me() -> list[Any]:
    return [proc.boot_id(), os.getpid(), proc.start_time(os.getpid())]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"status": "running"}, "exited"),
        ({"status": "exited", "exit_code": 3}, "exited"),
        ({"status": "restarting", "restarter": ["other boot", 1, 1]}, "exited"),
    ],
)
def test_a_run_that_nobody_looks_after_is_shown_as_over(
    store: Paths, record: dict[str, Any], expected: str
) -> None:
    born(store, live=False, **record)
    shown = recover.as_it_is(store, containers.read_record(store, ONE))
    assert (shown["status"], shown["exit_code"]) == (expected, record.get("exit_code", 255))


def test_a_restart_that_has_let_go_of_the_last_run_is_shown_as_one(store: Paths) -> None:
    born(store, live=False, status="restarting", exit_code=3, restarter=me())
    shown = recover.as_it_is(store, containers.read_record(store, ONE))
    assert (shown["status"], shown["exit_code"]) == ("restarting", 3)


@pytest.mark.parametrize(
    "next_one",
    [{"status": "exited", "exit_code": 0, "starts": 1}, {"status": "running", "starts": 2}],
    ids=["an end", "another run"],
)
def test_what_comes_between_two_looks_is_believed(
    store: Paths, monkeypatch: pytest.MonkeyPatch, next_one: dict[str, Any]
) -> None:
    born(store, live=False, status="running", starts=1)
    before = containers.read_record(store, ONE)
    containers.update_record(store, ONE, **next_one)
    assert recover.as_it_is(store, before)["status"] == next_one["status"]
    # The same for what is written: the record changes after the first look at it.
    reads = iter([before])
    read = recover.record_or_nothing
    monkeypatch.setattr(
        recover, "record_or_nothing", lambda paths, one: next(reads, None) or read(paths, one)
    )
    recover.heal_records(store)
    assert containers.read_record(store, ONE)["status"] == next_one["status"]
