"""The file server's seccomp filter, in force in a process of its own."""

from __future__ import annotations

import errno
import mmap
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.errors import HostError
from rootless.kernel import libc, seccomp
from rootless.procview.confined import DOCUMENT
from rootless.procview.source import now_usec


@pytest.fixture(scope="module")
def program() -> bytes:
    try:
        return seccomp.compile_filter(DOCUMENT)
    except HostError as error:
        pytest.skip(error.message)


def outcome(program: bytes, function: Callable[[], object]) -> int:
    """The error number with which `function` ends in a process that has the filter; 0 for none."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
            libc.seccomp_set_mode_filter(program)
            function()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def list_folder() -> None:
    fd = os.open("/sys/devices/system/cpu", os.O_RDONLY | os.O_DIRECTORY)
    with os.scandir(fd) as entries:
        assert sum(entry.is_dir() for entry in entries) > 0
    os.stat("/sys/fs/cgroup")
    os.readlink(b"self", dir_fd=os.open("/proc", os.O_PATH))


def read_and_write() -> None:
    fd = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    read_end, write_end = pipe
    os.write(write_end, os.pread(fd, 100, 0) + bytes(1 << 15))
    assert os.readv(read_end, [bytearray(1 << 15)]) == 1 << 15
    assert now_usec() > 0
    # More than the allocator has at hand.
    assert len([bytes(1 << 20) for _ in range(64)]) == 64


pipe = os.pipe()


@pytest.mark.parametrize("function", [list_folder, read_and_write])
def test_what_a_server_does(program: bytes, function: Callable[[], object]) -> None:
    assert outcome(program, function) == 0


@pytest.mark.parametrize(
    "flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_CREAT, os.O_RDONLY | os.O_TRUNC]
)
def test_no_file_is_opened_for_writing(program: bytes, tmp_path: Path, flags: int) -> None:
    path = tmp_path / "file"
    path.write_text("text")
    assert outcome(program, lambda: os.open(path, os.O_RDONLY)) == 0
    assert outcome(program, lambda: os.open(path, flags)) == errno.EPERM
    assert path.read_text() == "text"


REFUSED: dict[str, Callable[[], object]] = {
    "openat2": lambda: libc.openat2(-100, "/proc/self/stat", os.O_RDONLY),
    "fork": os.fork,
    "exec": lambda: os.execv("/bin/true", ["true"]),
    "socket": lambda: socket.socket(socket.AF_UNIX),
    "kill": lambda: os.kill(os.getppid(), 0),
    "unlink": lambda: os.unlink("/nonexistent"),
    "mkdir": lambda: os.mkdir("/nonexistent/a"),
    "prctl": lambda: libc.prctl(libc.PR_SET_PDEATHSIG, 0),
    "executable": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_never_does(program: bytes, name: str) -> None:
    assert outcome(program, REFUSED[name]) == errno.EPERM
