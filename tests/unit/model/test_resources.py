from __future__ import annotations

from typing import Any

import pytest

from rootless.errors import EXIT_ENGINE, UsageError
from rootless.model import resources
from rootless.model.resources import Host

MIB = 1 << 20
DISKS = {"/dev/sda": (8, 0), "/dev/sdb": (8, 16), "/dev/disk/by-path/a:b": (8, 32)}
HOST = Host("0-3,8", "0", lambda place, path: DISKS[path])


def parse(**flags: Any) -> dict[str, Any]:
    return resources.parse({name.replace("_", "-"): text for name, text in flags.items()}, HOST)


def test_no_flag_asks_for_nothing() -> None:
    assert parse() == {}
    assert resources.complete({}) == {}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({"memory": "256m"}, {"memory": {"limit": 256 * MIB}}),
        ({"memory": "1.5g"}, {"memory": {"limit": 1536 * MIB}}),
        ({"memory": str(6 * MIB)}, {"memory": {"limit": 6 * MIB}}),
        ({"memory_swap": "-1"}, {"memory": {"swap": -1}}),
        ({"memory_swap": "1g"}, {"memory": {"swap": 1 << 30}}),
        ({"memory_reservation": "64m"}, {"memory": {"reservation": 64 * MIB}}),
        ({"memory_swappiness": "-1"}, {}),
        ({"oom_kill_disable": False}, {}),
        ({"cpus": "0.5"}, {"cpu": {"quota": 50000, "period": 100000}}),
        ({"cpus": ".25"}, {"cpu": {"quota": 25000, "period": 100000}}),
        ({"cpus": "5"}, {"cpu": {"quota": 500000, "period": 100000}}),
        ({"cpus": "0.01"}, {"cpu": {"quota": 1000, "period": 100000}}),
        ({"cpus": "0.123456789"}, {"cpu": {"quota": 12345, "period": 100000}}),
        ({"cpu_quota": "1000"}, {"cpu": {"quota": 1000}}),
        ({"cpu_quota": "-1"}, {"cpu": {"quota": -1}}),
        ({"cpu_period": "1000000"}, {"cpu": {"period": 1000000}}),
        ({"cpu_shares": "2"}, {"cpu": {"shares": 2}}),
        ({"cpuset_cpus": "0-2,8"}, {"cpu": {"cpus": "0-2,8"}}),
        ({"cpuset_mems": "0"}, {"cpu": {"mems": "0"}}),
        ({"pids_limit": "100"}, {"pids": {"limit": 100}}),
        ({"pids_limit": "-1"}, {"pids": {"limit": -1}}),
        ({"pids_limit": "0"}, {"pids": {"limit": -1}}),
        ({"blkio_weight": "1000"}, {"blockIO": {"weight": 1000}}),
        (
            {"cgroup_conf": ["memory.high=1g", "hugetlb.2MB.max=a=b"]},
            {"unified": {"memory.high": "1g", "hugetlb.2MB.max": "a=b"}},
        ),
    ],
    ids=str,
)
def test_values(flags: dict[str, Any], expected: dict[str, Any]) -> None:
    assert parse(**flags) == expected


SIZES_AND_NUMBERS = (
    "memory memory-swap memory-reservation cpus cpu-quota cpu-period cpu-shares blkio-weight"
)


@pytest.mark.parametrize("name", SIZES_AND_NUMBERS.split())
def test_0_asks_for_nothing(name: str) -> None:
    assert resources.parse({name: "0"}, HOST) == {}


@pytest.mark.parametrize(
    ("flag", "key", "rate_text", "rate"),
    [
        ("device_read_bps", "throttleReadBpsDevice", "1m", MIB),
        ("device_write_bps", "throttleWriteBpsDevice", "1mb", MIB),
        ("device_read_iops", "throttleReadIOPSDevice", "100", 100),
        ("device_write_iops", "throttleWriteIOPSDevice", "0", 0),
    ],
)
def test_rates_of_devices(flag: str, key: str, rate_text: str, rate: int) -> None:
    words = [f"/dev/sda:{rate_text}", f"/dev/disk/by-path/a:b:{rate_text}"]
    rows = [{"major": 8, "minor": 0, "rate": rate}, {"major": 8, "minor": 32, "rate": rate}]
    assert parse(**{flag: words}) == {"blockIO": {key: rows}}


