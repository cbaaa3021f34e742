"""(wish, image, host) → the OCI runtime document and everything else that a start needs. Pure.

Nothing is read or made here; `--dry-run` prints the outcome and `engine.run` applies it.
"""

from __future__ import annotations

from rootless.engine import plan_mounts, plan_process, plan_view, storage, userns
from rootless.errors import HostError, UsageError
from rootless.model import mountspec, security
from rootless.model.container import joined_container
from rootless.model.idmap import size_of, to_outside
from rootless.net import files as netfiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.facts import HostFacts
    from rootless.engine.plan_mounts import VolumeUse
    from rootless.engine.userns import UserNamespace
    from rootless.model.container import ContainerSpec
    from rootless.model.security import SecurityChoice
    from rootless.model.user import ExecUser
    from rootless.net.drivers import Driver
    from rootless.runtime.joined import Joined

# The version that brought domainname, umask and the time namespace.
OCI_VERSION = "1.1.0"
_TTY_GROUP = 5
# The most that Linux 5.10 takes for net.ipv4.ping_group_range (its GID_T_MAX); 6.1 takes more.
_LAST_PING_GROUP = 2**31 - 1
_HOST_HINT = "--{0} host|private"
_MODES = ("", "host", "private")
_MORE_IPC_MODES = ("shareable", "none")


class ImageFacts:
    """What a plan needs of the image: its config and two files of its root file system.

    file: what is remembered of an image that is a file or a directory, None for one of the store.
    squash: as in a RootfsRequest. shared: a layer is of a store of several users, where
    fuse-overlayfs alone shows owners.
    """

    __slots__ = ("config", "file", "group", "layers", "passwd", "shared", "squash")

    def __init__(
        self,
        config: dict[str, Any],
        layers: list[str],
        passwd: str,
        group: str,
        *,
        file: dict[str, str] | None = None,
        squash: tuple[str, str] | None = None,
        shared: bool = False,
    ) -> None:
        self.shared = shared
        self.config = config
        self.layers = layers
        self.passwd = passwd
        self.group = group
        self.file = file
        self.squash = squash


class Place:
    """Where the container will live: its id, its name, its directory and the volumes' directory.

    driver: the storage driver of its earlier starts, "" for none."""

    __slots__ = ("container_id", "directory", "driver", "name", "volumes")

    def __init__(
        self, container_id: str, name: str, directory: str, volumes: str, driver: str = ""
    ) -> None:
        self.container_id = container_id
        self.driver = driver
        self.name = name
        self.directory = directory
        self.volumes = volumes


class Plan:
    """The outcome: the document, and what stands outside of it."""

    __slots__ = (
        "document", "driver", "files", "give", "image", "keep_groups", "namespace", "place",
        "security", "view", "volumes",
    )  # fmt: skip

    def __init__(
        self,
        *,
        document: dict[str, Any],
        driver: str,
        files: dict[str, str],
        give: list[tuple[str, int, int]],
        image: ImageFacts,
        keep_groups: bool,
        namespace: UserNamespace,
        place: Place,
        security: SecurityChoice,
        view: list[str],
        volumes: list[VolumeUse],
    ) -> None:
        self.document = document
        self.driver = driver
        self.files = files
        self.give = give
        self.image = image
        self.keep_groups = keep_groups
        self.namespace = namespace
        self.place = place
        self.security = security
        self.view = view
        self.volumes = volumes


class _Choices:
    """What follows from the wish, the image and the host, before anything is written down."""

    __slots__ = ("driver", "hostname", "joined", "namespace", "security", "view", "volumes", "who")

    def __init__(
        self,
        spec: ContainerSpec,
        image: ImageFacts,
        facts: HostFacts,
        place: Place,
        network: Driver,
        taken_ranges: list[tuple[int, int]],
        joined: Joined | None,
    ) -> None:
        self.joined = joined
        self.security = security.parse(spec.security_opt, privileged=spec.privileged)
        self.namespace = userns.choose(
            "" if joined_container(spec.userns) else spec.userns,
            facts.maps, facts.uid, facts.gid, taken_ranges,
        )  # fmt: skip
        self.driver = _driver(spec, image, facts, place, self.namespace)
        self.hostname = (joined.hostname if joined else "") or _hostname(
            spec, facts, place, new_network=network.new_namespace
        )
        self.who = plan_process.who_runs(
            spec, image.config, self.namespace.default_user, image.passwd, image.group
        )
        if facts.maps.is_single and not self.namespace.inner and (self.who.uid or self.who.gid):
            # The files of the image are then this user's own, also as stat(2) has it.
            self.namespace = userns.as_single(facts.maps, self.who.uid, self.who.gid)
        self.volumes = _volumes(spec, image.config, place)
        self.view = plan_view.choose(spec, facts)


