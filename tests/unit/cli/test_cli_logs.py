"""`rl logs` on a store made by hand: what goes to which stream, and how it ends."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from rootless.cli import main
from rootless.engine import follow
from rootless.kernel import proc
from rootless.store import containers, paths
from rootless.store.log_files import LogWriter

NOON = 1_795_233_240_123_456_789
SECOND = 1_000_000_000
ID = "ab" * 32


class Made:
    """A container's record and its log, and the state of a running one."""

    def __init__(self, folder):
        self.places = paths.Paths(f"{folder}/store", f"{folder}/run")
        self.folder = folder / "store/containers" / ID
        self.folder.mkdir(parents=True)
        self.note(status="exited")

    def note(self, **fields):
        record = {
            "id": ID, "name": "web", "host": os.uname().nodename, "log_driver": "json-file",
            "log_opts": {}, "remove": False, **fields,
        }  # fmt: skip
        containers.write_record(self.places, record)

    def writer(self):
        return LogWriter(f"{self.folder}/log")

    def say(self, *pieces):
        writer = self.writer()
        for number, (stream, data) in enumerate(pieces):
            writer.write(stream, data, NOON + number * SECOND)
        writer.close()

    def run_as(self, pid, name="keeper"):
        """Claim that the process `pid` looks after the container."""
        os.makedirs(f"{self.places.running}/{ID}")
        with open(f"{self.places.running}/{ID}/lock", "w"):
            pass
        state = {"boot": proc.boot_id(), "processes": {name: [pid, proc.start_time(pid)]}}
        containers.write_state(self.places, ID, state)
        self.note(status="running")


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.setenv("RL_ROOT", f"{tmp_path}/store")
    monkeypatch.setenv("RL_RUNTIME_DIR", f"{tmp_path}/run")
    monkeypatch.setattr(follow, "_GRACE_S", 0.3)
    (tmp_path / "run").mkdir(mode=0o700)
    one = Made(tmp_path)
    os.makedirs(f"{tmp_path}/store/names")
    os.symlink(ID, f"{tmp_path}/store/names/web")
    # Where Paths was given other words than discover() finds, nothing below would be tested.
    assert paths.discover().running == one.places.running
    return one


def logs(capfd, *words):
    code = main.run_cli(["logs", *words])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def test_each_stream_goes_to_its_own(made, capfd):
    made.say(("stdout", b"out\n"), ("stderr", b"err\n"), ("note", b"note\n"))
    assert logs(capfd, "web") == (0, "out\n", "err\nnote\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tail", "2"], "2\n3\n"),
        (["-n1"], "3\n"),
        (["--tail=0"], ""),
        (["--tail=all"], "0\n1\n2\n3\n"),
        (["--tail=-1"], "0\n1\n2\n3\n"),
        (["--since", "2026-11-21T03:54:02.123456789Z"], "2\n3\n"),
        (["--since", "1795233242"], "2\n3\n"),
        (["--until", "2026-11-21T03:54:01.123456789Z"], "0\n1\n"),
        (["--since", "1795233241", "--until", "1795233243"], "1\n2\n"),
        (["--since", "1ns", "--until", "2200-01-01"], ""),
        (["-t", "-n1"], "2026-11-21T03:54:03.123456789Z 3\n"),
        (["--names", "-n1"], "web 3\n"),
        (["-n1", "web"], "abababababab 3\nabababababab 3\n"),
    ],
)
def test_what_is_wanted(made, capfd, monkeypatch, words, expected):
    monkeypatch.setattr(time, "time_ns", lambda: NOON + 1000 * SECOND)
    made.say(*(("stdout", b"%d\n" % number) for number in range(4)))
    assert logs(capfd, *words, "web") == (0, expected, "")


@pytest.mark.parametrize("words", [["--tail", "x"], ["--tail="], ["--since", "x"], ["--until=x"]])
def test_mistakes_name_the_flag(made, capfd, words):
    code, out, err = logs(capfd, *words, "web")
    assert (code, out) == (125, "")
    assert err.startswith(f"rl: error: {words[0].partition('=')[0]} ")


def test_no_such_container(made, capfd):
    assert logs(capfd, "other") == (
        125, "", "rl: error: no such container: other\nhint: rl ps -a\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"log_driver": "none", "status": "exited"}, "(--log-driver none)"),
        ({"remove": True, "status": "running"}, "(--rm)"),
    ],
)
def test_no_log_is_said_so(made, capfd, fields, words):
    made.note(**fields)
    code, out, err = logs(capfd, "web")
    assert (code, out) == (125, "")
    assert "container web: keeps no log" in err and words in err


def test_one_that_never_ran_has_said_nothing(made, capfd):
    made.note(status="created")
    assert logs(capfd, "web") == (0, "", "")
    assert logs(capfd, "-f", "web") == (0, "", "")


def test_following_one_that_has_ended_ends(made, capfd):
    made.say(("stdout", b"1\n"))
    assert logs(capfd, "-f", "web") == (0, "1\n", "")


