"""A container that runs in the guest while a test does something to it."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

from tests.system.guest import Guest, GuestError, Result, Session

IMAGE = "localhost/busybox"
SPIN = "sh -c 'while :; do :; done'"
SECONDS_TO_START = 30.0
SECONDS_TO_END = 30.0


class Background:
    """The container `name`, started by `user`; `launcher` is its rl's pid in the guest."""

    def __init__(self, user: Session, name: str, flags: str, command: str) -> None:
        self.user, self.name = user, name
        run = f"rl run --rm --net none --name {name} {flags} {IMAGE} {command}"
        self._process = user.popen(
            # Not $$, which systemd-run reads as one dollar.
            f"sh -c 'echo $PPID'; exec {run}",
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._process.stdout is not None
        self.launcher = int(self._process.stdout.readline())
        self.group = self._wait_until_up()

    def _wait_until_up(self) -> str:
        look = f"rl inspect --format '{{{{.CgroupPath}}}} {{{{.State.Pid}}}}' {self.name}"
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline:
            path, _, pid = self.user.run(look, code=None).stdout.strip().rpartition(" ")
            if path.startswith("/") and int(pid):
                return path
        raise GuestError(f"{self.name} does not run: {self.end()!r}")

    def rl(self, words: str, code: int | None = 0) -> Result:
        """`rl WORDS` as the container's user."""
        return self.user.run(f"rl {words}", code=code)

    def file(self, name: str, *, part: str = "payload") -> str:
        """The text of a file of the container's group; part: "" for the group above."""
        return self.user.run(f"cat {self.group}/{part}/{name}").stdout.strip()

    def share_of_a_cpu(self, seconds: int = 3) -> float:
        """How much CPU time the payload uses in that time, in the guest's own measure of it."""
        look = f"cut -d' ' -f1 /proc/uptime; grep usage_usec {self.group}/payload/cpu.stat"
        done = self.user.run(f"{look}; sleep {seconds}; {look}")
        numbers = [float(text) for text in re.findall(r"[\d.]+", done.stdout)]
        before, used_before, after, used_after = numbers
        return (used_after - used_before) / 1e6 / (after - before)

    def wait(self) -> SimpleNamespace:
        """Until it has ended by itself: code, stdout, stderr."""
        out, err = self._process.communicate(timeout=SECONDS_TO_END)
        return SimpleNamespace(code=self._process.returncode, stdout=out, stderr=err)

    def end(self) -> SimpleNamespace:
        """Remove it if it is there still, and wait for its rl."""
        self.user.run(f"rl rm --force {self.name}")
        return self.wait()


@contextmanager
def background(
    guest: Guest, command: str, flags: str = "", *, name: str, kind: str = "linger"
) -> Iterator[Background]:
    """Such a container, gone after the block."""
    started = Background(guest.as_user(kind), name, flags, command)
    try:
        yield started
    finally:
        started.end()
