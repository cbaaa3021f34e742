from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.procview import meminfo, swaps

MB = 1 << 20
KB_OF_HOST = 24684084
SWAP = "SwapTotal:       307200 kB\nSwapFree:        204800 kB\n"
HEADER = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

Fields = Callable[[bytes], dict[str, int]]


def group(stat: str, limit: object = "max", current: int = 100 * MB, **more: object) -> Any:
    files = {"memory.max": limit, "memory.high": "max", "memory.current": current}
    files |= {name.replace("_", "."): value for name, value in more.items()}
    return {name: f"{value}\n" for name, value in files.items()} | {"memory.stat": stat}


def with_swap(text: str) -> str:
    lines = [line for line in text.splitlines(keepends=True) if not line.startswith("Swap")]
    return "".join([*lines[:13], SWAP, *lines[13:]])


def test_a_limit(machine: Any, memory_stat: Any, fields: Fields) -> None:
    found = fields(meminfo.render(machine(group(memory_stat(), 256 * MB)).after(1)))
    # 100 MB in use, of which 30 are page cache and 2 slabs that the kernel takes back.
    assert found["MemTotal"] == 256 * 1024
    assert found["MemFree"] == 156 * 1024
    assert found["MemAvailable"] == (156 + 32) * 1024
    assert found["Cached"] == 40 * 1024
    assert found["Mapped"] == 488
    assert (found["Dirty"], found["Writeback"], found["AnonHugePages"]) == (8, 4, 2048)
    assert found["AnonPages"] == 20 * 1024
    assert found["Shmem"] == 10 * 1024
    assert found["Active"] == found["Active(anon)"] + found["Active(file)"] == 12 * 1024
    assert found["Inactive"] == found["Inactive(anon)"] + found["Inactive(file)"] == 48 * 1024
    assert found["Slab"] == found["SReclaimable"] + found["SUnreclaim"] == 3 * 1024
    assert found["KReclaimable"] == 2 * 1024


def test_nothing_of_the_host_is_left(machine: Any, memory_stat: Any, fields: Fields) -> None:
    limited = machine(group(memory_stat(), 256 * MB))
    found = fields(meminfo.render(limited.after(1)))
    host = fields(limited.files["meminfo"].encode())
    assert list(found) == [name for name in host if name in found]
    gone = {"Mlocked", "CommitLimit", "Committed_AS", "DirectMap4k", "Bounce", "WritebackTmp"}
    assert gone.isdisjoint(found)
    assert gone <= host.keys()
    same = {name for name in found if found[name] == host[name] != 0}
    assert same == {"VmallocTotal", "Hugepagesize"}


def test_lines_keep_their_form(machine: Any, memory_stat: Any) -> None:
    lines = meminfo.render(machine(group(memory_stat(), 256 * MB)).after(1)).decode().splitlines()
    assert lines[0] == "MemTotal:         262144 kB"
    assert "HugePages_Total:       0" in lines
    assert "VmallocTotal:   34359738367 kB" in lines
    assert {len(line) for line in lines if not line.startswith("Vmalloc")} <= {27, 24}


@pytest.mark.parametrize(
    ("limits", "total"),
    [
        ([256 * MB, "max"], 256),
        (["max", 128 * MB], 128),
        ([256 * MB, 128 * MB, 512 * MB], 128),
        # LXCFS's test of nested groups.
        (["max", 500 * MB, "max", 600 * MB], 500),
    ],
)
def test_the_smallest_limit_binds(
    machine: Any, memory_stat: Any, fields: Fields, limits: list[Any], total: int
) -> None:
    groups = [group(memory_stat(), limit) for limit in limits]
    found = fields(meminfo.render(machine(*groups).after(1)))
    assert found["MemTotal"] == total * 1024
    assert found["MemFree"] == (total - 100) * 1024


def test_memory_high_binds_too(machine: Any, memory_stat: Any, fields: Fields) -> None:
    levels = group(memory_stat(), 256 * MB), group(memory_stat(), "max", memory_high=200 * MB)
    assert fields(meminfo.render(machine(*levels).after(1)))["MemTotal"] == 200 * 1024


