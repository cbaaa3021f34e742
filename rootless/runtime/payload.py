"""The last steps before the payload: session, limits, privileges, exec.

Everything here runs inside the container's root, with files of the image around: nothing is
imported, no library function that loads files (getpwnam, locale) is called.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import EXIT_CANNOT_INVOKE, EXIT_NOT_FOUND, RuntimeSetupError
from rootless.kernel import capabilities, libc, signals
from rootless.runtime import messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from rootless.kernel.channel import Channel
    from rootless.runtime.devices import Terminal
    from rootless.runtime.messages import Request
    from rootless.runtime.stdio import Stdio

_OVERFLOW_ID = 65534  # how ids that are not mapped are shown (user_namespaces(7))
# A script may have a script as its interpreter, five times over (exec_binprm() in fs/exec.c).
_SHEBANG_DEPTH = 6


def load_everything(request: Request) -> None:
    """Import all that init will run; what is taken for a host file must never be the image's.

    Called by the keeper: init may be another user, with the image mounted over a path of ours
    (nested.py), long before the root changes.
    """
    from rootless.runtime import reaper

    process = request["document"]["process"]
    if request["loopback"]:
        from rootless.kernel import netdev

        _loaded.append(netdev)
    if request["copy_up"]:
        from rootless.runtime import copytree

        _loaded.append(copytree)
    if request["answered"]:
        from rootless.runtime import answering

        _loaded.append(answering)

    _loaded.append(reaper)
    load_for(process)


def load_for(process: dict[str, Any]) -> None:
    """The same for what a `process` of an OCI document needs, in a new or a running container."""
    if process["terminal"]:
        from rootless.kernel import pty

        _loaded.append(pty)
    if process.get("rlimits"):
        import resource

        from rootless.kernel import rlimits

        _loaded.extend((resource, rlimits))


_loaded: list[Any] = []


def start(request: Request, setup: Channel, stdio: Stdio, terminal: Terminal | None) -> NoReturn:
    """Become the payload; with `--init` become its reaper. Reports failures to the launcher."""
    process = request["document"]["process"]
    if "oomScoreAdj" in process:
        set_oom_score(process["oomScoreAdj"])
    if request["most_cpus"]:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["most_cpus"]])
    begin_session(process, stdio, terminal, interactive=request["interactive"])
    _make_directory(process["cwd"])
    enter_directory(process["cwd"])
    path = find_executable(process["args"][0], process["env"])
    refuse_interpreter(path, own_interpreter())
    if request["answered"]:
        from rootless.runtime import answering

        # While it is privileged, and before a filter that may forbid what this needs.
        answering.install(
            request["answered"], request["listener_to"],
            is_asked=request["tells_sysinfo"], emulation=request["emulation"],
            user=process["user"],
        )  # fmt: skip
    give_up_powers(
        process, request["seccomp"],
        keep_groups=request["keep_groups"], has_one_id=request["emulation"] is not None,
    )  # fmt: skip
    # After the change of ids, which clears it: the payload must not outlive the keeper.
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    if request["init"]:
        from rootless.runtime import reaper

        # As confined as the payload, which may be able to trace it.
        reaper.fork_payload(setup)
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    if process.get("apparmorProfile"):
        confine_on_exec(process["apparmorProfile"])
    execute(path, process, setup)


def begin_session(
    process: dict[str, Any], stdio: Stdio, terminal: Terminal | None, *, interactive: bool
) -> None:
    """What every first process of a session gets: umask, limits, session, keyring, streams."""
    os.umask(process["user"].get("umask", 0o022))
    if process.get("rlimits"):
        from rootless.kernel import rlimits

        rlimits.apply(process["rlimits"])
    os.setsid()
    libc.join_new_session_keyring()
    _install_streams(process, stdio, terminal, interactive=interactive)


def give_up_powers(
    process: dict[str, Any], seccomp: bytes, *, keep_groups: bool, has_one_id: bool
) -> None:
    """The filter of system calls (compiled, empty for none), and `take_identity`."""
    # Without no_new_privs only a privileged process may install a filter (seccomp(2)).
    if not process.get("noNewPrivileges"):
        _filter_calls(seccomp)
    take_identity(process, keep_groups=keep_groups, has_one_id=has_one_id)
    if process.get("noNewPrivileges"):
        _filter_calls(seccomp)


def confine_on_exec(profile: str, asked: str = "--security-opt apparmor=") -> None:
    """Change to an AppArmor profile at the exec (aa_change_onexec(3)). Raises RuntimeSetupError,
    which says how it was `asked` for."""
    try:
        with open("/proc/self/attr/apparmor/exec", "w") as file:
            file.write(f"exec {profile}")
    except OSError as error:
        raise RuntimeSetupError(
            f"{asked}{profile}: {error.strerror}: is it loaded on this host?"
        ) from error


def set_oom_score(score: int) -> None:
    """Set it for this process. Raises RuntimeSetupError where that takes privileges."""
    try:
        with open("/proc/self/oom_score_adj", "r+") as file:
            now = file.read().strip()
            file.write(str(score))
    except OSError as error:
        raise RuntimeSetupError(
            f"--oom-score-adj {score}: a normal user cannot go below {now}",
            hint=f"--oom-score-adj {now}",
        ) from error


def _install_streams(
    process: dict[str, Any], stdio: Stdio, terminal: Terminal | None, *, interactive: bool
) -> None:
    if terminal is None:
        stdio.install(interactive=interactive)
        return
    from rootless.kernel import pty

    _give_terminal(terminal.follower, process["user"]["uid"])
    pty.make_controlling(terminal.follower)
    for number in range(3):
        os.dup2(terminal.follower, number)


def _give_terminal(fd: int, uid: int) -> None:
    try:
        os.fchown(fd, uid, -1)
    except OSError as error:
        # Of a user who is only acted out: to the kernel it is this user's already.
        if error.errno != errno.EINVAL:
            raise


def _make_directory(path: str) -> None:
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        # makedirs says "File exists" of what stands in its way.
        raise _no_directory(
            path, errno.ENOTDIR if error.errno == errno.EEXIST else error.errno
        ) from error


def enter_directory(path: str) -> None:
    """Make it the working directory. Raises RuntimeSetupError."""
    try:
        os.chdir(path)
        # ENOENT where a link of /proc has led out of our root (getcwd(2)), as in CVE-2024-21626.
        os.getcwd()
    except OSError as error:
        raise _no_directory(path, error.errno) from error


def _no_directory(path: str, number: int | None) -> RuntimeSetupError:
    reason = os.strerror(number or 0)
    return RuntimeSetupError(f"working directory {path}: {reason}", exit_code=EXIT_CANNOT_INVOKE)


def take_identity(process: dict[str, Any], *, keep_groups: bool, has_one_id: bool) -> None:
    """Bounding set, groups, ids, capability sets, no_new_privs: in the order the kernel needs.

    has_one_id: we are the only user that there is already; calls about users are answered.
    """
    sets = process.get("capabilities", {})
    capabilities.drop_bounding(sets.get("bounding", []))
    if not has_one_id:
        _change_user(process["user"], keep_groups=keep_groups)
    capabilities.set_sets(sets)
    if process.get("noNewPrivileges"):
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)


def _change_user(user: dict[str, Any], *, keep_groups: bool) -> None:
    libc.prctl(libc.PR_SET_KEEPCAPS, 1)
    if not keep_groups:
        _set_groups(user.get("additionalGids", []))
    os.setresgid(user["gid"], user["gid"], user["gid"])
    os.setresuid(user["uid"], user["uid"], user["uid"])


def _set_groups(gids: list[int]) -> None:
    try:
        os.setgroups(gids)
    except PermissionError:
        # One gid is mapped and setgroups(2) is given up (user_namespaces(7)): there is one group.
        if len(gids) > 1:
            raise


def _filter_calls(program: bytes) -> None:
    if program:
        libc.seccomp_set_mode_filter(program)


def find_executable(name: str, env: list[str]) -> str:
    """The path of `name` as a shell finds it. Raises RuntimeSetupError with 126 or 127."""
    if "/" in name:
        _check_executable(name, name)
        return name
    path = next((entry[5:] for entry in env if entry.startswith("PATH=")), "")
    denied = False
    for folder in path.split(":"):
        candidate = f"{folder or '.'}/{name}"
        # One look each: what is not there is asked of the file server every time.
        kind = _kind_of(candidate)
        if kind and not stat.S_ISDIR(kind) and os.access(candidate, os.X_OK):
            return candidate
        denied = denied or stat.S_ISREG(kind)
    if denied:
        raise RuntimeSetupError(f'exec "{name}": permission denied', exit_code=EXIT_CANNOT_INVOKE)
    raise RuntimeSetupError(
        f'exec "{name}": executable file not found in $PATH', exit_code=EXIT_NOT_FOUND
    )


def _kind_of(path: str) -> int:
    """st_mode, 0 of what is not there or cannot be reached."""
    try:
        return os.stat(path).st_mode
    except OSError:
        return 0


def _check_executable(path: str, name: str) -> None:
    try:
        is_dir = os.path.isdir(path)
        os.stat(path)
    except OSError as error:
        code = (
            EXIT_NOT_FOUND if error.errno in (errno.ENOENT, errno.ENOTDIR) else EXIT_CANNOT_INVOKE
        )
        raise RuntimeSetupError(f'exec "{name}": {_reason(error)}', exit_code=code) from error
    if is_dir:
        raise RuntimeSetupError(f'exec "{name}": is a directory', exit_code=EXIT_CANNOT_INVOKE)


def own_interpreter() -> tuple[int, int] | None:
    """Device and inode of the Python that runs this code, where the container could write to it.

    None where that file is somebody else's, the system's.
    """
    own = os.stat("/proc/self/exe")
    if own.st_uid == _OVERFLOW_ID and not os.access("/proc/self/exe", os.W_OK):
        return None
    return own.st_dev, own.st_ino


def refuse_interpreter(path: str, own: tuple[int, int] | None) -> None:
    """Refuse an executable that is, or whose `#!` leads to, what own_interpreter has found.

    Through /proc/self/exe an image could otherwise hold the host's interpreter and overwrite it
    once we have left it, where the user owns that file (the runc flaw CVE-2019-5736).
    """
    if own is None:
        return
    for _ in range(_SHEBANG_DEPTH):
        try:
            info, head = _look_at(path)
        except OSError:
            return
        if (info.st_dev, info.st_ino) == own:
            raise RuntimeSetupError(
                f'exec "{path}": is the host\'s own interpreter', exit_code=EXIT_CANNOT_INVOKE
            )
        if not head.startswith(b"#!"):
            return
        interpreter = _interpreter_of(head)
        if not interpreter:
            return
        path = os.fsdecode(interpreter)


def _interpreter_of(head: bytes) -> bytes:
    """The path in the `#!` line of `head`, cut as the kernel cuts it (fs/binfmt_script.c).

    Other white space, such as a carriage return, belongs to the path.
    """
    line = head[2:].partition(b"\n")[0].lstrip(b" \t")
    for end in (b" ", b"\t", b"\0"):
        line = line.partition(end)[0]
    return line


def _look_at(path: str) -> tuple[os.stat_result, bytes]:
    """What `path` is and its first bytes; never waits for the other side of an image's FIFO."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        return info, os.read(fd, 256) if stat.S_ISREG(info.st_mode) else b""
    finally:
        os.close(fd)


