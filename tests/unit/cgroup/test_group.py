"""The files and directories of one group.

Plain files stand in for cgroupfs. They show what is read and written where, and what is made of it;
that the kernel freezes, kills and moves processes then, and wakes who polls, is for tests/system.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rootless.cgroup import group as groups
from rootless.cgroup.group import Group
from rootless.errors import EXIT_ENGINE, HostError
from rootless.runtime import namespaces


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """A group with all that is below it, and no file in any of them."""
    (tmp_path / "top").mkdir()
    made = Group(f"{tmp_path}/top")
    made.make()
    return made


def put(directory: str, **files: str) -> None:
    """cgroup_procs="…" is written to cgroup.procs."""
    for name, text in files.items():
        Path(directory, name.replace("_", ".", 1)).write_text(text)


def text_of(path: str) -> str:
    return Path(path).read_text()


def test_nothing_is_made_before_it_is_asked_for(tmp_path: Path) -> None:
    group = Group(f"{tmp_path}/top")
    assert (group.payload, group.helpers) == (f"{tmp_path}/top/payload", f"{tmp_path}/top/helpers")
    assert group.container == f"{tmp_path}/top/payload/container"
    assert os.listdir(tmp_path) == []


def test_make(group: Group) -> None:
    assert sorted(os.listdir(group.top)) == ["helpers", "payload"]
    assert os.listdir(group.payload) == ["container"]
    group.make()
    for path in (group.payload, group.container, group.helpers):
        assert os.stat(path).st_mode & 0o777 == 0o755 & ~current_mask()


def current_mask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_make_needs_the_group(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Group(f"{tmp_path}/no-such").make()


def test_the_namespace_begins_below_the_group_that_limits(group: Group) -> None:
    """Where a process is when its cgroup namespace is made is all that it can ever write to."""
    for path in (group.top, group.payload, group.container):
        put(path, cgroup_procs="")
    request: Any = {"cgroup": {"top": group.top, "container": group.container, "leave": False}}
    namespaces.enter_cgroup(request)
    assert os.path.dirname(group.container) == group.payload
    assert text_of(f"{group.container}/cgroup.procs") == "0"
    assert text_of(f"{group.payload}/cgroup.procs") == text_of(f"{group.top}/cgroup.procs") == ""


def test_delegate_passes_on_all_there_is(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the top down: the payload's group has only what has been passed on to it."""
    put(group.top, cgroup_controllers="cpu memory pids\n", cgroup_subtree_control="")
    put(group.payload, cgroup_controllers="\n", cgroup_subtree_control="")
    write = groups.write

    def arrive(path: str, text: str) -> None:
        write(path, text)
        if path == f"{group.top}/cgroup.subtree_control":
            put(group.payload, cgroup_controllers="memory pids\n")

    monkeypatch.setattr(groups, "write", arrive)
    group.delegate()
    assert text_of(f"{group.top}/cgroup.subtree_control") == "+cpu +memory +pids"
    assert text_of(f"{group.payload}/cgroup.subtree_control") == "+memory +pids"


def test_delegate_without_controllers_writes_nothing(group: Group) -> None:
    """Nothing could be written here: the files are missing."""
    for path in (group.top, group.payload):
        put(path, cgroup_controllers="\n")
    group.delegate()
    for path in (group.top, group.payload):
        assert not os.path.exists(f"{path}/cgroup.subtree_control")


def test_controllers_are_those_of_the_payload(group: Group) -> None:
    put(group.top, cgroup_controllers="cpu memory\n")
    put(group.payload, cgroup_controllers="memory\n")
    assert group.controllers() == ["memory"]
    os.unlink(f"{group.payload}/cgroup.controllers")
    with pytest.raises(FileNotFoundError):
        group.controllers()


@pytest.mark.parametrize("frozen", [True, False])
def test_freeze_asks_the_payload(group: Group, frozen: bool) -> None:
    put(group.payload, cgroup_freeze="", cgroup_events=f"populated 1\nfrozen {int(frozen)}\n")
    assert group.freeze(frozen=frozen, seconds=0)
    assert text_of(f"{group.payload}/cgroup.freeze") == str(int(frozen))


def test_freeze_gives_up(group: Group) -> None:
    put(group.payload, cgroup_freeze="0", cgroup_events="populated 1\nfrozen 0\n")
    before = os.listdir("/proc/self/fd")
    assert not group.freeze(frozen=True, seconds=0.01)
    assert os.listdir("/proc/self/fd") == before
    assert text_of(f"{group.payload}/cgroup.freeze") == "1"


