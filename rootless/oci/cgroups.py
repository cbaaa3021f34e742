"""The control group of a container that any caller describes: `linux.cgroupsPath` and the manager.

cgroup v2 only. Without privileges and without delegation there is none, and a document that asks
for limits is then refused, as one that asks for none is not (crun and runc do the same).
"""

from __future__ import annotations

import errno
import os
import time

from rootless import log
from rootless.cgroup import group as groups
from rootless.cgroup import hierarchy as hierarchies
from rootless.cgroup import properties as unit_properties
from rootless.cgroup import resources as limits
from rootless.errors import HostError, UsageError, describe_os_error
from rootless.kernel import signals
from rootless.model.idmap import parse_map, to_outside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.cgroup.resources import Setting
    from rootless.tools.systemd import Manager, Property

SYSTEMD, CGROUPFS, DISABLED = "systemd", "cgroupfs", "disabled"
MANAGERS = (CGROUPFS, SYSTEMD, DISABLED)
_UNKNOWN = 2**64 - 1


class Wish:
    """What a document wants. slice_name, scope: for systemd. path: for cgroupfs, below the mount of
    cgroup2 where it begins with "/", else below the caller's own group."""

    __slots__ = ("manager", "path", "resources", "scope", "slice_name")

    def __init__(self, document: dict[str, Any], manager: str, container_id: str) -> None:
        linux = document["linux"]
        self.manager = manager
        self.path = str(linux.get("cgroupsPath") or "")
        self.resources = limits_of(linux["resources"])
        if not self.path and manager == CGROUPFS:
            self.path = self._path_of_choice(container_id)
        self.slice_name, self.scope = "", ""
        if manager == SYSTEMD:
            self._read_systemd(container_id)

    def _read_systemd(self, container_id: str) -> None:
        """`slice:prefix:name`, as runc and crun have it."""
        words = self.path.split(":")
        if self.path and len(words) != 3:
            raise UsageError(f"linux.cgroupsPath {self.path}: for systemd, slice:prefix:name")
        self.slice_name, prefix, name = words if self.path else ("", "rl", container_id)
        is_slice = name.endswith(".slice")
        self.scope = name if is_slice else (f"{prefix}-{name}.scope" if prefix else f"{name}.scope")

    def _path_of_choice(self, container_id: str) -> str:
        """Below the top where that is ours, as crun has it: our own group may well have processes
        in it, and passes no controllers on then."""
        if os.access(f"{hierarchies.discover().mount}/cgroup.subtree_control", os.W_OK):
            return f"/rl-{container_id}"
        return f"rl-{container_id}" if self.needs_group else ""

    @property
    def settings(self) -> list[Setting]:
        """The files to write."""
        return limits.settings(self.resources)

    @property
    def needs_group(self) -> bool:
        """Whether something was asked for that cannot be had without one."""
        return any(not setting.optional for setting in self.settings)


def limits_of(wanted: dict[str, Any]) -> dict[str, Any]:
    """The part of a linux.resources that cgroup v2 knows, in the words of cgroup.resources.

    Rules for devices are left out: a filter of them takes the host's root, and a user namespace
    opens none but those that it was given. Raises UsageError for what only version 1 had, and rdma.
    """
    for section, key in _NOT_HERE:
        part = wanted.get(section) or {}
        if (part.get(key) if key else part) not in (None, {}, [], False):
            raise UsageError(f"linux.resources.{section}{key and '.'}{key}: not to be had here")
    names = ("memory", "cpu", "pids", "blockIO", "unified")
    found = {name: wanted[name] for name in names if wanted.get(name)}
    more = _as_files(wanted)
    if more:
        found["unified"] = {**more, **found.get("unified", {})}
    return found


_NOT_HERE = (
    ("network", ""), ("rdma", ""), ("memory", "kernel"), ("memory", "kernelTCP"),
    ("memory", "swappiness"), ("memory", "disableOOMKiller"), ("cpu", "realtimeRuntime"),
    ("cpu", "realtimePeriod"), ("blockIO", "leafWeight"), ("blockIO", "weightDevice"),
)  # fmt: skip


