"""What a document asks for beside its process: control groups, sysctls, id maps."""

from __future__ import annotations

import os
from typing import Any

import pytest

from rootless.errors import UsageError
from rootless.oci import example, sysctls, usernamespace
from rootless.oci.cgroups import CGROUPFS, SYSTEMD, Wish
from rootless.oci.document import InvalidDocument, check, namespace


def document(**linux: Any) -> dict[str, Any]:
    wanted = example.build(1000, 1000)
    del wanted["hostname"]
    wanted["linux"].update(linux)
    check(wanted)
    return wanted


def test_the_path_of_systemd() -> None:
    wish = Wish(document(cgroupsPath="user.slice:libpod:abc"), SYSTEMD, "one")
    assert (wish.slice_name, wish.scope) == ("user.slice", "libpod-abc.scope")
    wish = Wish(document(), SYSTEMD, "one")
    assert (wish.slice_name, wish.scope) == ("", "rl-one.scope")
    with pytest.raises(UsageError, match="slice:prefix:name"):
        Wish(document(cgroupsPath="/a/b"), SYSTEMD, "one")


def test_only_limits_that_limit_need_a_group() -> None:
    devices = {"devices": [{"allow": False, "access": "rwm"}]}
    assert not Wish(document(resources=devices), CGROUPFS, "one").needs_group
    assert not Wish(document(resources={"pids": {"limit": 0}}), CGROUPFS, "one").needs_group
    assert Wish(document(resources={"pids": {"limit": 9}}), CGROUPFS, "one").needs_group


def test_limits_without_a_word_of_ours_are_files() -> None:
    wanted = {
        "cpu": {"burst": 5000, "idle": 1},
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4096}],
        "unified": {"cpu.idle": "0"},
    }
    files = {setting.file: setting.text for setting in
             Wish(document(resources=wanted), CGROUPFS, "one").settings}  # fmt: skip
    assert files == {"cpu.max.burst": "5000", "cpu.idle": "0", "hugetlb.2MB.max": "4096"}


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"memory": {"swappiness": 10}}, "linux.resources.memory.swappiness: not"),
        ({"network": {"classID": 1}}, "linux.resources.network: not"),
        ({"cpu": {"realtimeRuntime": 1000}}, "linux.resources.cpu.realtimeRuntime: not"),
    ],
)
def test_limits_that_cannot_be_had_are_refused(wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Wish(document(resources=wanted), CGROUPFS, "one")


def test_limits_that_say_nothing_are_none() -> None:
    nothing = {
        "memory": {"swappiness": None, "disableOOMKiller": False, "kernel": 0},
        "network": {},
    }
    assert not Wish(document(resources=nothing), CGROUPFS, "one").needs_group


@pytest.mark.parametrize(
    ("name", "kinds", "said"),
    [
        ("kernel.shmmax", {"ipc"}, ""),
        ("net/ipv4/conf/eth0.1/mtu", {"network"}, ""),
        ("net.ipv4.ip_forward", {"ipc"}, "needs a namespace of type network"),
        ("fs.mqueue.msg_max", set(), "needs a namespace of type ipc"),
        ("kernel.domainname", {"uts"}, ""),
        ("kernel.hostname", {"uts"}, "belongs to the whole host"),
        ("vm.swappiness", {"ipc", "network"}, "belongs to the whole host"),
    ],
)
def test_sysctls_belong_to_namespaces(name: str, kinds: set[str], said: str) -> None:
    wanted = document(sysctl={name: "1"})
    if not said:
        sysctls.check(wanted, kinds)
        return
    with pytest.raises(InvalidDocument, match=said):
        sysctls.check(wanted, kinds)


def test_a_normal_user_gets_a_user_namespace_without_asking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wanted = document(namespaces=[{"type": "mount"}], uidMappings=[], gidMappings=[])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert usernamespace.choose(wanted) is not None
    assert namespace(wanted, "user") == {"type": "user"}


def test_the_root_of_a_user_namespace_stays_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = document(namespaces=[{"type": "mount"}])
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert usernamespace.choose(wanted) is None
    assert namespace(wanted, "user") is None


def test_maps_of_the_document() -> None:
    maps = usernamespace.choose(document())
    assert maps is not None and maps.uids == ((0, 1000, 1),) == maps.gids
    with pytest.raises(InvalidDocument, match="go together"):
        usernamespace.choose(document(gidMappings=[]))
    with pytest.raises(InvalidDocument, match="needs containerID"):
        usernamespace.choose(document(uidMappings=[{"hostID": 1}]))