def test_what_others_below_the_same_limit_use_is_gone(
    machine: Any, memory_stat: Any, fields: Fields
) -> None:
    above = group(memory_stat(), 256 * MB, current=200 * MB)
    found = fields(meminfo.render(machine(group(memory_stat()), above).after(1)))
    assert found["MemAvailable"] == (56 + 32) * 1024
    assert found["MemFree"] == 56 * 1024
    # A larger limit, with more in use, can be the one that leaves less.
    far = group(memory_stat(active_file=0, inactive_file=0), 1024 * MB, current=1000 * MB)
    found = fields(meminfo.render(machine(group(memory_stat(), 256 * MB), far).after(1)))
    assert found["MemTotal"] == 256 * 1024
    assert found["MemAvailable"] == (24 + 2) * 1024


def test_without_a_limit_the_host_is_the_limit(
    machine: Any, memory_stat: Any, fields: Fields
) -> None:
    unlimited = machine(group(memory_stat()))
    found = fields(meminfo.render(unlimited.after(1)))
    host = fields(unlimited.files["meminfo"].encode())
    assert found["MemTotal"] == host["MemTotal"]
    assert found["MemAvailable"] == host["MemAvailable"]
    assert found["Cached"] == 40 * 1024
    more = machine(group(memory_stat(), 1 << 50))
    assert fields(meminfo.render(more.after(1)))["MemTotal"] == KB_OF_HOST


