"""Child processes: what they get, and above all what they do not get."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rootless.errors import HostError
from rootless.tools import spawn

CHECKOUT = Path(__file__).parents[3]


def shell(script: str) -> spawn.Completed:
    return spawn.run(["/bin/sh", "-c", script])


def test_output_code_and_complaint() -> None:
    done = shell("echo out; echo one >&2; echo two >&2; exit 7")
    assert (done.code, done.stdout, done.complaint()) == (7, b"out\n", "two")
    assert shell("kill -9 $$").code == 137
    assert shell("exit 3").complaint() == "exit code 3"


def test_standard_input_ends() -> None:
    assert spawn.run(["/bin/cat"], stdin=b"\0x").stdout == b"\0x"
    assert spawn.run(["/bin/cat"]).stdout == b""


def test_a_large_output_needs_no_reader() -> None:
    assert len(shell("head -c 3000000 /dev/zero").stdout) == 3_000_000


def test_the_environment_is_made_from_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    lines = spawn.run(["/usr/bin/env"]).stdout.decode().splitlines()
    assert sorted(line.partition("=")[0] for line in lines) == ["LC_ALL", "PATH"]
    assert spawn.run(["/usr/bin/env"], env={"A": "1"}).stdout == b"A=1\n"


def test_only_the_named_descriptors_are_there() -> None:
    """Also none that our own caller has left open and inheritable."""
    leaked, passed = os.open("/", os.O_RDONLY), os.open("/", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    read_end, write_end = os.pipe()
    child = spawn.spawn(
        ["/bin/sh", "-c", "exec ls /proc/self/fd"], stdout=write_end, pass_fds=(passed,)
    )
    os.close(write_end)
    with open(read_end, "rb") as file:
        shown = {int(number) for number in file.read().split()}
    assert child.wait() == 0
    assert {0, 1, 2, passed} <= shown
    assert leaked not in shown
    assert len(shown) == 5, "and the one of the listing"
    os.close(leaked)
    os.close(passed)


def test_signals_that_python_ignores_work_again() -> None:
    assert shell("kill -PIPE $$; echo survived").code == 128 + signal.SIGPIPE


def test_folder_and_mask(tmp_path: Path) -> None:
    child = spawn.spawn(["/bin/sh", "-c", "echo x > file"], cwd=str(tmp_path), umask=0o027)
    assert child.wait() == 0
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640
    assert spawn.spawn(["/bin/true"], cwd=f"{tmp_path}/nowhere").wait() == 127


def test_a_program_that_is_missing_says_so() -> None:
    done = spawn.run(["/nowhere/program"])
    assert (done.code, done.complaint()) == (127, "/nowhere/program: No such file or directory")


def test_a_child_dies_with_its_owner() -> None:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        child = spawn.spawn(["/bin/sleep", "60"], stdout=write_end, die_with_parent=signal.SIGKILL)
        os.write(write_end, b"%d" % child.pid)
        os._exit(0)
    os.close(write_end)
    with open(read_end, "rb") as file:
        assert int(file.read()) > 0, "the end of the pipe: nobody has it any more"
    os.waitpid(pid, 0)


def test_killing_one_that_has_ended_is_no_error() -> None:
    child = spawn.spawn(["/bin/sleep", "60"])
    child.kill(signal.SIGTERM)
    assert child.wait() == 128 + signal.SIGTERM
    child.kill()


def test_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "tool"
    program.touch(0o755)
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").touch(0o644)
    monkeypatch.setenv("PATH", f"relative:{tmp_path}")
    assert spawn.which("tool") == spawn.find("tool", "package") == str(program)
    assert spawn.which("folder") is spawn.which("plain") is spawn.which("no-such-tool") is None
    monkeypatch.setenv("PATH", "")
    assert spawn.which("sh") is not None, "system folders count also without PATH"
    with pytest.raises(HostError, match="no-such-tool: not installed") as caught:
        spawn.find("no-such-tool", "the-package")
    assert caught.value.hint == "sudo apt-get install the-package"


def test_what_is_logged_can_be_pasted() -> None:
    words = ["/bin/echo", "a b", "it's", "", "$HOME", "x=1"]
    assert spawn.quoted(words) == """/bin/echo 'a b' 'it'"'"'s' '' '$HOME' x=1"""
    assert shell(f"exec {spawn.quoted(words)}").stdout == b"a b it's  $HOME x=1\n"


@pytest.mark.parametrize("alone", [False, True])
def test_only_a_session_of_its_own_keeps_the_signals_of_the_terminal_away(alone: bool) -> None:
    child = spawn.spawn(["/bin/sleep", "100"], own_session=alone)
    try:
        wanted = child.pid if alone else os.getsid(0)
        deadline = time.monotonic() + 5
        while os.getsid(child.pid) != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.getsid(child.pid) == wanted
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("is_executed", [True, False], ids=["the script", "python with it"])
def test_rl_is_started_again_as_it_was(tmp_path: Path, is_executed: bool) -> None:
    """As the kernel executes a script, its path stands behind the words of its first line."""
    script = tmp_path / "rl"
    script.write_text(
        f"#!{sys.executable} -IS\nimport sys\nsys.path.append({str(CHECKOUT)!r})\n"
        "from rootless.tools import spawn\nprint(spawn.command_of_rl())\n"
    )
    script.chmod(0o755)
    command = [str(script)] if is_executed else [sys.executable, str(script)]
    done = subprocess.run([*command, "run", "-it"], capture_output=True, text=True, check=True)
    assert done.stdout == f"{command}\n"