def build(
    spec: ContainerSpec,
    image: ImageFacts,
    facts: HostFacts,
    place: Place,
    network: Driver,
    taken_ranges: list[tuple[int, int]],
    joined: Joined | None = None,
) -> Plan:
    """Plan one container. joined: what it has of others.

    Raises UsageError and HostError for wishes that cannot be met.
    """
    _check_modes(spec)
    chosen = _Choices(spec, image, facts, place, network, taken_ranges, joined)
    _check_mapped(chosen.who, chosen.namespace)
    files = _files(
        spec, facts, network, image, chosen.namespace, hostname=chosen.hostname, name=place.name
    )
    theirs = joined.files if joined else None
    if theirs is not None:
        files = {path: file for path, file in files.items() if path not in netfiles.PATHS}
    return Plan(
        document=_document(spec, image, facts, place, network, chosen, files),
        driver=chosen.driver,
        files=dict(files.values()),
        give=_to_give(spec, chosen.volumes, chosen.namespace, chosen.who)
        + _files_for_root(chosen.namespace, place, files),
        image=image,
        keep_groups=plan_process.KEEP_GROUPS in spec.group_add,
        namespace=chosen.namespace,
        place=place,
        security=chosen.security,
        view=chosen.view,
        volumes=chosen.volumes,
    )


def _document(
    spec: ContainerSpec,
    image: ImageFacts,
    facts: HostFacts,
    place: Place,
    network: Driver,
    chosen: _Choices,
    files: dict[str, tuple[str, str]],
) -> dict[str, Any]:
    """The OCI runtime document (config.md); `linux.seccomp` is added by who can read a profile."""
    return {
        "ociVersion": OCI_VERSION,
        "process": plan_process.build(
            spec, image.config, facts, chosen.who, chosen.security,
            group=image.group, hostname=chosen.hostname, gids=chosen.namespace.host.gids,
        ),
        "root": {"path": spec.rootfs or f"{place.directory}/merged", "readonly": spec.read_only},
        **_names(spec, chosen.hostname),
        "mounts": plan_mounts.build(
            spec, chosen.security,
            files=_sources(place, files, chosen.joined),
            volumes=chosen.volumes, host_network=not network.new_namespace,
            tty_group=_maps_tty(chosen.namespace),
            host_mqueue=facts.has_mqueue, host_devices=facts.devices,
            view=plan_view.mounts(chosen.view, place.directory),
            shm=chosen.joined.shm if chosen.joined else "",
        ),
        "annotations": dict(spec.annotations),
        "linux": _linux(spec, facts, chosen, network),
    }  # fmt: skip


def _sources(
    place: Place, files: dict[str, tuple[str, str]], joined: Joined | None
) -> dict[str, str]:
    """Container path → path on the host, of files of its own and of those that come with a
    network."""
    own = {path: f"{place.directory}/{name}" for path, (name, _) in files.items()}
    return {**own, **(joined.files or {})} if joined else own


def _driver(
    spec: ContainerSpec,
    image: ImageFacts,
    facts: HostFacts,
    place: Place,
    namespace: UserNamespace,
) -> str:
    if spec.rootfs:
        return "directory"
    shifts = bool(namespace.shift.uids)
    driver = storage.choose(
        spec.storage_driver,
        facts,
        place.directory,
        shifts=shifts,
        before=place.driver,
        shared=image.shared,
    )
    is_free = driver == storage.FUSE and not (spec.storage_driver or shifts)
    if image.squash and is_free and not facts.storage.get(storage.OVERLAY):
        # One program less between the container and its files, where the kernel can.
        return storage.OVERLAY
    return driver


