"""Which standard streams the payload gets as they are, and which through pipes.

Each test runs in a child process, whose descriptors 0, 1 and 2 it may replace.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.runtime.stdio import Stdio


def in_child(check: Callable[[], None], stdin: int, stdout: int, stderr: int) -> None:
    """Run `check` with these streams; what it raises fails the test."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            copies = [os.dup(fd) for fd in (stdin, stdout, stderr)]
            for number, fd in enumerate(copies):
                os.dup2(fd, number)
                os.close(fd)
            check()
        except BaseException as error:
            os.write(write_end, repr(error).encode() or b"failed")
        finally:
            os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        complaint = file.read().decode()
    os.waitpid(pid, 0)
    assert complaint == ""


@pytest.fixture
def null() -> int:
    return os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)


def expect(condition: bool, text: str) -> None:
    if not condition:
        raise AssertionError(text)


def test_pipes_sockets_and_the_null_device_are_shared(null: int) -> None:
    def check() -> None:
        stdio = Stdio()
        expect(stdio.container == [0, 1, 2], f"container {stdio.container}")
        expect(stdio.launcher == [-1, -1, -1], f"launcher {stdio.launcher}")
        mode = stat.S_IMODE(os.fstat(1).st_mode)
        expect(mode == 0o666, "every user of the container may open /dev/stdout again")

    left, right = socket.socketpair()
    read_end, write_end = os.pipe()
    in_child(check, left.fileno(), write_end, null)
    for fd in (read_end, write_end, null):
        os.close(fd)
    left.close()
    right.close()


@pytest.mark.parametrize("kind", ["file", "terminal", "fifo", "directory", "zero"])
def test_what_could_be_opened_again_is_pumped(tmp_path: Path, kind: str, null: int) -> None:
    def check() -> None:
        stdio = Stdio()
        expect(stdio.container[0] == 0 and stdio.launcher[0] == -1, "standard input is shared")
        for number in (1, 2):
            ours, theirs = stdio.launcher[number], stdio.container[number]
            expect(min(ours, theirs) > 2, f"stream {number} is not pumped")
            os.write(theirs, b"x")
            expect(os.read(ours, 9) == b"x", f"stream {number} leads elsewhere")
            expect(not os.get_inheritable(ours), "our end must not be inherited")

    fds: list[int] = []
    if kind == "file":
        fds = [os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)]
    elif kind == "terminal":
        fds = list(os.openpty())[::-1]
    elif kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
        fds = [os.open(tmp_path / "fifo", os.O_RDWR)]
    elif kind == "directory":
        fds = [os.open(tmp_path, os.O_RDONLY)]
    else:
        fds = [os.open("/dev/zero", os.O_RDWR)]
    in_child(check, null, fds[0], fds[0])
    for fd in (*fds, null):
        os.close(fd)


def test_standard_input_of_a_file_flows_towards_the_payload(tmp_path: Path, null: int) -> None:
    def check() -> None:
        stdio = Stdio()
        os.write(stdio.launcher[0], b"x")
        expect(os.read(stdio.container[0], 9) == b"x", "the pipe is the wrong way round")

    (tmp_path / "file").touch()
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    in_child(check, fd, null, null)
    os.close(fd)
    os.close(null)


def test_each_process_keeps_its_side_only(tmp_path: Path, null: int) -> None:
    def check() -> None:
        launcher, payload = Stdio(), Stdio()
        launcher.close_container_side()
        launcher.close_container_side()
        expect(launcher.container == [0, -1, -1], f"{launcher.container}: 0 is nobody's to close")
        expect(launcher.launcher[1] > 2, "our end is open")
        payload.close_launcher_side()
        payload.close_launcher_side()
        expect(payload.launcher == [-1, -1, -1], f"{payload.launcher}")
        os.fstat(payload.container[1])
        os.fstat(0)

    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    in_child(check, null, fd, fd)
    os.close(fd)
    os.close(null)


@pytest.mark.parametrize("interactive", [True, False])
def test_install(tmp_path: Path, interactive: bool, null: int) -> None:
    def check() -> None:
        stdio = Stdio()
        ours = stdio.launcher[1]
        stdio.install(interactive=interactive)
        for number in range(3):
            expect(os.get_inheritable(number), f"stream {number} has to survive the exec")
        os.write(1, b"out")
        expect(os.read(ours, 9) == b"out", "standard output leads elsewhere")
        data = os.read(0, 9)
        expect(data == (b"in" if interactive else b""), f"standard input has {data!r}")

    read_end, write_end = os.pipe()
    os.write(write_end, b"in")
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    in_child(check, read_end, fd, null)
    for one in (read_end, write_end, fd, null):
        os.close(one)
