"""What a container has of other containers: namespaces (`container:NAME`), `--volumes-from`."""

from __future__ import annotations

import os

from rootless.engine import live
from rootless.errors import EXIT_ENGINE, HostError, NotFoundError, RlError, UsageError
from rootless.kernel import proc
from rootless.model import joining
from rootless.model.container import JOINING, joined_container
from rootless.net import files as netfiles
from rootless.runtime.joined import SHM_OWNER, Joined
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.model.container import ContainerSpec
    from rootless.store.paths import Paths

# ioctl_ns(2).
_NS_GET_USERNS = 0xB701
_FILES = {"network": "net", "pid": "pid", "ipc": "ipc", "uts": "uts", "time": "time"}


def resolve(paths: Paths, spec: ContainerSpec) -> None:
    """Put ids in the place of names, and what --volumes-from brings among the mounts of `spec`.

    Once, when the container is made. Raises UsageError, NotFoundError.
    """
    joining.check(spec)
    for kind in JOINING:
        wanted = joined_container(getattr(spec, kind))
        if wanted:
            found = _find(paths, wanted, joining.flag_of(kind, spec))
            setattr(spec, kind, f"container:{found}")
    theirs = []
    for text in spec.volumes_from:
        name, modes = joining.parse_volumes_from(text)
        record = containers.read_record(paths, _find(paths, name, f"--volumes-from {text}"))
        theirs.append(joining.inherited_mounts(record.get("mounts", []), modes, paths.volumes))
        spec.inherited += record.get("volumes", [])
    spec.mounts = joining.merged([*theirs, spec.mounts])


def _find(paths: Paths, text: str, place: str) -> str:
    try:
        return containers.find(paths, text)
    except NotFoundError as error:
        raise NotFoundError(f"{place}: {error.message}", "rl ps -a", EXIT_ENGINE) from None


def planned(paths: Paths, spec: ContainerSpec) -> Joined:
    """For a container that is made and not started: nothing is open, and no process is known."""
    return _Joining(paths, spec).describe()


def open_all(paths: Paths, spec: ContainerSpec) -> Joined:
    """Open the namespaces that `spec` (resolved) names, for a start.

    Raises RlError when one of the containers does not run, HostError when it cannot be joined.
    """
    found = _Joining(paths, spec)
    try:
        found.open()
        return found.describe()
    except BaseException:
        found.joined.close()
        raise


class _Joining:
    """The way to a Joined."""

    def __init__(self, paths: Paths, spec: ContainerSpec) -> None:
        self._paths = paths
        self._spec = spec
        self.joined = Joined()
        wanted = ((kind, joined_container(getattr(spec, kind))) for kind in JOINING)
        self._donors = {kind: found for kind, found in wanted if found}
        self._pids = dict.fromkeys(self._donors, 0)
        self._has_clock = False

    # --- what the plan has to know

    def describe(self) -> Joined:
        joined, pids = self.joined, self._pids
        kinds = [kind for kind in self._donors if kind != "userns"]
        joined.paths = {kind: f"/proc/{pids[kind]}/ns/{_FILES[kind]}" for kind in kinds}
        if self._has_clock:
            joined.paths["time"] = f"/proc/{pids['pid']}/ns/time"
        if "ipc" in kinds:
            joined.shm = f"/proc/{pids['ipc']}/root/dev/shm"
        named = self._donors.get("uts") or self._donors.get("network")
        if named:
            joined.hostname = _hostname_of(self._paths, named)
        if "network" in kinds:
            joined.files = _network_files(self._paths, self._donors["network"])
            if self._spec.no_hosts:
                joined.files.pop("/etc/hosts", None)
        return joined

    # --- descriptors

    def open(self) -> None:
        for kind, container_id in self._donors.items():
            self._open(kind, container_id)

    def _open(self, kind: str, container_id: str) -> None:
        place = joining.flag_of(kind, self._spec)[: len(f"--{kind} container:") + 12]
        name, running = _running(self._paths, kind, container_id, place)
        try:
            keeper = _open_process(running, "keeper")
            init = _open_process(running, "init")
        except OSError:
            raise _does_not_run(kind, name, place) from None
        try:
            self._be_with(keeper, place)
            self._pids[kind] = running.pid("init")
            if kind == "userns":
                self._check_owner(_ns(init, "user"), place, name, is_user=True)
            else:
                self._open_namespace(kind, init, place, name)
        finally:
            os.close(keeper)
            os.close(init)

    def _be_with(self, keeper: int, place: str) -> None:
        """The user namespace is the keeper's: it is ours, and has not moved."""
        found = _ns(keeper, "user")
        if self.joined.user_fd < 0:
            self.joined.user_fd = found
            return
        is_same = os.path.samestat(os.fstat(found), os.fstat(self.joined.user_fd))
        os.close(found)
        if not is_same:
            raise UsageError(
                f"{place}: that container and the other one that is joined do not share a user"
                " namespace",
                hint="rl run --userns container:OTHER …  # for one of the two",
            )

    def _open_namespace(self, kind: str, init: int, place: str, name: str) -> None:
        fd = _ns(init, _FILES[kind])
        self.joined.fds[kind] = fd
        own = os.stat(f"/proc/self/ns/{_FILES[kind]}")
        if os.path.samestat(os.fstat(fd), own):
            raise UsageError(f"{place}: container {name} has the host's", hint=f"--{kind} host")
        self._check_owner(_owner_of(fd), place, name)
        if kind == "ipc":
            self.joined.fds[SHM_OWNER] = _ns(init, "mnt")
        if kind == "pid":
            self._open_clock(init)

    def _check_owner(self, owner: int, place: str, name: str, *, is_user: bool = False) -> None:
        is_same = owner >= 0 and os.path.samestat(os.fstat(owner), os.fstat(self.joined.user_fd))
        if owner >= 0:
            os.close(owner)
        if not is_same:
            what = "it" if is_user else "its namespaces"
            raise HostError(
                f"{place}: container {name} has ids of its own (--userns), nobody else can join"
                f" {what}",
                hint=f"rl inspect --format '{{{{.HostConfig.UsernsMode}}}}' {name}",
            )

    def _open_clock(self, init: int) -> None:
        """The time namespace comes with the pid namespace: the times of processes are in it."""
        try:
            if os.path.samestat(os.stat("ns/time", dir_fd=init), os.stat("/proc/self/ns/time")):
                return
            with open(os.open("timens_offsets", os.O_RDONLY, dir_fd=init)) as file:
                self.joined.started_ns = boot_offset(file.read())
        except FileNotFoundError:
            return  # a kernel without
        self.joined.fds["time"] = _ns(init, "time")
        self._has_clock = True


