"""The mounts of a container: which, in what order, with which options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rootless.engine import plan_view
from tests.unit.engine.plans import CONTAINER_ID, SINGLE, document_of

VIEW = (
    *(f"/proc/{name}" for name in plan_view.FILES if name not in ("cpus", "nodes")),
    "/sys/devices/system/cpu", "/sys/devices/system/node",
)  # fmt: skip
OURS = ("/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/sys/fs/cgroup", *VIEW)
FILES = ("/etc/hostname", "/etc/resolv.conf", "/etc/hosts")


def mounts_of(*words: str, **others: Any) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = document_of(*words, **others)["mounts"]
    return mounts


def one(target: str, *words: str, **others: Any) -> dict[str, Any]:
    (found,) = (mount for mount in mounts_of(*words, **others) if mount["destination"] == target)
    return found


def targets(*words: str, **others: Any) -> list[str]:
    return [mount["destination"] for mount in mounts_of(*words, **others)]


def test_order_is_ours_then_the_others_by_depth() -> None:
    assert targets("-v", "/zzz", "--tmpfs", "/zzz/below/it", "--tmpfs", "/a") == [
        *OURS, "/zzz", "/a", *FILES, "/zzz/below/it"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("--privileged", ["/proc", "/proc/fs", "/proc/driver", *OURS]),
        ("--privileged --net host", ["/proc", "/sys", "/proc/fs", "/sys/fs", "/proc"]),
        ("--privileged --procview meminfo", ["/proc", "/proc/fs", "/proc"]),
        ("--privileged --procview cpus", ["/proc", "/proc/driver", "/proc"]),
        ("--privileged --procview off", ["/proc", "/dev"]),
        ("--privileged -v vol:/proc", ["/dev"]),
        ("--privileged -v vol:/proc/kcore", ["/proc", "/proc/driver", "/proc"]),
        ("--security-opt unmask=/proc/*", ["/proc", "/proc/fs", "/proc", "/dev"]),
        ("--security-opt unmask=/sys/*", ["/proc", "/proc/driver", "/proc", "/dev"]),
        ("", ["/proc", "/dev"]),
    ],
)
def test_a_bare_proc_and_sysfs_stay_where_nothing_is_to_be_hidden(
    words: str, first: list[str]
) -> None:
    assert targets(*words.split())[: len(first)] == first


def test_a_volume_at_etc_does_not_hide_our_files() -> None:
    assert targets("-v", "vol:/etc") == [*OURS, "/etc", *FILES]
    assert targets("-v", "vol:/etc/hosts").count("/etc/hosts") == 1


@pytest.mark.parametrize("words", ["-v vol:/a/b/c --tmpfs /a --tmpfs /a/b", "--tmpfs /run/x"])
def test_parents_come_before_what_is_below(words: str) -> None:
    found = targets("--read-only", *words.split())
    for number, target in enumerate(found):
        assert not any(target.startswith(f"{later}/") for later in found[number:])


@pytest.mark.parametrize(
    ("words", "target", "expected"),
    [
        ("-v vol:/v", "/v", {"rbind", "rprivate"}),
        ("-v vol:/v:ro", "/v", {"rbind", "ro", "rprivate"}),
        ("-v vol:/v:nocopy,U", "/v", {"rbind", "rprivate"}),
        ("-v /:/host:ro,rslave", "/host", {"rbind", "ro", "rslave"}),
        ("-v /:/host:bind", "/host", {"bind", "rprivate"}),
        ("--mount type=bind,source=/,target=/host,bind-nonrecursive", "/host",
         {"bind", "rprivate"}),
        ("--tmpfs /t", "/t", {"nosuid", "nodev", "noexec"}),
        ("--tmpfs /t:exec,size=1m,mode=700", "/t",
         {"nosuid", "nodev", "noexec", "exec", "size=1048576", "mode=700"}),
        ("--shm-size 1m", "/dev/shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=1048576"}),
        ("", "/sys", {"nosuid", "noexec", "nodev", "ro"}),
        ("--privileged", "/sys", {"nosuid", "noexec", "nodev", "rw"}),
        ("--privileged", "/sys/fs/cgroup", {"nosuid", "noexec", "nodev", "relatime", "rw"}),
        ("--security-opt proc-opts=hidepid=2", "/proc", {"nosuid", "noexec", "nodev", "hidepid=2"}),
        ("", "/etc/hosts", {"bind", "rprivate", "nosuid", "noexec", "nodev"}),
        ("--read-only", "/etc/hosts", {"bind", "rprivate", "nosuid", "noexec", "nodev", "ro"}),
        ("--device /dev/fuse", "/dev/fuse", {"bind", "rprivate", "nosuid", "noexec", "rw"}),
        ("--device /dev/fuse:/dev/f:r", "/dev/f", {"bind", "rprivate", "nosuid", "noexec", "ro"}),
    ],
)  # fmt: skip
def test_options(words: str, target: str, expected: set[str]) -> None:
    assert set(one(target, *words.split())["options"]) == expected


def test_the_last_word_about_a_tmpfs_is_the_users() -> None:
    options = one("/t", "--tmpfs", "/t:exec")["options"]
    assert options.index("noexec") < options.index("exec")


@pytest.mark.parametrize(
    ("words", "target", "kind", "source"),
    [
        ("", "/proc", "proc", "proc"),
        ("--pid host", "/proc", "bind", "/proc"),
        ("", "/sys", "sysfs", "sysfs"),
        ("--network host", "/sys", "bind", "/sys"),
        ("", "/sys/fs/cgroup", "cgroup2", "cgroup"),
        ("--cgroupns host", "/sys/fs/cgroup", "bind", "/sys/fs/cgroup"),
        ("", "/dev/shm", "tmpfs", "shm"),
        ("--ipc host", "/dev/shm", "bind", "/dev/shm"),
        ("--ipc host", "/dev/mqueue", "bind", "/dev/mqueue"),
        ("-v vol:/v", "/v", "bind", "/store/volumes/vol/_data"),
        ("-v /v", "/v", "bind", f"/store/volumes/{CONTAINER_ID[:62]}00/_data"),
        ("-v /:/host", "/host", "bind", "/"),
        ("--tmpfs /t", "/t", "tmpfs", "tmpfs"),
        ("--tmpfs /dev/shm", "/dev/shm", "tmpfs", "tmpfs"),
        ("--privileged", "/dev/fuse", "bind", "/dev/fuse"),
        ("", "/etc/hosts", "bind", f"/store/containers/{CONTAINER_ID}/hosts"),
    ],
)
def test_what_is_mounted(words: str, target: str, kind: str, source: str) -> None:
    mount = one(target, *words.split())
    assert (mount["type"], mount["source"]) == (kind, source)


@pytest.mark.parametrize(
    ("words", "gone"),
    [
        # sysfs of the host is bound with what is mounted below it.
        ("--network host", {"/sys/fs/cgroup"}),
        # podman's rule: who brings a /dev brings all of it.
        ("-v /dev:/dev", {"/dev/pts", "/dev/shm", "/dev/mqueue"}),
        ("-v vol:/proc", set()),
        ("--no-hosts --dns none", {"/etc/hosts", "/etc/resolv.conf"}),
    ],
)
def test_what_is_left_out(words: str, gone: set[str]) -> None:
    found = targets(*words.split())
    assert {*OURS, *FILES} - set(found) == gone
    assert len(found) == len(set(found)), "one mount for each place"


def test_a_host_without_message_queues() -> None:
    assert "/dev/mqueue" not in targets("--ipc", "host", has_mqueue=False)


def test_read_only_containers_can_write_where_programs_expect_it() -> None:
    writable = {"/run", "/tmp", "/var/tmp"}
    assert writable <= set(targets("--read-only"))
    assert writable.isdisjoint(targets("--read-only", "--read-only-tmpfs=false"))
    assert writable.isdisjoint(targets())
    assert one("/tmp", "--read-only", "-v", "vol:/tmp")["type"] == "bind"


def test_the_terminals_group_only_where_it_is_mapped() -> None:
    assert "gid=5" in one("/dev/pts")["options"]
    assert "gid=5" not in one("/dev/pts", maps=SINGLE)["options"]


def test_the_hosts_devices_only_for_privileged_containers(tmp_path: Path) -> None:
    assert "/dev/fuse" not in targets()
    listed = targets("--privileged", "--device", "/dev/fuse:/dev/fuse:r")
    assert listed.count("/dev/fuse") == 1
