"""A container that runs is paused while its files are copied, whatever comes of that."""

from __future__ import annotations

from typing import Any

import pytest

from rootless import log
from rootless.engine import commit, container_config, live, pause
from rootless.errors import HostError


class Running:
    group = None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(pause, "pause", lambda _: found.append("pause"))
    monkeypatch.setattr(pause, "unpause", lambda _: found.append("unpause"))
    monkeypatch.setattr(live, "is_frozen", lambda _: False)
    return found


def still(*, wanted: bool = True) -> Any:
    return commit._Still(Running(), wanted=wanted)  # type: ignore[arg-type]


def test_it_goes_on_after_a_failure_too(calls: list[str]) -> None:
    with pytest.raises(ValueError), still():
        calls.append("copy")
        raise ValueError
    assert calls == ["pause", "copy", "unpause"]


def test_one_that_is_paused_stays_so(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "is_frozen", lambda _: True)
    with still():
        calls.append("copy")
    assert calls == ["copy"]


def test_it_runs_on_when_asked_or_when_it_does_not_run(calls: list[str]) -> None:
    with still(wanted=False):
        calls.append("copy")
    with commit._Still(None, wanted=True):
        calls.append("again")
    assert calls == ["copy", "again"]


def test_where_it_cannot_be_paused_that_is_said(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> None:
        raise HostError("container c: rl pause needs a cgroup of its own")

    said: list[str] = []
    monkeypatch.setattr(pause, "pause", refuse)
    monkeypatch.setattr(log, "notice", said.append)
    with still():
        calls.append("copy")
    assert calls == ["copy"]
    assert said == [
        "container c: rl pause needs a cgroup of its own; it runs on while it is copied"
    ]


def test_the_settings_of_flags_and_image_together() -> None:
    image = {
        "Env": ["PATH=/bin", "A=1"], "Cmd": ["sh"], "Labels": {"a": "1"}, "OnBuild": ["RUN x"],
        "Volumes": {"/v": {}}, "ExposedPorts": {"80/tcp": {}}, "User": "app", "Other": 1,
    }  # fmt: skip
    spec = {
        "env": {"A": "2", "B": "3"}, "labels": {"b": "2"}, "workdir": "/w",
        "ports": [{"container_port": 53, "protocol": "udp"}],
    }  # fmt: skip
    assert container_config.section({"spec": spec}, image) == {
        "Env": ["PATH=/bin", "A=2", "B=3"], "Cmd": ["sh"], "Labels": {"a": "1", "b": "2"},
        "Volumes": {"/v": {}}, "ExposedPorts": {"80/tcp": {}, "53/udp": {}}, "User": "app",
        "WorkingDir": "/w", "Other": 1,
    }  # fmt: skip


def test_an_entrypoint_of_the_flags_takes_the_images_command_away() -> None:
    image = {"Entrypoint": ["e"], "Cmd": ["c"]}
    record = {"spec": {"entrypoint": ["mine"]}}
    assert container_config.section(record, image) == {"Entrypoint": ["mine"]}
    record = {"spec": {"entrypoint": [], "command": ["x"]}}
    assert container_config.section(record, image) == {"Cmd": ["x"]}
