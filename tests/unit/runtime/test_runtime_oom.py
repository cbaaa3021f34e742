"""What an OOM kill leaves in a group's files, and who is named as its victim.

Plain files stand in for cgroupfs, and real processes of the test for the container's. They show how
counters and /proc are read; that the kernel counts like this, in this order, and wakes who polls
is for tests/system.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rootless.runtime import oom
from rootless.runtime.oom import OomWatch

if TYPE_CHECKING:
    from rootless.runtime.oom import OomKill

MIB = 1 << 20
# The kernel's count of resident pages is some 64 pages for each CPU behind: it must not matter.
SIZE = 48 * MIB
HOG = f"import time; size = b'x' * {SIZE}; print(flush=True); time.sleep(60)"


class Payload:
    """The group `slice`/`top`/`payload`, each with a memory controller of its own."""

    def __init__(self, folder: Path) -> None:
        self.slice = folder / "slice"
        self.top = self.slice / "top"
        self.path = self.top / "payload"
        self.path.mkdir(parents=True)
        for directory in (self.slice, self.top, self.path):
            (directory / "memory.max").write_text("max\n")
            self.count_oom(directory, 0)
        self.count_kills(0)
        self.hold()

    def count_kills(self, count: int, *, oom: int = 0) -> None:
        """oom: how often a limit of the payload's group, or of one below it, was reached."""
        events = f"low 0\nhigh 0\nmax {count}\noom {oom}\noom_kill {count}\n"
        (self.path / "memory.events").write_text(events)

    def count_oom(self, directory: Path, count: int) -> None:
        (directory / "memory.events.local").write_text(f"low 0\nmax 9\noom {count}\noom_kill 0\n")

    def hold(self, *pids: int) -> None:
        (self.path / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    return Payload(tmp_path)


@pytest.fixture
def watch(payload: Payload, monkeypatch: pytest.MonkeyPatch) -> Iterator[OomWatch]:
    monkeypatch.setattr(oom, "_LOOK_EVERY", 0)
    made = OomWatch(str(payload.path), str(payload.path))
    yield made
    os.close(made.fd)


@pytest.fixture
def child() -> Iterator[Callable[[], int]]:
    """Starts a process that has `SIZE` bytes of memory, and waits."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        process = subprocess.Popen([sys.executable, "-ISc", HOG], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.communicate()


def kill(pid: int) -> None:
    """End `pid`, which stays a zombie or goes."""
    os.kill(pid, 9)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def looked(watch: OomWatch) -> OomKill:
    found = watch.look()
    assert found is not None
    return found


def test_without_a_memory_controller_there_is_nothing_to_watch(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        OomWatch(str(tmp_path), str(tmp_path))


def test_the_descriptor_does_not_get_into_the_container(watch: OomWatch) -> None:
    assert not os.get_inheritable(watch.fd)


def test_a_touched_limit_is_no_kill(payload: Payload, watch: OomWatch) -> None:
    assert watch.look() is None
    (payload.path / "memory.events").write_text("max 100\noom 3\noom_kill 0\n")
    assert watch.look() is None


def test_kills_from_before_are_not_told(payload: Payload) -> None:
    payload.count_kills(3)
    watch = OomWatch(str(payload.path), str(payload.path))
    try:
        assert watch.look() is None
        payload.count_kills(5)
        assert looked(watch)["count"] == 2
        assert watch.look() is None
    finally:
        os.close(watch.fd)


def test_a_kill_that_nobody_was_seen_at(payload: Payload, watch: OomWatch) -> None:
    before = time.time()
    payload.count_kills(1)
    found = looked(watch)
    assert before <= found.pop("at") <= time.time()  # type: ignore[misc]
    assert found == {
        "count": 1, "pid": 0, "command": "", "rss": 0, "limit_of": "", "limit": 0,
    }  # fmt: skip


def test_the_victim_is_who_was_there_and_is_gone(
    payload: Payload, watch: OomWatch, child: Callable[[], int]
) -> None:
    pid = child()
    name = name_of(pid)
    payload.hold(os.getpid(), pid)
    assert watch.look() is None
    kill(pid)
    payload.hold(os.getpid())
    payload.count_kills(1)
    found = looked(watch)
    assert (found["pid"], found["command"]) == (pid, name)
    assert SIZE * 0.9 < found["rss"] < SIZE * 2


def test_the_victim_is_who_is_dying(
    payload: Payload, watch: OomWatch, child: Callable[[], int]
) -> None:
    """Nobody was seen before, and the kill is not over yet."""
    pid = child()
    kill(pid)
    payload.hold(os.getpid(), pid)
    payload.count_kills(1)
    assert looked(watch)["pid"] == pid


def test_a_kill_while_they_are_noted(
    payload: Payload, watch: OomWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {1: ("stays", 10), 2: ("killed", 30)}
    monkeypatch.setattr(oom, "_processes", lambda path: dict(there))
    monkeypatch.setattr(oom, "_is_dying", lambda pid: False)
    assert watch.look() is None

    def while_killed(path: str) -> dict[int, tuple[str, int]]:
        there.pop(2, None)
        payload.count_kills(1)
        return dict(there)

    monkeypatch.setattr(oom, "_processes", while_killed)
    assert looked(watch)["command"] == "killed"
    # Nor is it named once more for the next one.
    del there[1]
    payload.count_kills(2)
    monkeypatch.setattr(oom, "_processes", lambda path: dict(there))
    assert looked(watch)["command"] == "stays"


def test_the_victim_is_the_largest_of_them(
    payload: Payload, watch: OomWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {1: ("small", 10), 2: ("large", 30), 3: ("stays", 90), 4: ("middle", 20)}
    monkeypatch.setattr(oom, "_processes", lambda path: dict(there))
    monkeypatch.setattr(oom, "_is_dying", lambda pid: False)
    assert watch.look() is None
    for pid in (1, 2, 4):
        del there[pid]
    payload.count_kills(2)
    found = looked(watch)
    assert (found["count"], found["pid"], found["command"], found["rss"]) == (2, 2, "large", 30)


def test_a_victim_is_named_once(
    payload: Payload, watch: OomWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {1: ("large", 30), 2: ("small", 10)}
    monkeypatch.setattr(oom, "_processes", lambda path: dict(there))
    monkeypatch.setattr(oom, "_is_dying", lambda pid: False)
    assert watch.look() is None
    victims = []
    for count, pid in enumerate((1, 2), start=1):
        del there[pid]
        payload.count_kills(count)
        victims.append(looked(watch)["pid"])
    assert victims == [1, 2]


def test_a_victim_has_the_size_from_before_its_end(
    payload: Payload, watch: OomWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {1: ("hog", 50 * MIB)}
    monkeypatch.setattr(oom, "_processes", lambda path: dict(there))
    monkeypatch.setattr(oom, "_is_dying", lambda pid: True)
    assert watch.look() is None
    there[1] = ("hog", 0)
    payload.count_kills(1)
    assert looked(watch)["rss"] == 50 * MIB


def test_a_busy_group_is_not_searched_each_time(
    payload: Payload, watch: OomWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    monkeypatch.setattr(oom, "_LOOK_EVERY", 3600)

    def search(path: str) -> dict[int, tuple[str, int]]:
        searched.append(path)
        return {}

    monkeypatch.setattr(oom, "_processes", search)
    for _ in range(5):
        assert watch.look() is None
    assert searched == [str(payload.path)]


def test_whose_limit_it_was(payload: Payload, watch: OomWatch) -> None:
    (payload.path / "memory.max").write_text("1048576\n")
    (payload.slice / "memory.max").write_text("2097152\n")
    payload.count_oom(payload.path, 1)
    payload.count_kills(1)
    found = looked(watch)
    assert (found["limit_of"], found["limit"]) == (str(payload.path), MIB)
    payload.count_oom(payload.slice, 4)
    payload.count_kills(2)
    found = looked(watch)
    assert (found["limit_of"], found["limit"]) == (str(payload.slice), 2 * MIB)
    payload.count_kills(3)
    found = looked(watch)
    assert (found["limit_of"], found["limit"]) == ("", 0)


def test_a_limit_below_the_payloads_own_group(payload: Payload, watch: OomWatch) -> None:
    payload.count_kills(1, oom=1)
    assert looked(watch)["limit_of"] == f"{payload.path}/*"
    payload.count_oom(payload.path, 1)
    payload.count_kills(2, oom=2)
    assert looked(watch)["limit_of"] == str(payload.path)


def test_the_nearest_limit_is_named(payload: Payload, watch: OomWatch) -> None:
    for directory in (payload.slice, payload.top):
        payload.count_oom(directory, 1)
    payload.count_kills(1)
    assert looked(watch)["limit_of"] == str(payload.top)


def test_a_limit_that_was_lifted_meanwhile(payload: Payload, watch: OomWatch) -> None:
    payload.count_oom(payload.path, 1)
    payload.count_kills(1)
    found = looked(watch)
    assert (found["limit_of"], found["limit"]) == (str(payload.path), 0)
    os.unlink(payload.path / "memory.max")
    payload.count_oom(payload.path, 2)
    payload.count_kills(2)
    assert looked(watch)["limit"] == 0


def test_an_end_before_the_kill_counts_for_the_kill(payload: Payload, watch: OomWatch) -> None:
    """The kernel counts "oom" first, and who polls may look in between."""
    payload.count_oom(payload.path, 1)
    assert watch.look() is None
    payload.count_kills(1)
    assert looked(watch)["limit_of"] == str(payload.path)


def test_a_group_that_is_gone(watch: OomWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading on in a removed group gives ENODEV."""

    def gone(*arguments: Any) -> bytes:
        raise OSError(19, os.strerror(19))

    monkeypatch.setattr(os, "pread", gone)
    assert watch.look() is None


def name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_processes_are_measured_in_bytes(payload: Payload, child: Callable[[], int]) -> None:
    pid = child()
    payload.hold(pid, 2**31 - 1)
    found = oom._processes(str(payload.path))
    assert list(found) == [pid]
    assert found[pid][0] == name_of(pid)
    assert SIZE * 0.9 < found[pid][1] < SIZE * 2


def read_as(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    """Every file of /proc has this content."""

    def fake_open(path: str, **options: Any) -> io.TextIOWrapper:
        assert path.startswith("/proc/")
        return io.TextIOWrapper(io.BytesIO(text), encoding="utf-8", **options)

    monkeypatch.setattr(oom, "open", fake_open, raising=False)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"a b", "a b"),
        (b"x) S 1 (y", "x) S 1 (y"),
        (b"\x1b[2J\r\nred\x07", "[2Jred"),
        ("ab\u202etxt".encode(), "abtxt"),
        (b"\xff", "\ufffd"),
        (b"", ""),
    ],
)
def test_the_container_chooses_its_names(
    payload: Payload, monkeypatch: pytest.MonkeyPatch, name: bytes, shown: str
) -> None:
    """They are read to their end, and reach nobody's terminal as they are."""
    payload.hold(7)
    fields = b" ".join(b"%d" % number for number in range(4, 53))
    read_as(monkeypatch, b"7 (" + name + b") S " + fields + b"\n")
    assert oom._processes(str(payload.path)) == {7: (shown, 24 * os.sysconf("SC_PAGESIZE"))}


