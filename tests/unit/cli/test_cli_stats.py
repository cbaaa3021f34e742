from __future__ import annotations

import io
import json
import os
import sys
from typing import Any

import pytest

from rootless.cli import cmd_stats, main
from rootless.engine import stats
from rootless.engine.stats import Sample
from rootless.store import containers
from rootless.store.paths import Paths

HEADS = "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS"


@pytest.fixture(autouse=True)
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The intervals that were waited for, in no time."""
    found: list[float] = []
    monkeypatch.setattr(cmd_stats.time, "sleep", found.append)
    return found


def add(places: Paths, digit: str) -> str:
    container_id = digit * 64
    record = {"id": container_id, "name": f"name_{digit}", "status": "exited"}
    os.makedirs(containers.directory(places, container_id))
    containers.write_record(places, record)
    containers.claim_name(places, f"name_{digit}", container_id)
    return container_id


def sample(digit: str, *, at: float, **figures: Any) -> Sample:
    made = Sample(digit * 64, f"name_{digit}")
    known = {
        "at": at, "pid": 7, "cpu_usec": int(at * 500_000), "memory": 3 * 1024**2,
        "limit": 64 * 1024**2, "network": (110, 2_000_000), "pids": 4, **figures,
    }  # fmt: skip
    for name, value in known.items():
        setattr(made, name, value)
    return made


def play(monkeypatch: pytest.MonkeyPatch, *moments: list[Sample]) -> None:
    """What stats.take says, one after the other; then the user presses Ctrl-C."""
    rest = list(moments)

    def take(*_: object) -> list[Sample]:
        if not rest:
            raise KeyboardInterrupt
        return rest.pop(0)

    monkeypatch.setattr(stats, "take", take)


def test_one_table(
    places: Paths,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    naps: list[float],
) -> None:
    play(monkeypatch, [sample("a", at=1)], [sample("a", at=3)])
    assert main.run_cli(["stats", "--no-stream", "-i", "2.5"]) == 0
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == HEADS.split()
    assert [word.strip() for word in row.split("   ") if word.strip()] == [
        "a" * 12, "name_a", "50.00%", "3MiB / 64MiB", "4.69%", "110B / 2MB", "--", "4",
    ]  # fmt: skip
    assert naps == [2.5]


def test_a_document_has_dockers_keys(
    places: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [sample("a", at=1)], [sample("a", at=2), sample("b", at=2)])
    assert main.run_cli(["stats", "--no-stream", "--no-trunc", "--format", "json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first == {
        "BlockIO": "--", "CPUPerc": "50.00%", "Container": "a" * 64, "ID": "a" * 64,
        "MemPerc": "4.69%", "MemUsage": "3MiB / 64MiB", "Name": "name_a", "NetIO": "110B / 2MB",
        "PIDs": "4",
    }  # fmt: skip
    # It was not there a moment ago.
    assert second["CPUPerc"] == "--"


def test_lines_until_ctrl_c(
    places: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [], [sample("a", at=1)], [sample("a", at=2)], [])
    assert main.run_cli(["stats", "--format", "json"]) == 130
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["CPUPerc"] for row in rows] == ["--", "50.00%"]


def test_a_template(
    places: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [sample("a", at=1)], [sample("a", at=2)])
    form = "table {{.Name}}\\t{{.CPUPerc}}"
    assert main.run_cli(["stats", "--no-stream", "--format", form]) == 0
    heads, row = capsys.readouterr().out.splitlines()
    assert heads.split() == ["NAME", "CPU", "%"] and row.endswith("50.00%")


def test_a_pipe_gets_no_escape_codes_and_only_whole_tables(
    places: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    play(monkeypatch, [sample("a", at=1)], [sample("a", at=2)], [sample("a", at=3)])
    assert main.run_cli(["stats"]) == 130
    shown = capsys.readouterr().out
    assert shown.count("50.00%") == shown.count("CONTAINER ID") == 2
    assert "\033" not in shown


def test_a_terminal_is_drawn_at_once_and_in_place(
    places: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    play(monkeypatch, [sample("a", at=1)], [sample("a", at=2)])
    assert main.run_cli(["stats"]) == 130
    _, first, second = terminal.getvalue().split("\033[H")
    assert "50.00%" not in first and "50.00%" in second
    for table in (first, second):
        assert table.count("\033[K\n") == 2
        assert table.endswith("\033[J")


def test_those_that_do_not_run_when_asked_for(
    places: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    add(places, "a")
    add(places, "b")
    assert main.run_cli(["stats", "--no-stream"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert main.run_cli(["stats", "--no-stream", "--all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main.run_cli(["container", "stats", "--no-stream", "name_b"]) == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split() == ["b" * 12, "name_b", "--", "--", "/", "--", "--", "--", "--", "--"]


def test_named_containers_that_are_gone_end_it(
    places: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(places, "a")
    play(monkeypatch, [sample("a", at=1)], [sample("a", at=2)], [])
    assert main.run_cli(["stats", "name_a"]) == 0
    assert "50.00%" in capsys.readouterr().out


def test_mistakes(places: Paths, capfd: pytest.CaptureFixture[str]) -> None:
    assert main.run_cli(["stats", "nosuch"]) == 125
    assert "no such container: nosuch" in capfd.readouterr().err
    for text in ("0", "x", "-1", "nan", "inf"):
        assert main.run_cli(["stats", f"--interval={text}"]) == 125
        assert f"--interval {text}: not a number of seconds" in capfd.readouterr().err
