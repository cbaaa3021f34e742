"""The mounts of the OCI runtime document. Pure.

Ours first (/proc, /dev, /sys), then the user's and the files that each container gets (/etc/hosts
and its like), parents before what lies below them. A user's mount on one of our places wins.
"""

from __future__ import annotations

from rootless.engine import plan_view
from rootless.errors import UsageError
from rootless.model import mountspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.container import ContainerSpec
    from rootless.model.mountspec import MountSpec
    from rootless.model.security import SecurityChoice

    Mount = dict[str, Any]

_SAFE = ["nosuid", "noexec", "nodev"]
# podman-run(1), --read-only-tmpfs.
_READ_ONLY_TMPFS = ("/run", "/tmp", "/var/tmp")


class VolumeUse:
    """A volume that the container uses; `anonymous` ones go with it."""

    __slots__ = ("anonymous", "copy", "name", "path", "target")

    def __init__(self, name: str, path: str, target: str, *, anonymous: bool, copy: bool) -> None:
        self.name = name
        self.path = path
        self.target = target
        self.anonymous = anonymous
        self.copy = copy


def build(
    spec: ContainerSpec,
    security: SecurityChoice,
    *,
    files: dict[str, str],
    volumes: list[VolumeUse],
    host_network: bool,
    tty_group: bool,
    host_mqueue: bool,
    host_devices: list[str],
    view: list[Mount],
    shm: str = "",
) -> list[Mount]:
    """The document's list.

    files: container path → host file. tty_group: gid 5 is mapped. host_mqueue: the host has a
    /dev/mqueue to share. host_devices: what --privileged adds. view: binds over files of /proc and
    /sys (plan_view). shm: where another container's /dev/shm is, "" for one of its own.
    """
    ours = _kernel_mounts(spec, security, shm, host_network=host_network, tty_group=tty_group)
    if spec.ipc == "host":
        places = ["/dev/shm", "/dev/mqueue"] if host_mqueue else ["/dev/shm"]
        ours += [_mount("bind", place, place, ["rbind", *_SAFE]) for place in places]
    ours += view
    ours += _devices(spec, host_devices if spec.privileged else [])
    users = [_of_user(mount, volumes) for mount in spec.mounts]
    users += [_of_volume(use, []) for use in volumes if use.target not in _targets(users)]
    taken = _targets(users)
    users += _writable_places(spec, taken)
    # By depth: a volume at /etc comes before our /etc/hosts, which stays in sight.
    files_of_ours = [one for one in _files(spec, files) if one["destination"] not in taken]
    later = files_of_ours + users
    later.sort(key=lambda mount: mount["destination"].count("/"))
    ours = [mount for mount in ours if not _is_hidden(mount["destination"], taken)]
    hidden = [*security.masked_paths, *security.readonly_paths, *taken]
    return plan_view.with_bare_copies(ours, view, hidden) + later


def _is_hidden(destination: str, taken: set[str]) -> bool:
    """Whether a user's mount takes the place; with /dev goes, as in podman, all that is below."""
    return destination in taken or ("/dev" in taken and destination.startswith("/dev/"))


def _files(spec: ContainerSpec, files: dict[str, str]) -> list[Mount]:
    access = ["ro"] if spec.read_only else []
    return [
        _mount("bind", target, source, ["bind", "rprivate", *_SAFE, *access])
        for target, source in files.items()
    ]


def _writable_places(spec: ContainerSpec, taken: set[str]) -> list[Mount]:
    """What a container with a read-only root can write to all the same."""
    if not (spec.read_only and spec.read_only_tmpfs):
        return []
    options = ["nosuid", "nodev", "rw", "mode=1777"]
    return [
        _mount("tmpfs", path, "tmpfs", list(options))
        for path in _READ_ONLY_TMPFS
        if path not in taken
    ]