def test_a_crowd_is_not_read_whole(payload: Payload, monkeypatch: pytest.MonkeyPatch) -> None:
    payload.hold(*range(1000, 3000))
    read_as(monkeypatch, b"7 (x) S " + b"1 " * 49)
    assert len(oom._processes(str(payload.path))) == 256


@pytest.mark.parametrize(
    ("status", "pending"),
    [
        ("SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n", False),
        ("SigPnd:\t0000000000000100\nShdPnd:\t0000000000000000\n", True),
        ("SigPnd:\t0000000000000000\nShdPnd:\t0000000000000100\n", True),
        ("SigPnd:\t0000000000000000\nShdPnd:\tfffffffffffffeff\n", False),
    ],
)
def test_who_is_about_to_be_killed(
    monkeypatch: pytest.MonkeyPatch, status: str, pending: bool
) -> None:
    read_as(monkeypatch, f"Name:\tx: y\n{status}".encode())
    assert oom._has_pending_kill(7) is pending


@pytest.mark.parametrize(
    ("stat", "leaving"),
    [
        ("S 1 2 3 4 5 4194304", False),
        ("R 1 2 3 4 5 4194308", True),  # PF_EXITING
        ("Z 1 2 3 4 5 4194304", True),
        ("X 1 2 3 4 5 4194304", True),
    ],
)
def test_who_is_on_the_way_out(monkeypatch: pytest.MonkeyPatch, stat: str, leaving: bool) -> None:
    read_as(monkeypatch, f"7 (x) Z (y) {stat} 0 0\n".encode())
    assert oom._is_leaving(7) is leaving


def test_who_is_dying_on_the_real_kernel(child: Callable[[], int]) -> None:
    pid = child()
    assert not oom._is_dying(pid)
    kill(pid)
    assert oom._is_dying(pid)
    assert oom._is_dying(2**31 - 1)


def test_the_first_process_is_asked_when_nobody_was_seen(
    payload: Payload, child: Callable[[], int]
) -> None:
    """It is a zombie still, whose status says how it ended."""
    pid = child()
    watch = OomWatch(str(payload.path), str(payload.path), pid)
    assert watch._unseen() == (0, "", 0)
    kill(pid)
    found, command, rss = watch._unseen()
    assert (found, rss) == (pid, 0) and command


def test_a_first_process_that_ended_otherwise_is_no_victim(
    payload: Payload, child: Callable[[], int]
) -> None:
    pid = child()
    watch = OomWatch(str(payload.path), str(payload.path), pid)
    os.kill(pid, 15)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert watch._unseen() == (0, "", 0)
