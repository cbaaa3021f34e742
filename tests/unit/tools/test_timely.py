from __future__ import annotations

import time

from rootless.errors import HostError
from rootless.tools import timely


def fail() -> None:
    raise HostError("/dev/fuse: missing", "sudo modprobe fuse")


def not_there() -> str:
    with open("/no/such/file") as file:
        return file.read()


def test_answers_and_failures() -> None:
    told = timely.ask(
        {"number": lambda: 7, "rl": fail, "os": not_there, "wrong": lambda: {}["x"]}, 5
    )
    assert told["number"] == 7
    assert isinstance(told["rl"], HostError) and told["rl"].hint == "sudo modprobe fuse"
    assert isinstance(told["os"], FileNotFoundError) and told["os"].filename == "/no/such/file"
    assert str(told["wrong"]) == "internal error: KeyError: 'x'"


def test_who_is_late_does_not_keep_the_others_waiting() -> None:
    began = time.monotonic()
    told = timely.ask({"late": lambda: time.sleep(60), "quick": lambda: "here"}, 0.2)
    assert isinstance(told["late"], timely.NoAnswer)
    assert str(told["late"]) == "no answer within 0.2 seconds"
    assert told["quick"] == "here"
    assert time.monotonic() - began < 30


def test_a_process_that_is_killed_has_no_answer() -> None:
    import os
    import signal

    told = timely.ask({"gone": lambda: os.kill(os.getpid(), signal.SIGKILL)}, 5)
    assert str(told["gone"]) == "the process that looked ended"
