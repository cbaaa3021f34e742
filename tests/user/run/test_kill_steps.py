"""SIGKILL to rl at each step of a command: strace(1) kills it as it is about to do a system call.

What comes after it has to tell the truth, to go on, and to leave nothing behind. CI takes a few
steps of each command, RL_EVERY_STEP=1 all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import Counter

import pytest

from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, wait_until

# What changes something, or tells another process to go on.
CALLS = (
    "mkdir", "rename", "unlink", "rmdir", "symlink", "write", "sendmsg", "sendto", "flock", "wait4",
    "clone", "recvmsg", "pidfd_send_signal", "ftruncate", "connect",
)  # fmt: skip
SAMPLE = 5
EVERY_STEP = bool(os.environ.get("RL_EVERY_STEP"))
FLAGS = ("--net=none", "--name", "box", "-v", "/anonymous", "-v", "named:/named")
SLEEP = ("sleep", "1000")

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="strace(1) is not installed"
)


class Scene:
    """A store with the image, in the state that a command is to meet."""

    def __init__(self, rl: Rl, image: str, command: str) -> None:
        self.rl = rl
        self.image = image
        self.command = command
        self.words: tuple[str, ...] = {
            "run": ("run", "-d", *FLAGS, image, *SLEEP),
            "run --rm": ("run", "-d", "--rm", *FLAGS, image, *SLEEP),
            "create": ("create", *FLAGS, image, *SLEEP),
            "start": ("start", "box"),
            "stop": ("stop", "-t", "0", "box"),
            "restart": ("restart", "-t", "0", "box"),
            "rm": ("rm", "box"),
            "rm -f": ("rm", "-f", "-v", "box"),
        }[command]

    def set(self) -> None:
        if self.command in ("start", "rm"):
            self.rl("create", *FLAGS, self.image, *SLEEP)
        elif self.command in ("stop", "restart", "rm -f"):
            self.rl("run", "-d", *FLAGS, self.image, *SLEEP)

    def trace(self, *options: str) -> int:
        """The command under strace; its exit code."""
        done = subprocess.run(
            ["strace", *options, *self.rl.argv, *self.words],
            env=self.rl.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode

    def steps(self) -> list[tuple[str, int]]:
        """Each call that the command makes, with its number among its like."""
        self.set()
        path = f"{self.rl.home}/trace"
        assert self.trace("-o", path, "-e", f"trace={','.join(CALLS)}") == 0
        counter: Counter[str] = Counter()
        found = []
        with open(path, errors="replace") as file:
            for line in file:
                name = re.match(r"[a-z0-9_]+(?=\()", line)
                if name is not None:
                    counter[name[0]] += 1
                    found.append((name[0], counter[name[0]]))
        self.rl("rm", "-f", "-v", "box")
        return found


def sample(steps: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return steps if EVERY_STEP else steps[len(steps) // SAMPLE // 2 :: max(1, len(steps) // SAMPLE)]


@pytest.mark.timeout(1800 if EVERY_STEP else 120)
@needs_strace
@pytest.mark.parametrize(
    "command", ["run", "run --rm", "create", "start", "stop", "restart", "rm", "rm -f"]
)
def test_a_kill_at_any_step(rl: Rl, busybox_image: str, leftovers: Leftovers, command: str) -> None:
    scene = Scene(rl, busybox_image, command)
    killed = 0
    steps = sample(scene.steps())
    for name, number in steps:
        scene.set()
        killed += (
            scene.trace("-o", "/dev/null", "-e", f"inject={name}:signal=SIGKILL:when={number}")
            == -9
        )
        try:
            look_after(rl, leftovers, command)
        except BaseException as error:
            raise AssertionError(f"{command}: killed at {name} number {number}") from error
    # Not each run makes as many calls of a kind.
    assert killed > len(steps) // 2


def look_after(rl: Rl, leftovers: Leftovers, command: str) -> None:
    """The truth is told, the container is of use or gone, and can be removed."""
    rl("ps", "-a", timeout=20)
    ids = containers.all_ids(rl.paths)
    if ids:
        record = wait_until(lambda: settled(rl, ids[0]), 20)
        if record is not True:
            use(rl, stays=command != "run --rm")
    rl("rm", "-f", "-v", "box", timeout=40)
    wait_until(lambda: leftovers.everything() == {} or rl("ps", "-a") is None, 20)
    assert [one for one in leftovers.volumes() if one != "named"] == []
    was_there_before = command not in ("run", "run --rm", "create")
    assert not was_there_before or leftovers.volumes() == ["named"]
    assert rl("images", "-q").stdout


def settled(rl: Rl, container_id: str) -> object:
    """The record once it says what is so; True for a container that is gone."""
    rl("ps", "-a", timeout=20)
    if not os.path.isdir(containers.directory(rl.paths, container_id)):
        return True
    record = containers.read_record(rl.paths, container_id)
    state = containers.read_state(rl.paths, container_id)
    init = state.get("processes", {}).get("init", [0])[0]
    is_up = bool(init) and os.path.exists(f"/proc/{init}")
    assert record["status"] in ("created", "running", "exited")
    return record if is_up == (record["status"] == "running") else None


def use(rl: Rl, *, stays: bool) -> None:
    rl("inspect", "box", timeout=20)
    rl("start", "box", timeout=40)
    assert "Up" in rl("ps", timeout=20).stdout
    rl("stop", "-t", "0", "box", timeout=40)
    assert ("Exited" in rl("ps", "-a", timeout=20).stdout) == stays
