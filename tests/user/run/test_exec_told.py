"""What others see of `rl exec`: events, ExecIDs, `rl top`; and who is told of an attachment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from rootless.store import execs
from tests.user.conftest import Rl
from tests.user.run.conftest import Background, wait_until
from tests.user.run.run_images import ImageMaker
from tests.user.run.run_terminal import Terminal


@pytest.fixture
def box(rl: Rl, busybox_image: str) -> Iterator[str]:
    """The id of a container "box" that sleeps."""
    done = rl("run", "-d", "--name=box", "--net=none", busybox_image, "sleep", "1000")
    yield done.stdout.strip()
    rl("rm", "--force", "--all")


def events(rl: Rl, *flags: str) -> list[dict[str, Any]]:
    text = rl("events", "--stream=false", "--format=json", *flags).stdout
    return [json.loads(line) for line in text.splitlines()]


def told_of_execs(rl: Rl) -> list[tuple[str, str, str | None]]:
    """(action, id, exit code) of each."""
    found = []
    for one in events(rl):
        if one["Action"].startswith("exec_"):
            attributes = one["Actor"]["Attributes"]
            found.append((one["Action"], attributes["execID"], attributes.get("exitCode")))
    return found


def exec_ids(rl: Rl) -> list[str]:
    ids: list[str] = json.loads(rl("inspect", "box").stdout)[0]["ExecIDs"]
    return ids


def test_events_tell_of_a_command(rl: Rl, box: str) -> None:
    rl("exec", "box", "sh", "-c", "exit 3", code=3)
    (created, exec_id, _), (started, _, _), (ended, _, code) = told_of_execs(rl)
    assert (created, started, ended, code) == (
        "exec_create: sh -c exit 3", "exec_start: sh -c exit 3", "exec_die", "3",
    )  # fmt: skip
    assert {one[1] for one in told_of_execs(rl)} == {exec_id} and len(exec_id) == 64
    (died,) = events(rl, "--filter", "event=exec_die")
    assert (died["id"], died["Actor"]["Attributes"]["name"]) == (box, "box")


def test_a_command_that_is_not_there(rl: Rl, box: str) -> None:
    rl("exec", "box", "no-such-command", code=127)
    wait_until(lambda: len(told_of_execs(rl)) == 3)
    assert [(one[0], one[2]) for one in told_of_execs(rl)] == [
        ("exec_create: no-such-command", None), ("exec_start: no-such-command", None),
        ("exec_die", "127"),
    ]  # fmt: skip
    assert exec_ids(rl) == []


def test_exec_ids_are_of_commands_that_run(rl: Rl, box: str) -> None:
    assert exec_ids(rl) == []
    rl("exec", "-d", "box", "sh", "-c", "sleep 1000 & exec sleep 1001")
    (exec_id,) = exec_ids(rl)
    assert exec_id == told_of_execs(rl)[0][1]
    rl("exec", "box", "killall", "sleep")
    wait_until(lambda: exec_ids(rl) == [])
    wait_until(lambda: ("exec_die", exec_id, "143") in told_of_execs(rl))


def test_top_lists_what_was_entered(rl: Rl, box: str) -> None:
    rl("exec", "-d", "box", "sh", "-c", "sleep 1002 & sleep 1003; true")
    rows = wait_until(lambda: (r := rl("top", "box", "pid", "args").stdout.split("\n"))[4:] and r)
    assert isinstance(rows, list)
    shown = sorted(row.split(None, 1)[1] for row in rows[1:-1])
    assert shown == [
        "sh -c sleep 1002 & sleep 1003; true", "sleep 1000", "sleep 1002", "sleep 1003",
    ]  # fmt: skip


def test_an_rl_exec_that_was_killed_is_forgotten(rl: Rl, box: str) -> None:
    rl("exec", "-d", "box", "sleep", "1001")
    ((exec_id, pid),) = execs.of_container(rl.paths, box).items()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: execs.of_container(rl.paths, box) == {})
    assert os.listdir(rl.paths.execs) == []
    assert ("exec_die", exec_id, "137") not in told_of_execs(rl)


def test_the_end_of_the_container_is_the_commands_end(rl: Rl, box: str) -> None:
    rl("exec", "-d", "box", "sleep", "1001")
    rl("stop", "-t", "0", "box")
    wait_until(lambda: [one[2] for one in told_of_execs(rl)] == [None, None, "137"])
    assert os.listdir(rl.paths.execs) == []


def test_keys_that_leave_a_command(rl: Rl, box: str) -> None:
    terminal = Terminal()
    words = ("exec", "-it", "box", "sh", "-c", "echo up; exec sleep 1001")
    terminal.start([*rl.argv, *words], rl.env)
    terminal.until(b"up")
    terminal.type(b"\x10\x11")
    assert terminal.wait() == 0
    assert told_of_execs(rl)[-1][0] == "exec_detach: sh -c echo up; exec sleep 1001"
    assert len(exec_ids(rl)) == 1


def test_attaching_and_leaving_are_told(rl: Rl, busybox_image: str) -> None:
    rl("create", "-it", "--name=box", "--net=none", busybox_image, "sh", "-c", "echo up; cat")
    terminal = Terminal()
    terminal.start([*rl.argv, "start", "-ai", "box"], rl.env)
    terminal.until(b"up")
    terminal.type(b"\x10\x11")
    assert terminal.wait() == 0
    told = [one["Action"] for one in events(rl, "--filter", "container=box")]
    assert told == ["create", "attach", "start", "detach"]
    rl("rm", "-f", "box")


@pytest.mark.parametrize(
    ("given", "env", "expected"),
    [((), [], "/home/u"), (("-e", "HOME=/flag"), [], "/flag"), ((), ["HOME=/image"], "/image")],
    ids=["of passwd", "of the flag", "of the image"],
)
def test_home_of_another_user(
    rl: Rl, images: ImageMaker, given: tuple[str, ...], env: list[str], expected: str
) -> None:
    """As runc has it: the user's own only where the container has not been told of one."""
    image = images(config={"Env": ["PATH=/b", *env]})
    rl("run", "-d", "--name=box", "--net=none", *given, image, "sleep", "1000")
    rl("exec", "box", "sh", "-c", "mkdir -p /etc; echo u:x:50:50::/home/u:/bin/sh >> /etc/passwd")
    assert rl("exec", "-u", "u", "box", "sh", "-c", "echo $HOME").stdout == f"{expected}\n"
    rl("rm", "-f", "box")


def test_wait_for_one_in_the_foreground_that_goes_at_its_end(
    rl: Rl, background: Callable[..., Background]
) -> None:
    running = background("echo up; sleep 2; exit 7", "--name=c")
    waiting = [rl.popen("wait", "c", stdout=subprocess.PIPE) for _ in range(3)]
    codes = [process.communicate(timeout=30)[0] for process in waiting]
    assert codes == [b"7\n"] * 3
    assert running.process.wait(20) == 7
    assert "no such container" in rl("wait", "c", code=125).stderr