@pytest.mark.parametrize(("limit", "current"), [(50 * MB, 100 * MB), (0, 4096), (4096, 1 << 40)])
def test_a_limit_below_the_use(
    machine: Any, memory_stat: Any, fields: Fields, limit: int, current: int
) -> None:
    found = fields(meminfo.render(machine(group(memory_stat(), limit, current)).after(1)))
    assert found["MemTotal"] == max(limit // 1024, 4)
    assert found["MemFree"] == 0
    assert found["Cached"] + found["SReclaimable"] <= found["MemTotal"]
    assert found["MemAvailable"] <= found["MemTotal"]


def test_an_older_kernel_counts_less(machine: Any, memory_stat: Any, fields: Fields) -> None:
    stat = "".join(
        line for line in memory_stat().splitlines(keepends=True)
        if not line.startswith(("zswap", "vmalloc", "sec_pagetables"))
    )  # fmt: skip
    found = fields(meminfo.render(machine(group(stat, 256 * MB)).after(1)))
    assert {"Zswap", "VmallocUsed", "SecPageTables"}.isdisjoint(found)
    assert found["PageTables"] == 572


def test_without_the_controller_the_host_shows(machine: Any) -> None:
    for bare in (machine({}), machine(), machine({"memory.max": "max\n"}, own=0)):
        assert meminfo.render(bare.after(1)).decode() == bare.files["meminfo"]
        assert swaps.render(bare.after(1)).decode() == bare.files["swaps"]


def test_a_limit_of_a_group_that_is_not_ours(
    machine: Any, memory_stat: Any, fields: Fields
) -> None:
    """As in a job without delegation: use and limit are those of the job."""
    job = group(memory_stat(), 300 * MB, current=120 * MB)
    found = fields(meminfo.render(machine({}, job, own=0).after(1)))
    assert (found["MemTotal"], found["MemFree"]) == (300 * 1024, 180 * 1024)
    assert found["AnonPages"] == 20 * 1024


@pytest.mark.parametrize(
    ("limit", "used", "total", "free"),
    [
        ("max", 0, 307200, 204800),
        (64 * MB, 16 * MB, 65536, 49152),
        # The host has only 200 MB left, and the container cannot have more either.
        (290 * MB, 10 * MB, 296960, 204800),
        (0, 0, 0, 0),
        (16 * MB, 64 * MB, 16384, 0),
        (1 << 40, 150 * MB, 307200, 153600),
    ],
)
def test_swap(
    machine: Any, memory_stat: Any, fields: Fields, limit: Any, used: int, total: int, free: int
) -> None:
    files = {"memory_swap_max": limit, "memory_swap_current": used}
    swapping = machine(group(memory_stat(), 256 * MB, **files))
    swapping.files["meminfo"] = with_swap(swapping.files["meminfo"])
    found = fields(meminfo.render(swapping.after(1)))
    assert (found["SwapTotal"], found["SwapFree"]) == (total, free)
    line = b"none%36svirtual\t\t%d\t\t%d\t\t0\n" % (b"", total, total - free)
    assert swaps.render(swapping.after(1)) == HEADER + (line if total else b"")


def test_swap_of_the_host_is_none(machine: Any, memory_stat: Any, fields: Fields) -> None:
    swapping = machine(group(memory_stat(), 256 * MB, memory_swap_max=64 * MB))
    assert fields(meminfo.render(swapping.after(1)))["SwapTotal"] == 0
    assert swaps.render(swapping.after(1)) == HEADER


def test_only_swap_is_limited_and_not_by_us(machine: Any, fields: Fields) -> None:
    job = {"memory.swap.max": f"{64 * MB}\n", "memory.swap.current": f"{MB}\n"}
    jobs = machine(job, own=0)
    host = jobs.files["meminfo"] = with_swap(jobs.files["meminfo"])
    expected = fields(host.encode()) | {"SwapTotal": 65536, "SwapFree": 64512}
    assert fields(meminfo.render(jobs.after(1))) == expected
    assert b"virtual\t\t65536\t\t1024\t\t0\n" in swaps.render(jobs.after(1))


SIZES = st.integers(0, 1 << 42)
ENTRIES = "file active_file inactive_file slab_reclaimable active_anon shmem".split()


@given(
    limits=st.lists(st.tuples(st.one_of(SIZES, st.just("max")), SIZES), min_size=1, max_size=4),
    entries=st.dictionaries(st.sampled_from(ENTRIES), SIZES),
    swap=st.tuples(SIZES, SIZES),
    own=st.integers(0, 3),
)  # fmt: skip
def test_free_adds_up_whatever_the_groups_say(
    limits: list[tuple[Any, int]], entries: dict[str, int], swap: tuple[int, int], own: int,
    machine: Any, memory_stat: Any, fields: Fields,
) -> None:  # fmt: skip
    files = {"memory_swap_max": swap[0], "memory_swap_current": swap[1]}
    groups = [group(memory_stat(**entries), *limit, **files) for limit in limits]
    hostile = machine(*groups, own=own)
    hostile.files["meminfo"] = with_swap(hostile.files["meminfo"])
    found = fields(meminfo.render(hostile.after(1)))
    assert min(found.values()) >= 0
    assert 0 < found["MemTotal"] <= KB_OF_HOST
    assert found["SwapFree"] <= found["SwapTotal"] <= 307200
    assert found["MemAvailable"] <= found["MemTotal"]
    # What procps calls "used", before and since 4.0.
    cached = found["Buffers"] + found["Cached"] + found["SReclaimable"]
    assert found["MemTotal"] - found["MemFree"] - cached >= 0


NODE = """Node 0 MemTotal:       20670668 kB
Node 0 MemFree:        15958256 kB
Node 0 MemUsed:         4712412 kB
Node 0 Active(anon):       2048 kB
Node 0 Mlocked:           22156 kB
Node 0 FilePages:       1967068 kB
Node 0 HugePages_Total:     7
Node 0 ZoneNew:               1 kB
"""


def test_the_only_numa_node_has_what_the_machine_has(
    machine: Any, memory_stat: Any, fields: Fields
) -> None:
    snapshot = machine(group(memory_stat(), 256 * MB)).after(1)
    text = meminfo.of_node(snapshot, NODE.encode())
    shown = fields(text.replace(b"Node 0 ", b""))
    expected = fields(meminfo.render(snapshot))
    assert list(shown) == [
        "MemTotal", "MemFree", "MemUsed", "Active(anon)", "FilePages", "HugePages_Total"
    ]  # fmt: skip
    for name in ("MemTotal", "MemFree", "Active(anon)", "HugePages_Total"):
        assert shown[name] == expected[name]
    assert shown["FilePages"] == expected["Cached"]
    assert shown["MemUsed"] == expected["MemTotal"] - expected["MemFree"] > 0
    assert text.startswith(b"Node 0 MemTotal:") and text.count(b"\nNode 0 ") == 5


def test_the_node_is_the_hosts_where_memory_is(machine: Any) -> None:
    assert meminfo.of_node(machine().after(1), NODE.encode()) == NODE.encode()