def _devices(spec: ContainerSpec, of_host: list[str]) -> list[Mount]:
    """Device nodes are bound from the host: a user namespace can make none."""
    nodes = {path: (path, "rw") for path in of_host}
    for device in spec.devices:
        nodes[device.target] = (device.source, "rw" if "w" in device.permissions else "ro")
    return [
        _mount("bind", target, source, ["bind", "rprivate", "nosuid", "noexec", access])
        for target, (source, access) in nodes.items()
    ]


def _targets(mounts: list[Mount]) -> set[str]:
    return {mount["destination"] for mount in mounts}


def _mount(kind: str, target: str, source: str, options: list[str]) -> Mount:
    return {"destination": target, "type": kind, "source": source, "options": options}


def _kernel_mounts(
    spec: ContainerSpec,
    security: SecurityChoice,
    shm: str,
    *,
    host_network: bool,
    tty_group: bool,
) -> list[Mount]:
    pts = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]
    mounts = [
        _proc(spec, security),
        _mount("tmpfs", "/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
        _mount("devpts", "/dev/pts", "devpts", pts + (["gid=5"] if tty_group else [])),
        *_ipc_mounts(spec, shm),
        *_sys(spec, host_network=host_network),
    ]
    return mounts


def _proc(spec: ContainerSpec, security: SecurityChoice) -> Mount:
    if spec.pid == "host":
        return _mount("bind", "/proc", "/proc", ["rbind", *_SAFE])
    return _mount("proc", "/proc", "proc", _SAFE + list(security.proc_options))


def _ipc_mounts(spec: ContainerSpec, shared: str) -> list[Mount]:
    if spec.ipc == "host":
        return []
    mqueue = _mount("mqueue", "/dev/mqueue", "mqueue", _SAFE)
    if spec.ipc == "none":
        return [mqueue]
    if shared:
        return [_mount("bind", "/dev/shm", shared, ["bind", *_SAFE]), mqueue]
    shm = [*_SAFE, "mode=1777", f"size={spec.shm_size}"]
    return [_mount("tmpfs", "/dev/shm", "shm", shm), mqueue]


def _sys(spec: ContainerSpec, *, host_network: bool) -> list[Mount]:
    read = "rw" if spec.privileged else "ro"
    if host_network:
        # sysfs shows a network namespace: only the owner of that namespace may mount it.
        return [_mount("bind", "/sys", "/sys", ["rbind", "rslave", *_SAFE, read])]
    mounts = [_mount("sysfs", "/sys", "sysfs", [*_SAFE, read])]
    if spec.cgroupns == "host":
        options = ["rbind", *_SAFE, read]
        return [*mounts, _mount("bind", "/sys/fs/cgroup", "/sys/fs/cgroup", options)]
    return [*mounts, _mount("cgroup2", "/sys/fs/cgroup", "cgroup", [*_SAFE, "relatime", read])]


def _of_user(mount: MountSpec, volumes: list[VolumeUse]) -> Mount:
    options = [word for word in mount.options if word not in ("U", "copy", "nocopy")]
    if mount.kind == mountspec.TMPFS:
        return _mount("tmpfs", mount.target, "tmpfs", _tmpfs_options(mount, options))
    if mount.kind == mountspec.VOLUME:
        use = next(use for use in volumes if use.target == mount.target)
        return _of_volume(use, options)
    if "bind" not in options and "rbind" not in options:
        options.append("rbind")
    return _mount("bind", mount.target, mount.source, _with_propagation(options))


def _tmpfs_options(mount: MountSpec, options: list[str]) -> list[str]:
    """docker's defaults come first, so that the user's words win."""
    if "tmpcopyup" in options:
        raise UsageError(f"--tmpfs {mount.target}: tmpcopyup is not supported")
    return ["nosuid", "nodev", "noexec", *(word for word in options if word != "notmpcopyup")]


def _of_volume(use: VolumeUse, options: list[str]) -> Mount:
    return _mount("bind", use.target, use.path, _with_propagation(["rbind", *options]))


def _with_propagation(options: list[str]) -> list[str]:
    known = ("private", "slave", "shared", "unbindable")
    if any(word.removeprefix("r") in known for word in options):
        return options
    return [*options, "rprivate"]