def test_following_ends_with_the_container_and_has_everything(made, capfd):
    made.say(("stdout", b"1\n"))
    made.run_as(os.getpid())
    began = threading.Event()

    def live():
        began.wait(5)
        for number in range(2, 200):
            made.say(("stdout", b"%d\n" % number))
        made.note(status="restarting")
        made.say(("stderr", b"again\n"))
        made.note(status="running")
        time.sleep(0.2)
        made.say(("stdout", b"last\n"))
        made.note(status="exited")

    thread = threading.Thread(target=live)
    thread.start()
    began.set()
    code, out, err = logs(capfd, "--follow", "web")
    thread.join()
    assert out.splitlines() == [*map(str, range(1, 200)), "last"]
    assert (code, err) == (0, "again\n")


def test_the_end_before_a_restart_is_not_the_end(made, capfd):
    """A supervisor notes that the container has exited, then that it restarts it."""
    made.say(("stdout", b"1\n"))
    made.run_as(os.getpid(), "supervisor")

    def live():
        time.sleep(0.3)
        made.note(status="exited")
        time.sleep(0.1)
        made.note(status="restarting")
        time.sleep(0.5)
        made.note(status="running")
        made.say(("stdout", b"2\n"))
        made.note(status="exited")

    thread = threading.Thread(target=live)
    thread.start()
    assert logs(capfd, "-f", "web") == (0, "1\n2\n", "")
    thread.join()


def test_following_sleeps_while_nothing_comes(made, capfd, monkeypatch):
    made.say(("stdout", b"1\n"))
    made.run_as(os.getpid())
    looks = []
    waits = follow.poll
    monkeypatch.setattr(
        follow,
        "poll",
        lambda masks, ms: (looks.append(ms) if ms != 0 else None, waits(masks, ms))[1],
    )
    thread = threading.Timer(1.0, lambda: made.note(status="exited"))
    thread.start()
    assert logs(capfd, "-f", "web") == (0, "1\n", "")
    thread.join()
    assert len(looks) < 5
    assert set(looks) == {None}


def test_following_ends_when_who_keeps_the_container_was_killed(made, capfd):
    pid = os.fork()
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    made.say(("stdout", b"1\n"))
    made.run_as(pid)
    killer = threading.Timer(0.5, lambda: (os.kill(pid, 9), os.waitpid(pid, 0)))
    killer.start()
    assert logs(capfd, "-f", "web") == (0, "1\n", "")
    killer.join()
    assert containers.read_record(made.places, ID)["status"] == "exited"


def test_following_ends_at_the_given_time(made, capfd):
    made.say(("stdout", b"1\n"))
    made.run_as(os.getpid())
    began = time.monotonic()
    assert logs(capfd, "-f", "--until=-1s", "web") == (
        0,
        "" if time.time() + 1 < NOON / 1e9 else "1\n",
        "",
    )
    assert 0.9 < time.monotonic() - began < 10


def test_without_notice_of_changes_it_looks_each_second(made, capfd, monkeypatch):
    monkeypatch.setattr(follow, "sees_all_of", lambda directory: False)
    monkeypatch.setattr(follow.Watch, "add", lambda self, directory: None)
    made.say(("stdout", b"1\n"))
    made.run_as(os.getpid())
    thread = threading.Timer(
        0.5, lambda: (made.say(("stdout", b"2\n")), made.note(status="exited"))
    )
    thread.start()
    assert logs(capfd, "-f", "web") == (0, "1\n2\n", "")
    thread.join()


def test_a_reader_that_goes_ends_it_though_nothing_comes(made):
    made.say(("stdout", b"1\n"))
    made.run_as(os.getpid())
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        os.dup2(write_end, 1)
        os.close(write_end)
        os._exit(main.run_cli(["logs", "-f", "web"]))
    os.close(write_end)
    assert os.read(read_end, 10) == b"1\n"
    os.close(read_end)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 141


def test_a_slow_reader_of_a_stream_that_does_not_wait(made):
    text = b"x" * 500_000
    made.say(("stdout", text))
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    pid = os.fork()
    if pid == 0:
        os.close(read_end)
        os.dup2(write_end, 1)
        os.close(write_end)
        os._exit(main.run_cli(["logs", "web"]))
    os.close(write_end)
    time.sleep(0.3)
    with open(read_end, "rb") as reader:
        assert reader.read() == text
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_the_journal_is_read_by_its_own_program(made, capfd, monkeypatch, tmp_path):
    """A stand-in for journalctl: one line of its JSON and its arguments."""
    entry = {"MESSAGE": "hello", "PRIORITY": "3", "SYSLOG_TIMESTAMP": "2026-11-21T03:54:00.1Z"}
    tool = tmp_path / "journalctl"
    tool.write_text(f"#!/bin/sh\necho \"$*\" > {tmp_path}/argv\necho '{json.dumps(entry)}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    made.note(status="exited", log_driver="journald")
    assert logs(capfd, "-t", "--tail=3", "web") == (0, "", "2026-11-21T03:54:00.1Z hello\n")
    words = (tmp_path / "argv").read_text().split()
    assert words[:2] == [f"CONTAINER_ID_FULL={ID}", "--lines=3"]
    assert logs(capfd, "-f", "web") == (0, "", "hello\n")