def boot_offset(text: str) -> int:
    """When the clock of /proc/PID/timens_offsets began, in ns of the host's CLOCK_BOOTTIME."""
    for line in text.splitlines():
        clock, seconds, nanoseconds = line.split()
        if clock == "boottime":
            return -(int(seconds) * 10**9 + int(nanoseconds))
    return 0


def _running(paths: Paths, kind: str, container_id: str, place: str) -> tuple[str, live.Live]:
    try:
        record = containers.read_record(paths, container_id)
    except NotFoundError:
        raise NotFoundError(f"{place}: that container is gone", "rl ps -a", EXIT_ENGINE) from None
    name = str(record["name"])
    found = live.look(paths, name, container_id)
    if found is None:
        raise _does_not_run(kind, name, place)
    if kind == "ipc" and (record.get("spec") or {}).get("ipc") in ("private", "none"):
        raise UsageError(
            f"{place}: non-shareable IPC of container {name}", "rl run --ipc shareable …"
        )
    return name, found


def _does_not_run(kind: str, name: str, place: str) -> RlError:
    what = f"{kind} namespace" if kind != "network" else kind
    return RlError(
        f"{place}: cannot join {what} of a non running container: {name}",
        f"rl start {name}", EXIT_ENGINE,
    )  # fmt: skip


def _open_process(running: live.Live, name: str) -> int:
    """The directory of that very process in /proc: whoever gets its number later is not there."""
    pid, started = running.state.get("processes", {}).get(name, (0, 0))
    folder = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if not proc.is_alive(pid, started):
        os.close(folder)
        raise ProcessLookupError
    return folder


def _ns(process: int, name: str) -> int:
    return os.open(f"ns/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)


def _owner_of(namespace: int) -> int:
    """The user namespace that owns it, -1 where that is not for us to see."""
    import fcntl

    try:
        return fcntl.ioctl(namespace, _NS_GET_USERNS)
    except OSError:
        return -1


def _hostname_of(paths: Paths, container_id: str) -> str:
    record = containers.read_record(paths, container_id)
    if record.get("hostname"):
        return str(record["hostname"])
    other = joined_container(str((record.get("spec") or {}).get("uts", "")))
    return _hostname_of(paths, other) if other else os.uname().nodename


def _network_files(paths: Paths, container_id: str) -> dict[str, str]:
    """The files that came with the other container's network, container path → path here."""
    mounts = containers.read_config(paths, container_id)["mounts"]
    binds = {one["destination"]: one["source"] for one in mounts if one["type"] == "bind"}
    return {path: binds[path] for path in netfiles.PATHS if path in binds}
