"""A container's output is kept, and `rl logs` gives it back to the byte."""

from __future__ import annotations

import os
import random
import subprocess
import time

import pytest

from tests.user.conftest import Rl

LARGE = random.Random(3).randbytes(3_000_000)


def logs(rl: Rl, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*rl.argv, "logs", *words], env=rl.env, capture_output=True, timeout=60, check=True
    )


@pytest.mark.parametrize("where", ["pipes", "files"])
def test_every_byte_goes_to_the_caller_and_to_the_log(rl, busybox_image, tmp_path, where) -> None:
    (tmp_path / "in").write_bytes(LARGE)
    argv = [*rl.argv, "run", "-i", "--net=none", "--name=one", "--log-opt=max-size=-1",
            busybox_image, "sh", "-c", "cat; echo end >&2"]  # fmt: skip
    with open(tmp_path / "in", "rb") as stdin, open(tmp_path / "out", "w+b") as out:
        sink = subprocess.PIPE if where == "pipes" else out
        done = subprocess.run(argv, env=rl.env, stdin=stdin, stdout=sink, stderr=subprocess.PIPE)
    seen = done.stdout if where == "pipes" else (tmp_path / "out").read_bytes()
    assert (done.returncode, seen, done.stderr) == (0, LARGE, b"end\n")
    kept = logs(rl, "one")
    assert (kept.stdout, kept.stderr) == (LARGE, b"end\n")


def test_what_a_terminal_showed(rl, busybox_image) -> None:
    rl("run", "-t", "--net=none", "--name=one", busybox_image, "echo", "hi")
    assert logs(rl, "one").stdout == b"hi\r\n"


def test_details_are_what_the_log_options_have_chosen(rl, busybox_image) -> None:
    rl("run", "--net=none", "--name=one", "--label=app=shop", "--label=other=x", "-e", "STAGE=t 1",
       "--log-opt=labels=app", "--log-opt=env-regex=^STA", "--log-opt=tag={{.Name}}",
       busybox_image, "sh", "-c", "echo a; echo b")  # fmt: skip
    assert logs(rl, "--details", "one").stdout == (
        b"STAGE=t+1,app=shop,tag=one a\nSTAGE=t+1,app=shop,tag=one b\n"
    )
    assert logs(rl, "one").stdout == b"a\nb\n"
    rl("run", "--net=none", "--name=two", busybox_image, "echo", "a")
    # As docker: the space is there, whatever stands before it.
    assert logs(rl, "--details", "two").stdout == b" a\n"


def test_files_are_rotated(rl, busybox_image) -> None:
    rl("run", "--net=none", "--name=one", "--log-opt=max-size=100k", "--log-opt=max-file=2",
       busybox_image, "sh", "-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo line $i; done",
    )  # fmt: skip
    (folder,) = os.listdir(rl.paths.containers)
    names = sorted(os.listdir(f"{rl.paths.containers}/{folder}/log"))
    assert names == ["log.json", "log.json.1"]
    lines = logs(rl, "one").stdout.splitlines()
    assert lines[-1] == b"line 20000"
    assert lines == [b"line %d" % n for n in range(20001 - len(lines), 20001)][-len(lines) :]
    assert logs(rl, "--tail=2", "one").stdout == b"line 19999\nline 20000\n"


@pytest.mark.parametrize(
    ("flags", "hint"),
    [(["--log-driver=none", "--name=one"], "none"), (["--rm", "--name=one"], "--rm")],
)
def test_nothing_is_kept_where_that_is_not_wanted(rl, busybox_image, flags, hint) -> None:
    running = rl.popen("run", "--net=none", *flags, busybox_image, "sleep", "30",
                       stdout=subprocess.DEVNULL)  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while "one" not in rl("ps").stdout and time.monotonic() < deadline:
            time.sleep(0.1)
        done = rl("logs", "one", code=125)
        assert "container one: keeps no log" in done.stderr and hint in done.stderr
        (folder,) = os.listdir(rl.paths.containers)
        assert not os.path.exists(f"{rl.paths.containers}/{folder}/log")
    finally:
        rl("rm", "--force", "one")
        running.wait(20)


def test_a_follower_gets_it_as_it_comes_and_ends_with_the_container(rl, busybox_image) -> None:
    script = "echo first; read word; echo got $word"
    running = rl.popen("run", "-i", "--net=none", "--name=one", busybox_image, "sh", "-c", script,
                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    assert running.stdin is not None and running.stdout is not None
    assert running.stdout.readline() == b"first\n"
    follower = rl.popen("logs", "--follow", "one", stdout=subprocess.PIPE)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"first\n"
    running.stdin.write(b"it\n")
    running.stdin.close()
    assert follower.stdout.read() == b"got it\n"
    assert (follower.wait(10), running.wait(10)) == (0, 0)
    running.stdout.close()
    follower.stdout.close()


def test_a_follower_ends_when_everybody_was_killed(rl, busybox_image) -> None:
    running = rl.popen("run", "--net=none", "--name=one", busybox_image, "sh", "-c",
                       "echo first; sleep 60", stdout=subprocess.PIPE)  # fmt: skip
    assert running.stdout is not None
    assert running.stdout.readline() == b"first\n"
    follower = rl.popen("logs", "--follow", "one", stdout=subprocess.PIPE)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"first\n"
    running.kill()
    assert follower.stdout.read() == b""
    assert follower.wait(20) == 0
    running.wait()
    running.stdout.close()
    follower.stdout.close()
