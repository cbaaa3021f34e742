"""`container:NAME` and `--volumes-from`, before any container is looked at."""

from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model import joining
from rootless.model.container import ContainerSpec, joined_container
from rootless.model.mountspec import BIND, TMPFS, VOLUME, MountSpec


@pytest.mark.parametrize(
    ("mode", "name"),
    [("container:web", "web"), ("container:", ""), ("host", ""), ("", ""), ("slirp4netns:a=b", "")],
)
def test_which_container_a_mode_names(mode: str, name: str) -> None:
    assert joined_container(mode) == name


@pytest.mark.parametrize("kind", ["network", "pid", "ipc", "uts", "userns"])
def test_joins(kind: str) -> None:
    assert ContainerSpec(**{kind: "container:web"}).joins  # type: ignore[arg-type]
    assert not ContainerSpec(**{kind: "host"}).joins  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"hostname": "x"}, "hostname and the network mode"),
        ({"dns": ["1.1.1.1"]}, "dns and the network mode"),
        ({"dns_search": ["a.org"]}, "dns and the network mode"),
        ({"add_hosts": [("a", "1.1.1.1")]}, "custom host-to-IP mapping and the network mode"),
        ({"ports": ["80"]}, "port publishing and the container type network mode"),
        ({"publish_all": True}, "port publishing and the container type network mode"),
    ],
)
def test_what_does_not_go_with_a_joined_network(fields: dict[str, object], words: str) -> None:
    joining.check(ContainerSpec(**fields))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=words):
        joining.check(ContainerSpec(network="container:web", **fields))  # type: ignore[arg-type]


def test_other_ids_do_not_go_with_the_namespaces_of_others() -> None:
    words = "--userns keep-id: not possible together with --network container:web"
    with pytest.raises(UsageError, match=words):
        joining.check(ContainerSpec(network="container:web", userns="keep-id"))


def test_a_host_name_does_not_go_with_a_joined_uts_namespace() -> None:
    with pytest.raises(UsageError, match="hostname and the UTS mode"):
        joining.check(ContainerSpec(uts="container:web", hostname="x"))
    joining.check(ContainerSpec(pid="container:web", hostname="x", userns="host"))
    joining.check(ContainerSpec(pid="container:web", userns="container:web"))


def test_volumes_from() -> None:
    assert joining.parse_volumes_from("web") == ("web", [])
    assert joining.parse_volumes_from("web:ro,z") == ("web", ["ro", "z"])


@pytest.mark.parametrize("text", ["", ":ro", "web:rx", "web:ro,rw", "web:/data"])
def test_volumes_from_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="--volumes-from"):
        joining.parse_volumes_from(text)


MOUNTS = [
    {"type": "bind", "source": "/srv", "destination": "/srv", "options": ["rbind", "ro"]},
    {"type": "bind", "source": "/v/data/_data", "destination": "/data", "options": ["rw"]},
    {"type": "tmpfs", "source": "tmpfs", "destination": "/tmp", "options": []},
]


def test_binds_and_volumes_are_inherited() -> None:
    assert joining.inherited_mounts(MOUNTS, [], "/v") == [
        MountSpec(BIND, "/srv", "/srv", ("rbind", "ro")),
        MountSpec(VOLUME, "data", "/data", ("rw", "nocopy")),
    ]


def test_read_only_holds_for_all_and_read_write_opens_none() -> None:
    options = [mount.options for mount in joining.inherited_mounts(MOUNTS, ["ro"], "/v")]
    assert options == [("rbind", "ro"), ("ro", "nocopy")]
    assert joining.inherited_mounts(MOUNTS, ["rw"], "/v")[0].options == ("rbind", "ro")


def test_a_directory_below_a_volume_is_no_volume() -> None:
    mount = {"type": "bind", "source": "/v/data/_data/x", "destination": "/x"}
    assert joining.inherited_mounts([mount], [], "/v")[0].kind == BIND


def test_the_last_mount_of_a_target_wins() -> None:
    first = [MountSpec(BIND, "/a", "/x"), MountSpec(BIND, "/b", "/y")]
    own = [MountSpec(TMPFS, "", "/x")]
    assert joining.merged([first, own]) == [MountSpec(BIND, "/b", "/y"), MountSpec(TMPFS, "", "/x")]
