"""`rl exec`: a command in a running container, followed to its end or left alone."""

from __future__ import annotations

import os
import select

from rootless import config, log
from rootless.cgroup import choice as choices
from rootless.cgroup import group as groups
from rootless.cgroup import hierarchy as hierarchies
from rootless.engine import answered, exec_plan, live, plan_process, streams
from rootless.engine.pump import poll
from rootless.engine.supervise import Signals
from rootless.errors import EXIT_ENGINE, HostError, RlError
from rootless.kernel import proc, signals
from rootless.model import capabilities, detach_keys
from rootless.runtime import enter, members, seccomp
from rootless.runtime.stdio import NoStdio, Stdio
from rootless.store import containers, events, execs
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.engine.live import Live
    from rootless.kernel import pty
    from rootless.model.exec_spec import ExecSpec
    from rootless.runtime.enter import EnterRequest, Entry
    from rootless.store.paths import Paths


def run(paths: Paths, text: str, spec: ExecSpec) -> int:
    """Run a command in container `text`; its exit code as a shell shows it, 0 when detached.

    Raises RlError with exit code 125, 126 or 127 when it did not start.
    """
    if spec.privileged and config.system_file("rl.toml"):
        from rootless.engine import policy

        policy.check_privileged()
    keys = detach_keys.parse(spec.detach_keys)
    found = find(paths, text)
    told = _Told(paths, found, spec)
    entry = begin(paths, found, spec, NoStdio() if spec.detach else Stdio(), told)
    try:
        told.tell("exec_start")
        if spec.detach:
            leader = entry.go(terminal=spec.tty)
            if leader >= 0:
                entry.keep(leader)
            return 0
        code, has_detached = _follow(entry, spec, detach_keys.DetachKeys(keys))
        if has_detached:
            told.tell("exec_detach")
        return code
    except BaseException:
        entry.abandon()
        raise


def _follow(entry: Entry, spec: ExecSpec, keys: detach_keys.DetachKeys) -> tuple[int, bool]:
    """Let the command start and wait for it: its exit code, and whether we were detached."""
    # First: the command's words can reach somebody who then sends a signal before we are told that
    # it runs.
    incoming = Signals()
    try:
        session = _Session(entry, spec, entry.go(terminal=spec.tty), keys, incoming)
        return session.run(), session.has_detached
    finally:
        incoming.close()


def _refuse_foreign(paths: Paths, found: Live, text: str) -> None:
    """What a runtime makes that we know nothing of need not be made of namespaces."""
    runtime = containers.read_record(paths, found.id).get("spec", {}).get("runtime")
    if not runtime:
        return
    from rootless.tools import oci_runtimes

    if oci_runtimes.kind_of(oci_runtimes.path_of(runtime)) == oci_runtimes.UNKNOWN:
        raise RlError(
            f"container {text}: its runtime, {runtime}, is neither crun nor runc, and may keep it"
            " elsewhere than in namespaces",
            hint=f"rl top {text}",
            exit_code=EXIT_ENGINE,
        )


def find(paths: Paths, text: str) -> Live:
    """The container `text`, ready for a command. Raises RlError when it does not run or is
    paused."""
    found = live.find(paths, text)
    _refuse_foreign(paths, found, text)
    if live.is_frozen(found.group):
        raise RlError(
            f"container {text} is paused, unpause the container before exec",
            hint=f"rl unpause {text}",
            exit_code=EXIT_ENGINE,
        )
    return found


class _Told:
    """What `rl events` tells of a command, as docker does."""

    def __init__(self, paths: Paths, found: Live, spec: ExecSpec) -> None:
        self._paths = paths
        self._record = containers.read_record(paths, found.id)
        self._words = " ".join(spec.command)
        self.exec_id = execs.new_id()

    def tell(self, action: str) -> None:
        """ "exec_create", "exec_start" or "exec_detach"."""
        self._emit(f"{action}: {self._words}")

    def tell_end(self, status: int) -> None:
        """By rl-exec, which is there until the command has ended."""
        self._emit("exec_die", exitCode=spawn.exit_code_of(status))

    def _emit(self, action: str, **more: object) -> None:
        events.of_container(self._paths, action, self._record, execID=self.exec_id, **more)


def begin(
    paths: Paths, found: Live, spec: ExecSpec, stdio: Stdio, told: _Told | None = None
) -> Entry:
    """A process on its way into the container, and in its control group. Raises RlError.

    told: None for a command of ours, of which nobody is told.
    """
    request = _request(paths, found, spec)
    exec_id = told.exec_id if told is not None else execs.new_id()

    def ended(status: int | None) -> None:
        execs.remove(paths, found.id, exec_id)
        if told is not None and status is not None:
            told.tell_end(status)

    request["ended"] = ended
    entry = enter.Entry(request, stdio)
    request["command"]["process"] = {}
    request["namespaces"].close()
    os.close(request["init_fd"])
    try:
        _note(paths, found, exec_id, entry.pid)
        if told is not None:
            told.tell("exec_create")
        _group(found, entry.pid)
    except BaseException:
        entry.abandon()
        raise
    return entry


def _note(paths: Paths, found: Live, exec_id: str, pid: int) -> None:
    try:
        execs.add(paths, found.id, exec_id, pid)
    except OSError as error:
        log.effect(f"{paths.execs}: {error.strerror}")  # listed less well, run all the same


