"""What a site lets its users do, applied to a wish: refused, or given what the site says instead.

Imported where /etc/rl/rl.toml exists, and nowhere else. A user who runs own programs can make user
namespaces without rl: this is no wall.
"""

from __future__ import annotations

import os

from rootless import config
from rootless.errors import EXIT_ENGINE, InUseError, UsageError
from rootless.model import mountspec, network
from rootless.model.container import BEST_EFFORT, joined_container
from rootless.store import site

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.container import ContainerSpec
    from rootless.model.site import Policy
    from rootless.store.paths import Paths

# Files of the control group that --cgroup-conf could write over the limits.
_LIMITING = ("memory.max", "memory.high", "memory.swap.max", "cpu.max")
_RUNTIME_NAME_LENGTH = 8


def enforce(spec: ContainerSpec, *, with_binds: bool = True) -> None:
    """Raise UsageError for what is not allowed; fill in what the site says where `spec` does not.

    with_binds: check the sources of bind mounts.
    """
    policy = site.policy()
    if spec.privileged:
        check_privileged()
    _choose_network(spec, policy)
    if with_binds and policy.bind_sources is not None:
        for mount in spec.mounts:
            if mount.kind == mountspec.BIND and mount.target not in spec.given:
                _check_source(mount.source, policy.bind_sources)
        folder = spec.rootfs or spec.image or ""
        if folder.startswith("/") and os.path.isdir(folder):
            _check_source(folder, policy.bind_sources, flag="")
    if policy.max_memory or policy.max_cpus:
        if spec.limits == BEST_EFFORT:
            raise _refusal("--limits best-effort", "limits hold here or nothing runs")
        spec.resources = limited(spec.resources, policy)


def _refusal(what: str, rule: str, hint: str = "") -> UsageError:
    where = config.system_file("rl.toml")
    return UsageError(f"{what}: not allowed here ({where}: {rule})", hint or f"cat {where}")


def check_privileged() -> None:
    """Raises UsageError where nobody may have --privileged."""
    if not site.policy().privileged:
        raise _refusal("--privileged", "privileged = false", "rl run --cap-add CAPABILITY …")


def check_build() -> None:
    """Raises UsageError where nobody may build images."""
    if not site.policy().build:
        raise _refusal("rl build", "build = false", "build it elsewhere, and rl pull it here")


def check_limits(wanted: dict[str, Any]) -> None:
    """Raises UsageError where `wanted` (linux.resources of a change) is above what is allowed."""
    policy = site.policy()
    _check_memory(wanted.get("memory", {}), policy.max_memory)
    _check_cpus(wanted.get("cpu", {}), policy.max_cpus)
    _check_files(wanted, policy)


def check_count(paths: Paths) -> None:
    """Raises InUseError where more containers of this user run than may, the caller's counted."""
    most = site.policy().max_containers
    if not most or _count(paths) <= most:
        return
    from rootless.engine import recover

    recover.sweep(paths)
    if _count(paths) > most:
        raise InUseError(
            f"{most} containers run already, and no more are allowed here"
            f" ({config.system_file('rl.toml')}: max_containers)",
            "rl ps; rl stop CONTAINER", EXIT_ENGINE,
        )  # fmt: skip


def _count(paths: Paths) -> int:
    """Of all stores that share the runtime directory."""
    from rootless.store import containers
    from rootless.store.paths import Paths as Other

    total = len(containers.live_ids(paths))
    own = os.path.basename(paths.running)
    for name in os.listdir(paths.runtime):
        if len(name) == _RUNTIME_NAME_LENGTH and name != own:
            other = Other(paths.root, paths.runtime)
            other.running = f"{paths.runtime}/{name}"
            total += len(containers.live_ids(other))
    return total


def _choose_network(spec: ContainerSpec, policy: Policy) -> None:
    allowed = policy.networks
    if allowed is None or joined_container(spec.network):
        return
    if spec.network in ("", "default"):
        if allowed[0] != network.DEFAULT_DRIVER or not {"pasta", "host"}.issubset(allowed):
            spec.network = allowed[0]  # by its name, so that no other takes its place
    elif network.driver_of(spec.network) not in allowed:
        hint = f"rl run --network {allowed[0]} …"
        raise _refusal(f"--network {spec.network}", f"networks: {', '.join(allowed)}", hint)


def _check_source(source: str, allowed: tuple[str, ...], *, flag: str = "-v ") -> None:
    real = os.path.realpath(source)
    if not any(_is_in(real, os.path.realpath(folder)) for folder in allowed):
        raise _refusal(f"{flag}{source}", f"bind_sources: {', '.join(allowed)}")


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def limited(wanted: dict[str, Any], policy: Policy) -> dict[str, Any]:
    """`wanted` with the site's limits where it has none. Raises UsageError for more than these."""
    from rootless.model import resources

    check_limits(wanted)
    result = {name: dict(section) for name, section in wanted.items()}
    memory, cpu = result.setdefault("memory", {}), result.setdefault("cpu", {})
    if policy.max_memory and "limit" not in memory:
        memory["limit"] = policy.max_memory
    if policy.max_cpus and "quota" not in cpu:
        cpu["quota"] = int(policy.max_cpus * resources.PERIOD)
        cpu["period"] = resources.PERIOD
    return resources.complete({name: section for name, section in result.items() if section})


def _check_memory(memory: dict[str, Any], most: int) -> None:
    from rootless.model import units

    limit = memory.get("limit")
    if most and limit is not None and not 0 <= limit <= most:
        rule = f"max_memory: {units.size_text(most)}"
        raise _refusal(f"--memory {units.size_text(limit)}", rule)


def _check_cpus(cpu: dict[str, Any], most: float) -> None:
    from rootless.model import resources

    quota, period = cpu.get("quota"), cpu.get("period") or resources.PERIOD
    if most and quota is not None and not 0 < quota / period <= most:
        raise _refusal(f"--cpus {quota / period:g}", f"max_cpus: {most:g}")


def _check_files(wanted: dict[str, Any], policy: Policy) -> None:
    for name in wanted.get("unified", {}):
        if name in _LIMITING and (policy.max_memory or policy.max_cpus):
            raise _refusal(f"--cgroup-conf {name}=…", "max_memory, max_cpus", "rl run --memory …")
