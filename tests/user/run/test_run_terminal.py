"""`rl run -t` and `-it` at a real pseudo-terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Background, wait_until
from tests.user.run.run_terminal import Terminal

LFLAG = 3


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def at_terminal(terminal: Terminal, rl: Rl, busybox_image: str) -> Any:
    """Start `rl run --rm FLAGS IMAGE COMMAND` at the terminal."""

    def start(*command: str, flags: tuple[str, ...] = ("-it",), **options: Any) -> Terminal:
        argv = [*rl.argv, "run", "--rm", "--net=none", *flags, busybox_image, *command]
        terminal.start(argv, rl.env, **options)
        return terminal

    return start


def test_the_command_has_a_terminal_of_the_same_size(at_terminal: Any) -> None:
    shown = at_terminal("sh", "-c", "stty size; tty; test -t 0 && test -t 1 && test -t 2 && echo 3")
    assert shown.wait() == 0
    assert shown.shown == b"40 123\r\n/dev/pts/0\r\n3\r\n"


def test_a_new_size_arrives_with_its_signal(at_terminal: Any) -> None:
    terminal = at_terminal(
        "sh", "-c", "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.02; done"
    )
    terminal.until(b"ready")
    terminal.resize(20, 77)
    terminal.until(b"20 77")
    assert terminal.wait() == 0


def test_keys_pass_untouched_while_the_command_runs(at_terminal: Any) -> None:
    terminal = at_terminal("sh", "-c", "stty raw -echo; echo ready; head -c 5 | od -An -tx1")
    terminal.until(b"ready")
    assert not terminal.mode()[LFLAG] & (termios.ICANON | termios.ECHO | termios.ISIG)
    terminal.type(b"\x03\x1a\x04\r\x7f")
    terminal.until(b"03 1a 04 0d 7f")
    assert terminal.wait() == 0
    assert terminal.mode() == terminal.mode_before


def test_ctrl_c_reaches_the_command_and_rl_reports_it(at_terminal: Any) -> None:
    terminal = at_terminal(
        "sh", "-c", "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.02; done"
    )
    terminal.until(b"ready")
    terminal.type(b"\x03")
    terminal.until(b"caught")
    assert terminal.wait() == 5


@pytest.mark.parametrize("flags", [("-it",), ("-it", "--init")], ids=["plain", "init"])
def test_job_control(at_terminal: Any, flags: tuple[str, ...]) -> None:
    terminal = at_terminal("sh", flags=flags)
    terminal.until(b"# ")
    # Its own word says that it is in the foreground: the shell itself would ignore the key.
    loop = b"while :; do sleep 0.05; done"
    terminal.type(b'sh -c \'trap "echo ba"ck CONT; echo going; ' + loop + b"'\n")
    terminal.until(b"\r\ngoing\r\n")
    terminal.type(b"\x1a")
    terminal.until(b"Stopped")
    terminal.type(b"jobs; fg\n")
    terminal.until(b"fg\r\n")
    terminal.until(b"Stopped")
    # It hears SIGCONT when the terminal is its own again; a key before that is the shell's.
    terminal.until(b"\r\nback\r\n")
    terminal.type(b"\x03")
    terminal.until(b"# ")
    terminal.type(b"echo code $?\n")
    terminal.until(b"code 130")
    terminal.type(b"exit 9\n")
    assert terminal.wait() == 9
    assert terminal.mode() == terminal.mode_before


@pytest.mark.parametrize("flags", [("-it",), ("-it", "--init")], ids=["plain", "init"])
def test_ctrl_c_ends_a_command_without_a_handler(at_terminal: Any, flags: tuple[str, ...]) -> None:
    """Process 1 gets only the signals that it handles; without --init that is the shell."""
    terminal = at_terminal("sh", "-c", "echo ready; sleep 1000; echo on", flags=flags)
    terminal.until(b"ready")
    terminal.type(b"\x03")
    assert terminal.wait() == 130
    assert terminal.mode() == terminal.mode_before


def test_the_mode_comes_back_after_an_error(at_terminal: Any) -> None:
    terminal = at_terminal("no-such-command")
    assert terminal.wait() == 127
    assert b"no-such-command" in terminal.shown
    assert terminal.mode() == terminal.mode_before


def test_the_mode_comes_back_after_sigterm(at_terminal: Any) -> None:
    terminal = at_terminal(
        "sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 0.02; done"
    )
    terminal.until(b"ready")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.wait() == 4
    assert terminal.mode() == terminal.mode_before


def test_the_mode_comes_back_after_sigkill_of_rl(at_terminal: Any, rl: Rl) -> None:
    terminal = at_terminal("sh", "-c", "echo ready; sleep 1000")
    terminal.until(b"ready")
    wait_until(lambda: terminal.mode() != terminal.mode_before)
    terminal.process.kill()
    terminal.wait()
    wait_until(lambda: terminal.mode() == terminal.mode_before)
    assert rl("ps", "-aq").stdout == ""


def test_the_mode_comes_back_after_sigkill_of_the_keeper(at_terminal: Any, rl: Rl) -> None:
    terminal = at_terminal("sh", "-c", "echo ready; sleep 1000")
    terminal.until(b"ready")
    wait_until(lambda: terminal.mode() != terminal.mode_before)
    os.kill(Background(rl, terminal.process).pid("keeper"), signal.SIGKILL)
    assert terminal.wait() == 137
    assert terminal.mode() == terminal.mode_before
    assert rl("ps", "-aq").stdout == ""


def test_t_without_i_shows_a_terminal_and_takes_no_keys(at_terminal: Any) -> None:
    terminal = at_terminal("sh", "-c", "test -t 1 && stty size && echo shown", flags=("-t",))
    assert terminal.wait() == 0
    # Both terminals, the inner and the user's own in its usual mode, end the line.
    assert terminal.shown == b"40 123\r\r\nshown\r\r\n"
    assert terminal.mode() == terminal.mode_before


def test_i_without_t_has_no_terminal(at_terminal: Any) -> None:
    terminal = at_terminal("sh", "-c", "test -t 0 || read a; tty; echo got $a", flags=("-i",))
    terminal.type(b"word\n")
    terminal.until(b"not a tty")
    terminal.until(b"got word")
    assert terminal.wait() == 0


def test_ctrl_c_without_t_is_forwarded_once(at_terminal: Any) -> None:
    script = "trap 'echo caught' INT; echo ready; sleep 0.5; sleep 0.5; exit 3"
    terminal = at_terminal("sh", "-c", script, flags=("-i",))
    terminal.until(b"ready")
    terminal.type(b"\x03")
    assert terminal.wait() == 3
    assert terminal.shown.count(b"caught") == 1


def test_t_without_a_terminal_of_our_own(rl: Rl, busybox_image: str) -> None:
    """As in a pipeline or a CI job: the command has its terminal, lines end as a terminal's do."""
    done = subprocess.run(
        [*rl.argv, "run", "--rm", "-t", "--net=none", busybox_image, "sh", "-c",
         "test -t 0 && echo terminal; echo err >&2"],
        env=rl.env, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, b"terminal\r\nerr\r\n", b"")