def _as_files(wanted: dict[str, Any]) -> dict[str, str]:
    """What has a file of its own and no word in `cgroup.resources`."""
    cpu, found = wanted.get("cpu") or {}, {}
    for key, file in (("burst", "cpu.max.burst"), ("idle", "cpu.idle")):
        if cpu.get(key) is not None:
            found[file] = str(cpu[key])
    for row in wanted.get("hugepageLimits") or []:
        found[f"hugetlb.{row['pageSize']}.max"] = str(row["limit"])
    return found


def make(wish: Wish, pid: int) -> str:
    """Put the process `pid` into a group of the container's own, limited; its directory, "" where
    there can be none. Raises RlError."""
    hierarchy = hierarchies.discover()
    if wish.manager == DISABLED or hierarchy.mode != hierarchies.V2:
        return _without(wish, "no cgroup v2 of this host may be used")
    try:
        directory = _scope(wish, pid) if wish.manager == SYSTEMD else _directory(wish, pid)
    except HostError as error:
        return _without(wish, error.message)
    except OSError as error:
        return _without(wish, describe_os_error(error))
    if not directory:
        return ""  # nobody has named a place, or needs one
    try:
        write(directory, wish.settings)
    except BaseException:
        remove(directory)
        raise
    return directory


def _without(wish: Wish, reason: str) -> str:
    if wish.needs_group:
        first = next(setting for setting in wish.settings if not setting.optional)
        raise HostError(
            f"linux.resources ({first.flag}): {reason}", hint="rl-oci --systemd-cgroup …"
        )
    log.effect(f"no control group: {reason}")
    return ""


def _scope(wish: Wish, pid: int) -> str:
    properties: list[Property] = [
        ("Description", "s", f"OCI container {wish.scope}"),
        ("Delegate", "b", True),
        ("CollectMode", "s", "inactive-or-failed"),
    ]
    if wish.slice_name:
        properties.append(("Slice", "s", wish.slice_name))
    # Else DefaultTasksMax, 15 % of what the machine can have.
    told = {"TasksMax": ("TasksMax", "t", _UNKNOWN), **known_to_systemd(wish.resources)}
    properties += told.values()
    systemd_of_user(15.0).start_scope(wish.scope, [pid], properties).wait()
    return hierarchies.directory(hierarchies.discover().mount, hierarchies.group_of(pid))


def known_to_systemd(resources: dict[str, Any]) -> dict[str, Property]:
    """What a unit's properties can say of `resources`: its reload lifts all other limits."""
    weights = limits.weights(resources)
    told = {name: (name, "t", value) for name, value in weights.items()}
    return {**unit_properties.of_settings(limits.settings(resources)), **told}


def systemd_of_user(seconds: float) -> Manager:
    """The manager of the user that we are on the host: as root of a user namespace, whose that is.

    Podman calls its runtime so.
    """
    from rootless.tools import systemd

    with open("/proc/self/uid_map") as file:
        outside = to_outside(parse_map(file.read()), os.geteuid())
    return systemd.Manager(seconds=seconds, host_uid=outside)


def _directory(wish: Wish, pid: int) -> str:
    hierarchy = hierarchies.discover()
    if wish.path.startswith("/"):
        base = hierarchy.mount
    elif wish.path:
        base = hierarchy.directory
    else:
        return ""
    directory = os.path.normpath(f"{base}/{wish.path.lstrip('/')}")
    if not directory.startswith(f"{base}/"):
        raise UsageError(f"linux.cgroupsPath {wish.path}: leads out of {base}")
    _make_dirs(base, directory)
    groups.enter(directory, pid)
    return directory


