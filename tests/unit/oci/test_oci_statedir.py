from __future__ import annotations

import os
from pathlib import Path

import pytest

from rootless.errors import BusyError, NotFoundError, UsageError
from rootless.kernel import proc
from rootless.oci import statedir
from rootless.oci.statedir import Record


def record_of(root: Path, pid: int, *, made: bool = True) -> Record:
    record = Record(str(root), "one")
    record.status = {
        "ociVersion": "1.3.0", "bundle": "/b", "annotations": {"a": "b"}, "made": made,
        "pid": pid, "started": proc.start_time(pid), "boot": proc.boot_id(),
        "creator": os.getpid(), "creator_started": proc.start_time(os.getpid()),
    }  # fmt: skip
    return record


@pytest.mark.parametrize("name", ["a", "job.1.user.0", "A-b_c+d", "..x"])
def test_ids_that_are_taken(name: str) -> None:
    assert statedir.check_id(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "ä", ",a", "a\n", "x" * 1025])
def test_ids_that_are_refused(name: str) -> None:
    with pytest.raises(UsageError):
        statedir.check_id(name)


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    record_of(root, 1).claim()
    with pytest.raises(BusyError, match="already exists"):
        record_of(root, 1).claim()
    assert statedir.all_ids(str(root)) == ["one"] == os.listdir(root)
    record_of(root, 1).remove()
    assert os.listdir(root) == []


def test_states(tmp_path: Path) -> None:
    root = tmp_path / "root"
    record = record_of(root, os.getpid(), made=False)
    record.claim()
    assert record.state == statedir.CREATING
    record.status["made"] = True
    record.save()
    Path(record.socket).touch()
    assert Record(str(root), "one").load().state == statedir.CREATED
    os.unlink(record.socket)
    assert record.state == statedir.RUNNING
    assert record.document()["pid"] == os.getpid()


def test_a_process_that_only_has_the_number_is_not_taken_for_it(tmp_path: Path) -> None:
    record = record_of(tmp_path, os.getpid())
    record.status["started"] += 1
    assert record.state == statedir.STOPPED and record.document()["pid"] == 0
    record = record_of(tmp_path, os.getpid())
    record.status["boot"] = "another"
    assert record.pid == 0


def test_the_state_is_what_the_specification_says(tmp_path: Path) -> None:
    assert record_of(tmp_path, os.getpid()).document("created") == {
        "ociVersion": "1.3.0", "id": "one", "status": "created", "pid": os.getpid(),
        "bundle": "/b", "annotations": {"a": "b"},
    }  # fmt: skip


def test_a_maker_that_was_killed_early_leaves_nothing_for_ever(tmp_path: Path) -> None:
    (tmp_path / ",one,4194305").mkdir()
    (tmp_path / f",one,{os.getpid()}").mkdir()
    (tmp_path / ",oneself,4194305").mkdir()
    assert statedir.all_ids(str(tmp_path)) == []
    with pytest.raises(NotFoundError, match="container one does not exist"):
        Record(str(tmp_path), "one").load()
    Record(str(tmp_path), "one").remove()
    assert sorted(os.listdir(tmp_path)) == sorted([f",one,{os.getpid()}", ",oneself,4194305"])


def test_the_root_follows_from_the_environment_or_the_uid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert statedir.default_root() == f"{tmp_path}/rl-oci"
    monkeypatch.setenv("XDG_RUNTIME_DIR", f"{tmp_path}/missing")
    monkeypatch.setenv("RL_RUNTIME_DIR", f"{tmp_path}/own")
    if os.geteuid() != 0:
        assert statedir.default_root() == f"{tmp_path}/own/oci"
