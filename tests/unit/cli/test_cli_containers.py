from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from rootless.cli import cmd_containers, main
from rootless.kernel import proc
from rootless.store import containers
from rootless.store.paths import Paths


def add(places: Paths, digit: str, status: str, **more: Any) -> str:
    container_id = digit * 64
    record = {
        "id": container_id, "name": f"name_{digit}", "image": "docker.io/library/alpine:3",
        "image_id": "ab" * 32, "manifest": "", "command": ["sleep", "a long, long time"],
        "created": time.time() - 130, "status": status, "exit_code": None, "labels": {}, **more,
    }  # fmt: skip
    os.makedirs(containers.directory(places, container_id))
    containers.write_record(places, record)
    return container_id


def alive(places: Paths, container_id: str, *, started: int) -> None:
    live = containers.live_directory(places, container_id)
    os.makedirs(live)
    Path(live, "lock").touch()
    state = {"boot": proc.boot_id(), "processes": {"init": [os.getpid(), started]}}
    containers.write_state(places, container_id, state)


def test_ps(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    running = add(places, "a", "running")
    alive(places, running, started=proc.start_time(os.getpid()))
    # Nobody looks after a container whose lock is free: its processes, here this one, are killed.
    watched = containers.live_lock(places, running)
    assert watched.acquire()
    # The pid lives, but it is another process by now: cleared by the first command.
    alive(places, add(places, "b", "running", created=1), started=1)
    add(places, "c", "exited", exit_code=3, finished=time.time() - 5, created=time.time() - 9)
    assert main.run_cli(["ps"]) == 0
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == "CONTAINER ID IMAGE COMMAND CREATED STATUS NAMES".split()
    assert row.split("   ") == [
        "a" * 12, "docker.io/library/alpine:3", "sleep a long, long …", "2 minutes ago",
        "Up 2 minutes", "name_a",
    ]  # fmt: skip
    assert main.run_cli(["ps", "-aq"]) == 0
    assert capsys.readouterr().out.split() == ["c" * 12, "a" * 12, "b" * 12]
    assert main.run_cli(["ps", "-a", "--format", "json"]) == 0
    states = [one["State"] for one in json.loads(capsys.readouterr().out)]
    assert states == ["exited", "running", "exited"]


def test_ps_of_an_empty_store(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["container", "ls", "-a"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_damaged_record_is_left_out(places: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    container_id = add(places, "a", "exited")
    Path(containers.directory(places, container_id), "container.json").write_text("{")
    assert main.run_cli(["ps", "-aq"]) == 0
    said = capfd.readouterr()
    assert said.out == "" and "container.json: damaged" in said.err


def test_status_text() -> None:
    record = {"status": "exited", "exit_code": 3, "created": 0, "finished": 100}
    assert cmd_containers.status_text(record, 160.0) == "Exited (3) About a minute ago"
    assert cmd_containers.status_text({"status": "dead"}, 0.0) == "Dead"


def test_rm_wants_a_name(places: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["rm"]) == 125
    assert "rl rm: name a container" in capfd.readouterr().err
