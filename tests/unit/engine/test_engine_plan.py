"""Flags, image and host in, parts of the OCI runtime document out."""

from __future__ import annotations

import builtins
import json
import os
from pathlib import Path
from typing import Any

import pytest

from rootless.engine import plan, plan_users
from rootless.errors import HostError, RlError, UsageError
from rootless.model.capabilities import DEFAULT, NAMES
from rootless.model.container import ContainerSpec
from rootless.model.idmap import IdMaps
from rootless.model.security import MASKED_PATHS
from tests.unit.engine import plans
from tests.unit.engine.plans import CONTAINER_ID, document_of, host, image, network, plan_of


def at(document: dict[str, Any], path: str) -> Any:
    """The part of `document` that a path such as "process.user.uid" names; None when missing."""
    value: Any = document
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def spaces(document: dict[str, Any]) -> list[str]:
    return [one["type"] for one in document["linux"]["namespaces"]]


def test_the_default_run_is_the_golden_document() -> None:
    """Every key of what `rl run alpine` starts, so that no default changes unseen."""
    golden = json.loads(Path(__file__).with_name("golden_default_run.json").read_text())
    assert json.loads(json.dumps(document_of())) == golden


@pytest.mark.parametrize(
    ("words", "path", "expected"),
    [
        ("", "process.args", ["/bin/sh"]),
        ("alpine echo hi", "process.args", ["echo", "hi"]),
        ("--entrypoint ls alpine -l", "process.args", ["ls", "-l"]),
        ("-w /src", "process.cwd", "/src"),
        ("-u 5:6", "process.user.uid", 5),
        ("-u 5:6", "process.user.gid", 6),
        ("-u web", "process.user.uid", 33),
        ("-u web", "process.user.additionalGids", [34, 50]),
        ("-u web:staff", "process.user.additionalGids", [50]),
        ("--group-add staff --group-add 7", "process.user.additionalGids", [0, 50, 7]),
        ("--group-add keep-groups", "process.user.additionalGids", [0]),
        ("--umask 077", "process.user.umask", 0o077),
        ("", "process.oomScoreAdj", None),
        ("--oom-score-adj 0", "process.oomScoreAdj", 0),
        ("", "linux.resources", None),
        ("--pids-limit 5", "linux.resources", {"pids": {"limit": 5}}),
        ("", "process.terminal", False),
        ("", "process.consoleSize", None),
        ("-t", "process.terminal", True),
        ("-t", "process.consoleSize", {"height": 24, "width": 80}),
        ("", "process.noNewPrivileges", True),
        ("--security-opt no-new-privileges=false", "process.noNewPrivileges", False),
        ("--privileged", "process.noNewPrivileges", False),
        ("", "process.capabilities.bounding", list(DEFAULT)),
        ("--privileged", "process.capabilities.bounding", list(NAMES)),
        ("--cap-drop all --cap-add kill", "process.capabilities.effective", ["CAP_KILL"]),
        ("-u 5", "process.capabilities.effective", []),
        ("-u 5 --cap-add kill", "process.capabilities.ambient", ["CAP_KILL"]),
        ("", "process.rlimits", None),
        ("--ulimit nofile=1:2", "process.rlimits",
         [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 2}]),
        ("--security-opt apparmor=mine", "process.apparmorProfile", "mine"),
        ("--security-opt apparmor=unconfined", "process.apparmorProfile", None),
        ("--read-only", "root.readonly", True),
        ("", "root.readonly", False),
        ("", "hostname", CONTAINER_ID[:12]),
        ("-h box", "hostname", "box"),
        ("--network host", "hostname", "workstation"),
        ("--network host -h box", "hostname", "box"),
        # Runtimes refuse a name for a uts namespace that is the host's.
        ("--uts host", "hostname", None),
        ("", "domainname", None),
        ("--domainname example", "domainname", "example"),
        ("--annotation org.example=1", "annotations", {"org.example": "1"}),
        ("--sysctl kernel.msgmax=9 --network host", "linux.sysctl", {"kernel.msgmax": "9"}),
        ("", "linux.maskedPaths", list(MASKED_PATHS)),
        ("--pid host", "linux.maskedPaths", list(MASKED_PATHS)),
        ("--privileged", "linux.maskedPaths", []),
        ("--privileged", "linux.readonlyPaths", []),
        ("--security-opt unmask=ALL", "linux.readonlyPaths", []),
    ],
)  # fmt: skip
def test_a_flag_and_its_part_of_the_document(words: str, path: str, expected: Any) -> None:
    assert at(document_of(*words.split()), path) == expected


