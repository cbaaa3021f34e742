"""A host, an image and a place to plan for: the same for every test that makes plans."""

from __future__ import annotations

from typing import Any

from rootless.cli import argv, commands, run_flags
from rootless.engine import plan
from rootless.engine.facts import HostFacts
from rootless.engine.plan import ImageFacts, Place, Plan
from rootless.model.container import ContainerSpec
from rootless.model.idmap import IdMaps
from rootless.model.network import NetworkChoice, parse_network
from rootless.net import drivers
from rootless.net.driver import Driver

CONTAINER_ID = "0123456789abcdef" * 4
PASSWD = (
    "root:x:0:0:root:/root:/bin/sh\ndaemon:x:2:2::/sbin:/bin/false\nweb:x:33:34::/srv:/bin/sh\n"
)
GROUP = "root:x:0:\nstaff:x:50:web\nweb:x:34:\n"
MAPS = IdMaps(((0, 1000, 1), (1, 100000, 65536)), ((0, 1000, 1), (1, 100000, 65536)))
RUN = commands.ENTRIES["run"].load()
SINGLE = IdMaps(((0, 1000, 1),), ((0, 1000, 1),))


class SlirpLike(Driver):
    """What the default driver says of itself, on a host that is always the same."""

    name = "slirp4netns"
    container_address = "10.0.2.100"
    gateway = "10.0.2.2"
    host_alias = "192.0.2.7"


def host(**changes: Any) -> HostFacts:
    facts: dict[str, Any] = {
        "uid": 1000,
        "gid": 1000,
        "maps": MAPS,
        "hostname": "workstation",
        "resolv": "search example.org\nnameserver 192.0.2.1\n",
        "fuse_overlayfs": "/usr/bin/fuse-overlayfs",
        "terminal_size": (24, 80),
        "has_fuse": True,
        "has_mqueue": True,
        "has_nodes": True,
        "has_pressure": True,
        "has_time": True,
        "devices": ["/dev/fuse"],
        "user": "ann",
    }
    return HostFacts(**{**facts, **changes})


def image(config: dict[str, Any] | None = None, **changes: Any) -> ImageFacts:
    facts: dict[str, Any] = {
        "config": {"Cmd": ["/bin/sh"], "Env": ["PATH=/bin"]} if config is None else config,
        "layers": ["/store/layers/b/diff", "/store/layers/a/diff"],
        "passwd": PASSWD,
        "group": GROUP,
    }
    return ImageFacts(**{**facts, **changes})


def network(text: str) -> Driver:
    choice = parse_network(text)
    if choice.driver == "slirp4netns":
        return SlirpLike(NetworkChoice("slirp4netns"), [])
    return drivers.make(choice, [])


def place() -> Place:
    return Place(CONTAINER_ID, "brisk_heron", f"/store/containers/{CONTAINER_ID}", "/store/volumes")


def spec_of(*words: str) -> ContainerSpec:
    """The wish of `rl run WORDS…`; the image is "alpine" where they name none."""
    parsed = argv.parse(RUN, words if "alpine" in words else [*words, "alpine"])
    assert parsed is not None, words
    return run_flags.container_spec(parsed)


def plan_of(
    *flags: str,
    config: dict[str, Any] | None = None,
    taken: list[tuple[int, int]] | None = None,
    **changes: Any,
) -> Plan:
    """The plan for `rl run FLAGS…`; config is the image's, changes are of the host."""
    spec = spec_of(*flags)
    return plan.build(
        spec, image(config), host(**changes), place(), network(spec.network), taken or []
    )


def document_of(*flags: str, **others: Any) -> dict[str, Any]:
    return plan_of(*flags, **others).document