def execute(
    path: str, process: dict[str, Any], setup: messages.Sender, *, first_closed: int = 3
) -> NoReturn:
    """execve(2), with nothing of ours left open or ignored; a failure goes to `setup`.

    first_closed: descriptors below it are the payload's.
    """
    env = dict(entry.split("=", 1) for entry in process["env"])
    # Ours are close-on-exec already; the caller's shell may have left others open.
    libc.close_on_exec_from(first_closed)
    for number in range(1, signals.NSIG):
        if number not in (signals.SIGKILL, signals.SIGSTOP):
            try:
                signals.signal(number, signals.SIG_DFL)
            except (OSError, ValueError):
                continue  # numbers that the C library keeps for itself
    signals.pthread_sigmask(signals.SIG_SETMASK, ())
    try:
        os.execve(path, process["args"], env)
    except OSError as error:
        code = EXIT_NOT_FOUND if error.errno == errno.ENOENT else EXIT_CANNOT_INVOKE
        reason = _reason(error)
        if error.errno == errno.ENOENT:
            reason += " (its interpreter or loader is missing in the image)"
        failure = RuntimeSetupError(f'exec "{process["args"][0]}": {reason}', exit_code=code)
        messages.send_failure(setup, failure, "exec")
    os._exit(code)


def _reason(error: OSError) -> str:
    if error.errno == errno.ENOEXEC:
        return "exec format error (another architecture, or a script without #!)"
    if error.errno == errno.ENOENT:
        return "no such file or directory"
    # In the words and the case that callers of OCI runtimes look for.
    return (error.strerror or "failed").lower()
