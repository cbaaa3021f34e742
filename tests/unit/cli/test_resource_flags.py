from __future__ import annotations

import os
import stat
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from rootless.cli import argv, commands, resource_flags
from rootless.cli.options import Parsed
from rootless.cli.resource_options import NAMES, RESOURCE_OPTIONS
from rootless.cli.run_flags import container_spec
from rootless.errors import UsageError
from rootless.model import resources as model
from rootless.model.container import ContainerSpec

MIB = 1 << 20
RUN = commands.ENTRIES["run"].load()


def parsed(*words: str) -> Parsed:
    found = argv.parse(RUN, [*words, "alpine", "sh"])
    assert found is not None, words
    return found


def spec_of(text: str) -> ContainerSpec:
    return container_spec(parsed(*text.split()))


@pytest.mark.parametrize(
    ("words", "field", "expected"),
    [
        ("-m 256m", "resources", {"memory": {"limit": 256 * MIB, "swap": 512 * MIB}}),
        ("-m256m --memory-swap -1", "resources", {"memory": {"limit": 256 * MIB, "swap": -1}}),
        ("-c 512", "resources", {"cpu": {"shares": 512}}),
        ("--cpus=0.5", "resources", {"cpu": {"quota": 50000, "period": 100000}}),
        ("--cpuset-cpus 0", "resources", {"cpu": {"cpus": "0"}}),
        ("--cpuset-mems 0", "resources", {"cpu": {"mems": "0"}}),
        ("--pids-limit -1", "resources", {"pids": {"limit": -1}}),
        (
            "--cgroup-conf a.b=1,2 --cgroup-conf c.d=3",
            "resources",
            {"unified": {"a.b": "1,2", "c.d": "3"}},
        ),
        ("--oom-kill-disable=false", "resources", {}),
        ("--oom-score-adj -5", "oom_score_adj", -5),
        ("--oom-score-adj 0", "oom_score_adj", 0),
        ("-m 1g", "oom_score_adj", None),
        ("--cgroup-manager cgroupfs", "cgroup_manager", "cgroupfs"),
        ("--cgroup-manager disabled", "cgroup_manager", "disabled"),
        ("--cgroups disabled", "cgroup_manager", "disabled"),
        ("--cgroups disabled --cgroup-manager disabled", "cgroup_manager", "disabled"),
        ("--cgroups enabled", "cgroup_manager", ""),
        ("--cgroup-parent batch.slice", "cgroup_parent", "batch.slice"),
        ("--cgroup-parent /a/b.c", "cgroup_parent", "/a/b.c"),
        ("--limits best-effort", "limits", "best-effort"),
        (
            "--cgroups disabled --limits best-effort --pids-limit 5",
            "resources",
            {"pids": {"limit": 5}},
        ),
        ("-m 1g", "limits", "strict"),
    ],
)
def test_fields(words: str, field: str, expected: Any) -> None:
    assert getattr(spec_of(words), field) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--cpus 4096", "--cpus 4096: not from 0.01 to "),
        ("--cpuset-cpus 4096", "--cpuset-cpus 4096: this host has the CPUs 0"),
        ("--cpuset-mems 4096", "--cpuset-mems 4096: this host has the memory nodes 0"),
        ("--memory-swap 1g", "--memory-swap 1g: needs --memory"),
        ("--oom-kill-disable", "--oom-kill-disable: cgroup v2 has no switch"),
        ("--oom-score-adj 2000", "--oom-score-adj 2000: not a number"),
        ("--cgroup-parent ../x", "--cgroup-parent '../x': not a slice or a group"),
        ("--cgroup-parent a//b", "--cgroup-parent 'a//b': not"),
        (
            "--cgroups disabled --cgroup-manager systemd",
            "--cgroup-manager systemd: cannot be combined with --cgroups disabled",
        ),
        (
            "--cgroup-manager disabled --pids-limit 5 -m 1g",
            "--pids-limit 5: needs a cgroup, which --cgroup-manager disabled rules out",
        ),
        (
            "--cgroup-manager disabled --cgroup-conf memory.high=1",
            "--cgroup-conf memory.high=1: needs a cgroup",
        ),
        (
            "--device-read-bps /dev/null:1m",
            "--device-read-bps /dev/null:1m: /dev/null: not a block",
        ),
        ("--device-read-bps /dev/no-such:1m", "/dev/no-such: No such file or directory"),
    ],
)
def test_nonsense(words: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        spec_of(words)
    assert message in caught.value.message


@pytest.mark.parametrize("words", ["--limits lax", "--cgroup-manager runit", "--cgroups split"])
def test_choices(words: str) -> None:
    assert argv.parse(RUN, [*words.split(), "alpine"]) is None


def test_an_update_gets_no_defaults() -> None:
    assert resource_flags.requested(parsed("-m", "256m")) == {"memory": {"limit": 256 * MIB}}


def test_options_and_the_reader_know_the_same_names() -> None:
    """Every option of the table, with a value that must not pass, is seen by who reads them."""
    for option in RESOURCE_OPTIONS:
        with pytest.raises(UsageError, match=f"--{option.name} "):
            resource_flags.requested(parsed(f"--{option.name}=no sense"))
    assert {"memory", "limits", "cgroup-manager"} < NAMES


def test_without_limits_their_reader_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "rootless.cli.resource_flags")
    monkeypatch.delattr("rootless.cli.resource_flags")
    spec_of("--rm")
    assert "rootless.cli.resource_flags" not in sys.modules
    spec_of("--cpu-shares 2")
    assert "rootless.cli.resource_flags" in sys.modules


class Disk:
    """What stat(2) says of a block device 8:1."""

    st_mode = stat.S_IFBLK | 0o660
    st_rdev = os.makedev(8, 1)


@pytest.fixture
def partition(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """/dev/sda1 and /dev/sda as a test's kernel shows them; its /sys/dev/block."""
    (tmp_path / "devices/sda/sda1").mkdir(parents=True)
    (tmp_path / "devices/sda/sda1/partition").write_text("1\n")
    (tmp_path / "block").mkdir()
    (tmp_path / "block/8:1").symlink_to(tmp_path / "devices/sda/sda1")
    monkeypatch.setattr(resource_flags, "_BLOCK_DEVICES", str(tmp_path / "block"))
    own_os = SimpleNamespace(**{**vars(os), "stat": lambda path: Disk})
    monkeypatch.setattr(resource_flags, "os", own_os)
    return tmp_path


def test_a_partition_is_refused_and_its_disk_named(partition: Any) -> None:
    with pytest.raises(UsageError) as caught:
        spec_of("--device-write-bps /dev/sda1:1m")
    assert caught.value.message == (
        "--device-write-bps /dev/sda1:1m: a partition; the kernel limits whole disks"
    )
    assert caught.value.hint == "--device-write-bps /dev/sda:1m"


def test_a_disk_is_known_by_its_numbers(partition: Any) -> None:
    (partition / "devices/sda/sda1/partition").unlink()
    rows = spec_of("--device-write-bps /dev/sda:1m").resources["blockIO"]
    assert rows == {"throttleWriteBpsDevice": [{"major": 8, "minor": 1, "rate": MIB}]}


def test_the_host_without_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(resource_flags, "_SYSTEM", str(tmp_path))
    assert spec_of("--cpuset-mems 0 --cpuset-cpus 0").resources["cpu"]["mems"] == "0"
    with pytest.raises(UsageError, match=r"memory nodes 0$"):
        spec_of("--cpuset-mems 1")
    assert len(model.parse_list(resource_flags._online("cpu")) or ()) == os.cpu_count()
