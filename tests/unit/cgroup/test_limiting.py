"""Limits written into a group: all of them or, when one fails, none.

Plain files stand in for cgroupfs. They show what is written where, in which order, and what is
taken back; they take every text and keep it as it is, so what a kernel refuses or rounds is made up
here by a failing write, and seen for true only in tests/system.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless import log
from rootless.cgroup import choice as choices
from rootless.cgroup import group as groups
from rootless.cgroup import limiting, resources
from rootless.cgroup.choice import Choice
from rootless.cgroup.group import Group
from rootless.cgroup.hierarchy import HYBRID, V2, Hierarchy
from rootless.errors import EXIT_ENGINE, HostError
from rootless.tools import idmap

MIB = 1 << 20
FRESH = {
    "cgroup.controllers": "cpu cpuset io memory pids\n",
    "cpu.max": "max 100000\n",
    "cpu.weight": "100\n",
    "cpuset.cpus": "\n",
    "cpuset.cpus.effective": "0-3\n",
    "io.bfq.weight": "default 100\n",
    "io.max": "",
    "io.weight": "default 100\n",
    "memory.low": "0\n",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "pids.max": "max\n",
}
WEIGHTS = ("cpu.weight", "io.bfq.weight", "io.weight")


def fill(directory: str, files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(directory, name).write_text(text)


def fill_both(group: Group, files: dict[str, str]) -> None:
    """Where limits are, and where the container looks for them."""
    for directory in (group.payload, group.container):
        fill(directory, files)


def lack(group: Group, name: str) -> None:
    for directory in (group.payload, group.container):
        os.unlink(f"{directory}/{name}")


def in_both(name: str, text: str) -> list[tuple[str, str]]:
    """The two writes of one setting."""
    return [(f"payload/{name}", text), (f"container/{name}", text)]


@pytest.fixture
def group(tmp_path: Path) -> Group:
    """A fresh group as the kernel shows it, below the mount `tmp_path`/cg."""
    (tmp_path / "cg/own/rl-1").mkdir(parents=True)
    made = Group(f"{tmp_path}/cg/own/rl-1")
    made.make()
    fill_both(made, FRESH)
    fill(made.top, {name: FRESH[name] for name in ("cgroup.controllers", *WEIGHTS)})
    for path in ("cg", "cg/own"):
        fill(f"{tmp_path}/{path}", {"cgroup.controllers": FRESH["cgroup.controllers"]})
    return made


@pytest.fixture
def hierarchy(tmp_path: Path) -> Hierarchy:
    return Hierarchy(V2, f"{tmp_path}/cg", "/own")


@pytest.fixture
def cgroupfs(hierarchy: Hierarchy) -> Choice:
    return Choice(choices.CGROUPFS, hierarchy, base=hierarchy.directory)


@pytest.fixture
def by_systemd(hierarchy: Hierarchy) -> Choice:
    return Choice(choices.SYSTEMD, hierarchy)


class Kernel:
    """Between the code and the files. written: (file, text); refused: file → error number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[tuple[str, str]] = []
        self.refused: dict[str, int] = {}
        self._write = groups.write
        monkeypatch.setattr(groups, "write", self.write)

    def write(self, path: str, text: str) -> None:
        directory, name = os.path.split(path)
        shown = f"{os.path.basename(directory)}/{name}"
        self.written.append((shown, text))
        number = self.refused.get(shown)
        if number:
            raise OSError(number, os.strerror(number), path)
        if os.path.exists(path):
            os.truncate(path, 0)  # a file of the kernel's is written as a whole
        self._write(path, text)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    log.install(lambda level, text: lines.append(f"{level}: {text}"), debug=True)
    yield lines
    log.install(lambda level, text: None, debug=False)


def enforce(group: Group | None, choice: Choice, wanted: Any, *, strict: bool = True) -> list[str]:
    problems = limiting.enforce(group, wanted, choice, strict=strict)
    return [problem.message for problem in problems]


def limits(**sections: Any) -> dict[str, Any]:
    return sections


def test_each_wish_in_its_file(group: Group, cgroupfs: Choice, kernel: Kernel) -> None:
    wanted = limits(
        memory={"limit": 64 * MIB, "swap": 64 * MIB},
        cpu={"quota": 50000, "period": 100000, "cpus": "0-3"},
        pids={"limit": 9},
    )
    assert enforce(group, cgroupfs, wanted) == []
    assert kernel.written == [
        *in_both("memory.swap.max", "0"),
        *in_both("memory.max", str(64 * MIB)),
        *in_both("cpu.max", "50000 100000"),
        *in_both("cpuset.cpus", "0-3"),
        *in_both("pids.max", "9"),
    ]
    assert text_of(group.payload, "pids.max") == text_of(group.container, "pids.max") == "9"


