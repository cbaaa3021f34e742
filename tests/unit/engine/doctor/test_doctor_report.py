from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rootless import config
from rootless.engine.doctor import apparmor, registries
from rootless.engine.doctor.finding import (
    ADMINISTRATOR,
    BROKEN,
    REDUCED,
    WORKS,
    YOU,
    Finding,
    Fix,
    works,
)  # fmt: skip
from rootless.engine.doctor.report import Area, Report
from rootless.tools import spawn

FUSE = Fix(ADMINISTRATOR, "FUSE for users", "sudo modprobe fuse")
IDS = Fix(ADMINISTRATOR, "ids", "sudo usermod …")


def report(*findings: Finding) -> Report:
    return Report("login1", "alice", 1000, [Area("one", "One", list(findings))])


def test_the_worst_counts() -> None:
    assert report(works("a", "")).state == WORKS
    assert report(works("a", ""), Finding("b", REDUCED, "")).state == REDUCED
    assert report(Finding("a", BROKEN, ""), Finding("b", REDUCED, "")).state == BROKEN


def test_the_letter_names_everything_once() -> None:
    own = Fix(YOU, "room", "rl system prune")
    made = report(
        Finding("a", REDUCED, "", "", FUSE), Finding("b", REDUCED, "", "", IDS),
        Finding("c", REDUCED, "", "", FUSE), Finding("d", REDUCED, "", "", own),
    )  # fmt: skip
    assert made.letter().splitlines() == [
        "# For the administrator of login1:",
        "# alice (uid 1000) runs containers here with rl, which needs no root. What would help:",
        "",
        "# FUSE for users",
        "sudo modprobe fuse",
        "",
        "# ids",
        "sudo usermod …",
    ]
    assert made.fixes(YOU) == [own]


def test_no_letter_where_nothing_is_to_be_done() -> None:
    assert report(works("a", "")).letter() == ""


def registry(**told: Any) -> Finding:
    usual = {"name": "docker.io", "host": "registry-1.docker.io", "status": 0, "refused": "",
             "proxy": ""}  # fmt: skip
    (found,) = registries.judge({"error": "", "registries": [{**usual, **told}]})
    return found


def test_a_registry() -> None:
    found = registry(status=401, proxy="proxy:3128")
    assert (found.check, found.state) == ("registry docker.io", WORKS)
    assert found.found == "answers through the proxy proxy:3128 (HTTP 401)"
    found = registry(refused="registry-1.docker.io: timed out")
    assert found.state == REDUCED and "rl load" in found.meaning
    assert found.fix is not None and found.fix.whom == YOU


def test_a_configuration_of_registries_that_cannot_be_read() -> None:
    (found,) = registries.judge({"error": "/etc/rl/registries.toml: …", "registries": []})
    assert found.state == BROKEN


def test_the_profile_of_the_usual_places_is_installed_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apparmor, "own_script", lambda: "/opt/rl/bin/rl")
    monkeypatch.setattr(apparmor, "is_roots", lambda script: True)
    commands = apparmor.commands()
    assert "profile rl /{usr/bin,usr/local/bin,opt/rl/bin}/rl flags=(unconfined) {" in commands
    assert "\n  userns,\n" in commands
    assert commands.splitlines()[-1] == "sudo apparmor_parser -r /etc/apparmor.d/rl"
    assert "pip install" not in commands


def test_the_profile_of_another_place_has_that_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apparmor, "own_script", lambda: "/apps/rl/1.0/bin/rl")
    monkeypatch.setattr(apparmor, "is_roots", lambda script: True)
    commands = apparmor.commands()
    assert 'profile rl "/apps/rl/1.0/bin/rl" flags=(unconfined) {' in commands
    subprocess.run(["/bin/sh", "-n"], input=commands, text=True, check=True)


@pytest.mark.parametrize("script", ["", "/home/alice/.venv/bin/rl"])
def test_root_installs_an_rl_of_its_own_where_the_user_could_change_this_one(
    monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(apparmor, "own_script", lambda: script)
    monkeypatch.setattr(apparmor, "is_roots", lambda script: False)
    commands = apparmor.commands()
    assert commands.startswith("# First install rl where only root can change it")
    assert "alice" not in commands and "opt/rl/bin}/rl" in commands


def test_whose_a_script_is(tmp_path: Path) -> None:
    script = tmp_path / "rl"
    script.touch()
    if os.geteuid() == 0:
        pytest.skip("all files are root's: needs a normal user")
    assert not apparmor.is_roots(str(script))


def test_what_was_executed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "rl"
    script.touch()
    monkeypatch.setattr(spawn, "command_of_rl", lambda: [str(script)])
    assert apparmor.own_script() == str(script)
    monkeypatch.setattr(spawn, "command_of_rl", lambda: ["/usr/bin/python3", "-m", "rootless"])
    assert apparmor.own_script() == ""


def test_the_profile_is_shipped() -> None:
    assert Path(config.shipped("apparmor/rl")).read_text().startswith("# AppArmor")
