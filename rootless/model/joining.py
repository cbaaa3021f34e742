"""What goes together with `container:NAME`, and what `--volumes-from` says. Pure.

The words of the refusals are docker's (runconfig/errors.go).
"""

from __future__ import annotations

from rootless.errors import UsageError
from rootless.model import mountspec
from rootless.model.container import JOINING, joined_container
from rootless.model.mountspec import MountSpec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rootless.model.container import ContainerSpec

_CONFLICT = "conflicting options: {} and the {} mode"
_MODES = frozenset(("ro", "rw", "z", "Z"))


def flag_of(kind: str, spec: ContainerSpec) -> str:
    """How it was written: `--pid container:ID`."""
    return f"--{kind} {getattr(spec, kind)}"


def check(spec: ContainerSpec) -> None:
    """Raises UsageError for flags that say something about what is another container's."""
    if joined_container(spec.network):
        _check_network(spec)
    if joined_container(spec.uts) and (spec.hostname or spec.domainname):
        raise UsageError("--hostname: " + _CONFLICT.format("hostname", "UTS"))
    if spec.userns not in ("", "host") and not joined_container(spec.userns):
        joined = next(kind for kind in JOINING if joined_container(getattr(spec, kind)))
        raise UsageError(
            f"--userns {spec.userns}: not possible together with {flag_of(joined, spec)}:"
            " both containers are in one user namespace"
        )


def _check_network(spec: ContainerSpec) -> None:
    network = "network"
    clashes = (
        ("--hostname", spec.hostname, _CONFLICT.format("hostname", network)),
        ("--dns", spec.dns or spec.dns_search or spec.dns_option, _CONFLICT.format("dns", network)),
        ("--add-host", spec.add_hosts, _CONFLICT.format("custom host-to-IP mapping", network)),
        ("-p", spec.ports or spec.publish_all,
         _CONFLICT.format("port publishing", "container type network")),
    )  # fmt: skip
    for flag, given, words in clashes:
        if given:
            raise UsageError(f"{flag}: {words}")


def parse_volumes_from(text: str) -> tuple[str, list[str]]:
    """`CONTAINER[:ro|rw|z|Z]`: the name and the modes. Raises UsageError."""
    name, _, rest = text.partition(":")
    modes = rest.split(",") if rest else []
    unknown = [mode for mode in modes if mode not in _MODES]
    if not name or unknown or {"ro", "rw"} <= set(modes):
        raise UsageError(f"--volumes-from {text}: write CONTAINER[:ro|rw]")
    return name, modes


def inherited_mounts(
    mounts: Sequence[dict[str, Any]], modes: Sequence[str], volumes: str
) -> list[MountSpec]:
    """The binds and volumes among `mounts` of another container's OCI document.

    modes: of --volumes-from. volumes: the directory of all volumes.
    """
    found = []
    for mount in mounts:
        if mount["type"] == "bind":
            found.append(_inherited(mount, modes, volumes))
    return found


def _inherited(mount: dict[str, Any], modes: Sequence[str], volumes: str) -> MountSpec:
    options = list(mount.get("options", []))
    if "ro" in modes and "ro" not in options:
        options = [*(word for word in options if word != "rw"), "ro"]
    source, target = mount["source"], mount["destination"]
    name = source.removeprefix(f"{volumes}/").removesuffix("/_data")
    if source == f"{volumes}/{name}/_data" and "/" not in name:
        # What is in it is the other container's, also when it is nothing.
        return MountSpec(mountspec.VOLUME, name, target, (*options, "nocopy"))
    return MountSpec(mountspec.BIND, source, target, tuple(options))


def merged(lists: Sequence[Sequence[MountSpec]]) -> list[MountSpec]:
    """One mount for each target: that of the last list which has it."""
    found: dict[str, MountSpec] = {}
    for mounts in lists:
        for mount in mounts:
            found.pop(mount.target, None)
            found[mount.target] = mount
    return list(found.values())