def test_a_limit_holds_above_the_namespace_and_is_seen_in_it(
    group: Group, cgroupfs: Choice
) -> None:
    """What the container can write to is the lower of two, and not what limits it."""
    wanted = limits(
        memory={"limit": 64 * MIB, "swap": 64 * MIB, "reservation": MIB},
        cpu={"quota": 50000, "period": 100000, "shares": 1024, "cpus": "0-3"},
        pids={"limit": 9},
        blockIO={"weight": 500, **throttled((8, MIB))},
    )
    assert enforce(group, cgroupfs, wanted) == []
    assert os.path.dirname(group.container) == group.payload
    written = resources.settings(wanted)
    assert len(written) == 9
    for one in written:
        texts = [text_of(directory, one.file) for directory in (group.payload, group.container)]
        assert texts[0].startswith(one.text) and texts[0] == texts[1]


def text_of(directory: str, name: str) -> str:
    return Path(directory, name).read_text()


def test_our_own_group_is_weighed_as_a_whole_too(
    group: Group, cgroupfs: Choice, kernel: Kernel
) -> None:
    wanted = limits(cpu={"shares": 1024}, blockIO={"weight": 500})
    assert enforce(group, cgroupfs, wanted) == []
    assert kernel.written == [
        *in_both("cpu.weight", "39"),
        ("rl-1/cpu.weight", "39"),
        *in_both("io.bfq.weight", "500"),
        ("rl-1/io.bfq.weight", "500"),
    ]


def test_a_scope_is_weighed_by_systemd(group: Group, by_systemd: Choice, kernel: Kernel) -> None:
    assert enforce(group, by_systemd, limits(cpu={"shares": 1024})) == []
    assert kernel.written == in_both("cpu.weight", "39")


def test_the_other_file_where_the_first_is_missing(
    group: Group, by_systemd: Choice, kernel: Kernel
) -> None:
    lack(group, "io.bfq.weight")
    assert enforce(group, by_systemd, limits(blockIO={"weight": 500})) == []
    assert kernel.written == in_both("io.weight", "4950")
    lack(group, "io.weight")
    with pytest.raises(HostError) as caught:
        enforce(group, by_systemd, limits(blockIO={"weight": 500}))
    expected = "--blkio-weight 500: this kernel has no io.weight, nor io.bfq.weight"
    assert caught.value.message == expected


def test_what_limits_nothing_may_fail(group: Group, by_systemd: Choice, kernel: Kernel) -> None:
    """A kernel without swap accounting, and docker's default for swap."""
    lack(group, "memory.swap.max")
    assert enforce(group, by_systemd, limits(memory={"limit": 8 * MIB, "swap": 16 * MIB})) == []
    assert kernel.written == in_both("memory.max", str(8 * MIB))


def test_what_limits_something_may_not(group: Group, by_systemd: Choice) -> None:
    lack(group, "memory.swap.max")
    with pytest.raises(HostError) as caught:
        enforce(group, by_systemd, limits(memory={"limit": 8 * MIB, "swap": 8 * MIB}))
    assert caught.value.message == "--memory-swap 8m: this kernel has no memory.swap.max"


@pytest.mark.parametrize(
    ("refused", "before"),
    [("payload/pids.max", []), ("container/pids.max", [("payload/pids.max", "max")])],
)
def test_all_or_nothing(
    group: Group, cgroupfs: Choice, kernel: Kernel, said: list[str],
    refused: str, before: list[tuple[str, str]],
) -> None:  # fmt: skip
    wanted = limits(
        memory={"limit": 8 * MIB, "swap": 8 * MIB}, cpu={"shares": 1024, "quota": 5000},
        pids={"limit": 9},
    )  # fmt: skip
    kernel.refused[refused] = errno.EINVAL
    with pytest.raises(HostError) as caught:
        enforce(group, cgroupfs, wanted)
    assert caught.value.message == "--pids-limit 9: pids.max: Invalid argument"
    assert caught.value.exit_code == EXIT_ENGINE
    assert kernel.written[kernel.written.index((refused, "9")) + 1 :] == [
        *before,
        *reversed(in_both("cpu.max", "max 100000")),
        ("rl-1/cpu.weight", "100"),
        *reversed(in_both("cpu.weight", "100")),
        *reversed(in_both("memory.max", "max")),
        *reversed(in_both("memory.swap.max", "max")),
    ]
    assert not [line for line in said if line.startswith("warning")]