def test_freeze_looks_again_after_a_change(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    events = Path(group.payload, "cgroup.events")
    put(group.payload, cgroup_freeze="0", cgroup_events="populated 1\nfrozen 0\n")
    waits: list[int] = []

    def wait(fds: Sequence[int], timeout_ms: int, *, changed: Sequence[int]) -> list[int]:
        waits.append(timeout_ms)
        assert not fds and os.path.samestat(os.fstat(changed[0]), events.stat())
        if len(waits) == 2:
            events.write_text("populated 1\nfrozen 1\n")
        return list(changed)

    monkeypatch.setattr(groups, "wait_readable", wait)
    assert group.freeze(frozen=True, seconds=60)
    assert len(waits) == 2 and all(59_000 < each <= 60_001 for each in waits)


def test_freeze_of_a_group_that_is_gone(group: Group) -> None:
    with pytest.raises(FileNotFoundError):
        group.freeze(frozen=True, seconds=0)


def test_kill(group: Group) -> None:
    put(group.payload, cgroup_kill="")
    assert group.kill()
    assert text_of(f"{group.payload}/cgroup.kill") == "1"


def test_kill_on_an_old_kernel(group: Group) -> None:
    assert not group.kill()
    assert not os.path.exists(f"{group.payload}/cgroup.kill")


def test_kill_when_nobody_is_left(group: Group) -> None:
    os.rmdir(group.container)
    os.rmdir(group.payload)
    assert group.kill()


def test_remove_takes_what_the_container_made_too(group: Group) -> None:
    os.makedirs(f"{group.container}/a/b/c")
    os.makedirs(f"{group.container}/d")
    assert group.remove()
    assert not os.path.exists(group.top)
    assert group.remove()


def test_remove_goes_deeper_than_a_path_can(group: Group) -> None:
    """And needs no descriptor for each step."""
    fd = os.open(group.container, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("n" * 20, dir_fd=fd)
        below = os.open("n" * 20, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    assert group.remove()
    assert not os.path.exists(group.top)


def test_clear_leaves_the_groups_that_we_made(group: Group) -> None:
    os.makedirs(f"{group.container}/a/b")
    os.makedirs(f"{group.container}/c")
    for path in (group.payload, group.container):
        put(path, memory_max="max")
    group.clear()
    assert os.listdir(group.container) == ["memory.max"]
    assert sorted(os.listdir(group.payload)) == ["container", "memory.max"]
    assert sorted(os.listdir(group.top)) == ["helpers", "payload"]


@pytest.mark.parametrize("number", [errno.EBUSY, errno.ENOTEMPTY])
@pytest.mark.parametrize(("used", "left"), [("payload", []), ("container", ["container"])])
def test_remove_leaves_what_is_in_use(
    group: Group, monkeypatch: pytest.MonkeyPatch, number: int, used: str, left: list[str]
) -> None:
    refuse(monkeypatch, getattr(group, used), number)
    assert not group.remove()
    assert os.listdir(group.top) == ["payload"]
    assert os.listdir(group.payload) == left


def refuse(monkeypatch: pytest.MonkeyPatch, path: str, number: int) -> None:
    """rmdir(2) of `path` fails with the error `number`."""
    rmdir = os.rmdir

    def fail(one: str) -> None:
        if one == path:
            raise OSError(number, os.strerror(number), one)
        rmdir(one)

    monkeypatch.setattr(os, "rmdir", fail)


def test_remove_tells_of_any_other_failure(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, group.helpers, errno.EACCES)
    with pytest.raises(PermissionError):
        group.remove()


def test_write_is_one_call_and_leaves_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(str(tmp_path), cpu_max="")
    calls: list[tuple[int, bytes]] = []
    write = os.write

    def note(fd: int, data: bytes) -> int:
        calls.append((fd, data))
        return write(fd, data)

    monkeypatch.setattr(os, "write", note)
    groups.write(f"{tmp_path}/cpu.max", "50000 100000")
    assert [data for _, data in calls] == [b"50000 100000"]
    with pytest.raises(OSError):
        os.fstat(calls[0][0])


def test_write_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        groups.write(f"{tmp_path}/memory.max", "1")
    assert os.listdir(tmp_path) == []


def test_enter(tmp_path: Path) -> None:
    put(str(tmp_path), cgroup_procs="")
    groups.enter(str(tmp_path), 42)
    assert text_of(f"{tmp_path}/cgroup.procs") == "42"
    put(str(tmp_path), cgroup_procs="")
    groups.enter(str(tmp_path))
    assert text_of(f"{tmp_path}/cgroup.procs") == "0"


def test_enter_fails_with_the_engines_code(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        groups.enter(f"{tmp_path}/x", 42)
    message = f"cgroup {tmp_path}/x: cannot be entered: No such file or directory"
    assert (caught.value.message, caught.value.exit_code) == (message, EXIT_ENGINE)


def test_pids_of_a_group_and_all_below(group: Group) -> None:
    os.makedirs(f"{group.container}/a/b")
    os.makedirs(f"{group.container}/threaded")
    put(group.payload, cgroup_procs="")
    put(group.container, cgroup_procs="10\n11\n")
    put(f"{group.container}/a", cgroup_procs="")
    put(f"{group.container}/a/b", cgroup_procs="12\n")
    put(group.helpers, cgroup_procs="99\n")
    assert groups.pids(group.payload) == [10, 11, 12]
    assert groups.pids(f"{group.payload}/gone") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("populated 1\nfrozen 0\n", {"populated": 1, "frozen": 0}),
        ("max 3\nnot numbers\nmemory.max max\nthree of them\n\nminus -1\n", {"max": 3}),
        ("", {}),
    ],
)
def test_numbers(text: str, expected: dict[str, int]) -> None:
    assert groups.numbers(text) == expected