def _request(paths: Paths, found: Live, spec: ExecSpec) -> EnterRequest:
    config = containers.read_config(paths, found.id)
    record = containers.read_record(paths, found.id)
    wish = record.get("spec") or {}
    linux = config["linux"]
    document = {} if spec.privileged else linux.get("seccomp", {})
    root = os.stat("/")
    may_be_root = config.get("root", {}).get("path") == "/"
    pid, started = found.state["processes"]["init"]
    init_fd = proc.open_pidfd(pid, started)
    if init_fd < 0:
        raise _ended(found)
    uids, gids = (exec_plan.mapped(linux[key]) for key in ("uidMappings", "gidMappings"))
    emulation = answered.emulation(single=sum(size for _, size in uids) == 1)
    return {
        "command": {
            "process": exec_plan.process_of(spec, config, _size() if spec.tty else None),
            "user": spec.user,
            "home_is_given": "HOME" in spec.env or _gives_home(record, wish),
            "added": [] if spec.privileged else _added(wish, config),
            "uids": uids,
            "gids": gids,
            "seccomp": seccomp.program_for(document, paths.cache) if document else b"",
            "keep_groups": plan_process.KEEP_GROUPS in wish.get("group_add", ()),
            "cpus": _cpus_of(pid) if wish.get("cpu_affinity") else [],
            "interactive": spec.interactive,
            "root": (0, 0) if may_be_root else (root.st_dev, root.st_ino),
            "answered": answered.filter_of(emulation, sysinfo=False),
            "answered_seccomp": answered.confinement(paths.cache, sysinfo=False, single=True)
            if emulation
            else b"",
            "emulation": emulation,
            "listener_to": -1,
        },
        "namespaces": _open_namespaces(found, pid, started),
        "init_fd": init_fd,
        "helpers": found.group.helpers if found.group else "",
        "ended": lambda status: None,
    }


def _open_namespaces(found: Live, pid: int, started: int) -> members.Namespaces:
    try:
        return members.open_namespaces(pid, started)
    except (ProcessLookupError, FileNotFoundError):
        raise _ended(found) from None


def _ended(found: Live) -> RlError:
    return RlError(f"container {found.text}: is not running", hint="rl ps -a")


def _gives_home(record: dict[str, Any], wish: dict[str, Any]) -> bool:
    """Whether the image or a flag has set HOME; else it is that of who runs the command."""
    return bool(record.get("gives_home", "HOME" in wish.get("env", {})))


def _size() -> tuple[int, int] | None:
    from rootless.engine import terminal

    return terminal.size()


def _added(wish: dict[str, Any], config: dict[str, Any]) -> list[str]:
    """The capabilities that users other than root have, by --cap-add."""
    bounding = config["process"].get("capabilities", {}).get("bounding", [])
    return list(capabilities.explicitly_added(wish.get("cap_add", ()), bounding))


def _cpus_of(pid: int) -> list[int]:
    try:
        return sorted(os.sched_getaffinity(pid))
    except ProcessLookupError:
        return []


def _group(found: Live, pid: int) -> None:
    """Move `pid` into the container's control group. Raises HostError.

    From another session we may not move it ourselves (cgroup-v2.rst, "Delegation Containment");
    the user's systemd may.
    """
    group = found.group
    if group is None:
        return
    place = hierarchies.place_beside(group.container, found.pid("init"))
    try:
        groups.enter(place, pid)
    except HostError as error:
        if found.manager != choices.SYSTEMD:
            raise _outside(found, error) from error
        from rootless.cgroup import scope

        scope.enter(group, pid, place)


def _outside(found: Live, error: HostError) -> HostError:
    hint = "run it where the container was started: in the same job, scope or session"
    return HostError(f"container {found.text}: {error.message}", hint)


class _Session:
    """A command that somebody waits for: its streams, its signals, its end."""

    def __init__(
        self,
        entry: Entry,
        spec: ExecSpec,
        leader: int,
        keys: detach_keys.DetachKeys,
        incoming: Signals,
    ) -> None:
        self._entry = entry
        self._leader = leader
        self.has_detached = False
        self._incoming = incoming
        self._mode = _raw_mode(leader) if spec.interactive else None
        if leader < 0:
            self._pumps = streams.stream_pumps(entry.stdio, interactive=spec.interactive)
        else:
            self._pumps = streams.terminal_pumps(
                leader, interactive=spec.interactive, keys=keys, on_detach=self._detach
            )

    def run(self) -> int:
        """Until the end or the keys to detach; the exit code."""
        try:
            while not self.has_detached:
                if self._turn():
                    return self._end()
            self._entry.keep(self._leader)
            return 0
        finally:
            if self._mode is not None:
                self._mode.restore()

    def _detach(self) -> None:
        self.has_detached = True

    def _turn(self) -> bool:
        """Carry what there is; whether the command has ended."""
        report = self._entry.report.fd
        masks = {report: select.POLLIN, self._incoming.fd: select.POLLIN}
        for pump in self._pumps:
            pump.wants(masks)
        ready = poll(masks, None)
        if self._incoming.fd in ready:
            for number in self._incoming.take():
                self._forward(number)
        for pump in self._pumps:
            pump.handle(ready)
        return report in ready

    def _forward(self, number: int) -> None:
        if number == signals.SIGWINCH and self._leader >= 0:
            from rootless.engine import terminal

            terminal.copy_size(self._leader)
        else:
            self._entry.signal(number)

    def _end(self) -> int:
        for pump in self._pumps:
            if pump.source != 0:
                pump.drain()
        return spawn.exit_code_of(self._entry.status())


def _raw_mode(leader: int) -> pty.Mode | None:
    if leader < 0:
        return None
    from rootless.engine import terminal

    return terminal.raw_mode()