def test_best_effort_keeps_what_works(group: Group, cgroupfs: Choice, kernel: Kernel) -> None:
    kernel.refused["payload/memory.max"] = errno.EBUSY
    wanted = limits(memory={"limit": 8 * MIB}, pids={"limit": 9})
    problems = enforce(group, cgroupfs, wanted, strict=False)
    assert problems == ["--memory 8m: memory.max: Device or resource busy"]
    assert kernel.written == [("payload/memory.max", str(8 * MIB)), *in_both("pids.max", "9")]


def test_a_missing_controller_before_anything_is_written(
    group: Group, cgroupfs: Choice, kernel: Kernel
) -> None:
    fill(group.payload, {"cgroup.controllers": "memory\n"})
    with pytest.raises(HostError) as caught:
        enforce(group, cgroupfs, limits(memory={"limit": 8 * MIB}, cpu={"quota": 5000}))
    assert caught.value.message.startswith("--cpu-quota 5000: the cpu controller is missing here")
    assert kernel.written == []


def test_where_a_controller_is_lost(group: Group, cgroupfs: Choice, tmp_path: Path) -> None:
    for directory in (group.payload, group.top):
        fill(directory, {"cgroup.controllers": "memory\n"})
    with pytest.raises(HostError) as caught:
        enforce(group, cgroupfs, limits(pids={"limit": 9}))
    assert "the pids controller is not passed on to /own/rl-1" in caught.value.message
    assert caught.value.hint == "echo +pids | sudo tee /sys/fs/cgroup/own/cgroup.subtree_control"


def test_best_effort_without_a_controller(group: Group, cgroupfs: Choice, kernel: Kernel) -> None:
    fill(group.payload, {"cgroup.controllers": "memory\n"})
    wanted = limits(memory={"limit": 8 * MIB}, cpu={"quota": 5000, "shares": 2}, pids={"limit": 9})
    problems = enforce(group, cgroupfs, wanted, strict=False)
    assert [problem.partition(":")[0] for problem in problems] == [
        "--cpu-shares 2",
        "--pids-limit 9",
    ]
    assert kernel.written == in_both("memory.max", str(8 * MIB))


def test_only_a_start_has_best_effort_to_offer(group: Group, cgroupfs: Choice) -> None:
    fill(group.payload, {"cgroup.controllers": "memory\n"})
    messages = []
    for at_start in (True, False):
        with pytest.raises(HostError) as caught:
            limiting.enforce(
                group, limits(pids={"limit": 9}), cgroupfs, strict=True, at_start=at_start
            )
        messages.append(caught.value.message)
    assert ["--limits best-effort" in message for message in messages] == [True, False]


def test_no_group(tmp_path: Path) -> None:
    choice = Choice(choices.DISABLED, Hierarchy(HYBRID, f"{tmp_path}", "/"))
    with pytest.raises(HostError, match="--memory 8m: this host has cgroup v1 beside v2"):
        enforce(None, choice, limits(memory={"limit": 8 * MIB}))
    problems = enforce(None, choice, limits(memory={"limit": 8 * MIB}), strict=False)
    assert len(problems) == 1 and "best-effort" not in problems[0]
    assert enforce(None, choice, limits(pids={"limit": -1})) == []


def test_fewer_cpus_than_asked_for(group: Group, cgroupfs: Choice, kernel: Kernel) -> None:
    """The kernel takes the list; what the groups above leave is in the file beside it."""
    fill(group.payload, {"cpuset.cpus.effective": "0-1\n"})
    with pytest.raises(HostError) as caught:
        enforce(group, cgroupfs, limits(cpu={"cpus": "0-3"}))
    expected = "--cpuset-cpus 0-3: the groups above this container have only 0-1"
    assert (caught.value.message, caught.value.hint) == (expected, "--cpuset-cpus 0-1")
    assert kernel.written == [
        *in_both("cpuset.cpus", "0-3"),
        *reversed(in_both("cpuset.cpus", "\n")),
    ]


@pytest.mark.parametrize("text", ["0-3", "0,1,2,3", "3,0-2"])
def test_lists_of_cpus_are_compared_as_sets(group: Group, cgroupfs: Choice, text: str) -> None:
    assert enforce(group, cgroupfs, limits(cpu={"cpus": text})) == []


def test_other_files_of_cpuset_have_nothing_beside_them(
    group: Group, cgroupfs: Choice, kernel: Kernel
) -> None:
    fill_both(group, {"cpuset.cpus.partition": "member\n"})
    assert enforce(group, cgroupfs, limits(unified={"cpuset.cpus.partition": "root"})) == []
    assert kernel.written == in_both("cpuset.cpus.partition", "root")


