from __future__ import annotations

from typing import Any

import pytest

from rootless.procview import cpuinfo, cpus

FOUR = {"cpu__online": "0-3\n"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"0\n", [0]),
        (b"1", [1]),
        (b"0-3", [0, 1, 2, 3]),
        (b"0,2", [0, 2]),
        (b"0,2-3,8\n", [0, 2, 3, 8]),
        (b"10-11,2", [2, 10, 11]),
        (b"1-1", [1]),
        (b"0-2,1-3", [0, 1, 2, 3]),
        (b"\n", []),
        (b"", []),
        (b"3-1", []),
        (b"x,1,-,2-", [1]),
    ],
)
def test_lists(text: bytes, found: list[int]) -> None:
    assert cpus.parse(text) == found


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ([], [0, 1, 2, 3]),
        ([{}], [0, 1, 2, 3]),
        ([{"cpuset.cpus.effective": "1,3\n"}], [1, 3]),
        # The controller ends further up; what is allowed there holds below.
        ([{}, {"cpuset.cpus.effective": "2-3\n"}, {"cpuset.cpus.effective": "0-3\n"}], [2, 3]),
        # What is empty for a moment, or offline, does not leave the container without a CPU.
        ([{"cpuset.cpus.effective": "\n"}], [0, 1, 2, 3]),
        ([{"cpuset.cpus.effective": "7\n"}], [0, 1, 2, 3]),
        ([{"cpuset.cpus.effective": "2-9\n"}], [2, 3]),
        ([{"cpu.max": "max 100000\n"}], [0, 1, 2, 3]),
        ([{"cpu.max": "100000 100000\n"}], [0]),
        ([{"cpu.max": "150000 100000\n"}], [0, 1]),
        ([{"cpu.max": "200001 100000\n"}], [0, 1, 2]),
        ([{"cpu.max": "1000 100000\n"}], [0]),
        ([{"cpu.max": "900000 100000\n"}], [0, 1, 2, 3]),
        ([{"cpu.max": "100000 50000\n"}], [0, 1]),
        # LXCFS's own case: quotas of 3, 4, 2 and 4 CPUs on the way up, here with another order.
        ([{"cpu.max": "300000 100000"}, {"cpu.max": "400000 100000"},
          {"cpu.max": "200000 100000"}, {"cpu.max": "400000 100000"}], [0, 1]),
        ([{"cpu.max": "200000 100000", "cpuset.cpus.effective": "1-3"}], [1, 2]),
        ([{"cpu.max": "300000 100000", "cpuset.cpus.effective": "3"}], [3]),
    ],
)  # fmt: skip
def test_visible(machine: Any, levels: list[dict[str, str]], found: list[int]) -> None:
    assert cpus.visible(machine(*levels, **FOUR).after(1)) == found


def test_affinity(machine: Any) -> None:
    assert cpus.visible(machine(affinity=frozenset((1, 2)), **FOUR).after(1)) == [1, 2]
    pinned = machine({"cpu.max": "100000 100000"}, affinity=frozenset((2, 3)), **FOUR)
    assert cpus.visible(pinned.after(1)) == [2]


def test_a_changed_limit_counts_at_once(machine: Any) -> None:
    updated = machine({"cpu.max": "100000 100000"}, **FOUR)
    assert cpus.visible(updated.after(1)) == [0]
    updated.levels[0]["cpu.max"] = "300000 100000"
    assert cpus.visible(updated.after(2)) == [0, 1, 2]


def test_the_host_without_sysfs_has_a_cpu(machine: Any) -> None:
    bare = machine()
    del bare.files["cpu/online"]
    assert cpus.visible(bare.after(1)) == [0]


@pytest.mark.parametrize(
    ("allowed", "online", "names"),
    [("0-3", b"0-3\n", ["cpu0", "cpu1", "cpu2", "cpu3"]), ("2-3", b"0-1\n", ["cpu0", "cpu1"]),
     ("3", b"0\n", ["cpu0"])],
)  # fmt: skip
def test_sysfs(machine: Any, allowed: str, online: bytes, names: list[str]) -> None:
    snapshot = machine({"cpuset.cpus.effective": allowed}, **FOUR).after(1)
    assert cpus.online(snapshot) == online
    assert cpus.offline(snapshot) == b"\n"
    assert cpus.names(snapshot) == names


