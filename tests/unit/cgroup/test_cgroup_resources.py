from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from rootless.cgroup import resources
from rootless.cgroup.resources import Setting
from rootless.errors import UsageError

MIB = 1 << 20


def files(document: dict[str, Any]) -> list[tuple[str, str]]:
    return [(setting.file, setting.text) for setting in resources.settings(document)]


def only(document: dict[str, Any]) -> Setting:
    (setting,) = resources.settings(document)
    return setting


def test_nothing_asked_nothing_set() -> None:
    assert resources.settings({}) == []
    assert resources.controllers({}) == {}
    assert resources.weights({}) == {}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"memory": {"limit": 256 * MIB}}, [("memory.max", "268435456")]),
        (
            {"memory": {"limit": 3 * MIB, "swap": 8 * MIB, "reservation": MIB}},
            [
                ("memory.swap.max", str(5 * MIB)),
                ("memory.max", str(3 * MIB)),
                ("memory.low", str(MIB)),
            ],
        ),
        (
            {"memory": {"limit": MIB, "swap": MIB}},
            [("memory.swap.max", "0"), ("memory.max", f"{MIB}")],
        ),
        ({"memory": {"swap": -1}}, [("memory.swap.max", "max")]),
        ({"memory": {"limit": -1}}, [("memory.max", "max")]),
        ({"cpu": {"quota": 50000, "period": 100000}}, [("cpu.max", "50000 100000")]),
        ({"cpu": {"quota": 50000}}, [("cpu.max", "50000 100000")]),
        ({"cpu": {"quota": -1}}, [("cpu.max", "max 100000")]),
        ({"cpu": {"period": 20000}}, [("cpu.max", "max 20000")]),
        ({"cpu": {"shares": 1024}}, [("cpu.weight", "39")]),
        ({"cpu": {"shares": 0}}, []),
        ({"cpu": {"cpus": "0-1", "mems": "0"}}, [("cpuset.cpus", "0-1"), ("cpuset.mems", "0")]),
        ({"pids": {"limit": 100}}, [("pids.max", "100")]),
        ({"pids": {"limit": -1}}, [("pids.max", "max")]),
        ({"unified": {"memory.high": "1g"}}, [("memory.high", "1g")]),
    ],
    ids=str,
)
def test_files(document: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert files(document) == expected


def test_a_disk_gets_one_line() -> None:
    document = {
        "blockIO": {
            "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": MIB}],
            "throttleWriteIOPSDevice": [
                {"major": 8, "minor": 0, "rate": 0},
                {"major": 8, "minor": 16, "rate": 7},
            ],
        }
    }
    assert files(document) == [
        ("io.max", "8:0 rbps=1048576 wiops=max"),
        ("io.max", "8:16 wiops=7"),
    ]
    assert [each.flag for each in resources.settings(document)] == [
        "--device-read-bps 8:0:1048576",
        "--device-write-iops 8:16:7",
    ]


def test_the_weight_of_a_disk_has_a_file_for_each_scheduler() -> None:
    setting = only({"blockIO": {"weight": 500}})
    assert (setting.file, setting.text) == ("io.bfq.weight", "500")
    assert setting.instead == Setting("io", "io.weight", "4950", "--blkio-weight 500")


@pytest.mark.parametrize(("weight", "converted"), [(10, "1"), (100, "910"), (1000, "10000")])
def test_the_ends_of_disk_weights(weight: int, converted: str) -> None:
    instead = only({"blockIO": {"weight": weight}}).instead
    assert instead is not None and instead.text == converted


def test_cgroup_conf_has_the_last_word() -> None:
    document = {"unified": {"pids.max": "7"}, "pids": {"limit": 5}}
    assert files(document) == [("pids.max", "5"), ("pids.max", "7")]


@pytest.mark.parametrize(
    ("document", "flags"),
    [
        ({"memory": {"limit": 256 * MIB}}, ["--memory 256m"]),
        (
            {"memory": {"limit": MIB + 1, "swap": 1 << 30, "reservation": 1024}},
            ["--memory-swap 1g", "--memory 1048577", "--memory-reservation 1k"],
        ),
        ({"cpu": {"quota": 50000, "period": 100000}}, ["--cpus 0.5"]),
        ({"cpu": {"quota": 1234, "period": 100000}}, ["--cpus 0.01234"]),
        ({"cpu": {"quota": 50000, "period": 20000}}, ["--cpu-quota 50000 --cpu-period 20000"]),
        ({"cpu": {"quota": 50000}}, ["--cpu-quota 50000"]),
        ({"cpu": {"period": 20000}}, ["--cpu-period 20000"]),
        ({"cpu": {"shares": 512, "cpus": "0"}}, ["--cpu-shares 512", "--cpuset-cpus 0"]),
        ({"pids": {"limit": 100}}, ["--pids-limit 100"]),
        ({"unified": {"memory.high": "max"}}, ["--cgroup-conf memory.high=max"]),
    ],
    ids=str,
)
def test_a_wish_is_told_as_a_flag(document: dict[str, Any], flags: list[str]) -> None:
    assert [setting.flag for setting in resources.settings(document)] == flags


