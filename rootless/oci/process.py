"""What a `process` of a document asks for beside what every payload of rl's gets (runtime.payload).

Split in two: what is done while the process still has the powers of the container's root, and what
comes at the very end. Everything here runs with the container's files around: nothing is imported
that `load` has not imported.
"""

from __future__ import annotations

import os
import stat

from rootless import log
from rootless.errors import HostError, RlError, RuntimeSetupError, UsageError
from rootless.kernel import libc, mounts, signals
from rootless.model import user
from rootless.runtime import payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from rootless.runtime.messages import Sender

    Process = dict[str, Any]

_MAX_PASSWD = 1 << 20
SECCOMP_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 1, "SECCOMP_FILTER_FLAG_LOG": 2,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 4, "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 32,
}  # fmt: skip


class Filter:
    """The seccomp filter of a container. program: compiled, empty for none. listener: a connected
    socket that gets the notification descriptor, -1 without; state: what is sent with it."""

    __slots__ = ("flags", "listener", "program", "state")

    def __init__(self, program: bytes, flags: int) -> None:
        self.program = program
        self.flags = flags
        self.listener = -1
        self.state: Process = {}


def load(process: Process, linux: dict[str, Any]) -> None:
    """Import what `process`, and the section `linux` around it, need, before a root is entered."""
    payload.load_for(process)
    policies = linux.get("personality") or linux.get("memoryPolicy")
    if policies or process.get("scheduler") or process.get("ioPriority"):
        from rootless.kernel import scheduling  # noqa: F401
    if policies or process.get("execCPUAffinity"):
        from rootless.model import resources  # noqa: F401
    if process.get("apparmorProfile") or process.get("selinuxLabel"):
        from rootless.runtime import mounting  # noqa: F401
    if process["terminal"]:
        from rootless.runtime import devices  # noqa: F401
    section = linux.get("seccomp") or {}
    if section.get("flags") or section.get("listenerPath"):
        from rootless.kernel import notify  # noqa: F401
    if section.get("listenerPath"):
        from rootless.oci import listener  # noqa: F401
    if process["terminal"]:
        from rootless.oci import fdsocket  # noqa: F401


def begin(process: Process, *, new_keyring: bool, keep_terminal: int) -> None:
    """Session, limits, streams, schedule. keep_terminal: the descriptor of a pseudo-terminal's
    other side, -1 to keep the streams of the caller. Raises RlError."""
    os.umask(process["user"].get("umask", 0o022))
    if process.get("rlimits"):
        _limit(process["rlimits"])
    if new_keyring:
        libc.join_new_session_keyring()
    _schedule(process)
    uid = process["user"]["uid"]
    if keep_terminal < 0:
        _give_streams(uid)
        return
    from rootless.kernel import pty

    os.fchown(keep_terminal, uid, -1)
    pty.make_controlling(keep_terminal)
    for number in range(3):
        os.dup2(keep_terminal, number)


def _limit(limits: list[dict[str, Any]]) -> None:
    from rootless.kernel import rlimits

    try:
        rlimits.apply(limits)
    except HostError as error:
        # Which names the flag of a command line, and how to raise the session's own.
        raise HostError(
            error.message.replace("--ulimit", "process.rlimits"), exit_code=1
        ) from error


def set_oom_score(process: Process) -> None:
    """`oomScoreAdj`, while /proc is the host's. Raises RuntimeSetupError."""
    if process.get("oomScoreAdj") is not None:
        _set_oom_score(process["oomScoreAdj"])


def _set_oom_score(score: int) -> None:
    with open("/proc/self/oom_score_adj") as file:
        if file.read().strip() != str(score):
            payload.set_oom_score(score)


def copy_oom_score(process: Process) -> None:
    """For a process that joins a container: as near to the wish as our own session allows."""
    score = process.pop("oomScoreAdj", None)
    if score is not None:
        try:
            _set_oom_score(score)
        except RlError as error:
            log.effect(error.message)


def _give_streams(uid: int) -> None:
    """So that another user than root may open /dev/stdout again, as under the other runtimes."""
    for fd in range(3) if uid else ():
        try:
            info = os.fstat(fd)
            if stat.S_ISFIFO(info.st_mode) or os.isatty(fd):
                os.fchown(fd, uid, -1)
        except OSError:
            continue  # not ours to give


def _schedule(process: Process) -> None:
    if not (process.get("scheduler") or process.get("ioPriority")):
        return
    from rootless.kernel import scheduling

    try:
        if process.get("scheduler"):
            _set_scheduler(process["scheduler"])
        if process.get("ioPriority"):
            wanted = process["ioPriority"]
            kind = _choice(scheduling.IO_CLASSES, wanted.get("class"), "ioPriority.class")
            scheduling.set_io_priority(kind, int(wanted.get("priority", 0)))
    except OSError as error:
        raise RuntimeSetupError(
            f"process.scheduler or ioPriority: {(error.strerror or '').lower()}"
        ) from error


def _set_scheduler(wanted: dict[str, Any]) -> None:
    from rootless.kernel import scheduling

    policy = _choice(scheduling.POLICIES, wanted.get("policy"), "scheduler.policy")
    flags = [
        _choice(scheduling.FLAGS, name, "scheduler.flags") for name in wanted.get("flags") or ()
    ]
    numbers = {key: int(wanted.get(key) or 0) for key in
               ("nice", "priority", "runtime", "deadline", "period")}  # fmt: skip
    scheduling.set_scheduler(policy, flags=sum(flags), **numbers)


