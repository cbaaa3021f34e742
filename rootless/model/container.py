"""What somebody wants to run: the flags of `rl run`, read and checked, with nothing looked up yet.

A wish, not a state: nothing changes it after the flags were read, but that names of other
containers are looked up once (engine.joining), and that a site's rules fill in what the flags leave
open (engine.policy).
"""

from __future__ import annotations

from rootless.model.logspec import JSON_FILE, NONE
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.model.mountspec import DeviceSpec, MountSpec
    from rootless.model.ports import PortMapping

DEFAULT_SHM_SIZE = 64 * 1024 * 1024
DEFAULT_UMASK = 0o022
# podman-pull(1), "--policy".
PULL_POLICIES = ("always", "missing", "newer", "never")
# --limits: what becomes of a limit that cannot be enforced.
STRICT, BEST_EFFORT = "strict", "best-effort"
STORAGE_DRIVERS = ("fuse-overlayfs", "overlay", "vfs")
# --health-on-failure: what becomes of a container that is unhealthy (podman-run(1)).
HEALTH_ACTIONS = ("none", "kill", "restart", "stop")
# The fields that can say `container:NAME`: the namespace of that name is another container's.
JOINING = ("network", "pid", "ipc", "uts", "userns")
_JOINED = "container:"


def joined_container(mode: str) -> str:
    """The name or id in `container:NAME`, "" in other modes."""
    return mode.removeprefix(_JOINED) if mode.startswith(_JOINED) else ""


