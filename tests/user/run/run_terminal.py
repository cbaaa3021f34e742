"""A user at a terminal: a pseudo-terminal as the controlling one of a process that is started."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest


class Terminal:
    """The user's end of a terminal; `process` sits at the other."""

    def __init__(self, rows: int = 40, columns: int = 123) -> None:
        self.leader, self.follower = os.openpty()
        self.resize(rows, columns)
        self.mode_before = self.mode()
        self.shown = b""
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, argv: Sequence[str], env: Mapping[str, str], **options: Any) -> None:
        streams = {"stdin": self.follower, "stdout": self.follower, "stderr": self.follower}
        self.process = subprocess.Popen(
            argv, env=env, start_new_session=True, preexec_fn=self._take, **{**streams, **options}
        )

    def _take(self) -> None:
        fcntl.ioctl(self.follower, termios.TIOCSCTTY, 0)

    def mode(self) -> list[Any]:
        return termios.tcgetattr(self.follower)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        os.write(self.leader, keys)

    def until(self, text: bytes, seconds: float = 20) -> bytes:
        """Read until `text` is on the screen; what was shown up to there is taken off."""
        deadline = time.monotonic() + seconds
        while text not in self.shown:
            if not self._read(deadline):
                pytest.fail(f"{text!r} was not shown, but {self.shown!r}")
        before, _, self.shown = self.shown.partition(text)
        return before

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.leader], [], [], max(0, deadline - time.monotonic()))
        if ready:
            self.shown += os.read(self.leader, 65536)
        return bool(ready)

    def wait(self, seconds: float = 20) -> int:
        """The exit code; what is shown meanwhile is read, or nobody could write it."""
        assert self.process is not None
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                pytest.fail(f"still running; shown: {self.shown!r}")
            self._read(min(deadline, time.monotonic() + 0.02))
        while self._read(time.monotonic() + 0.02):
            pass
        return self.process.returncode

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        os.close(self.leader)
        os.close(self.follower)