def _make_dirs(base: str, directory: str) -> None:
    """mkdir -p, with every controller that can be passed on."""
    place = base
    for name in directory[len(base) + 1 :].split("/"):
        try:
            names = groups.read(f"{place}/cgroup.controllers").split()
            groups.pass_on(place, names)
        except OSError as error:
            log.effect(f"{place}: controllers: {error.strerror}")
        place = f"{place}/{name}"
        try:
            os.mkdir(place, 0o755)
        except FileExistsError:
            pass


def write(directory: str, settings: list[Setting]) -> None:
    """Write `settings` into the group. Raises RlError that names the first that cannot be."""
    if not directory:
        if settings:
            raise HostError("the container has no control group", hint="rl-oci --systemd-cgroup …")
        return
    for setting in settings:
        if "." not in setting.file:
            raise UsageError(
                f"the specified key has not the form CONTROLLER.VALUE `{setting.file}`"
            )
        _write_one(directory, setting)


def _write_one(directory: str, setting: Setting) -> None:
    log.effect(f"write {setting.text!r} to {directory}/{setting.file}")
    try:
        groups.write(f"{directory}/{setting.file}", setting.text)
    except OSError as error:
        if setting.instead is not None and error.errno == errno.ENOENT:
            _write_one(directory, setting.instead)
        elif not setting.optional:
            raise _refused(directory, setting, error) from error


def _refused(directory: str, setting: Setting, error: OSError) -> HostError:
    controller = setting.file.partition(".")[0]
    available = hierarchies.read_words(f"{directory}/cgroup.controllers")
    if controller not in (*available, "cgroup"):
        return HostError(
            f"the requested cgroup controller `{controller}` is not available in {directory}",
            hint="rl-oci --systemd-cgroup …",
        )
    reason = (error.strerror or "").lower()
    return HostError(f"write {setting.text!r} to {directory}/{setting.file}: {reason}")


def join(directory: str, scope: str, pid: int) -> None:
    """Move the process of an exec into the group `directory`, as far as that can be."""
    try:
        groups.enter(directory, pid)
        return
    except HostError as error:
        if not scope:
            log.effect(error.message)
            return
    try:
        child = directory.partition(scope)[2]
        systemd_of_user(5.0).attach(scope, child or "/", [pid])
    except HostError as error:
        log.effect(error.message)


def kill(directory: str) -> None:
    """SIGKILL all that is in the group and below it; also where the kernel has no cgroup.kill."""
    if not directory:
        return
    try:
        groups.write(f"{directory}/cgroup.kill", "1")
    except OSError:
        send(directory, signals.SIGKILL)


def send(directory: str, number: int) -> None:
    """Send a signal to all that is in the group and below it."""
    for pid in groups.pids(directory):
        try:
            os.kill(pid, number)
        except OSError:
            continue


def freeze(directory: str, *, frozen: bool) -> None:
    """Stop or continue all of the group. Raises HostError."""
    if not directory:
        raise HostError("the container has no control group to be paused by")
    try:
        groups.write(f"{directory}/cgroup.freeze", "1" if frozen else "0")
        _wait_for_freeze(directory, frozen=frozen)
    except OSError as error:
        raise HostError(f"{directory}: {error.strerror}") from error


def _wait_for_freeze(directory: str, *, frozen: bool) -> None:
    for _ in range(500):
        state = groups.numbers(groups.read(f"{directory}/cgroup.events"))
        if state.get("frozen") == int(frozen):
            return
        time.sleep(0.01)
    raise HostError(f"{directory}: not {'frozen' if frozen else 'running'} after 5 s")


def remove(directory: str) -> None:
    """Remove the group and what the container has made below it; processes that are about to end
    are waited for. A group that is gone is no error."""
    if not directory:
        return
    for _ in range(100):
        try:
            _remove_tree(directory)
            return
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                log.effect(f"rmdir {directory}: {error.strerror}")
                return
        time.sleep(0.01)


def _remove_tree(directory: str) -> None:
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if os.path.isdir(path) and not os.path.islink(path):
            _remove_tree(path)
    os.rmdir(directory)
