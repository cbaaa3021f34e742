"""What the runtime is asked for, and what is remembered of a container. Both follow from a plan."""

from __future__ import annotations

import time

from rootless.engine import answered, plan_view
from rootless.kernel import proc
from rootless.model import spec_document
from rootless.model.idmap import size_of
from rootless.runtime import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.facts import HostFacts
    from rootless.engine.plan import Plan
    from rootless.model.container import ContainerSpec
    from rootless.model.idmap import IdMaps
    from rootless.net.drivers import Driver
    from rootless.runtime.joined import Joined
    from rootless.runtime.messages import CgroupRequest, ForeignRequest, Ground, Request
    from rootless.store.images import StoredImage


# What a start changes in the record of a container that was there before.
OF_A_START = frozenset(
    (
        "status",
        "started",
        "exit_code",
        "error",
        "oom_kills",
        "stop_requested",
        "auto_range",
        "mounts",
        "root",
        "network_used",
    )
)
# What a record says of a container that was made and not started.
NEVER_STARTED: dict[str, Any] = {"status": "created", "started": None, "starts": 0}


def record_of(
    spec: ContainerSpec,
    made: Plan,
    image: StoredImage | None,
    before: dict[str, Any] | None = None,
    *,
    network: Driver,
    watched: bool = False,
) -> dict[str, Any]:
    """The container's record at its start (store.containers keeps it). before: the one so far.

    watched: whether somebody will check its health.
    """
    ours = _of_this_start(spec, made, before, network)
    record = {**_lasting(spec, made, image), **(before or {}), **ours}
    return {**record, "health": _health(record) if watched else None}


def _health(record: dict[str, Any]) -> dict[str, Any] | None:
    if not record.get("health_check"):
        return None
    from rootless.model import health

    return health.starting(record.get("health"))


def _health_check(spec: ContainerSpec, config: dict[str, Any]) -> dict[str, Any] | None:
    if not spec.health and not config.get("Healthcheck"):
        return None
    from rootless.model import healthcheck

    check = healthcheck.of(spec.health, spec.health_on_failure, config)
    return check.fields() if check is not None else None


def _of_this_start(
    spec: ContainerSpec, made: Plan, before: dict[str, Any] | None, network: Driver
) -> dict[str, Any]:
    return {
        "status": "running",
        "started": time.time(),
        "host": proc.host(),
        "starts": 1 + (int(before.get("starts", 0)) if before else 0),
        "exit_code": None,
        "error": "",
        "oom_kills": [],
        "stop_requested": False,
        "auto_range": _auto_range(spec, made.namespace.inner),
        "mounts": _mounts(spec, made),
        "root": root_of(made),
        "network_used": network.name if network.is_instead else "",
    }


def _lasting(spec: ContainerSpec, made: Plan, image: StoredImage | None) -> dict[str, Any]:
    return {
        "id": made.place.container_id,
        "name": made.place.name,
        "image": image.name if image else spec.rootfs or spec.image or "",
        "image_id": image.image_id if image else "",
        "manifest": image.manifest_digest if image else "",
        "image_file": made.image.file,
        "command": made.document["process"]["args"],
        "created": time.time(),
        "restart_count": 0,
        "remove": spec.remove,
        "labels": {**(made.image.config.get("Labels") or {}), **spec.labels},
        "resources": spec.resources,
        "sysinfo": spec.sysinfo,
        "volumes": [use.name for use in made.volumes if use.anonymous],
        "mounted_volumes": list(dict.fromkeys(use.name for use in made.volumes)),
        "stop_signal": spec.stop_signal,
        "log_driver": spec.log_driver,
        "log_opts": spec.log_opts,
        "one_id": made.namespace.is_of_one_id,
        "stop_timeout": spec.stop_timeout,
        "restart": spec.restart,
        "spec": spec_document.to_document(spec),
        "health_check": _health_check(spec, made.image.config),
        **_shown(spec, made),
    }


def root_of(made: Plan) -> dict[str, Any]:
    """What the root file system is made of, for who mounts it while the container does not run."""
    shift, inner = made.namespace.shift, made.namespace.inner
    return {
        "driver": made.driver,
        "layers": len(made.image.layers),
        "shift": [shift.uids, shift.gids],
        "inner_maps": [inner.uids, inner.gids] if inner else None,
        "squash": made.image.squash[1] if made.image.squash else "",
    }