def _to_give(
    spec: ContainerSpec, volumes: list[VolumeUse], namespace: UserNamespace, who: ExecUser
) -> list[tuple[str, int, int]]:
    """The sources of mounts with the option `U`, and the canonical ids of who gets them."""
    inner = namespace.inner
    uid = to_outside(inner.uids, who.uid) if inner else who.uid
    gid = to_outside(inner.gids, who.gid) if inner else who.gid
    sources = [mount for mount in spec.mounts if "U" in mount.options]
    if sources and (uid is None or gid is None):
        raise UsageError(f"-v …:U: user {who.uid}:{who.gid} is not mapped in this namespace")
    paths = {use.target: use.path for use in volumes}
    return [(paths.get(mount.target, mount.source), uid or 0, gid or 0) for mount in sources]


def _files_for_root(
    namespace: UserNamespace, place: Place, files: dict[str, tuple[str, str]]
) -> list[tuple[str, int, int]]:
    """The container's own /etc files belong to its root, which in a nested namespace is not us."""
    if namespace.inner is None:
        return []
    uid, gid = to_outside(namespace.inner.uids, 0), to_outside(namespace.inner.gids, 0)
    if uid is None or gid is None:
        return []
    return [(f"{place.directory}/{name}", uid, gid) for name, _ in files.values()]


def _check_mapped(who: ExecUser, namespace: UserNamespace) -> None:
    host = namespace.host
    if to_outside(host.uids, who.uid) is None or to_outside(host.gids, who.gid) is None:
        raise HostError(
            f"user {who.uid}:{who.gid}: not among the {size_of(host.uids)} ids of this container",
            hint='grep "$(id -un)" /etc/subuid /etc/subgid',
        )


def _maps_tty(namespace: UserNamespace) -> bool:
    return any(first <= _TTY_GROUP < first + size for first, _, size in namespace.host.gids)


def _check_modes(spec: ContainerSpec) -> None:
    for flag, value in (("pid", spec.pid), ("ipc", spec.ipc), ("uts", spec.uts),
                        ("cgroupns", spec.cgroupns)):  # fmt: skip
        if flag != "cgroupns" and joined_container(value):
            continue
        if value not in _MODES + (_MORE_IPC_MODES if flag == "ipc" else ()):
            raise UsageError(f"--{flag} {value}: no such mode", hint=_HOST_HINT.format(flag))
    if spec.uts == "host" and spec.hostname:
        raise UsageError("--hostname: not possible together with --uts host")


def _hostname(spec: ContainerSpec, facts: HostFacts, place: Place, *, new_network: bool) -> str:
    if spec.hostname:
        return spec.hostname
    if spec.uts == "host" or not new_network:
        return facts.hostname
    return place.container_id[:12]


def _names(spec: ContainerSpec, hostname: str) -> dict[str, str]:
    """Runtimes refuse names for a uts namespace that is the host's (config.md, "Hostname")."""
    names = {"hostname": hostname, "domainname": spec.domainname}
    is_shared = spec.uts == "host" or joined_container(spec.uts)
    return {} if is_shared else {key: name for key, name in names.items() if name}


def _volumes(spec: ContainerSpec, config: dict[str, Any], place: Place) -> list[VolumeUse]:
    """Volumes of the flags, then those that the image declares and no flag covers."""
    uses: list[VolumeUse] = []
    covered = {mount.target for mount in spec.mounts}
    for mount in spec.mounts:
        if mount.kind == mountspec.VOLUME:
            copy = "nocopy" not in mount.options
            use = _volume(mount.source, mount.target, place, len(uses), copy=copy)
            use.anonymous = use.anonymous or use.name in spec.inherited
            uses.append(use)
    declared = config.get("Volumes")
    for target in declared if isinstance(declared, dict) else {}:
        path = mountspec.normal_target(str(target))
        if path not in covered and path != "/":
            covered.add(path)
            uses.append(_volume("", path, place, len(uses), copy=True))
    return uses


def _volume(name: str, target: str, place: Place, number: int, *, copy: bool) -> VolumeUse:
    # An anonymous volume's name follows from the container's: unique, and nothing to look up.
    chosen = name or f"{place.container_id[:62]}{number:02x}"
    path = f"{place.volumes}/{chosen}/_data"
    return plan_mounts.VolumeUse(chosen, path, target, anonymous=not name, copy=copy)