def test_cpuinfo_is_the_hosts_where_nothing_limits(machine: Any) -> None:
    whole = machine()
    assert cpuinfo.render(whole.after(1)).decode() == whole.files["cpuinfo"]


def test_cpuinfo_is_numbered_from_0(machine: Any) -> None:
    second = machine({"cpuset.cpus.effective": "1"})
    text = cpuinfo.render(second.after(1)).decode()
    block = second.files["cpuinfo"].split("\n\n")[1]
    assert text == block.replace("processor\t: 1", "processor\t: 0") + "\n\n"


ARM = "processor\t: 0\nBogoMIPS\t: 50.00\n\nprocessor\t: 1\nBogoMIPS\t: 60.00\n\n"
POWER = "processor\t: 0\ncpu\t\t: POWER9\n\nprocessor\t: 8\ncpu\t\t: POWER9\n\n"


def test_cpuinfo_of_other_machines(machine: Any) -> None:
    one = {"cpuset.cpus.effective": "1"}
    tail = "Hardware\t: BCM2835\nModel\t\t: Raspberry Pi 4\n"
    text = cpuinfo.render(machine(one, cpuinfo=ARM + tail).after(1)).decode()
    assert text == "processor\t: 0\nBogoMIPS\t: 60.00\n\n" + tail
    sparse = machine({"cpuset.cpus.effective": "8"}, cpuinfo=POWER, cpu__online="0,8")
    assert cpuinfo.render(sparse.after(1)).decode() == "processor\t: 0\ncpu\t\t: POWER9\n\n"


def test_cpuinfo_of_an_unknown_form_is_left_alone(machine: Any) -> None:
    text = "vendor_id       : IBM/S390\n# processors    : 2\nprocessor 0: version = FF\n"
    assert cpuinfo.render(machine({}, cpuinfo=text).after(1)).decode() == text


@pytest.mark.parametrize(
    ("name", "host", "visible", "here"),
    [
        (b"core_cpus_list", b"1,5\n", [1], b"0\n"),
        (b"thread_siblings_list", b"0-1\n", [0], b"0\n"),
        (b"package_cpus_list", b"0-7\n", [1, 3, 4, 6], b"0-3\n"),
        (b"shared_cpu_list", b"0-3,8-11\n", [2, 5, 8, 9, 20], b"0,2-3\n"),
        (b"cpulist", b"4-7\n", [0, 1], b"\n"),
        (b"isolated", b"\n", [0, 1], b"\n"),
        (b"package_cpus", b"3\n", [1], b"1\n"),
        (b"core_siblings", b"ff\n", [1, 3, 4, 6], b"0f\n"),
        (b"thread_siblings", b"20\n", [1, 5], b"02\n"),
        (b"cpumap", b"00f,00000000,ffffffff\n", [0, 31, 32, 64], b"000,00000000,0000000b\n"),
        (b"shared_cpu_map", b"00000000,00000100\n", [0, 1], b"00000000,00000000\n"),
        (b"cpumap", b"what\n", [0], b"what\n"),
        # Numbers that are not those of CPUs.
        (b"core_id", b"1\n", [1], b"1\n"),
        (b"online", b"0-1\n", [1], b"0-1\n"),
        (b"kernel_max", b"8191\n", [0], b"8191\n"),
    ],
)
def test_lists_and_masks_by_our_numbers(
    name: bytes, host: bytes, visible: list[int], here: bytes
) -> None:
    assert cpus.renumbered(name, host, visible) == here


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"core_cpus_list", b"0-3,8\n"),
        (b"core_cpus_list", b"0,2,4-5\n"),
        (b"core_siblings", b"3\n"),
        (b"core_siblings", b"00000000,0000ffff\n"),
        (b"core_siblings", b"1,00000000\n"),
    ],
)
def test_with_all_cpus_visible_nothing_changes(name: bytes, text: bytes) -> None:
    assert cpus.renumbered(name, text, range(64)) == text