def throttled(*devices: tuple[int, int]) -> dict[str, Any]:
    rows = [{"major": major, "minor": 0, "rate": rate} for major, rate in devices]
    return {"throttleReadBpsDevice": rows}


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        ("", "8:0 rbps=max wbps=max riops=max wiops=max"),
        ("7:0 rbps=1\n8:00 rbps=2\n", "8:0 rbps=max wbps=max riops=max wiops=max"),
        ("7:0 rbps=1\n8:0 rbps=5 wbps=max\n", "8:0 rbps=5 wbps=max"),
    ],
)
def test_rates_of_a_disk_are_taken_back_by_device(
    group: Group, cgroupfs: Choice, kernel: Kernel, old: str, expected: str
) -> None:
    fill_both(group, {"io.max": old, "memory.high": "max\n"})
    kernel.refused["payload/memory.high"] = errno.EINVAL
    wanted = limits(blockIO=throttled((8, MIB)), unified={"memory.high": "1"})
    with pytest.raises(HostError, match=r"memory\.high"):
        enforce(group, cgroupfs, wanted)
    assert [one for one in kernel.written if one[0].endswith("/io.max")] == [
        *in_both("io.max", "8:0 rbps=1048576"),
        *reversed(in_both("io.max", expected)),
    ]


def test_what_cannot_be_taken_back_is_told_and_the_rest_goes_on(
    group: Group, by_systemd: Choice, kernel: Kernel, said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    kernel.refused["payload/cpu.max"] = errno.EINVAL
    write = kernel.write

    def busy(path: str, text: str) -> None:
        if (path, text) == (f"{group.container}/memory.max", "max"):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        write(path, text)

    monkeypatch.setattr(groups, "write", busy)
    with pytest.raises(HostError, match="--cpu-quota 5000"):
        wanted = limits(memory={"limit": 8 * MIB, "swap": 8 * MIB}, cpu={"quota": 5000})
        enforce(group, by_systemd, wanted)
    assert text_of(group.payload, "memory.max") == "max"
    for directory in (group.payload, group.container):
        assert text_of(directory, "memory.swap.max") == "max"
    (warning,) = [line for line in said if line.startswith("warning")]
    assert warning.startswith(f"warning: {group.payload}: an old limit could not be set again:")


def test_effects_are_told(group: Group, by_systemd: Choice, said: list[str]) -> None:
    enforce(group, by_systemd, limits(pids={"limit": 9}))
    assert said == [
        f"debug: write '9' to {group.payload}/pids.max",
        f"debug: write '9' to {group.container}/pids.max",
    ]


def test_delegation_of_a_group(group: Group, cgroupfs: Choice) -> None:
    fill(group.top, {"cgroup.controllers": "memory\n"})
    found = limiting.delegation(cgroupfs, group)
    everything = FRESH["cgroup.controllers"].split()
    assert found.chain == [("/", everything), ("/own", everything), ("/own/rl-1", ["memory"])]
    assert found.root_controllers == everything
    assert (found.mode, found.manager, found.uid) == (V2, choices.CGROUPFS, os.getuid())
    assert found.user == idmap.user_name()


def test_delegation_without_a_group(hierarchy: Hierarchy, group: Group) -> None:
    choice = Choice(choices.DISABLED, hierarchy, reason="no systemd")
    found = limiting.delegation(choice, None)
    assert [one for one, _ in found.chain] == ["/", "/own"]
    assert (found.manager, found.manager_reason) == (choices.DISABLED, "no systemd")


def test_delegation_without_cgroups() -> None:
    choice = Choice(choices.DISABLED, Hierarchy("none", "", ""))
    found = limiting.delegation(choice, None)
    assert (found.mode, found.chain, found.root_controllers) == ("none", [], [])


@pytest.mark.parametrize(
    ("booted", "number", "expected"),
    [
        (False, 0, None),
        (True, 0, True),
        (True, errno.ENOENT, False),
        # It is there, perhaps, and this user may not look.
        (True, errno.EACCES, None),
    ],
)
def test_linger(
    hierarchy: Hierarchy, monkeypatch: pytest.MonkeyPatch, booted: bool, number: int, expected: Any
) -> None:
    stat, isdir = os.stat, os.path.isdir

    def look(path: str, **options: Any) -> Any:
        if not str(path).startswith("/var/lib/systemd/linger/"):
            return stat(path, **options)
        assert path == f"/var/lib/systemd/linger/{idmap.user_name()}"
        if number:
            raise OSError(number, os.strerror(number))
        return None

    monkeypatch.setattr(idmap, "user_name", lambda: "ann")
    monkeypatch.setattr(os, "stat", look)
    monkeypatch.setattr(
        os.path, "isdir", lambda path: booted if path == "/run/systemd/system" else isdir(path)
    )
    choice = Choice(choices.DISABLED, hierarchy)
    assert limiting.delegation(choice, None).linger is expected
