from __future__ import annotations

import os

import pytest

from rootless.cli import cmd_top, top_columns
from rootless.engine.processes import Process
from rootless.errors import UsageError

TICKS = os.sysconf("SC_CLK_TCK")


class FakeInside:
    """Numbers and names as a container with uid 0 at 1000 has them."""

    def pid(self, process: Process) -> int:
        return process.pid - 100

    def process_group(self, process: Process) -> int:
        return process.process_group - 100

    def user(self, uid: int) -> str:
        return {1000: "root"}.get(uid, "?")

    def group(self, gid: int) -> str:
        return {1000: "root", 5: "tty"}.get(gid, "?")


def process(pid: int = 101, parent: int = 50, command: str = "sh", tty: int = 0) -> Process:
    # proc_pid_stat(5): state ppid pgrp session tty tpgid flags, four faults, utime stime cutime
    # cstime priority nice threads itrealvalue starttime vsize rss.
    stat = (
        f"{pid} ({command}) S {parent} 101 101 {tty} -1 0 0 0 0 0 {3 * TICKS} {TICKS} 0 0 20 5 1 0"
        f" {90 * TICKS} 2048000 25"
    )
    status = {
        "Uid": "1000\t1000\t1000\t1000", "Gid": "1000 1000 1000 1000", "Groups": "5 1000",
        "Seccomp": "2", "CapEff": "0000000000000003", "CapBnd": "0", "NSpid": f"{pid}\t1",
    }  # fmt: skip
    return Process(pid, stat, status, ["sh", "-c", "x y"], "docker-default (enforce)")


def shown(name: str, one: Process, *others: Process) -> str:
    view = top_columns.View(FakeInside(), [one, *others], uptime=190.0, now=1000.0)  # type: ignore[arg-type]
    (column,) = top_columns.choose([name])
    return column.show(view, one)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("user", "root"), ("pid", "1"), ("hpid", "101"), ("ppid", "0"), ("pcpu", "4.000"),
        ("%C", "4.000"), ("etime", "1m40s"), ("time", "4s"), ("tty", "?"), ("args", "sh -c x y"),
        ("comm", "sh"), ("nice", "5"), ("pgid", "1"), ("seccomp", "filter"), ("state", "S"),
        ("capeff", "CHOWN,DAC_OVERRIDE"), ("capbnd", "none"), ("groups", "tty,root"),
        ("label", "docker-default (enforce)"), ("vsz", "2000"),
        ("rss", str(25 * os.sysconf("SC_PAGESIZE") // 1024)),
    ],
)  # fmt: skip
def test_columns(name: str, text: str) -> None:
    assert shown(name, process()) == text


def test_a_parent_inside_is_numbered_as_there() -> None:
    assert shown("ppid", process(103, parent=101), process(101)) == "1"


@pytest.mark.parametrize(
    ("device", "text"),
    [
        (os.makedev(136, 3), "pts/3"), (os.makedev(137, 1), "pts/257"), (os.makedev(4, 2), "tty2"),
        (os.makedev(4, 64), "ttyS0"), (os.makedev(5, 1), "5:1"),
    ],
)  # fmt: skip
def test_terminals(device: int, text: str) -> None:
    assert shown("tty", process(tty=device)) == text


def test_a_name_may_hold_what_ends_names() -> None:
    assert shown("comm", process(command="a) S 1 (b")) == "a) S 1 (b"
    assert shown("state", process(command="a) Z 1 (b")) == "S"


def test_what_has_no_arguments_shows_its_name() -> None:
    one = process()
    one.args = []
    assert shown("args", one) == "[sh]"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.25, "0.25s"), (1.5, "1.5s"), (61, "1m1s"), (3600, "1h0m0s"),
     (59.999, "1m0s"), (7322.04, "2h2m2.04s")],
)  # fmt: skip
def test_durations(seconds: float, text: str) -> None:
    assert top_columns.duration(seconds) == text


def test_words_and_commas() -> None:
    heads = [column.head for column in top_columns.choose(["pid,args", "%C"])]
    assert heads == ["PID", "COMMAND", "%CPU"]
    default = [column.head for column in top_columns.choose([])]
    assert default == "USER PID PPID %CPU ELAPSED TTY TIME COMMAND".split()
    with pytest.raises(UsageError, match="no column is named uid"):
        top_columns.choose(["pid,uid"])


@pytest.mark.parametrize(
    ("words", "expected"),
    [([], False), (["-ef"], True), (["aux"], True), (["pid", "args"], False), (["args"], False),
     (["%C"], False), (["nonsense,pid"], False)],
)  # fmt: skip
def test_options_of_ps(words: list[str], expected: bool) -> None:
    assert cmd_top._are_for_ps(words) is expected