def test_of_two_rates_for_one_device_the_last_counts() -> None:
    found = parse(device_read_bps=["/dev/sda:1", "/dev/sdb:2", "/dev/sda:3"])
    rows = found["blockIO"]["throttleReadBpsDevice"]
    assert [(row["minor"], row["rate"]) for row in rows] == [(0, 3), (16, 2)]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"memory": "5m"}, "--memory 5m: less than 6m, which is the minimum"),
        ({"memory": "x"}, "--memory x: 'x' is not a size"),
        ({"memory": "-1"}, "--memory -1: '-1' is not a size"),
        ({"memory": "99999999p"}, "--memory 99999999p: more than any host"),
        ({"memory_swap": "-2"}, "--memory-swap -2: '-2' is not a size"),
        ({"memory_reservation": "1k"}, "--memory-reservation 1k: less than 6m"),
        ({"memory_swappiness": "60"}, "--memory-swappiness 60: cgroup v2 has no swappiness"),
        ({"memory_swappiness": "101"}, "--memory-swappiness 101: not a number from 0 to 100"),
        ({"oom_kill_disable": True}, "--oom-kill-disable: cgroup v2 has no switch"),
        ({"cpus": "5.01"}, "--cpus 5.01: not from 0.01 to 5, the CPUs of this host"),
        ({"cpus": "0.009"}, "--cpus 0.009: not from 0.01 to 5"),
        ({"cpus": "-1"}, "--cpus -1: not a number of CPUs"),
        ({"cpus": "."}, "--cpus .: not a number of CPUs"),
        ({"cpus": ""}, "--cpus : not a number of CPUs"),
        ({"cpus": "1e1"}, "--cpus 1e1: not a number of CPUs"),
        ({"cpus": "0.1234567891"}, "--cpus 0.1234567891: not a number of CPUs"),
        ({"cpus": "\u0661"}, "not a number of CPUs"),
        ({"cpus": "1", "cpu_quota": "1000"}, "--cpus 1: cannot be combined with --cpu-quota"),
        ({"cpus": "1", "cpu_quota": "-1"}, "--cpus 1: cannot be combined with --cpu-quota"),
        ({"cpus": "1", "cpu_period": "1000"}, "--cpus 1: cannot be combined with --cpu-period"),
        ({"cpu_quota": "999"}, "--cpu-quota 999: not a number from 1000"),
        ({"cpu_quota": "-2"}, "--cpu-quota -2: not a number"),
        ({"cpu_period": "999"}, "--cpu-period 999: not a number from 1000 to 1000000"),
        ({"cpu_period": "1000001"}, "--cpu-period 1000001: not a number from 1000 to 1000000"),
        ({"cpu_shares": "1"}, "--cpu-shares 1: not a number from 2 to 262144"),
        ({"cpu_shares": "262145"}, "--cpu-shares 262145: not a number from 2 to 262144"),
        ({"cpuset_cpus": "0-4"}, "--cpuset-cpus 0-4: this host has the CPUs 0-3,8"),
        ({"cpuset_cpus": "2-1"}, "--cpuset-cpus 2-1: not a list such as 0-2,7"),
        ({"cpuset_cpus": "0,"}, "--cpuset-cpus 0,: not a list"),
        ({"cpuset_cpus": "0-99999999999"}, "not a list"),
        ({"cpuset_mems": "1"}, "--cpuset-mems 1: this host has the memory nodes 0"),
        ({"pids_limit": "-2"}, "--pids-limit -2: not a number from 1 to 4194304"),
        ({"pids_limit": "many"}, "--pids-limit many: not a number"),
        ({"blkio_weight": "9"}, "--blkio-weight 9: not a number from 10 to 1000"),
        ({"blkio_weight": "1001"}, "--blkio-weight 1001: not a number from 10 to 1000"),
        ({"device_read_bps": ["sda:1"]}, "--device-read-bps sda:1: not of the form /dev/NAME:RATE"),
        ({"device_read_bps": ["/dev/sda"]}, "--device-read-bps /dev/sda: not of the form"),
        ({"device_read_bps": ["/dev/sda:x"]}, "--device-read-bps /dev/sda:x: 'x' is not a size"),
        ({"device_read_iops": ["/dev/sda:1k"]}, "'1k' is not a number of operations"),
        ({"cgroup_conf": ["memory.high"]}, "--cgroup-conf 'memory.high': not of the form"),
        ({"cgroup_conf": ["high=1"]}, "--cgroup-conf 'high=1': not of the form"),
        ({"cgroup_conf": ["memory.high="]}, "not of the form"),
        ({"cgroup_conf": ["memory.high=1\n2"]}, "not of the form"),
        ({"cgroup_conf": ["cgroup.procs=1"]}, "not a file of a controller"),
        ({"cgroup_conf": ["cgroup.kill=1"]}, "not a file of a controller"),
        ({"cgroup_conf": ["a/../memory.max=1"]}, "not a file of a controller"),
        ({"cgroup_conf": ["../memory.max=1"]}, "not of the form"),
    ],
    ids=str,
)
def test_nonsense_is_refused_with_the_flag_and_the_value(
    flags: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(**flags)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.exit_code == EXIT_ENGINE


def complete(**memory: str) -> dict[str, int]:
    return resources.complete(parse(**memory))["memory"]


def test_swap_is_as_much_as_memory_unless_it_is_said() -> None:
    assert complete(memory="256m") == {"limit": 256 * MIB, "swap": 512 * MIB}
    assert complete(memory="256m", memory_swap="256m")["swap"] == 256 * MIB
    assert complete(memory="256m", memory_swap="-1")["swap"] == -1
    assert complete(memory="256m", memory_swap="0")["swap"] == 512 * MIB
    assert complete(memory_reservation="64m") == {"reservation": 64 * MIB}
    assert complete(memory_swap="-1") == {"swap": -1}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"memory_swap": "1g"}, "--memory-swap 1g: needs --memory"),
        (
            {"memory": "256m", "memory_swap": "128m"},
            "--memory-swap 128m: less than --memory 256m",
        ),
        (
            {"memory": "256m", "memory_reservation": "1g"},
            "--memory-reservation 1g: more than --memory 256m",
        ),
    ],
)
def test_limits_of_memory_that_contradict_each_other(flags: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        complete(**flags)
    assert caught.value.message.startswith(message)


def test_the_hints_of_contradictions_are_accepted() -> None:
    for flags in ({"memory_swap": "1g"}, {"memory": "256m", "memory_swap": "128m"}):
        with pytest.raises(UsageError) as caught:
            complete(**flags)
        _, memory, _, swap = caught.value.hint.split()
        assert complete(memory=memory, memory_swap=swap)


def test_complete_leaves_its_argument_alone() -> None:
    asked = parse(memory="256m", pids_limit="5")
    assert resources.complete(asked)["pids"] == {"limit": 5}
    assert asked["memory"] == {"limit": 256 * MIB}


@pytest.mark.parametrize(("text", "score"), [("-1000", -1000), ("0", 0), ("1000", 1000)])
def test_oom_scores(text: str, score: int) -> None:
    assert resources.parse_oom_score(text) == score


@pytest.mark.parametrize("text", ["-1001", "1001", "", "-", "--5", "+5", "five"])
def test_no_oom_score(text: str) -> None:
    with pytest.raises(
        UsageError, match=f"--oom-score-adj {text}: not a number".replace("+", r"\+")
    ):
        resources.parse_oom_score(text)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", {0}), ("0-2,7", {0, 1, 2, 7}), ("1,1", {1}), ("", None), ("a", None), ("1-", None)],
)
def test_lists(text: str, numbers: set[int] | None) -> None:
    assert resources.parse_list(text) == numbers