@pytest.mark.parametrize(
    ("words", "without"),
    [
        ("", []),
        # The clock of processes that are not the container's is the host's.
        ("--pid host", ["pid", "time"]),
        ("--pid host --timens private", ["pid"]),
        ("--ipc host", ["ipc"]),
        ("--ipc shareable", []),
        ("--uts host", ["uts"]),
        ("--cgroupns host", ["cgroup"]),
        ("--network host", ["network"]),
        ("--network none", []),
        ("--timens host", ["time"]),
        ("--procview off", ["time"]),
        ("--procview meminfo", ["time"]),
        ("--procview off --timens private", []),
        ("--privileged", []),
    ],
)
def test_namespaces(words: str, without: list[str]) -> None:
    usual = {"user", "mount", "pid", "ipc", "uts", "cgroup", "network", "time"}
    found = spaces(document_of(*words.split()))
    assert set(found) == usual - set(without)
    assert len(found) == len(set(found))


def test_a_kernel_without_time_namespaces() -> None:
    assert "time" not in spaces(document_of(has_time=False))


def test_the_maps_are_the_hosts_ids() -> None:
    linux = document_of()["linux"]
    rows = [
        {"containerID": 0, "hostID": 1000, "size": 1},
        {"containerID": 1, "hostID": 100000, "size": 65536},
    ]
    assert linux["uidMappings"] == linux["gidMappings"] == rows


def test_sysctls_of_a_network_of_its_own_can_be_changed() -> None:
    sysctl = document_of("--sysctl", "net.ipv4.ip_unprivileged_port_start=1024")["linux"]["sysctl"]
    assert sysctl["net.ipv4.ip_unprivileged_port_start"] == "1024"
    # Both ends of the range have to be mapped, or the kernel refuses it.
    assert sysctl["net.ipv4.ping_group_range"] == "0 65536"
    assert document_of(maps=plans.SINGLE)["linux"]["sysctl"]["net.ipv4.ping_group_range"] == "0 0"
    everything = ((0, 0, 2**32 - 1),)
    linux = document_of(maps=IdMaps(everything, everything))["linux"]
    assert linux["sysctl"]["net.ipv4.ping_group_range"] == f"0 {2**31 - 1}"


@pytest.mark.parametrize(
    ("words", "driver"),
    [
        ("", "fuse-overlayfs"),
        ("--storage-driver overlay", "overlay"),
        ("--storage-driver vfs", "vfs"),
        ("--storage-driver vfs --userns keep-id", "fuse-overlayfs"),
        ("--rootfs /", "directory"),
    ],
)
def test_storage_driver(words: str, driver: str) -> None:
    config = {"Cmd": ["sh"]}
    made = plan_of(*words.split(), config=config)
    assert made.driver == driver
    root = "/" if driver == "directory" else f"/store/containers/{CONTAINER_ID}/merged"
    assert made.document["root"]["path"] == root


@pytest.mark.parametrize(
    ("changes", "driver"),
    [
        ({"fuse_overlayfs": ""}, "overlay"),
        ({"has_fuse": False, "fuse_overlayfs": ""}, "overlay"),
        ({"storage": {"fuse-overlayfs": "broken", "overlay": ""}}, "overlay"),
        ({"storage": {"fuse-overlayfs": "broken", "overlay": "EINVAL", "vfs": ""}}, "vfs"),
        ({"storage": {"fuse-overlayfs": ""}}, "fuse-overlayfs"),
    ],
)
def test_the_first_driver_that_works_is_the_choice_unless_ids_are_shifted(
    changes: dict[str, Any], driver: str
) -> None:
    assert plan_of(**changes).driver == driver
    if driver == "fuse-overlayfs":
        return
    for words in (["--storage-driver", "fuse-overlayfs"], ["--userns", "keep-id"]):
        with pytest.raises(HostError, match=r"fuse-overlayfs: (not installed|/dev/fuse|broken)"):
            plan_of(*words, **changes)


def test_no_driver_at_all() -> None:
    storage = {"fuse-overlayfs": "broken", "overlay": "EINVAL", "vfs": "noexec"}
    with pytest.raises(HostError, match=r"broken; native overlay: EINVAL; vfs: noexec"):
        plan_of(storage=storage)


def test_a_copy_is_only_made_for_a_container_that_has_written_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = {"fuse-overlayfs": "broken", "overlay": "EINVAL", "vfs": ""}

    def started_with(driver: str) -> None:
        before = plan.Place(CONTAINER_ID, "brisk_heron", "/store/containers/1", "/v", driver)
        monkeypatch.setattr(plans, "place", lambda: before)

    started_with("fuse-overlayfs")
    with pytest.raises(HostError, match=r"the container's storage driver does not work: .*EINVAL"):
        plan_of(storage=storage)
    started_with("vfs")
    assert plan_of().driver == "vfs"


