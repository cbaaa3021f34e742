from __future__ import annotations

from typing import Any

import pytest

from rootless.procview import diskstats, pressure, vmstat

IO = "254:0 rbytes=1048576 wbytes=4096 rios=20 wios=3 dbytes=8192 dios=1\n"
NO_DISCARDS = "   8       0 sda 9 9 9 9 9 9 9 9 9 9 9\n"
LINE = "\n" + " 254       0 vda 20 0 2048 0 3 0 8 0 0 0 0 1 0 16 0 0 0\n"


@pytest.mark.parametrize(
    "text",
    [
        IO,
        # Linux 6.1: devices without counters, not even a line feed behind them.
        "7:7 7:6 7:5 " + IO + "253:0 \n",
        IO + "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n",
        "254:0 rbytes=1048576 wbytes=4096 rios=20 wios=3 dbytes=8192 dios=1 cost.usage=7 x=max\n",
    ],
)
def test_diskstats(machine: Any, text: str) -> None:
    """Disks that the group has used, by the host's names; not what others have read."""
    assert "\n" + diskstats.render(machine({"io.stat": text}).after(1)).decode() == LINE


def test_diskstats_of_old_kernels_have_fewer_columns(machine: Any) -> None:
    old = machine({"io.stat": "8:0 rbytes=512 wbytes=1024 rios=1 wios=2 dbytes=0 dios=0\n"},
                  diskstats=NO_DISCARDS)  # fmt: skip
    assert diskstats.render(old.after(1)) == b"   8       0 sda 1 0 1 0 2 0 2 0 0 0 0\n"


def test_a_container_that_has_read_nothing(machine: Any) -> None:
    assert diskstats.render(machine({"io.stat": ""}).after(1)) == b""


def test_diskstats_without_the_controller(machine: Any) -> None:
    for bare in (machine({}), machine(), machine({"io.stat": IO}, own=0)):
        assert diskstats.render(bare.after(1)).decode() == bare.files["diskstats"]


def numbers(text: bytes) -> dict[str, int]:
    return {name: int(value) for name, value in map(str.split, text.decode().splitlines())}


def group(stat: str, **more: str) -> dict[str, str]:
    files = {"memory.stat": stat, "memory.current": "104857600\n", "memory.max": "268435456\n"}
    return files | {name.replace("_", "."): text for name, text in more.items()}


def test_vmstat(machine: Any, memory_stat: Any) -> None:
    events = "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\noom_group_kill 0\n"
    host = machine(group(memory_stat(), memory_events=events, io_stat=IO))
    found = numbers(vmstat.render(host.after(1)))
    # Counted in events, pages, kibibytes: each as the host's file has it.
    assert (found["pgfault"], found["pgmajfault"], found["pgscan_direct"]) == (52310, 21, 300)
    assert (found["nr_anon_pages"], found["nr_file_pages"], found["nr_shmem"]) == (
        5120,
        10240,
        2560,
    )
    assert (found["pgpgin"], found["pgpgout"]) == (1024, 4)
    assert found["nr_kernel_stack"] == 144
    assert found["nr_free_pages"] == (256 - 100) * 256
    assert found["oom_kill"] == 1
    assert found["workingset_refault_file"] == 12


def test_vmstat_leaves_out_what_only_the_host_knows(machine: Any, memory_stat: Any) -> None:
    host = machine(group(memory_stat()))
    found = numbers(vmstat.render(host.after(1)))
    recorded = numbers(host.files["vmstat"].encode())
    assert list(found) == [name for name in recorded if name in found]
    gone = {"pgpgin", "pgpgout", "oom_kill", "pgfree", "nr_dirtied", "kswapd_inodesteal",
            "numa_hit", "nr_free_cma", "pswpin"}  # fmt: skip
    assert gone.isdisjoint(found)
    assert gone <= recorded.keys()
    assert {name for name in found if found[name] == recorded[name] != 0} == set()


def test_vmstat_without_the_controller(machine: Any, memory_stat: Any) -> None:
    for bare in (machine({}), machine(), machine(group(memory_stat()), own=0)):
        assert vmstat.render(bare.after(1)).decode() == bare.files["vmstat"]


OWN = (
    "some avg10=1.00 avg60=2.00 avg300=3.00 total=4\n"
    "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
)


@pytest.mark.parametrize("resource", ["cpu", "memory", "io"])
def test_pressure(machine: Any, resource: str) -> None:
    host = machine({f"{resource}.pressure": OWN})
    assert pressure.render(host.after(1), resource).decode() == OWN
    for bare in (machine({}), machine({f"{resource}.pressure": OWN}, own=0)):
        text = pressure.render(bare.after(1), resource).decode()
        assert text == bare.files[f"pressure/{resource}"] != ""
