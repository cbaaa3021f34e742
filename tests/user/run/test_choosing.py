"""Which containers a command is for: --all, --running, --filter, --cidfile, --latest."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.user.conftest import Rl


@pytest.fixture
def three(rl: Rl, busybox_image: str, work: Path) -> Iterator[Rl]:
    """ "up" runs, "made" never ran, "down" has ended; the newest is "down"."""
    sleep = [busybox_image, "sleep", "1000"]
    rl("run", "-d", "--name=up", "--net=none", "-l", "a=1", f"--cidfile={work}/up", *sleep)
    rl("create", "--name=made", "--net=none", "-l", "a=2", *sleep)
    rl("run", "-d", "--name=down", "--net=none", "-l", "a=1", *sleep)
    rl("stop", "-t", "0", "down")
    yield rl
    rl("rm", "--force", "--all")


def running(rl: Rl) -> list[str]:
    return sorted(rl("ps", "--format={{.Names}}").stdout.split())


def starts(rl: Rl, name: str) -> int:
    told = rl("events", "--stream=false", "--filter=event=start", f"--filter=container={name}")
    return len(told.stdout.splitlines())


def test_start_all_starts_what_does_not_run(three: Rl) -> None:
    assert len(three("start", "--all").stdout.split()) == 2
    assert running(three) == ["down", "made", "up"]
    assert starts(three, "up") == 1
    assert three("start", "--all").stdout == ""


def test_restart_all_and_restart_running(three: Rl) -> None:
    assert len(three("restart", "-t0", "--running").stdout.split()) == 1
    assert (running(three), starts(three, "up")) == (["up"], 2)
    assert len(three("restart", "-t0", "--all").stdout.split()) == 3
    assert (running(three), starts(three, "up")) == (["down", "made", "up"], 3)


def test_filters(three: Rl) -> None:
    three("start", "--filter=label=a=2")
    assert running(three) == ["made", "up"]
    three("stop", "-t0", "--filter=label=a=1")
    assert running(three) == ["made"]
    three("kill", "--filter=status=running")
    assert running(three) == []
    three("rm", "--filter=label=a=1", "--filter=status=exited")
    assert three("ps", "-a", "--format={{.Names}}").stdout.split() == ["made"]
    assert three("stop", "--filter=label=none").stdout == ""
    assert "--filter colour=red" in three("stop", "--filter=colour=red", code=125).stderr


def test_cidfiles(three: Rl, work: Path) -> None:
    cid = (work / "up").read_text()
    assert three("stop", "-t0", f"--cidfile={work}/up").stdout == f"{cid}\n"
    assert three("start", f"--cidfile={work}/up").stdout == f"{cid}\n"
    assert "no-file: No such file" in three("kill", f"--cidfile={work}/no-file", code=125).stderr
    three("stop", "--ignore", f"--cidfile={work}/no-file")
    three("rm", "--ignore", f"--cidfile={work}/no-file", "no-such")
    three("rm", "-f", f"--cidfile={work}/up")
    assert "up" not in three("ps", "-a", "--format={{.Names}}").stdout.split()


def test_the_newest(three: Rl) -> None:
    three("start", "--latest")
    assert running(three) == ["down", "up"]
    three("rm", "--force", "--latest")
    assert running(three) == ["up"]


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "kill", "rm", "pause"])
def test_nothing_is_named(rl: Rl, verb: str) -> None:
    assert f"rl {verb}: name a container, or give --all" in rl(verb, code=125).stderr


def test_there_is_none_yet(rl: Rl) -> None:
    assert "there is no container" in rl("start", "--latest", code=125).stderr
    assert rl("restart", "--all").stdout == ""


def test_who_joins_another_comes_after_it(rl: Rl, busybox_image: str) -> None:
    sleep = [busybox_image, "sleep", "1000"]
    rl("run", "-d", "--name=first", "--net=none", *sleep)
    for number in range(3):
        rl("run", "-d", f"--name=joins{number}", "--net=none", "--pid=container:first", *sleep)
    rl("restart", "-t0", "--running")
    assert running(rl) == ["first", "joins0", "joins1", "joins2"]
    rl("stop", "-t0", "--all")
    rl("start", "--all")
    assert running(rl) == ["first", "joins0", "joins1", "joins2"]
    rl("rm", "--force", "--all")