def test_fuse_overlayfs_is_not_led_below_a_colon(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = "/a:b/containers/1"
    place = plan.Place(CONTAINER_ID, "brisk_heron", folder, "/a:b/volumes")
    monkeypatch.setattr(plans, "place", lambda: place)
    assert plan_of().driver == "overlay"
    assert plan_of("--storage-driver", "vfs").driver == "vfs"
    for words in (["--storage-driver", "fuse-overlayfs"], ["--userns", "keep-id"]):
        with pytest.raises(HostError, match="with a colon in its path"):
            plan_of(*words)


def test_files_of_each_container() -> None:
    made = plan_of("--add-host", "db:10.0.0.9", "--add-host", "me:host-gateway")
    assert made.files["hostname"] == CONTAINER_ID[:12] + "\n"
    assert made.files["resolv.conf"] == "search example.org\nnameserver 192.0.2.1\n"
    lines = [line.split("\t") for line in made.files["hosts"].splitlines()]
    assert ["10.0.0.9", "db"] in lines
    assert ["192.0.2.7", "me"] in lines
    assert ["10.0.2.100", f"{CONTAINER_ID[:12]} brisk_heron"] in lines
    assert "passwd" not in made.files


@pytest.mark.parametrize(
    ("words", "missing"),
    [("--no-hosts", "hosts"), ("--dns none", "resolv.conf")],
)
def test_files_that_the_image_keeps(words: str, missing: str) -> None:
    made = plan_of(*words.split())
    assert missing not in made.files
    assert f"/etc/{missing}" not in {one["destination"] for one in made.document["mounts"]}


def test_keep_id_gives_the_user_lines_in_passwd_and_group() -> None:
    made = plan_of("--userns", "keep-id")
    assert made.document["process"]["user"]["uid"] == 1000
    text = made.files["passwd"]
    assert text.startswith(image().passwd)
    assert text.splitlines()[-1].split(":")[:4] == ["ann", "*", "1000", "1000"]
    assert made.files["group"].splitlines()[-1] == "ann:x:1000:"
    assert "passwd" not in plan_of("--userns", "keep-id:uid=33").files


def test_a_name_that_the_image_has_for_somebody_else_is_not_given_twice() -> None:
    passwd = plan_users.with_user("ann:x:5:5::/:/bin/sh", "1000:1000", "ann")
    assert passwd.splitlines()[1].startswith("user1000:*:1000:1000:")
    assert plan_users.with_group("", "1000:7", "ann") == "ann:x:7:\n"


def test_a_user_that_no_id_stands_for_is_refused() -> None:
    few = IdMaps(((0, 1000, 1), (1, 100000, 10)), ((0, 1000, 1), (1, 100000, 10)))
    with pytest.raises(HostError, match="user 33:34: not among the 11 ids"):
        plan_of("-u", "web", maps=few)
    with pytest.raises(UsageError, match="--group-add 50"):
        plan_of("--group-add", "staff", maps=few)


def test_where_one_id_is_mapped_it_is_whose_command_that_is() -> None:
    made = plan_of("-u", "web", "--group-add", "staff", maps=plans.SINGLE)
    assert made.namespace.inner == IdMaps(((33, 0, 1),), ((34, 0, 1),))
    assert made.namespace.has_no_root
    assert made.document["process"]["user"]["additionalGids"][-1] == 50
    assert plan_of(maps=plans.SINGLE).namespace.inner is None


@pytest.mark.parametrize(
    ("words", "config", "message"),
    [
        ("--uts host -h box", None, "--hostname: not possible"),
        ("-u nobody-here", None, "no such user"),
        ("", {}, "no command to run"),
        ("--entrypoint=", {"Cmd": ["sh"]}, "no command to run"),
        ("--network none --add-host a:host-gateway", None, "does not reach the host"),
        ("--tmpfs /x:tmpcopyup", None, "tmpcopyup"),
    ],
)
def test_wishes_that_cannot_be_met(words: str, config: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(RlError, match=message) as caught:
        plan_of(*words.split(), config=config)
    assert caught.value.exit_code in (125, 126)


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"pid": "container:"}, "--pid container:: no such mode"),
        ({"ipc": "container:"}, "--ipc container:: no such mode"),
        ({"uts": "shareable"}, "--uts shareable: no such mode"),
        ({"cgroupns": "x"}, "--cgroupns x: no such mode"),
        ({"storage_driver": "zfs"}, "--storage-driver zfs: no such driver"),
        ({"userns": "other"}, "--userns other: no such mode"),
        ({"add_hosts": [("a", "host-gateway")], "network": "none"}, "does not reach the host"),
    ],
)
def test_words_that_the_command_line_would_not_let_through(
    wish: dict[str, Any], message: str
) -> None:
    spec = ContainerSpec(image="alpine", **wish)
    with pytest.raises(UsageError, match=message) as caught:
        plan.build(spec, image(), host(), plans.place(), network(spec.network), [])
    assert caught.value.exit_code == 125


