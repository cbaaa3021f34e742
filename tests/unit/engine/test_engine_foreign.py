"""What of a plan another runtime gets."""

from __future__ import annotations

import pytest

from rootless import log
from rootless.engine import foreign
from rootless.model.container import ContainerSpec
from rootless.model.mountspec import MountSpec


def bind(path: str, kind: str = "bind") -> dict[str, str]:
    return {"destination": path, "type": kind}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(log, "notice", lines.append)
    return lines


def test_runc_gets_no_mount_in_proc_that_it_refuses(said: list[str]) -> None:
    kept = [bind("/proc", "proc"), bind("/proc/meminfo"), bind("/sys/devices/system/cpu")]
    mounts = [*kept, bind("/proc/fs", "proc"), bind("/proc/vmstat")]
    assert foreign.without_refused(mounts, ContainerSpec(runtime="runc")) == kept
    (line,) = said
    assert line.endswith("these are the host's: /proc/vmstat")


def test_the_users_own_mounts_are_left_to_runc(said: list[str]) -> None:
    mounts = [bind("/proc/vmstat")]
    spec = ContainerSpec(runtime="runc", mounts=[MountSpec("bind", "/x", "/proc/vmstat")])
    assert foreign.without_refused(mounts, spec) == mounts
    assert said == []
