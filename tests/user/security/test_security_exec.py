"""Containers that attack what enters them: `rl exec`, each as the real attack."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.security.test_security_exploits import launcher_in

_ATTEMPTS = 60
# So long a search that whoever looks sees the process before its exec.
_LONG_PATH = "PATH=" + "/:" * 40_000 + "/bin"
# What a tracer would take: the host's program, its memory, descriptors, environment.
# It counts while the process is still what it was: after its exec it is the container's.
_TRACE = """
while :; do for p in /proc/[0-9]*; do
  read -r name < $p/comm || continue
  [ "$name" = rl-exec ] || continue
  found=$(for what in exe cwd root fd/0; do readlink $p/$what; done
    ls $p/fd; ls $p/map_files; head -c 1 $p/mem
    for what in environ auxv maps stack; do cat $p/$what; done)
  read -r name < $p/comm || continue
  [ "$name" = rl-exec ] || continue
  echo seen >> /dev/shm/seen
  [ -z "$found" ] || echo "$found" >> /dev/shm/leaks
done; done 2>/dev/null
"""


@pytest.fixture
def box(rl: Rl, busybox_image: str) -> Iterator[str]:
    yield busybox_image
    rl("rm", "--force", "--all")


def start(rl: Rl, image: str, script: str, *flags: str) -> None:
    words = ["--name", "box", "--net=none", *flags, image, "sh", "-c", script]
    rl("run", "-d", *words)


@pytest.mark.parametrize("flags", [["--privileged"], ["--privileged", "--userns=keep-id"]])
def test_nobody_can_trace_what_enters(rl: Rl, box: str, flags: list[str]) -> None:
    start(rl, box, _TRACE, "--user=0", *flags)
    for _ in range(10):
        rl("exec", "-e", _LONG_PATH, "-e", "SECRET=1", "box", "no-such-command", code=127)
    assert "seen" in rl("exec", "box", "cat", "/dev/shm/seen").stdout
    assert rl("exec", "box", "ls", "/dev/shm").stdout == "seen\n"


def test_the_tracer_sees_what_it_may(rl: Rl, box: str) -> None:
    """Or the test above could not fail."""
    start(rl, box, _TRACE, "--user=0", "--privileged")
    pretend = "echo rl-exec > /proc/$$/comm; while [ ! -e /dev/shm/leaks ]; do sleep 0.1; done"
    rl("exec", "-e", "SECRET=1", "box", "sh", "-c", pretend, timeout=20)
    assert "/bin/busybox" in rl("exec", "box", "cat", "/dev/shm/leaks").stdout


def test_no_race_leads_to_the_users_interpreter(rl: Rl, box: str, short_dir: Path) -> None:
    """The command is one file when it is looked at and our own interpreter when it is executed."""
    launcher_in(rl, short_dir / "own", copies=True)
    flip = "while :; do ln -sf /bin/true /x; ln -sf /proc/self/exe /x; done"
    libraries = [
        f"-v={path}:{path}:ro" for path in ("/lib", "/lib64", "/usr/lib") if os.path.isdir(path)
    ]
    start(rl, box, flip, *libraries)
    look = "import os; print(os.readlink('/proc/self/exe'))"
    shown = {
        rl("exec", "box", "/x", "-IBSc", look, code=None).stdout for _ in range(_ATTEMPTS)
    }  # fmt: skip
    assert shown <= {"", "/memfd:rl (deleted)\n"}


def test_the_copy_of_the_users_interpreter_cannot_be_written(
    rl: Rl, box: str, short_dir: Path
) -> None:
    launcher_in(rl, short_dir / "own", copies=True)
    own = Path(rl.argv[0])
    before = own.read_bytes()
    start(rl, box, "sleep 1000", "--pid=host")
    process = rl.popen("exec", "box", "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    link = f"/proc/{process.pid}/exe"
    assert os.readlink(link).startswith("/memfd:rl")
    copy = os.open(link, os.O_RDONLY)
    rl("rm", "-f", "box")
    process.communicate(timeout=20)
    assert process.returncode == 137
    # Not in use any more: no ETXTBSY.
    with open(f"/proc/self/fd/{copy}", "r+b", buffering=0) as file, pytest.raises(PermissionError):
        file.write(b"x")
    os.close(copy)
    assert own.read_bytes() == before


def test_the_systems_interpreter_is_not_copied(rl: Rl, box: str, short_dir: Path) -> None:
    launcher_in(rl, short_dir / "own", copies=False)
    if os.access(rl.argv[0], os.W_OK):
        pytest.skip("needs an interpreter that is not this user's own")
    start(rl, box, "sleep 1000")
    process = rl.popen("exec", "box", "sh", "-c", "echo up; sleep 1000", stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    assert os.path.samefile(f"/proc/{process.pid}/exe", rl.argv[0])
    rl("rm", "-f", "box")
    process.communicate(timeout=20)
