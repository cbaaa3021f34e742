"""From the fork in a running container's pid namespace to the exec of the command.

The container may be hostile and runs already: each file of its root can change between two looks,
its /proc may be something else. So all that /proc/self is needed for happens before its mount
namespace is entered; nothing is imported then, and no path is opened that could lead out.
"""

from __future__ import annotations

import os
import stat

from rootless import quickload
from rootless.errors import EXIT_ENGINE, RlError, RuntimeSetupError, UsageError
from rootless.kernel import libc, mounts
from rootless.model import capabilities, user
from rootless.runtime import devices, messages, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypedDict

    from rootless.kernel.channel import Channel
    from rootless.model.user import ExecUser
    from rootless.runtime.members import Namespaces
    from rootless.runtime.messages import EmulationRequest
    from rootless.runtime.stdio import Stdio

    class Command(TypedDict):
        """What is to be run.

        process: an OCI `process`, complete but for a wish to be another user. user: that wish,
        "" for process.user. added: capabilities for a user other than root. uids, gids: which ids
        are mapped, as (first, how many). cpus: to run on, empty for all. interactive: it gets our
        standard input. root: device and inode of the host's "/", which the container's root cannot
        be; (0, 0) where it may. answered, answered_seccomp, emulation: as in messages.Request.
        listener_to: as well, noted by rl-exec.
        """

        process: dict[str, Any]
        user: str
        home_is_given: bool
        added: list[str]
        uids: list[tuple[int, int]]
        gids: list[tuple[int, int]]
        seccomp: bytes
        keep_groups: bool
        cpus: list[int]
        interactive: bool
        root: tuple[int, int]
        answered: bytes
        answered_seccomp: bytes
        emulation: EmulationRequest | None
        listener_to: int


# A passwd or group file beyond this is nobody's honest one.
_MAX_FILE = 1 << 20


def main(
    command: Command,
    namespaces: Namespaces,
    setup: Channel,
    stdio: Stdio,
    own: tuple[int, int] | None,
) -> NoReturn:
    """Join the rest of the namespaces and become the command. own: payload.own_interpreter()."""
    try:
        _run(command, namespaces, setup, stdio, own)
    except BaseException as error:
        messages.send_failure(setup, error, "entering the container")
        code = error.exit_code if isinstance(error, RlError) else EXIT_ENGINE
    os._exit(code)


def _run(
    command: Command,
    namespaces: Namespaces,
    setup: Channel,
    stdio: Stdio,
    own: tuple[int, int] | None,
) -> NoReturn:
    process = command["process"]
    if process.get("apparmorProfile"):
        payload.confine_on_exec(process["apparmorProfile"])
    if command["cpus"]:
        os.sched_setaffinity(0, command["cpus"])
    # What is not loaded by now never is: the files there are the container's.
    quickload.forget()
    namespaces.join_others("user", "pid", "time")
    namespaces.close()
    _check_root(command["root"])
    root_fd = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if command["user"]:
        _become_wished(command, root_fd)
    terminal = _terminal(root_fd, process, setup)
    os.close(root_fd)
    payload.begin_session(process, stdio, terminal, interactive=True)
    payload.enter_directory(process["cwd"])
    path = payload.find_executable(process["args"][0], process["env"])
    payload.refuse_interpreter(path, own)
    if command["emulation"] is not None:
        _have_users_answered(command)
    payload.give_up_powers(
        process, command["seccomp"],
        keep_groups=command["keep_groups"], has_one_id=command["emulation"] is not None,
    )  # fmt: skip
    payload.execute(path, process, setup)


def _have_users_answered(command: Command) -> None:
    from rootless.runtime import answering

    # Before it is answered.
    own = os.geteuid()
    answering.install(
        command["answered"], command["listener_to"],
        is_asked=False, emulation=command["emulation"], user=command["process"]["user"],
    )  # fmt: skip
    if command["process"]["user"]["uid"] != own:
        # To the kernel it is the container's root still, who gets everything at execve(2).
        libc.prctl(libc.PR_SET_SECUREBITS, libc.SECBIT_NOROOT | libc.SECBIT_NOROOT_LOCKED)


def _check_root(hosts: tuple[int, int]) -> None:
    """The container's first process has the host's root until it has changed it."""
    info = os.stat("/")
    if (info.st_dev, info.st_ino) == hosts:
        raise RuntimeSetupError("the container is still being started", hint="rl ps")


def _terminal(root_fd: int, process: dict[str, Any], setup: Channel) -> devices.Terminal | None:
    if not process["terminal"]:
        return None
    try:
        terminal = devices.open_terminal(root_fd, process.get("consoleSize"))
    except OSError as error:
        raise RuntimeSetupError(f"-t: the container's /dev/pts/ptmx: {error.strerror}") from error
    setup.send(messages.TERMINAL, fds=[terminal.leader])
    os.close(terminal.leader)
    return terminal


def _become_wished(command: Command, root_fd: int) -> None:
    """Settle who `process` runs as, by the container's own user database as it is now."""
    passwd, group = (_database(root_fd, name) for name in ("/etc/passwd", "/etc/group"))
    who = user.resolve(command["user"], passwd, group)
    if command["emulation"] is None and not (
        _is_mapped(who.uid, command["uids"]) and _is_mapped(who.gid, command["gids"])
    ):
        raise UsageError(f"--user {who.uid}:{who.gid}: not among the ids of this container")
    _settle(command, who)


def _settle(command: Command, who: ExecUser) -> None:
    process = command["process"]
    emulated = command["emulation"] is not None
    groups = [gid for gid in who.groups if emulated or _is_mapped(gid, command["gids"])]
    process["user"].update(
        uid=who.uid, gid=who.gid, additionalGids=list(dict.fromkeys((who.gid, *groups)))
    )
    process["capabilities"] = capabilities.process_capabilities(
        process["capabilities"]["bounding"], is_root=who.uid == 0, added=command["added"]
    )
    if not command["home_is_given"]:
        env = [entry for entry in process["env"] if not entry.startswith("HOME=")]
        process["env"] = [*env, f"HOME={who.home or '/'}"]


def _is_mapped(number: int, ranges: list[tuple[int, int]]) -> bool:
    return any(first <= number < first + size for first, size in ranges)


def _database(root_fd: int, path: str) -> str:
    """The text of a regular file below the container's root, "" where there is none to be had.

    Links are followed inside that root, but not those of /proc, which lead anywhere.
    """
    try:
        fd = mounts.open_in_root(root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return ""
        with open(fd, "rb", closefd=False) as file:
            return file.read(_MAX_FILE).decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(fd)
