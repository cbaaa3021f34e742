"""Standard streams: every byte, both ways, and the end of each stream by itself."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Sh

BYTES = bytes(range(256)) * 17 + b"\r\n\x00\x04\x1b\xff"
LARGE = random.Random(1).randbytes(20_000_000)


def run_bytes(
    rl: Rl, image: str, *command: str, stdin: bytes, flags: tuple[str, ...] = ("-i",)
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*rl.argv, "run", "--rm", "--net=none", *flags, image, *command],
        input=stdin, env=rl.env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("flags", [("-i",), ("-i", "--init")], ids=["plain", "init"])
def test_bytes_pass_unchanged(rl: Rl, busybox_image: str, flags: tuple[str, ...]) -> None:
    done = run_bytes(rl, busybox_image, "cat", stdin=BYTES, flags=flags)
    assert (done.returncode, done.stdout, done.stderr) == (0, BYTES, b"")


def test_twenty_megabytes_there_and_back(rl: Rl, busybox_image: str) -> None:
    done = run_bytes(rl, busybox_image, "cat", stdin=LARGE)
    assert done.returncode == 0
    assert done.stdout == LARGE


def test_both_outputs_at_once_are_kept_apart(rl: Rl, busybox_image: str) -> None:
    script = "head -c 3000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait"
    done = run_bytes(rl, busybox_image, "sh", "-c", script, stdin=b"")
    assert done.stdout == bytes(3_000_000)
    assert done.stderr == bytes(2_000_000)


def test_regular_files_at_all_three(rl: Rl, busybox_image: str, work: Path) -> None:
    """`cat bigfile | rl run -i cat > file` and its like: pumped, because they are files."""
    (work / "in").write_bytes(LARGE)
    with (
        open(work / "in", "rb") as stdin,
        open(work / "out", "wb") as stdout,
        open(work / "err", "wb") as stderr,
    ):
        code = rl.popen(
            "run", "--rm", "-i", "--net=none", busybox_image, "sh", "-c", "cat; echo end >&2",
            stdin=stdin, stdout=stdout, stderr=stderr,
        ).wait(60)  # fmt: skip
    assert code == 0
    assert (work / "out").read_bytes() == LARGE
    assert (work / "err").read_bytes() == b"end\n"


def test_a_pipe_in_and_a_file_out(rl: Rl, busybox_image: str, work: Path) -> None:
    (work / "in").write_bytes(LARGE)
    argv = ["run", "--rm", "-i", "--net=none", busybox_image, "cat"]
    with open(work / "out", "wb") as stdout:
        source = subprocess.Popen(["cat", str(work / "in")], stdout=subprocess.PIPE)
        process = rl.popen(*argv, stdin=source.stdout, stdout=stdout)
        assert source.stdout is not None
        source.stdout.close()
        assert (process.wait(60), source.wait(5)) == (0, 0)
    assert (work / "out").read_bytes() == LARGE


def test_a_file_that_is_appended_to_keeps_what_it_had(
    rl: Rl, busybox_image: str, work: Path
) -> None:
    (work / "log").write_bytes(b"before\n")
    with open(work / "log", "ab") as stdout:
        rl.popen("run", "--rm", "--net=none", busybox_image, "echo", "after", stdout=stdout).wait(
            60
        )
    assert (work / "log").read_bytes() == b"before\nafter\n"


def test_the_end_of_input_comes_before_the_end_of_output(rl: Rl, busybox_image: str) -> None:
    """Half-close: the command reads to the end, then answers."""
    done = run_bytes(rl, busybox_image, "md5sum", stdin=b"abc")
    assert done.stdout.split() == [b"900150983cd24fb0d6963f7d28e17f72", b"-"]


@pytest.mark.parametrize("kind", ["socket", "pipe", "file"])
def test_output_goes_on_after_the_end_of_input(
    rl: Rl, busybox_image: str, work: Path, kind: str
) -> None:
    script = "cat; echo more; sleep 0.2; echo last"
    argv = ("run", "--rm", "-i", "--net=none", busybox_image, "sh", "-c", script)
    if kind == "socket":
        ours, theirs = socket.socketpair()
        process = rl.popen(*argv, stdin=theirs, stdout=theirs)
        theirs.close()
        ours.sendall(b"first\n")
        ours.shutdown(socket.SHUT_WR)
        with ours, ours.makefile("rb") as stream:
            got = stream.read()
    else:
        (work / "in").write_bytes(b"first\n")
        with open(work / "in", "rb") as file:
            stdin = file if kind == "file" else subprocess.PIPE
            process = rl.popen(*argv, stdin=stdin, stdout=subprocess.PIPE)
            got, _ = process.communicate(b"first\n" if kind == "pipe" else None, timeout=30)
    assert process.wait(30) == 0
    assert got == b"first\nmore\nlast\n"


def test_output_comes_while_the_command_still_runs(rl: Rl, busybox_image: str) -> None:
    """A dialogue over pipes: nothing waits for a buffer to fill."""
    process = rl.popen(
        "run", "--rm", "-i", "--net=none", busybox_image, "cat",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    for word in (b"one\n", b"two\n"):
        process.stdin.write(word)
        assert process.stdout.readline() == word
    process.stdin.close()
    assert process.stdout.read() == b""
    assert process.wait(30) == 0
    process.stdout.close()


def test_without_i_the_command_reads_nothing(rl: Rl, busybox_image: str) -> None:
    done = run_bytes(rl, busybox_image, "wc", "-c", stdin=b"for the host only", flags=())
    assert done.stdout == b"0\n"


def test_a_reader_that_goes_away_ends_the_writer(rl: Rl, busybox_image: str) -> None:
    process = rl.popen(
        "run", "--rm", "--net=none", busybox_image, "sh", "-c", "cat /dev/zero; echo code $? >&2",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(10) == bytes(10)
    process.stdout.close()
    assert process.stderr.read().decode().endswith("code 141\n")  # 128 + SIGPIPE
    process.stderr.close()
    process.wait(30)


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_streams_that_the_caller_closed(
    rl: Rl, busybox_image: str, work: Path, closed: tuple[int, ...]
) -> None:
    """They are open on nothing for the command: 0, 1 and 2 never become something else."""
    script = "readlink /proc/self/fd/0; ls /proc/self/fd | wc -l; cat; echo hi; echo hi >&2; true"
    argv = ["run", "--rm", "-i", "--net=none", "-v", f"{work}:/w", busybox_image, "sh", "-c"]
    script = f"({script}) > /w/out 2>/w/err; echo $? > /w/code; echo said"
    process = rl.popen(
        *argv, script, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: [os.close(fd) for fd in closed],
    )  # fmt: skip
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out == (b"" if 1 in closed else b"said\n")
    assert (work / "code").read_text() == "0\n"
    assert "hi" in (work / "out").read_text()


def test_a_slow_reader_loses_nothing(rl: Rl, busybox_image: str, work: Path) -> None:
    """The pump to a full pipe waits, and goes on with signals and the other stream meanwhile."""
    process = rl.popen(
        "run", "--rm", "--net=none", busybox_image, "sh", "-c",
        "echo note >&2; head -c 1000000 /dev/zero", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stderr is not None
    assert process.stderr.readline() == b"note\n"
    threading.Event().wait(0.3)
    assert process.stdout.read() == bytes(1_000_000)
    assert process.wait(30) == 0
    process.stdout.close()
    process.stderr.close()


@pytest.mark.parametrize("kind", ["fifo", "terminal"])
def test_a_reader_that_pauses_holds_up_nothing_else(
    rl: Rl, busybox_image: str, work: Path, kind: str
) -> None:
    """Signals pass, and the other stream, while the pump's own output is full."""
    if kind == "fifo":
        os.mkfifo(work / "fifo")
        reader = os.open(work / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        writer = os.open(work / "fifo", os.O_WRONLY)
    else:
        reader, writer = os.openpty()
    script = "trap 'echo caught >&2' USR1; yes & sleep 0.3; echo full >&2; sleep 0.3; sleep 0.3"
    process = rl.popen(
        "run", "--rm", "--net=none", busybox_image, "sh", "-c", f"{script}; kill $!; exit 6",
        stdout=writer, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline() == b"full\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stderr.readline() == b"caught\n"
    assert os.get_blocking(writer)
    os.close(writer)
    os.set_blocking(reader, False)
    while process.poll() is None:
        try:
            os.read(reader, 65536)
        except BlockingIOError:
            continue
        except OSError:
            break
    os.close(reader)
    assert process.wait(20) == 6
    process.stderr.close()


def test_standard_error_stays_apart(sh: Sh) -> None:
    done = sh("echo out; echo err >&2")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")


def test_the_command_can_open_its_streams_again(sh: Sh) -> None:
    """/dev/stdout and its like, also as a user other than root."""
    script = "echo a > /dev/stdout; echo b > /dev/stderr; echo c > /proc/self/fd/1"
    done = sh(script, "--user", "1234:1234")
    assert (done.stdout, done.stderr) == ("a\nc\n", "b\n")


def test_a_named_pipe_is_not_handed_over(rl: Rl, busybox_image: str, work: Path) -> None:
    """The command could open it the other way round, and its mode is the user's own affair."""
    os.mkfifo(work / "fifo", 0o600)
    fifo = os.open(work / "fifo", os.O_RDWR)
    process = rl.popen(
        "run", "--rm", "-i", "--net=none", busybox_image, "sh", "-c",
        "readlink /proc/self/fd/0; head -c 5", stdin=fifo, stdout=subprocess.PIPE,
    )  # fmt: skip
    os.write(fifo, b"hello")
    out, _ = process.communicate(timeout=30)
    os.close(fifo)
    assert (process.returncode, out[:6], out[-5:]) == (0, b"pipe:[", b"hello")
    assert (work / "fifo").stat().st_mode & 0o777 == 0o600
