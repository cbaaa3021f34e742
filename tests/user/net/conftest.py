"""A container's namespaces without the container: a process of ours, and programs run in there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rootless.kernel import libc
from rootless.model.idmap import IdMaps
from rootless.model.network import parse_network
from rootless.model.ports import parse_publish
from rootless.net import drivers
from rootless.tools import idmap


class Box:
    """A process that holds a user and a network namespace open."""

    def __init__(self, maps: IdMaps | None = None) -> None:
        read_end, write_end = os.pipe()

        def hold() -> None:
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            libc.unshare(libc.CLONE_NEWNET)
            os.write(write_end, b"1")
            signal.pause()

        self.member = idmap.start(hold, maps)
        assert os.read(read_end, 1) == b"1"
        os.close(read_end)
        os.close(write_end)
        self.userns = f"/proc/{self.member.pid}/ns/user"
        self.netns = f"/proc/{self.member.pid}/ns/net"

    def python(self, code: str) -> subprocess.Popen[str]:
        """Start Python `code` as root of the namespaces."""
        enter = ["nsenter", "-t", str(self.member.pid), "-U", "-n"]
        return subprocess.Popen(
            [*enter, sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
        )

    def output(self, code: str) -> str:
        """What `code` prints; it has to succeed."""
        process = self.python(code)
        text, _ = process.communicate(timeout=30)
        assert process.returncode == 0
        return text.strip()

    def end(self) -> None:
        os.kill(self.member.pid, signal.SIGKILL)
        self.member.wait()


Start = Callable[..., drivers.Running]


@pytest.fixture
def new_box() -> Iterator[Callable[..., Box]]:
    """Make boxes, with other id maps than the canonical ones if need be."""
    made: list[Box] = []

    def maker(maps: IdMaps | None = None) -> Box:
        made.append(Box(maps))
        return made[-1]

    yield maker
    for each in made:
        each.end()


@pytest.fixture
def box(new_box: Callable[..., Box]) -> Box:
    return new_box()


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """Private and longer than the 108 bytes of sun_path, as one below a deep home may be."""
    with tempfile.TemporaryDirectory(prefix="rl-net-") as top:
        path = Path(top, "x" * 120)
        path.mkdir(mode=0o700)
        yield path


@pytest.fixture
def start(runtime_dir: Path) -> Iterator[Start]:
    """Start a network by its flags on a box and wait until it is ready; stopped at the end."""
    running: list[drivers.Running] = []

    def starter(
        box: Box, network: str, *publish: str, dns: tuple[str, ...] = ()
    ) -> drivers.Running:
        ports = [mapping for text in publish for mapping in parse_publish(text)]
        driver = drivers.make(parse_network(network), ports, dns=dns)
        driver.check()
        running.append(driver.start(box.userns, box.netns, runtime_dir=str(runtime_dir)))
        running[-1].wait_ready()
        return running[-1]

    yield starter
    for each in running:
        each.stop()
