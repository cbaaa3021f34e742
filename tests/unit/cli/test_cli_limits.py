from __future__ import annotations

import json
import os
from typing import Any

import pytest

from rootless.cgroup.binding import BYTES, CPUS, MAX, WEIGHT, Row
from rootless.cgroup.levels import Level
from rootless.cgroup.usage import Pressure
from rootless.cli import limits_view, main
from rootless.engine.limits import Report
from rootless.errors import HostError
from rootless.store import containers
from rootless.store.paths import Paths

ID = "a" * 64
SCOPE = f"/sys/fs/cgroup/app.slice/rl-{ID[:12]}.scope"
KILL = {
    "at": 0.0, "count": 1, "pid": 77, "command": "tail", "rss": 24 * 1024**2,
    "limit_of": f"{SCOPE}/payload", "limit": 32 * 1024**2,
}  # fmt: skip


def record(**more: Any) -> dict[str, Any]:
    return {"id": ID, "name": "web", "status": "exited", **more}


def full_report() -> Report:
    report = Report(record(oom_kills=[KILL]), is_running=True)
    report.manager, report.group, report.top = "systemd", f"{SCOPE}/payload", SCOPE
    memory = Row("memory", "memory.max", BYTES, 64 * 1024**2)
    memory.set = 64 * 1024**2
    memory.bind(32 * 1024**2, Level("user-1000.slice", "/sys/fs/cgroup/user-1000.slice", {}))
    memory.bound_used, memory.used, memory.peak = 30 * 1024**2, 1024, 2048
    cpu = Row("cpu", "cpu.max", CPUS)
    cpu.set, cpu.used = MAX, 1_500_000
    cpu.bind(2, None)
    weight = Row("cpu weight", "cpu.weight", WEIGHT, 20)
    weight.set = 20
    weight.bind(20, Level("app.slice", "/sys/fs/cgroup/app.slice", {}))
    report.rows = [memory, cpu, weight, Row("io weight", "io.weight", WEIGHT)]
    report.missing = [("io", HostError("io: is not delegated", hint="sudo this")),
                      ("cpuset", HostError("cpuset: neither", hint="sudo this"))]  # fmt: skip
    report.pressure = {
        "memory": {"some": Pressure(12.3, 4.5, 0.6, 2_345_678)},
        "io": {"some": Pressure(0, 0, 0, 0), "full": Pressure(0, 0, 0, 0)},
    }
    report.cpu_stat = {"nr_periods": 10, "nr_throttled": 3, "throttled_usec": 12_345}
    report.events = {"max": 1, "oom_kill": 2, "low": 0}
    return report


def test_the_report_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    limits_view.show(full_report())
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert lines[0] == f"web ({ID[:12]}): {SCOPE}/payload"
    table = [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in lines[2:6]]
    assert table == [
        ["RESOURCE", "REQUESTED", "SET", "EFFECTIVE", "BOUND BY", "USED", "PEAK"],
        ["memory", "64MiB", "64MiB", "32MiB", "user-1000.slice, 30MiB in use", "1KiB", "2KiB"],
        ["cpu", "--", "not limited", "2 CPU", "the host", "1.5s", "--"],
        ["cpu weight", "20", "20", "20", "its share in app.slice", "--", "--"],
    ]
    # Of io nothing is known, and why that is so stands below: two reasons, one way out.
    assert "io weight" not in text
    assert (
        "No limit of io: is not delegated\nNo limit of cpuset: neither\nhint: sudo this\n" in text
    )
    assert text.count("hint:") == 1
    waited = next(line for line in lines if line.startswith("waited for memory"))
    assert waited.split()[3:] == ["some", "12.3%", "4.5%", "0.6%", "2.35s"]
    assert "Never waited for io." in lines
    assert "CPU limit: reached in 3 of 10 periods, held back for 12.3ms" in lines
    assert "Memory: lost a process to the OOM killer 2 times" in lines
    assert lines[-1].endswith("tail (process 77, 24MiB) at the container's limit of 32MiB")


