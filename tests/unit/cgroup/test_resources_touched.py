"""What `rl update` has to write of a container's merged limits."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.cgroup import resources, scope
from rootless.cgroup.group import Group

OLD = {
    "memory": {"limit": 100, "swap": 200, "reservation": 50},
    "cpu": {"shares": 512, "quota": 5000, "period": 10000, "cpus": "0"},
    "pids": {"limit": 5},
    "unified": {"memory.high": "1", "io.latency": "2"},
}


@pytest.mark.parametrize(
    ("new", "part"),
    [
        ({"pids": {"limit": 9}}, {"pids": {"limit": 9}}),
        ({"cpu": {"shares": 9}}, {"cpu": {"shares": 9}}),
        ({"cpu": {"quota": 9000}}, {"cpu": {"quota": 9000, "period": 10000}}),
        ({"cpu": {"cpus": "1"}}, {"cpu": {"cpus": "1"}}),
        ({"unified": {"memory.high": "9"}}, {"unified": {"memory.high": "9"}}),
        ({"memory": {"reservation": 60}}, {"memory": {**OLD["memory"], "reservation": 60}}),
    ],
)
def test_no_more_than_the_wish_needs(new: dict[str, Any], part: dict[str, Any]) -> None:
    assert resources.touched(resources.merge(OLD, new), new) == part


@pytest.mark.parametrize(
    ("weights", "properties"),
    [
        ({"CPUWeight": 20}, [("CPUWeight", "t", 20)]),
        ({"CPUWeight": None, "IOWeight": 5}, [("CPUWeight", "t", 2**64 - 1), ("IOWeight", "t", 5)]),
        ({}, None),
    ],
)
def test_weights_of_a_scope(
    weights: dict[str, int | None], properties: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, object] = {}

    class Manager:
        def set_properties(self, unit: str, properties: object) -> None:
            asked[unit] = properties

    monkeypatch.setattr("rootless.tools.systemd.Manager", Manager)
    scope.set_weights(Group("/sys/fs/cgroup/x/rl-abc.scope"), weights)
    assert asked == ({} if properties is None else {"rl-abc.scope": properties})