def test_it_with_keys_from_a_pipe(rl: Rl, busybox_image: str) -> None:
    done = rl(
        "run",
        "--rm",
        "-it",
        "--net=none",
        busybox_image,
        "sh",
        input="echo $((6*7))\nexit 2\n",
        code=2,
    )
    assert "42" in done.stdout.splitlines()
    assert "standard input is not a terminal" in done.stderr


def test_the_end_of_a_pipe_is_the_end_of_keys(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--rm", "-it", "--net=none", busybox_image, "cat", input="line\n")
    assert done.stdout.splitlines()[-1] == "line"


def test_much_output_arrives_whole(at_terminal: Any) -> None:
    terminal = at_terminal("sh", "-c", "seq 1 100000; echo end")
    terminal.until(b"\r\n99999\r\n100000\r\nend\r\n")
    assert terminal.wait() == 0


def test_the_terminal_belongs_to_the_user(at_terminal: Any) -> None:
    terminal = at_terminal(
        "sh", "-c", "stat -c %u:%g:%a $(tty); echo again > $(tty); ls -l /dev/console | cut -c1",
        flags=("-it", "--user", "1234"),
    )  # fmt: skip
    assert terminal.wait() == 0
    assert terminal.shown == b"1234:5:620\r\nagain\r\nc\r\n"


def test_stop_and_continue(at_terminal: Any) -> None:
    script = "trap 'echo on; exit 6' TERM; echo ready; while :; do sleep 0.02; done"
    terminal = at_terminal("sh", "-c", script, flags=())
    terminal.until(b"ready")
    pid = terminal.process.pid
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T")
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
    assert terminal.wait() == 6
    assert terminal.shown.endswith(b"on\r\n")


def state_of(pid: int) -> str:
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