class ContainerSpec(Value):
    """The wish for one container. Empty texts and lists mean "the image's, or the default".

    image: a reference as the user wrote it, None with `rootfs` (a directory, absolute).
    command: what follows the image; replaces the image's CMD. entrypoint: None for the image's,
    [] for none at all (`--entrypoint ""`).
    env: from flags and files, host variables already filled in. labels, annotations, sysctls:
    name → value. mounts: in the order of the flags, targets unique. ulimits: as written.
    shm_size: bytes. timeout: seconds, 0 for none. umask: the process's file mode mask.
    stop_signal: "SIGTERM" or its like, None for the image's. resources: `linux.resources` of the
    OCI document. oom_score_adj: None for the caller's. cgroup_manager: systemd, cgroupfs, disabled,
    "" for whichever can. limits: strict, or best-effort for a run without what cannot be enforced.
    health: the flags' part of the check (model.healthcheck); health_on_failure: one of
    HEALTH_ACTIONS, "" for none. restart: see model.restart. stop_timeout: seconds that `rl stop`
    waits before it kills, None for the default.
    procview: on, off, a list of files, "" for on where it is possible. cpu_affinity: pin to as many
    CPUs as the quota allows. sysinfo: have sysinfo(2) answered with the container's figures.
    runtime: another OCI runtime, a name or a path, "" for our own.
    timens: private, host, "" for private where the view needs it. log_driver, log_opts: see
    model.logspec.
    network, pid, ipc, uts, userns: also `container:NAME`, with the id once it is known
    (engine.joining). volumes_from: as written; what it brings is then among the mounts.
    inherited: the anonymous volumes among that. given: targets of mounts that the administrator's
    configuration gives to containers.
    """

    __slots__ = (
        "add_hosts",
        "annotations",
        "cap_add",
        "cap_drop",
        "cgroup_manager",
        "cgroup_parent",
        "cgroupns",
        "cidfile",
        "command",
        "cpu_affinity",
        "devices",
        "dns",
        "dns_option",
        "dns_search",
        "domainname",
        "entrypoint",
        "env",
        "given",
        "group_add",
        "health",
        "health_on_failure",
        "hostname",
        "image",
        "inherited",
        "init",
        "interactive",
        "ipc",
        "labels",
        "limits",
        "log_driver",
        "log_opts",
        "mounts",
        "name",
        "network",
        "no_hosts",
        "oom_score_adj",
        "pid",
        "platform",
        "ports",
        "privileged",
        "procview",
        "publish_all",
        "pull",
        "quiet",
        "read_only",
        "read_only_tmpfs",
        "remove",
        "replace",
        "resources",
        "restart",
        "rootfs",
        "runtime",
        "security_opt",
        "shm_size",
        "sig_proxy",
        "stop_signal",
        "stop_timeout",
        "storage_driver",
        "sysctls",
        "sysinfo",
        "timens",
        "timeout",
        "tty",
        "ulimits",
        "umask",
        "user",
        "userns",
        "uts",
        "volumes_from",
        "workdir",
    )

    def __init__(
        self,
        *,
        image: str | None = None,
        rootfs: str | None = None,
        command: list[str] | None = None,
        name: str = "",
        hostname: str = "",
        domainname: str = "",
        env: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        annotations: dict[str, str] | None = None,
        workdir: str = "",
        user: str = "",
        entrypoint: list[str] | None = None,
        tty: bool = False,
        interactive: bool = False,
        remove: bool = False,
        init: bool = False,
        read_only: bool = False,
        read_only_tmpfs: bool = True,
        privileged: bool = False,
        cap_add: list[str] | None = None,
        cap_drop: list[str] | None = None,
        security_opt: list[str] | None = None,
        userns: str = "",
        group_add: list[str] | None = None,
        network: str = "",
        ports: list[PortMapping] | None = None,
        publish_all: bool = False,
        dns: list[str] | None = None,
        dns_search: list[str] | None = None,
        dns_option: list[str] | None = None,
        add_hosts: list[tuple[str, str]] | None = None,
        mounts: list[MountSpec] | None = None,
        devices: list[DeviceSpec] | None = None,
        ulimits: list[str] | None = None,
        sysctls: dict[str, str] | None = None,
        stop_signal: str | None = None,
        timeout: int = 0,
        platform: str = "",
        pull: str = "missing",
        pid: str = "",
        ipc: str = "",
        uts: str = "",
        cgroupns: str = "",
        shm_size: int = DEFAULT_SHM_SIZE,
        storage_driver: str = "",
        umask: int = DEFAULT_UMASK,
        timens: str = "",
        runtime: str = "",
        sig_proxy: bool = True,
        cidfile: str = "",
        no_hosts: bool = False,
        quiet: bool = False,
        replace: bool = False,
        procview: str = "",
        cpu_affinity: bool = False,
        sysinfo: bool = False,
        resources: dict[str, Any] | None = None,
        oom_score_adj: int | None = None,
        cgroup_manager: str = "",
        cgroup_parent: str = "",
        limits: str = STRICT,
        log_driver: str = JSON_FILE,
        log_opts: dict[str, str] | None = None,
        restart: str = "",
        stop_timeout: int | None = None,
        volumes_from: list[str] | None = None,
        inherited: list[str] | None = None,
        given: list[str] | None = None,
        health: dict[str, Any] | None = None,
        health_on_failure: str = "",
    ) -> None:
        self.image = image
        self.rootfs = rootfs
        self.command = command or []
        self.name = name
        self.hostname = hostname
        self.domainname = domainname
        self.env = env or {}
        self.labels = labels or {}
        self.annotations = annotations or {}
        self.workdir = workdir
        self.user = user
        self.entrypoint = entrypoint
        self.tty = tty
        self.interactive = interactive
        self.remove = remove
        self.init = init
        self.read_only = read_only
        self.read_only_tmpfs = read_only_tmpfs
        self.privileged = privileged
        self.cap_add = cap_add or []
        self.cap_drop = cap_drop or []
        self.security_opt = security_opt or []
        self.userns = userns
        self.group_add = group_add or []
        self.network = network
        self.ports = ports or []
        self.publish_all = publish_all
        self.dns = dns or []
        self.dns_search = dns_search or []
        self.dns_option = dns_option or []
        self.add_hosts = add_hosts or []
        self.mounts = mounts or []
        self.devices = devices or []
        self.ulimits = ulimits or []
        self.sysctls = sysctls or {}
        self.stop_signal = stop_signal
        self.timeout = timeout
        self.platform = platform
        self.pull = pull
        self.pid = pid
        self.ipc = ipc
        self.uts = uts
        self.cgroupns = cgroupns
        self.shm_size = shm_size
        self.storage_driver = storage_driver
        self.umask = umask
        self.timens = timens
        self.runtime = runtime
        self.sig_proxy = sig_proxy
        self.cidfile = cidfile
        self.no_hosts = no_hosts
        self.quiet = quiet
        self.replace = replace
        self.procview = procview
        self.cpu_affinity = cpu_affinity
        self.sysinfo = sysinfo
        self.resources = resources or {}
        self.oom_score_adj = oom_score_adj
        self.cgroup_manager = cgroup_manager
        self.cgroup_parent = cgroup_parent
        self.limits = limits
        self.log_driver = log_driver
        self.log_opts = log_opts or {}
        self.restart = restart
        self.stop_timeout = stop_timeout
        self.volumes_from = volumes_from or []
        self.inherited = inherited or []
        self.given = given or []
        self.health = health or {}
        self.health_on_failure = health_on_failure

    @property
    def keeps_log(self) -> bool:
        """Whether a run in the foreground keeps a log: after --rm nobody could look at it."""
        return self.log_driver != NONE and not self.remove

    @property
    def joins(self) -> bool:
        """Whether it lives in namespaces of other containers."""
        return any(joined_container(getattr(self, name)) for name in JOINING)
