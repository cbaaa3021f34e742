"""A container in one word, images made to measure, and looks at what a container left."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.user.conftest import Rl

Sh = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def sh(rl: Rl, busybox_image: str) -> Sh:
    """Run a shell script in a container of the embedded image: sh(script, *flags, **of_rl)."""

    def run(script: str, *flags: str, **options: Any) -> subprocess.CompletedProcess[str]:
        # A network costs time, and few tests look at it.
        network = [] if any(flag.startswith("--net") for flag in flags) else ["--net=none"]
        return rl("run", "--rm", *network, *flags, busybox_image, "sh", "-c", script, **options)

    return run


class Leftovers:
    """What is left of containers in a store, looked at from outside."""

    def __init__(self, rl: Rl) -> None:
        self._paths = rl.paths

    def live(self) -> list[str]:
        """Live directories: of what runs, or was not cleared."""
        return _listed(self._paths.running)

    def containers(self) -> list[str]:
        return _listed(self._paths.containers)

    def names(self) -> list[str]:
        return _listed(self._paths.names)

    def volumes(self) -> list[str]:
        return _listed(self._paths.volumes)

    def everything(self) -> dict[str, list[str]]:
        found = {"live": self.live(), "containers": self.containers(), "names": self.names()}
        return {kind: entries for kind, entries in found.items() if entries}


def _listed(path: str) -> list[str]:
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


@pytest.fixture
def leftovers(rl: Rl) -> Leftovers:
    return Leftovers(rl)


def wait_until(condition: Callable[[], object], seconds: float = 10) -> object:
    """The first true outcome of `condition`; the test fails when none comes in time."""
    deadline = time.monotonic() + seconds
    while True:
        outcome = condition()
        if outcome:
            return outcome
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {condition}")
        time.sleep(0.01)


class Background:
    """A container that runs until the test has looked at it; `pid` names what rl noted of it."""

    def __init__(self, rl: Rl, process: subprocess.Popen[bytes]) -> None:
        self.rl = rl
        self.process = process

    def state(self) -> dict[str, object]:
        from rootless.store import containers

        found = containers.live_ids(self.rl.paths)
        return containers.read_state(self.rl.paths, found[0]) if found else {}

    def pid(self, name: str) -> int:
        """The pid of the "keeper", "init", "server" or "network" of the only live container."""
        processes = wait_until(lambda: self.state().get("processes"))
        assert isinstance(processes, dict)
        return int(processes[name][0])

    def end(self) -> int:
        """Kill the command; the exit code, when all is unwound."""
        self.rl("rm", "--force", "--all")
        return self.process.wait(20)


@pytest.fixture
def background(rl: Rl, busybox_image: str) -> Iterator[Callable[..., Background]]:
    """Start `rl run FLAGS IMAGE sh -c SCRIPT`; returns once the script has printed a line."""
    started: list[subprocess.Popen[bytes]] = []

    def start(script: str, *flags: str, rm: bool = True) -> Background:
        process = rl.popen(
            "run", *(["--rm"] if rm else []), *flags, busybox_image, "sh", "-c", script,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline()
        assert first, process.stderr.read().decode()
        return Background(rl, process)

    yield start
    for process in started:
        process.kill()
        process.communicate()
