"""Containers that go on without their caller: start, exec, stop, and their memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from engines import Rl
from measure import Command, memory_of, processes, seconds

AT_ONCE = 50
KEPT = 10
# The payload, and the two helpers that every engine has.
_NOT_OURS = ("sleep", "fuse-overlayfs", "slirp4netns")
_SLEEP = ("sleep", "1000")


def command(engine: Rl, *words: str) -> Command:
    return [*engine.argv, *words], engine.env


def detached(engine: Rl, image: str) -> Callable[[], float]:
    """One `run -d`; what it started is removed outside of the measure."""

    def once() -> float:
        value = seconds(command(engine, "run", "-d", "--name", "bench", image, *_SLEEP))
        seconds(command(engine, "rm", "-f", "bench"))
        return value

    return once


def entered(engine: Rl, image: str) -> Callable[[], float]:
    """One `exec` in a container that runs already."""
    seconds(command(engine, "run", "-d", "--name", "bench-exec", image, *_SLEEP))
    return lambda: seconds(command(engine, "exec", "bench-exec", "true"))


def cycle(engine: Rl, image: str) -> Callable[[], float]:
    """Start and stop of containers that are there, one command for all of each."""
    names = [f"cycle{number}" for number in range(AT_ONCE)]
    for name in names:
        seconds(command(engine, "create", "--name", name, image, *_SLEEP))

    def once() -> float:
        started = seconds(command(engine, "start", *names))
        return started + seconds(command(engine, "stop", "-t", "0", *names))

    return once


def remove_all(engine: Rl) -> None:
    seconds(command(engine, "rm", "-f", "-a"))


def memory(engine: Rl, image: str) -> float:
    """PSS in bytes, for each of some containers, of all that the engine keeps for them."""
    before = {process.pid for process in processes()}
    for _ in range(KEPT):
        seconds(command(engine, "run", "-d", image, *_SLEEP))
    time.sleep(1)  # for what is freed just after the start
    kept = [
        process for process in processes()
        if process.pid not in before and process.name not in _NOT_OURS
        and os.stat(f"/proc/{process.pid}").st_uid == os.geteuid()
    ]  # fmt: skip
    total = sum(memory_of(process.pid) for process in kept)
    remove_all(engine)
    return total / KEPT
