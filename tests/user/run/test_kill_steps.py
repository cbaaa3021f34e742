"""SIGKILL to rl at each step of a command: strace(1) kills it as it is about to do a system call.

What comes after it has to tell the truth, to go on, and to leave nothing behind. CI takes a few
steps of each command, RL_EVERY_STEP=1 all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import Counter

import pytest

from rootless.errors import NotFoundError
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
        # The first start of all tries the drivers, those after it need not (store.verdicts).
        self.rl("run", "--rm", "--net", "none", self.image, "true")
        self.set()
        path = f"{self.rl.home}/trace"
        assert self.trace("-o", path, "-e", f"trace={','.join(CALLS)}") == 0
        with open(path, errors="replace") as file:
            found = numbered(file.read())
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
    try:
        record = containers.read_record(rl.paths, container_id)
    except NotFoundError:
        return True
    state = containers.read_state(rl.paths, container_id)
    init = state.get("processes", {}).get("init", [0])[0]
    is_up = bool(init) and os.path.exists(f"/proc/{init}")
    assert record["status"] in ("created", "running", "restarting", "exited")
    if record["status"] == "restarting":
        return None
    return record if is_up == (record["status"] == "running") else None


def use(rl: Rl, *, stays: bool) -> None:
    rl("inspect", "box", timeout=20)
    rl("start", "box", timeout=40)
    assert "Up" in rl("ps", timeout=20).stdout
    rl("stop", "-t", "0", "box", timeout=40)
    assert ("Exited" in rl("ps", "-a", timeout=20).stdout) == stays


def may_trace_others() -> bool:
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            return file.read().strip() == "0"
    except FileNotFoundError:
        return True


class TracedEnd:
    """A container whose supervisor, or keeper, is traced from the moment that its command ends."""

    def __init__(self, rl: Rl, image: str, part: str, flags: tuple[str, ...]) -> None:
        self.rl = rl
        self.part = part
        self.words = ("run", "-d", *FLAGS, *flags, image, *SLEEP)
        self.output = f"{rl.home}/trace"

    def run(self, *options: str) -> str:
        """What strace tells of it; returns when the process has ended, or some steps later."""
        self.rl(*self.words)
        state = containers.read_state(self.rl.paths, containers.live_ids(self.rl.paths)[0])
        pids = {name: pid for name, (pid, _) in state["processes"].items()}
        tracer = subprocess.Popen(
            ["strace", "-o", self.output, *options, "-p", str(pids[self.part])],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert tracer.stderr is not None and b"attached" in tracer.stderr.readline()
        os.kill(pids["init"], signal.SIGKILL)
        try:
            tracer.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            tracer.terminate()
            tracer.communicate()
        with open(self.output, errors="replace") as file:
            return file.read()


@pytest.mark.timeout(1800 if EVERY_STEP else 120)
@needs_strace
@pytest.mark.skipif(not may_trace_others(), reason="ptrace_scope forbids to trace other processes")
@pytest.mark.parametrize("flags", [(), ("--rm",), ("--restart=always",)], ids=" ".join)
@pytest.mark.parametrize("part", ["supervisor", "keeper"])
def test_a_kill_at_any_step_of_an_end(
    rl: Rl, busybox_image: str, leftovers: Leftovers, part: str, flags: tuple[str, ...]
) -> None:
    scene = TracedEnd(rl, busybox_image, part, flags)
    steps = numbered(scene.run("-e", f"trace={','.join((*CALLS, 'close', 'execve', 'umount2'))}"))
    rl("rm", "-f", "-v", "box")
    killed = 0
    for name, number in sample(steps):
        told = scene.run("-e", f"inject={name}:signal=SIGKILL:when={number}")
        killed += "killed by SIGKILL" in told
        try:
            look_after(rl, leftovers, "run --rm" if flags == ("--rm",) else "run")
        except BaseException as error:
            raise AssertionError(f"{part} {flags}: killed at {name} number {number}") from error
    assert killed > len(sample(steps)) // 2


def numbered(trace: str) -> list[tuple[str, int]]:
    """Each call of a trace, with its number among its like."""
    counter: Counter[str] = Counter()
    found = []
    for line in trace.splitlines():
        name = re.match(r"[a-z0-9_]+(?=\()", line)
        if name is not None:
            counter[name[0]] += 1
            found.append((name[0], counter[name[0]]))
    return found
