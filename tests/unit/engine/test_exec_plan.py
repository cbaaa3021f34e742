"""The process of a command in a running container, from the container's document."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.engine import exec_plan
from rootless.model import capabilities
from rootless.model.exec_spec import ExecSpec

HELD = ["CAP_CHOWN", "CAP_KILL"]


def config(**changes: Any) -> dict[str, Any]:
    process = {
        "terminal": True,
        "user": {"uid": 0, "gid": 0, "umask": 0o027, "additionalGids": [0]},
        "args": ["sleep"],
        "env": ["PATH=/bin", "HOME=/root", "A=with=equals"],
        "cwd": "/srv",
        "capabilities": capabilities.process_capabilities(HELD, is_root=True),
        "noNewPrivileges": True,
        "consoleSize": {"height": 1, "width": 2},
    }
    return {"process": {**process, **changes}}


def made(document: dict[str, Any], **wishes: Any) -> dict[str, Any]:
    return exec_plan.process_of(ExecSpec(["ls", "-l"], **wishes), document, (40, 120))


def test_what_is_not_asked_for_is_the_containers() -> None:
    limits = [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]
    own = config(rlimits=limits, oomScoreAdj=300, apparmorProfile="tight")
    process = made(own)
    assert process["args"] == ["ls", "-l"]
    assert (process["terminal"], "consoleSize" in process) == (False, False)
    for key in set(own["process"]) - {"args", "terminal", "consoleSize"}:
        assert process[key] == own["process"][key], key


def test_wishes() -> None:
    process = made(config(), env={"A": "b", "NEW": "1"}, workdir="/tmp", tty=True)
    assert process["env"] == ["PATH=/bin", "HOME=/root", "A=b", "TERM=xterm", "NEW=1"]
    assert process["cwd"] == "/tmp"
    assert process["consoleSize"] == {"height": 40, "width": 120}


@pytest.mark.parametrize("wishes", [{"env": {"TERM": "vt100"}}, {}], ids=["flag", "container"])
def test_a_terminal_that_has_a_name_keeps_it(wishes: dict[str, Any]) -> None:
    own = config() if wishes else config(env=["TERM=vt100"])
    assert "TERM=vt100" in made(own, tty=True, **wishes)["env"]


@pytest.mark.parametrize(("uid", "held"), [(0, capabilities.NAMES), (7, ())])
def test_privileged(uid: int, held: tuple[str, ...]) -> None:
    own = config(apparmorProfile="tight", user={"uid": uid, "gid": 0})
    process = made(own, privileged=True)
    assert process["capabilities"]["bounding"] == list(capabilities.NAMES)
    assert process["capabilities"]["effective"] == list(held)
    assert process["capabilities"]["ambient"] == []
    assert process["noNewPrivileges"] is False
    assert "apparmorProfile" not in process


def test_the_containers_document_is_left_alone() -> None:
    own = config()
    process = made(own, privileged=True, env={"A": "b"})
    process["user"]["uid"] = 5
    assert own == config()


def test_mapped_ids() -> None:
    rows = [
        {"containerID": 0, "hostID": 1000, "size": 1},
        {"containerID": 1, "hostID": 5, "size": 9},
    ]
    assert exec_plan.mapped(rows) == [(0, 1), (1, 9)]
