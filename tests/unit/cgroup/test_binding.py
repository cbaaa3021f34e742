from __future__ import annotations

from typing import Any

import pytest

from rootless.cgroup import binding
from rootless.cgroup.binding import MAX, Row, Table
from rootless.cgroup.levels import Host, Level

MIB, GIB = 1024**2, 1024**3
HOST = Host(memory=8 * GIB, swap=2 * GIB, cpus="0-3", mems="0", pids=32768)
NO_LIMIT = {
    "memory.max": "max\n", "memory.swap.max": "max\n", "memory.low": "0\n", "memory.high": "max\n",
    "cpu.max": "max 100000\n", "cpu.weight": "100\n", "pids.max": "max\n",
}  # fmt: skip
LABELS = ("the container", "the container's scope", "app.slice", "user-1000.slice")


def chain(*own: dict[str, str], **options: Any) -> list[Level]:
    """A container, its scope, app.slice, user-1000.slice with these files, and the root."""
    levels = []
    for index, label in enumerate(LABELS):
        files = {**NO_LIMIT, **(own[index] if index < len(own) else {})}
        levels.append(Level(label, f"/{index}", files))
    root = {"cpuset.cpus.effective": "0-3\n", "cpuset.mems.effective": "0\n"}
    return [*levels, Level("the root group", "/", root)]


def rows(
    levels: list[Level],
    *requested: tuple[str, str],
    host: Host = HOST,
    is_own: bool = True,
    allowed: tuple[str, str] = ("0-3", "0"),
) -> dict[str, Row]:
    table = Table(requested, levels, host, is_own=is_own, allowed=allowed)
    return {row.name: row for row in table.rows()}


def bound(row: Row) -> tuple[Any, str]:
    return row.effective, row.bound_by


def test_nothing_is_limited_but_by_the_machine() -> None:
    found = rows(chain())
    assert bound(found["memory"]) == (8 * GIB, "the host")
    assert bound(found["swap"]) == (2 * GIB, "the host")
    assert bound(found["cpu"]) == (4, "the host")
    assert bound(found["cpuset cpus"]) == ("0-3", "the host")
    assert bound(found["pids"]) == (32768, "the host")
    assert (found["memory"].requested, found["memory"].set) == (None, MAX)
    # Of interest only when somebody limits them.
    assert not {"memory (soft)", "cpuset mems"} & found.keys()
    assert not [name for name in found if name.startswith("io ") and name != "io weight"]


@pytest.mark.parametrize(
    ("limits", "effective", "by"),
    [
        ([256], 256, "the container"),
        ([256, 128], 128, "the container's scope"),
        ([256, None, None, 200], 200, "user-1000.slice"),
        ([None, None, 300, 200], 200, "user-1000.slice"),
        # Of equal limits the nearest one is told: it is the user's own.
        ([256, 256, 256, 256], 256, "the container"),
        ([None, 64, 64], 64, "the container's scope"),
        # More than there is.
        ([9000], 8 * 1024, "the host"),
        ([9000, 8 * 1024], 8 * 1024, "the container's scope"),
    ],
)
def test_the_smallest_limit_of_memory_binds(
    limits: list[int | None], effective: int, by: str
) -> None:
    files = [{"memory.max": f"{limit * MIB}\n"} if limit else {} for limit in limits]
    assert bound(rows(chain(*files))["memory"]) == (effective * MIB, by)


def test_what_is_used_and_by_whom() -> None:
    used = [
        {"memory.current": "100\n", "memory.peak": "150\n", "memory.max": "5000\n"},
        {}, {}, {"memory.current": "900\n", "memory.max": "1000\n"},
    ]  # fmt: skip
    memory = rows(chain(*used))["memory"]
    assert (memory.used, memory.peak) == (100, 150)
    assert (memory.bound_by, memory.bound_path, memory.bound_used) == ("user-1000.slice", "/3", 900)
    used[3] = {}
    memory = rows(chain(*used))["memory"]
    assert (memory.bound_by, memory.bound_used) == ("the container", None)