def _files(
    spec: ContainerSpec,
    facts: HostFacts,
    network: Driver,
    image: ImageFacts,
    namespace: UserNamespace,
    *,
    hostname: str,
    name: str,
) -> dict[str, tuple[str, str]]:
    """The files that each container gets of its own: container path → (file name, text)."""
    files = {"/etc/hostname": ("hostname", f"{hostname}\n")}
    if spec.dns != ["none"]:
        text = network.resolv(facts.resolv, spec.dns, spec.dns_search, spec.dns_option)
        files["/etc/resolv.conf"] = ("resolv.conf", text)
    if not spec.no_hosts:
        extra = [(host, _host_address(ip, network)) for host, ip in spec.add_hosts]
        files["/etc/hosts"] = (
            "hosts",
            netfiles.hosts_text(
                hostname, [name], network.container_address, extra,
                host_alias_ip=network.host_alias,
            ),
        )  # fmt: skip
    if namespace.default_user:
        from rootless.engine import plan_users

        passwd = plan_users.with_user(image.passwd, namespace.default_user, facts.user)
        if passwd != image.passwd:
            files["/etc/passwd"] = ("passwd", passwd)
        group = plan_users.with_group(image.group, namespace.default_user, facts.user)
        if group != image.group:
            files["/etc/group"] = ("group", group)
    return files


def _host_address(address: str, network: Driver) -> str:
    if address != "host-gateway":
        return address
    if not network.host_alias:
        raise UsageError("--add-host host-gateway: this network does not reach the host")
    return network.host_alias


def _linux(
    spec: ContainerSpec, facts: HostFacts, chosen: _Choices, network: Driver
) -> dict[str, Any]:
    choice, namespace = chosen.security, chosen.namespace
    linux: dict[str, Any] = {
        "uidMappings": _mappings(namespace.host.uids),
        "gidMappings": _mappings(namespace.host.gids),
        "namespaces": _namespaces(spec, facts, chosen, network),
        "rootfsPropagation": "slave",
        "maskedPaths": list(choice.masked_paths),
        "readonlyPaths": list(choice.readonly_paths),
    }
    sysctls = dict(spec.sysctls)
    if network.new_namespace and not network.joins:
        # So that ping works without CAP_NET_RAW, for every group that there is.
        gids = namespace.host.gids
        low, high = min(row[0] for row in gids), max(row[0] + row[2] - 1 for row in gids)
        high = min(high, _LAST_PING_GROUP)
        sysctls.setdefault("net.ipv4.ping_group_range", f"{low} {high}")
        # As docker has it: a user other than root may listen on port 80 of its own network.
        sysctls.setdefault("net.ipv4.ip_unprivileged_port_start", "0")
    linux["sysctl"] = sysctls
    if spec.resources:
        linux["resources"] = spec.resources
    return linux


def _mappings(rows: tuple[tuple[int, int, int], ...]) -> list[dict[str, int]]:
    return [{"containerID": a, "hostID": b, "size": size} for a, b, size in rows]


def _namespaces(
    spec: ContainerSpec, facts: HostFacts, chosen: _Choices, network: Driver
) -> list[dict[str, str]]:
    kinds = ["user", "mount"]
    kinds += [kind for kind in ("pid", "ipc", "uts") if getattr(spec, kind) != "host"]
    kinds += ["cgroup"] if spec.cgroupns != "host" else []
    kinds += ["network"] if network.new_namespace else []
    kinds += ["time"] if _wants_time(spec, facts, chosen) else []
    paths = chosen.joined.paths if chosen.joined else {}
    return [
        {"type": kind, "path": paths[kind]} if kind in paths else {"type": kind} for kind in kinds
    ]


def _wants_time(spec: ContainerSpec, facts: HostFacts, chosen: _Choices) -> bool:
    """With a clock that starts with the container, what the kernel says of times agrees with the
    view: ps, sysinfo(2)."""
    if joined_container(spec.pid):
        # Start times of processes are shown by the reader's clock, and all are to read the same.
        return chosen.joined is not None and "time" in chosen.joined.paths
    if spec.timens:
        return spec.timens == "private"
    return "uptime" in chosen.view and facts.has_time and spec.pid != "host"
