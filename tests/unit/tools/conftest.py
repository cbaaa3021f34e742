"""A real message bus of the test's own, without systemd on it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[str]:
    """The path of the socket at which a dbus-daemon listens."""
    program = shutil.which("dbus-daemon")
    if program is None:
        pytest.skip("no dbus-daemon (Debian's package dbus)")
    path = tmp_path / "bus"
    with subprocess.Popen(
        [program, "--session", "--nofork", "--print-address", f"--address=unix:path={path}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as daemon:  # fmt: skip
        assert daemon.stdout is not None
        assert daemon.stdout.readline().startswith("unix:path=")
        yield str(path)
        daemon.terminate()