def _gives_home(spec: ContainerSpec, config: dict[str, Any]) -> bool:
    """Whether HOME was set by the user or the image, so that it is everybody's in the container."""
    given = (str(entry) for entry in config.get("Env") or ())
    return "HOME" in spec.env or any(entry.startswith("HOME=") for entry in given)


def _shown(spec: ContainerSpec, made: Plan) -> dict[str, Any]:
    """What nothing but `rl inspect` asks for."""
    document = made.document
    user = document["process"]["user"]
    return {
        "hostname": document.get("hostname", ""),
        "user": f"{user['uid']}:{user['gid']}",
        "gives_home": _gives_home(spec, made.image.config),
        "workdir": document["process"]["cwd"],
        "tty": spec.tty,
        "interactive": spec.interactive,
        "oom_score_adj": spec.oom_score_adj,
        "cgroup_parent": spec.cgroup_parent,
        "network": spec.network,
        "privileged": spec.privileged,
        "read_only": spec.read_only,
    }


def _mounts(spec: ContainerSpec, made: Plan) -> list[dict[str, Any]]:
    """Those that the user, or the image, asked for."""
    targets = {mount.target for mount in spec.mounts} | {use.target for use in made.volumes}
    return [mount for mount in made.document["mounts"] if mount["destination"] in targets]


def _auto_range(spec: ContainerSpec, inner: IdMaps | None) -> list[int] | None:
    """The canonical ids (first, how many) of --userns auto; contiguous, though maybe in pieces."""
    if inner is None or spec.userns.partition(":")[0] != "auto":
        return None
    return [inner.uids[0][1], size_of(inner.uids)]


def ground(made: Plan, host: HostFacts, *, detached: bool) -> Ground:
    """What the keeper begins with. detached: its caller does not wait for the container."""
    spaces = made.document["linux"]["namespaces"]
    return {
        "detached": detached,
        "namespaces": namespaces.early(spaces, is_nested=made.namespace.inner is not None),
        "rootfs": {
            "driver": made.driver,
            "path": made.place.directory,
            "layers": len(made.image.layers),
            "program": _program(made, host),
            "uid_shift": made.namespace.shift.uids,
            "gid_shift": made.namespace.shift.gids,
            "squash": made.image.squash,
        },
    }


def build(
    spec: ContainerSpec,
    made: Plan,
    programs: tuple[bytes, bytes, bytes],
    network: Driver,
    copy_up: list[tuple[str, str]],
    remove: list[str],
    cgroup: CgroupRequest | None,
    joined: Joined | None = None,
    *,
    early: int,
    foreign: ForeignRequest | None,
) -> Request:
    """The message to the keeper. programs: the seccomp filters of the payload, of the view's
    server and of that for system calls. remove: what it removes at the end. joined: what it has of
    other containers. early, foreign: see Request."""
    inner = made.namespace.inner
    emulation = answered.emulation(single=made.namespace.is_of_one_id)
    return {
        "document": made.document,
        "early": early,
        "inner_maps": (inner.uids, inner.gids) if inner else None,
        "cgroup": cgroup,
        "seccomp": programs[0],
        "copy_up": copy_up,
        "give": made.give,
        "loopback": network.loopback_by_us,
        "interactive": spec.interactive,
        "init": spec.init,
        "keep_groups": made.keep_groups,
        "most_cpus": _most_cpus(spec),
        "started_ns": joined.started_ns if joined else 0,
        "answered": answered.filter_of(emulation, sysinfo=spec.sysinfo),
        "answered_seccomp": programs[2],
        "tells_sysinfo": spec.sysinfo,
        "emulation": emulation,
        "listener_to": -1,
        "joined": list(joined.fds) if joined else [],
        "shared_shm": joined.shm if joined else "",
        "view": f"{made.place.directory}/{plan_view.FOLDER}" if made.view else "",
        "view_seccomp": programs[1],
        "foreign": foreign,
        "remove": remove,
        "discard": spec.remove,
    }


def _program(made: Plan, host: HostFacts) -> str:
    """fuse-overlayfs where it is wanted, or may be."""
    wanted = made.driver == "fuse-overlayfs" or (made.driver == "overlay" and made.image.squash)
    return host.fuse_overlayfs if wanted else ""


def _most_cpus(spec: ContainerSpec) -> int:
    """With --cpu-affinity: what the quota is worth, rounded up."""
    cpu = spec.resources.get("cpu", {})
    if not spec.cpu_affinity or cpu.get("quota", 0) <= 0:
        return 0
    from rootless.model.resources import PERIOD

    return int(-(-cpu["quota"] // cpu.get("period", PERIOD)))
