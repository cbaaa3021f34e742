from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from rootless.cli import main, ps_rows
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
    containers.claim_name(places, record["name"], container_id)
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
    assert heads.split() == "CONTAINER ID IMAGE COMMAND CREATED STATUS PORTS NAMES".split()
    assert [field.strip() for field in row.split("   ") if field.strip()] == [
        "a" * 12, "docker.io/library/alpine:3", "\"sleep 'a long, long…\"", "2 minutes ago",
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


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"status": "exited", "exit_code": 3, "finished": 100}, "Exited (3) About a minute ago"),
        ({"status": "restarting", "exit_code": 1, "finished": 155}, "Restarting (1) 5 seconds ago"),
        ({"status": "running"}, "Up 2 minutes"),
        ({"status": "running", "started": 159}, "Up 1 second"),
        ({"status": "paused"}, "Up 2 minutes (Paused)"),
        ({"status": "running", "health": {"status": "healthy"}}, "Up 2 minutes (healthy)"),
        (
            {"status": "running", "health": {"status": "starting"}},
            "Up 2 minutes (health: starting)",
        ),
        ({"status": "running", "health": {"status": "none"}}, "Up 2 minutes"),
        ({"status": "created", "finished": 150}, "Created"),
        ({"status": "dead"}, "Dead"),
    ],
)  # fmt: skip
def test_status_text(record: dict[str, Any], text: str) -> None:
    assert ps_rows.status_text({"created": 0, **record}, 160.0) == text


def three(places: Paths) -> None:
    """Of different age: c is the newest."""
    more = {"exit_code": 0, "finished": time.time()}
    spec = {"ports": [{"host_ip": "", "host_port": 8080, "container_port": 80, "protocol": "tcp"}]}
    add(places, "a", "exited", created=1, labels={"app": "web", "t": "x"}, spec=spec, **more)
    add(places, "b", "created", created=2, mounted_volumes=["data"], network="none")
    tree = {"type": "bind", "source": "/srv/some/long/folder", "destination": "/v"}
    add(places, "c", "exited", created=3, **{**more, "exit_code": 4}, mounts=[tree])


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main.run_cli(["ps", *arguments]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["-a"], "cba"),
        ([], ""),
        (["-l"], "c"),
        (["-n", "2"], "cb"),
        (["-n=-1", "-a"], "cba"),
        (["--filter", "status=created"], "b"),
        (["--filter", "exited=4"], ""),
        (["-a", "--filter", "exited=4"], "c"),
        (["-a", "-f", "label=app=web", "-f", "label=t"], "a"),
        (["-a", "-f", "name=_[ab]$"], "ba"),
        (["-a", "-f", "since=name_a"], "cb"),
        (["-a", "-f", "before=name_c", "-f", "network=bridge"], "a"),
        (["-a", "-f", "volume=data"], "b"),
        (["-a", "-f", "publish=8080", "-f", "expose=80/tcp"], "a"),
    ],
)
def test_which_are_shown(
    places: Paths, capsys: pytest.CaptureFixture[str], words: list[str], names: str
) -> None:
    three(places)
    assert shown(capsys, *words, "--format", "{{.Names}}").split() == [
        f"name_{one}" for one in names
    ]


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("status=up", "--filter status=up: not a filter"),
        ("colour=red", "--filter colour=red: not a filter"),
        ("exited=x", "--filter exited=x: not a filter"),
        ("publish=x", "--filter publish=x: not a filter"),
        ("since=nobody", "no such container: nobody"),
    ],
)
def test_filters_that_are_none(
    places: Paths, capfd: pytest.CaptureFixture[str], word: str, said: str
) -> None:
    three(places)
    assert main.run_cli(["ps", "-a", "-f", word]) != 0
    assert said in capfd.readouterr().err


def test_templates(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    three(places)
    form = '{{.ID}} {{.State}} {{.Status}} {{.Label "app"}}|{{.Labels}}|{{.Mounts}}|{{.Networks}}'
    assert shown(capsys, "-a", "--format", form).splitlines() == [
        f"{'c' * 12} exited Exited (4) Less than a second ago ||/srv/some/long…|slirp4netns",
        f"{'b' * 12} created Created ||data|none",
        f"{'a' * 12} exited Exited (0) Less than a second ago web|app=web,t=x||slirp4netns",
    ]
    rows = [json.loads(line) for line in shown(capsys, "-a", "--format={{json .}}").splitlines()]
    assert [row["Names"] for row in rows] == ["name_c", "name_b", "name_a"]
    assert rows[1]["CreatedAt"].startswith("1970-01-01 ") and rows[1]["LocalVolumes"] == "1"
    assert rows[0]["Command"] == '"sleep \'a long, long…"' and rows[0]["Size"] == "0B (virtual 0B)"


def test_a_table_of_ones_own(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    three(places)
    form = 'table {{.Names}}\\t{{upper .State}}\\t{{.Label "my.app-name"}}'
    assert shown(capsys, "-a", "--format", form).splitlines() == [
        "NAMES    STATE     app name", "name_c   EXITED", "name_b   CREATED", "name_a   EXITED",
    ]  # fmt: skip
    assert shown(capsys, "-a", "--format", "table") == shown(capsys, "-a")
    assert shown(capsys, "-as").splitlines()[0].split()[-1] == "SIZE"


def test_a_field_that_is_none(places: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    three(places)
    assert main.run_cli(["ps", "-a", "--format", "{{.Names}} {{.Nothing}}"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(
        'rl: error: template parsing error: template: :1:13: executing "" at <.Nothing>:'
        " can't evaluate field Nothing in type container\n"
    )


def test_a_reboot_is_seen(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    add(places, "a", "running", host=os.uname().nodename)
    add(places, "b", "running", host="another")
    assert shown(capsys, "-a", "--format", "{{.Names}} {{.State}}").splitlines() == [
        "name_b running", "name_a exited",
    ]  # fmt: skip


def test_rm_wants_a_name(places: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["rm"]) == 125
    assert "rl rm: name a container" in capfd.readouterr().err