def test_the_document_for_programs() -> None:
    document = limits_view.document(full_report())
    assert json.loads(json.dumps(document)) == document
    memory, cpu, *_ = document["resources"]
    assert memory["bound_by"] == {
        "name": "user-1000.slice", "path": "/sys/fs/cgroup/user-1000.slice", "used": 30 * 1024**2,
    }  # fmt: skip
    assert (cpu["set"], cpu["effective"], cpu["bound_by"]["path"]) == ("max", 2, None)
    assert document["resources"][-1]["bound_by"] is None
    assert document["missing_controllers"][0] == {
        "controller": "io", "reason": "is not delegated", "hint": "sudo this",
    }  # fmt: skip
    assert document["pressure"]["memory"]["some"]["total"] == 2_345_678
    assert document["oom_kills"] == [KILL]


def test_several_victims_and_one_that_nobody_saw(capsys: pytest.CaptureFixture[str]) -> None:
    report = full_report()
    report.oom_kills = [
        {**KILL, "count": 3}, {**KILL, "pid": 0, "limit_of": "", "limit": 0},
        {**KILL, "limit_of": "/sys/fs/cgroup/user-1000.slice"},
    ]  # type: ignore[typeddict-item, list-item]  # fmt: skip
    limits_view.show(report)
    several, unseen, above = capsys.readouterr().out.splitlines()[-3:]
    assert "3 processes, among them tail (process 77, 24MiB)" in several
    assert "a process that ended unseen at the end of the host's memory" in unseen
    assert above.endswith("of user-1000.slice, which is not the container's own")


def test_without_a_group(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(record(), is_running=True)
    report.reason, report.seen_in = "this host has v1", "/user.slice/session-1.scope"
    limits_view.show(report)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("has no cgroup of its own, so no limit of its own: this host has v1")
    assert lines[1].startswith("It shares /user.slice/session-1.scope with other processes")


def keep(places: Paths, **more: Any) -> None:
    os.makedirs(containers.directory(places, ID))
    containers.write_record(places, record(**more))


def test_a_container_that_does_not_run(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    wishes = {
        "memory": {"limit": 32 * 1024**2, "swap": 64 * 1024**2},
        "cpu": {"quota": 50_000, "period": 100_000, "shares": 1024},
        "pids": {"limit": -1},
        "blockIO": {"throttleReadBpsDevice": [{"major": 4000, "minor": 7, "rate": 1024}]},
        "unified": {"memory.oom.group": "1"},
    }
    keep(places, resources=wishes, oom_kills=[KILL])
    assert main.run_cli(["limits", ID[:5]]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"web ({ID[:12]}): does not run"
    cells = [[cell.strip() for cell in line.split("   ") if cell.strip()] for line in lines[2:10]]
    assert cells == [
        ["RESOURCE", "REQUESTED"],
        ["memory", "32MiB"],
        ["swap", "32MiB"],
        ["cpu", "0.5 CPU"],
        ["cpu weight", "39"],
        ["pids", "not limited"],
        ["io read 4000:7", "1KiB/s"],
        ["memory.oom.group", "1"],
    ]
    # Its group is gone; whose limit it was is known from the name of the group.
    assert lines[-1].endswith("at the container's limit of 32MiB")


def test_nothing_was_requested(places: Paths, capsys: pytest.CaptureFixture[str]) -> None:
    keep(places)
    assert main.run_cli(["container", "limits", ID]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["", "No limit was requested."]
    assert main.run_cli(["limits", "--format", "json", ID]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["running"] is False and document["cgroup"] is None
    assert main.run_cli(["limits", "--format", "{{.running}}", ID]) == 0
    assert capsys.readouterr().out == "false\n"


def test_no_such_container(places: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["limits", "nosuch"]) == 125
    assert "no such container: nosuch" in capfd.readouterr().err