def test_volumes_that_the_image_declares() -> None:
    config = {"Cmd": ["sh"], "Volumes": {"/data/": {}, "/data": {}, "/x/../log": {}, "/": {}}}
    made = plan_of("-v", "logs:/log", "-v", "/new", config=config)
    shown = [(use.target, use.name, use.anonymous) for use in made.volumes]
    assert shown == [
        ("/log", "logs", False),
        ("/new", CONTAINER_ID[:62] + "01", True),
        ("/data", CONTAINER_ID[:62] + "02", True),
    ]
    assert all(use.path == f"/store/volumes/{use.name}/_data" for use in made.volumes)


@pytest.mark.parametrize("volumes", [None, [], ["/data"], "x", 3])
def test_volumes_of_a_damaged_config_are_none(volumes: Any) -> None:
    assert plan_of(config={"Cmd": ["sh"], "Volumes": volumes}).volumes == []


def test_who_gets_a_source_that_is_given_away(tmp_path: Path) -> None:
    made = plan_of("-v", f"{tmp_path}:/a:U", "-v", "vol:/b:U", "-v", "vol2:/c", "-u", "web")
    assert made.give == [(str(tmp_path), 33, 34), ("/store/volumes/vol/_data", 33, 34)]
    # In a nested namespace the ids are those of the canonical one: the user itself is 0 there.
    assert plan_of("-v", "vol:/b:U", "--userns", "keep-id").give[0][1:] == (0, 0)


FLAGS = (
    "", "-it", "--read-only --tmpfs /x", "--userns keep-id", "--userns auto", "--network none",
    "--network host", "--privileged", "-v vol:/v -v /anonymous", "--ulimit nofile=1:2",
)  # fmt: skip


@pytest.mark.parametrize("words", FLAGS)
def test_a_plan_is_pure(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal input, equal outcome, and not one look at the host."""
    spec = plans.spec_of(*words.split())
    connection = network(spec.network)
    first = plan.build(spec, image(), host(), plans.place(), connection, [])

    def forbidden(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError(f"a plan looked at the host: {args}")

    for name in ("open", "stat", "lstat", "listdir", "scandir", "mkdir", "access", "readlink",
                 "uname", "getuid", "geteuid", "getpid", "urandom", "system", "fork"):  # fmt: skip
        monkeypatch.setattr(os, name, forbidden)
    monkeypatch.setattr(builtins, "open", forbidden)
    try:
        second = plan.build(spec, image(), host(), plans.place(), connection, [])
    finally:
        monkeypatch.undo()
    for name in ("document", "driver", "files", "give", "keep_groups"):
        assert getattr(first, name) == getattr(second, name)
    assert first.namespace.host == second.namespace.host
    assert repr(spec) == repr(plans.spec_of(*words.split())), "a plan must not change the wish"


def test_what_comes_in_is_not_changed() -> None:
    config = {"Cmd": ["sh"], "Entrypoint": ["env"], "Env": ["A=1"], "Volumes": {"/v": {}}}
    before = json.dumps(config)
    made = plan_of(config=config)
    made.document["process"]["args"].append("changed")
    assert json.dumps(config) == before
    assert plan_of(config=config).document["process"]["args"] == ["env", "sh"]


def test_two_containers_with_auto_share_no_id() -> None:
    wide = type(plans.MAPS)(((0, 1000, 1), (1, 100000, 200)), ((0, 1000, 1), (1, 100000, 200)))
    first = plan_of("--userns", "auto:size=100", maps=wide)
    second = plan_of("--userns", "auto:size=100", maps=wide, taken=[(1, 100)])
    (one,), (two,) = (made.document["linux"]["uidMappings"] for made in (first, second))
    assert one["hostID"] + one["size"] <= two["hostID"]
    with pytest.raises(HostError, match="no 100 subordinate ids are free"):
        plan_of("--userns", "auto:size=100", maps=wide, taken=[(1, 100), (101, 1)])