def test_swap_where_there_is_none() -> None:
    host = Host(memory=GIB, swap=0, cpus="0", mems="0", pids=100)
    swap = rows(chain({"memory.swap.max": "4096"}), host=host)["swap"]
    assert (swap.set, *bound(swap)) == (4096, 0, "the host")
    swap = rows(chain({"memory.swap.max": "0"}))["swap"]
    assert bound(swap) == (0, "the container")


@pytest.mark.parametrize(
    ("quotas", "cpus", "effective", "by"),
    [
        (["50000 100000"], "0-3", 0.5, "the container"),
        (["150000 100000", "", "50000 50000"], "0-3", 1, "app.slice"),
        (["max 100000", "", "300000 100000"], "0-3", 3, "app.slice"),
        # As many CPUs as there are is no limit that anything could meet before the host's end.
        (["800000 100000"], "0-3", 4, "the host"),
        (["300000 100000"], "0-1", 2, "CPU affinity"),
        (["100000"], "0-3", 1, "the container"),
    ],
)
def test_cpu(quotas: list[str], cpus: str, effective: float, by: str) -> None:
    files = [{"cpu.max": quota} if quota else {} for quota in quotas]
    assert bound(rows(chain(*files), allowed=(cpus, "0"))["cpu"]) == (effective, by)


def test_cpus_of_a_group_above() -> None:
    some = {"cpuset.cpus.effective": "1-2\n"}
    found = rows(chain(some, some, some), allowed=("1-2", "0"))
    assert bound(found["cpuset cpus"]) == ("1-2", "app.slice")
    assert (*bound(found["cpu"]), found["cpu"].bound_path) == (2, "app.slice", "/2")


def test_the_containers_own_cpus() -> None:
    own = {"cpuset.cpus": "1\n", "cpuset.cpus.effective": "1\n"}
    found = rows(chain(own, {"cpuset.cpus.effective": "0-3"}), ("cpuset.cpus", "1"),
                 allowed=("1", "0"))["cpuset cpus"]  # fmt: skip
    assert (found.requested, found.set, *bound(found)) == ("1", "1", "1", "the container")


def test_a_list_written_in_another_way_is_the_same_list() -> None:
    found = rows(chain({"cpuset.cpus.effective": "0-3"}), allowed=("0,1,2-3", "0"))
    assert found["cpuset cpus"].bound_by == "the host"


def test_memory_nodes_when_they_matter() -> None:
    host = Host(memory=GIB, swap=0, cpus="0-3", mems="0-1", pids=100)
    own = {"cpuset.mems": "1", "cpuset.mems.effective": "1"}
    levels = chain(own, {"cpuset.mems.effective": "0-1"})
    found = rows(levels, ("cpuset.mems", "1"), host=host)["cpuset mems"]
    assert (found.set, *bound(found)) == ("1", "1", "the container")


def test_a_reservation_holds_as_far_as_those_above_it() -> None:
    low = {"memory.low": f"{64 * MIB}\n"}
    wish = ("memory.low", str(64 * MIB))
    found = rows(chain(low), wish)["memory reserved"]
    assert (found.requested, found.set) == (64 * MIB, 64 * MIB)
    assert bound(found) == (0, "the container's scope")
    found = rows(chain(low, low, {"memory.low": "max"}, {"memory.low": str(8 * MIB)}), wish)
    assert bound(found["memory reserved"]) == (8 * MIB, "user-1000.slice")
    unset = rows(chain())["memory reserved"]
    assert (unset.set, unset.effective, unset.bound_by) == (0, 0, "")


def test_a_soft_limit_is_shown_when_there_is_one() -> None:
    found = rows(chain({}, {}, {}, {"memory.high": str(GIB)}))["memory (soft)"]
    assert bound(found) == (GIB, "user-1000.slice")
    wished = rows(chain({"memory.high": "4096"}), ("memory.high", "4096"))["memory (soft)"]
    assert (wished.requested, *bound(wished)) == (4096, 4096, "the container")


