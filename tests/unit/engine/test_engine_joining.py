"""The plan of a container that lives in namespaces of others."""

from __future__ import annotations

from typing import Any

import pytest

from rootless.engine import joining, plan
from rootless.runtime.joined import Joined
from tests.unit.engine import plans


def joined(**fields: Any) -> Joined:
    made = Joined()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def document(*flags: str, **fields: Any) -> dict[str, Any]:
    spec = plans.spec_of(*flags)
    network = plans.network(spec.network)
    made = plan.build(
        spec, plans.image(), plans.host(), plans.place(), network, [], joined(**fields)
    )
    return made.document


def spaces(document: dict[str, Any]) -> dict[str, str | None]:
    return {one["type"]: one.get("path") for one in document["linux"]["namespaces"]}


def mount_at(document: dict[str, Any], place: str) -> dict[str, Any]:
    return next(mount for mount in document["mounts"] if mount["destination"] == place)


def test_a_joined_network() -> None:
    files = {"/etc/hosts": "/their/hosts", "/etc/resolv.conf": "/their/resolv.conf"}
    made = document(
        "--net", "container:web",
        paths={"network": "/proc/7/ns/net"}, hostname="web", files=files,
    )  # fmt: skip
    assert spaces(made)["network"] == "/proc/7/ns/net"
    assert spaces(made)["uts"] is None and made["hostname"] == "web"
    # What it says of the network is as the other container has it.
    assert made["linux"]["sysctl"] == {}
    assert mount_at(made, "/etc/hosts")["source"] == "/their/hosts"
    assert mount_at(made, "/etc/resolv.conf")["source"] == "/their/resolv.conf"
    assert "/etc/hostname" not in [mount["destination"] for mount in made["mounts"]]
    assert mount_at(made, "/sys")["type"] == "sysfs"


def test_a_joined_pid_namespace_brings_its_clock() -> None:
    paths = {"pid": "/proc/7/ns/pid", "time": "/proc/7/ns/time"}
    made = document("--pid", "container:web", paths=paths)
    assert spaces(made)["pid"] == "/proc/7/ns/pid"
    assert spaces(made)["time"] == "/proc/7/ns/time"
    assert mount_at(made, "/proc")["type"] == "proc"


def test_a_joined_pid_namespace_on_the_clock_of_the_host() -> None:
    made = document("--pid", "container:web", paths={"pid": "/proc/7/ns/pid"})
    assert "time" not in spaces(made)


def test_a_joined_ipc_namespace_brings_its_shared_memory() -> None:
    made = document(
        "--ipc", "container:web", paths={"ipc": "/proc/7/ns/ipc"}, shm="/proc/7/root/dev/shm"
    )
    shm = mount_at(made, "/dev/shm")
    assert (shm["type"], shm["source"]) == ("bind", "/proc/7/root/dev/shm")
    assert mount_at(made, "/dev/mqueue")["type"] == "mqueue"


def test_a_joined_uts_namespace_is_not_named_again() -> None:
    made = document("--uts", "container:web", paths={"uts": "/proc/7/ns/uts"}, hostname="web")
    assert "hostname" not in made and "HOSTNAME=web" in made["process"]["env"]


def test_a_joined_user_namespace_has_the_canonical_maps() -> None:
    made = document("--userns", "container:web")
    assert made["linux"]["uidMappings"] == plans.document_of()["linux"]["uidMappings"]


def test_anonymous_volumes_of_others_go_with_their_last_user() -> None:
    spec = plans.spec_of("-v", "anon:/a", "-v", "named:/b")
    spec.inherited = ["anon"]
    made = plan.build(spec, plans.image(), plans.host(), plans.place(), plans.network("none"), [])
    assert [(use.name, use.anonymous) for use in made.volumes] == [("anon", True), ("named", False)]


@pytest.mark.parametrize(
    ("text", "began"),
    [
        ("monotonic           0         0\nboottime         -12 500000000\n", 11_500_000_000),
        ("monotonic           0         0\nboottime           0         0\n", 0),
        ("", 0),
    ],
)
def test_when_a_clock_began(text: str, began: int) -> None:
    assert joining.boot_offset(text) == began