@pytest.mark.parametrize(
    ("document", "optional"),
    [
        ({"memory": {"limit": MIB, "swap": 2 * MIB}}, [True, False]),
        ({"memory": {"limit": MIB, "swap": 3 * MIB}}, [False, False]),
        ({"memory": {"limit": MIB, "swap": MIB}}, [False, False]),
        ({"memory": {"swap": -1}}, [True]),
        ({"cpu": {"quota": -1}}, [True]),
        ({"cpu": {"period": 1000}}, [True]),
        ({"pids": {"limit": -1}}, [True]),
        ({"blockIO": {"throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]}}, [True]),
    ],
    ids=str,
)
def test_what_limits_nothing_is_optional(document: dict[str, Any], optional: list[bool]) -> None:
    assert [setting.optional for setting in resources.settings(document)] == optional


def test_controllers_with_the_wish_that_needs_each() -> None:
    document = {
        "memory": {"limit": 256 * MIB, "swap": 512 * MIB},
        "cpu": {"shares": 512, "quota": 50000, "cpus": "0"},
        "pids": {"limit": -1},
        "blockIO": {"weight": 500},
        "unified": {"hugetlb.2MB.max": "0"},
    }
    assert resources.controllers(document) == {
        "memory": "--memory 256m",
        "cpu": "--cpu-shares 512",
        "cpuset": "--cpuset-cpus 0",
        "io": "--blkio-weight 500",
        "hugetlb": "--cgroup-conf hugetlb.2MB.max=0",
    }


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 39), (262144, 10000), (0, 1)])
def test_the_weight_of_shares(shares: int, weight: int) -> None:
    assert resources.weight_of_shares(shares) == weight


@pytest.mark.parametrize("shares", [512, 1024, 4096, 80000])
def test_shares_1_to_3_stay_1_to_3(shares: int) -> None:
    one, three = resources.weight_of_shares(shares), resources.weight_of_shares(3 * shares)
    assert three / one == pytest.approx(3, rel=0.05)


def test_weights_of_the_scope() -> None:
    document = {"cpu": {"shares": 1024}, "blockIO": {"weight": 1000}}
    assert resources.weights(document) == {"CPUWeight": 39, "IOWeight": 10000}
    assert resources.weights({"blockIO": {"weight": 100}}) == {"IOWeight": 100}
    assert resources.weights({"blockIO": {"weight": 10}}) == {"IOWeight": 10}
    unified = {"cpu.weight": "300", "io.weight": "default 5", "memory.high": "1"}
    assert resources.weights({"unified": unified}) == {"CPUWeight": 300}


def test_an_update_changes_what_it_mentions() -> None:
    old = {"memory": {"limit": 4, "swap": 8}, "cpu": {"shares": 512}, "unified": {"a.b": "1"}}
    before = deepcopy(old)
    new = {"cpu": {"quota": 1000}, "pids": {"limit": 5}, "unified": {"c.d": "2"}}
    assert resources.merge(old, new) == {
        "memory": {"limit": 4, "swap": 8},
        "cpu": {"shares": 512, "quota": 1000},
        "unified": {"a.b": "1", "c.d": "2"},
        "pids": {"limit": 5},
    }
    assert old == before


def test_an_update_of_a_disk_leaves_the_others() -> None:
    def rows(*pairs: tuple[int, int]) -> dict[str, Any]:
        devices = [{"major": 8, "minor": minor, "rate": rate} for minor, rate in pairs]
        return {"blockIO": {"throttleReadBpsDevice": devices}}

    assert resources.merge(rows((0, 1), (16, 2)), rows((16, 0))) == rows((0, 1), (16, 0))
    assert resources.merge({}, rows((16, 5))) == rows((16, 5))


def test_an_update_beyond_the_swap_limit_has_to_name_both() -> None:
    old = {"memory": {"limit": 256 * MIB, "swap": 512 * MIB}}
    with pytest.raises(UsageError) as caught:
        resources.merge(old, {"memory": {"limit": 1 << 30}})
    assert caught.value.message == "--memory 1g: more than the container's --memory-swap 512m"
    assert caught.value.hint == "rl update --memory 1g --memory-swap 2g …"
    both = {"limit": 1 << 30, "swap": 2 << 30}
    assert resources.merge(old, {"memory": both}) == {"memory": both}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ({"limit": 4, "swap": -1}, {"limit": 9}, {"limit": 9, "swap": -1}),
        ({"limit": 4, "swap": 8}, {"limit": 2}, {"limit": 2, "swap": 8}),
        ({"limit": 4, "swap": 8}, {"swap": 6}, {"limit": 4, "swap": 6}),
        ({}, {"limit": 4}, {"limit": 4, "swap": 8}),
        ({"limit": 4, "swap": 8}, {"reservation": 2}, {"limit": 4, "swap": 8, "reservation": 2}),
    ],
)
def test_updates_of_memory(
    old: dict[str, int], new: dict[str, int], expected: dict[str, int]
) -> None:
    assert resources.merge({"memory": old}, {"memory": new}) == {"memory": expected}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ({"limit": 4096, "swap": 8192}, {"swap": 1024}, "--memory-swap 1k: less than --memory 4k"),
        ({"limit": 4096}, {"reservation": 8192}, "--memory-reservation 8k: more than --memory 4k"),
        ({}, {"swap": 8192}, "--memory-swap 8k: needs --memory"),
    ],
)
def test_an_update_to_nonsense(old: dict[str, int], new: dict[str, int], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resources.merge({"memory": old}, {"memory": new})