def _choice(table: dict[str, int], name: Any, where: str) -> int:
    if name not in table:
        raise UsageError(f"config.json: {where}: {name!r} is unknown", hint=", ".join(table))
    return table[name]


def set_affinity(text: Any, where: str) -> None:
    """Run on the CPUs of the list `text`; nothing where it is empty. Raises RlError."""
    if not text:
        return
    from rootless.model.resources import parse_list

    cpus = parse_list(str(text))
    if cpus is None:
        raise UsageError(f"{where}: {text!r} is no list of CPUs")
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        raise RuntimeSetupError(f"{where} {text}: {(error.strerror or '').lower()}") from error


def set_personality(wanted: dict[str, Any] | None) -> None:
    """`linux.personality`, which a filter of system calls may forbid later. Raises RlError."""
    if not wanted:
        return
    if wanted.get("flags"):
        raise UsageError("linux.personality.flags: none are defined")
    from rootless.kernel import scheduling

    scheduling.set_personality(_choice(scheduling.DOMAINS, wanted.get("domain"), "personality"))


def set_memory_policy(wanted: dict[str, Any]) -> None:
    """`linux.memoryPolicy`. Raises RlError."""
    from rootless.kernel import scheduling
    from rootless.model.resources import parse_list

    mode = _choice(scheduling.MEMORY_MODES, wanted.get("mode"), "memoryPolicy.mode")
    for name in wanted.get("flags") or []:
        mode |= _choice(scheduling.MEMORY_FLAGS, name, "memoryPolicy.flags")
    nodes = parse_list(str(wanted["nodes"])) if wanted.get("nodes") else set()
    if nodes is None:
        raise UsageError(f"linux.memoryPolicy.nodes: {wanted['nodes']!r} is no list of nodes")
    try:
        scheduling.set_memory_policy(mode, nodes)
    except OSError as error:
        raise RuntimeSetupError(f"linux.memoryPolicy: {(error.strerror or '').lower()}") from error


def add_home(process: Process, root_fd: int) -> None:
    """HOME of the container's own /etc/passwd, where the environment has none."""
    if any(entry.startswith("HOME=") for entry in process["env"]):
        return
    who = user.resolve(str(process["user"]["uid"]), read_text(root_fd, "/etc/passwd"), "")
    process["env"].append(f"HOME={who.home or '/'}")


def read_text(root_fd: int, path: str) -> str:
    """The text of a regular file below the container's root, "" where there is none to be had."""
    try:
        fd = mounts.open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    with open(fd, "rb") as file:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        return file.read(_MAX_PASSWD).decode(errors="replace")


def find(process: Process, own: tuple[int, int] | None) -> str:
    """Go to its directory, and find its program there. own: payload.own_interpreter().

    Raises RuntimeSetupError in the words that callers look for.
    """
    payload.enter_directory(process["cwd"])
    path = payload.find_executable(process["args"][0], process["env"])
    payload.refuse_interpreter(path, own)
    return path


def become(
    path: str, process: Process, filter_: Filter, report: Sender, *, keep_groups: bool, kept: int
) -> NoReturn:
    """Give up all powers and execute. kept: how many descriptors from 3 on are the payload's."""
    if process.get("noNewPrivileges"):
        payload.take_identity(process, keep_groups=keep_groups, has_one_id=False)
        _install(filter_)
    else:
        # Without no_new_privs only a privileged process may install a filter (seccomp(2)).
        _install(filter_)
        payload.take_identity(process, keep_groups=keep_groups, has_one_id=False)
    payload.execute(path, process, report, first_closed=3 + kept)


def confine(process: Process) -> None:
    """Change to the profile or the label at the exec. Raises RuntimeSetupError."""
    if not (process.get("apparmorProfile") or process.get("selinuxLabel")):
        return
    from rootless.runtime.mounting import check_proc

    check_proc()  # a volume in its place could swallow what we write (CVE-2019-16884)
    if process.get("apparmorProfile"):
        payload.confine_on_exec(process["apparmorProfile"], "process.apparmorProfile ")
    if process.get("selinuxLabel"):
        try:
            with open("/proc/self/attr/exec", "w") as file:
                file.write(process["selinuxLabel"])
        except OSError as error:
            raise RuntimeSetupError(
                f"process.selinuxLabel {process['selinuxLabel']}: {(error.strerror or '').lower()}"
            ) from error


def _install(filter_: Filter) -> None:
    if not filter_.program:
        return
    if filter_.listener < 0 and not filter_.flags:
        libc.seccomp_set_mode_filter(filter_.program)
        return
    from rootless.kernel import notify

    try:
        if filter_.listener >= 0:
            from rootless.oci import listener

            listener.install(filter_.program, filter_.flags, filter_.listener, filter_.state)
        else:
            notify.install_filter(filter_.program, filter_.flags)
    except OSError as error:
        raise RuntimeSetupError(f"linux.seccomp: {(error.strerror or '').lower()}") from error


def restore_signals() -> None:
    """What our own handling of keys has changed."""
    for number in signals.FROM_TERMINAL:
        signals.signal(number, signals.SIG_DFL)