def test_weights_count_where_containers_compete() -> None:
    found = rows(chain({"cpu.weight": "20"}, {"cpu.weight": "30"}), ("cpu.weight", "20"))
    weight = found["cpu weight"]
    assert (weight.requested, weight.set, *bound(weight)) == (20, 20, 30, "app.slice")
    assert found["io weight"].set is None


@pytest.mark.parametrize(
    ("files", "row"),
    [
        ({"io.bfq.weight": "default 300\n8:0 10\n", "io.weight": "default 1"}, 300),
        ({"io.weight": "default 2930\n"}, 2930),
    ],
)
def test_the_weight_of_the_scheduler_that_there_is(files: dict[str, str], row: int) -> None:
    wishes = [("io.bfq.weight", "300"), ("io.weight", "2930")]
    found = rows(chain(files, files), *wishes)["io weight"]
    assert (found.requested, found.set, found.effective) == (row, row, row)


def test_rates_of_devices() -> None:
    own = {"io.max": "8:0 rbps=1048576 wbps=max riops=max wiops=200\n"}
    above = {"io.max": "8:0 rbps=524288 wbps=max\n259:1 riops=50\n"}
    found = rows(chain(own, {}, above), ("io.max", "8:0 rbps=1048576"), ("io.max", "8:0 wiops=200"))
    read = found["io read 8:0"]
    assert bound(found["io writes 8:0"]) == (200, "the container")
    assert bound(found["io reads 259:1"]) == (50, "app.slice")
    assert (found["io reads 259:1"].set, found["io reads 259:1"].unit) == (MAX, binding.OPERATIONS)
    assert len([row for row in found.values() if row.file == "io.max"]) == 3
    assert (read.requested, read.set, *bound(read)) == (1048576, 1048576, 524288, "app.slice")


def test_other_files_that_were_asked_for() -> None:
    found = rows(chain({"memory.oom.group": "1\n"}), ("memory.oom.group", "1"), ("hugetlb.x", "3"))
    assert (found["memory.oom.group"].requested, found["memory.oom.group"].set) == ("1", "1")
    assert (found["hugetlb.x"].requested, found["hugetlb.x"].set) == ("3", None)


def test_a_limit_that_was_asked_for_and_could_not_be_set() -> None:
    levels = chain()
    levels[0] = Level("the container", "/0", {})
    memory = rows(levels, ("memory.max", str(64 * MIB)))["memory"]
    assert (memory.requested, memory.set) == (64 * MIB, None)
    assert bound(memory) == (8 * GIB, "the host")


def test_in_a_group_of_others_nothing_is_the_containers_own() -> None:
    levels = chain({"memory.max": "4096", "memory.current": "100", "cpu.weight": "7"})
    found = rows(levels, is_own=False)
    memory = found["memory"]
    assert (memory.set, memory.used, memory.bound_used) == (None, None, 100)
    assert bound(memory) == (4096, "the container")
    assert (found["cpu weight"].effective, found["memory reserved"].effective) == (None, None)


def test_a_container_that_does_not_run_has_wishes_only() -> None:
    found = rows([], ("memory.max", "4096"), ("pids.max", "max"), allowed=("", ""), is_own=False)
    assert (found["memory"].requested, found["pids"].requested) == (4096, MAX)
    assert {row.effective for row in found.values()} == {None}
    assert {row.bound_by for row in found.values()} == {""}


def test_without_version_2_the_machine_binds() -> None:
    found = rows([], is_own=False, allowed=("0-1", "0"))
    assert bound(found["memory"]) == (8 * GIB, "the host")
    assert bound(found["cpu"]) == (2, "CPU affinity")


@pytest.mark.parametrize("text", ["", "\n", "x", "8:0", "8:0 rbps", "8:0 rbps=max", "8:0 other=3"])
def test_no_rates(text: str) -> None:
    assert binding.rates(text) == {}


def test_amounts() -> None:
    assert binding.amount(None) is None and binding.amount("max\n") == MAX
    assert binding.cpus(None) is None and binding.cpus("") is None
    assert binding.weight(None) is None and binding.weight("") is None
