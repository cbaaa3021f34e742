"""The one door to child processes.

A child gets an environment made from nothing, only the descriptors that are named, and can be told
to die with its owner. `subprocess` is not used: its import costs more than the children we start.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import EXIT_ENGINE, HostError
from rootless.kernel import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

# Administrators' directories too: newuidmap and friends live in odd places on some distributions.
_EXTRA_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def which(name: str) -> str | None:
    """The absolute path of executable `name`, or None."""
    for folder in f"{os.environ.get('PATH', '')}:{_EXTRA_PATH}".split(":"):
        path = f"{folder}/{name}"
        if folder.startswith("/") and os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    return None


def find(name: str, package: str) -> str:
    """The path of `name`. Raises HostError that names Debian's `package` when it is missing."""
    path = which(name)
    if path is None:
        raise HostError(f"{name}: not installed", hint=f"sudo apt-get install {package}")
    return path


def clean_environment() -> dict[str, str]:
    """What a helper program gets: a path and a neutral locale, nothing of the user's."""
    return {"PATH": _EXTRA_PATH, "LC_ALL": "C"}


def quoted(argv: Sequence[str]) -> str:
    """`argv` as a line that can be pasted into a shell."""
    return " ".join(_quote(word) for word in argv)


def _quote(word: str) -> str:
    if word and all(c.isalnum() or c in "@%+=:,./-_" for c in word):
        return word
    return "'" + word.replace("'", "'\"'\"'") + "'"


class Child:
    """A running child process of ours; `wait` must be called once."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        """The exit code, 128+n after signal n (blocks)."""
        return exit_code_of(os.waitpid(self.pid, 0)[1])

    def kill(self, number: int = signals.SIGKILL) -> None:
        """Send a signal; a child that has ended is no error."""
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            pass


def last_words(text: str, *, besides: tuple[str, ...] = ()) -> str:
    """Why a program failed: the last line of its standard error that begins with none of `besides`,
    which are what it also writes when all is well."""
    lines = (line.strip() for line in text.splitlines())
    telling = [line for line in lines if line and not line.startswith(besides)]
    return telling[-1] if telling else "ended without a word"


def exit_code_of(status: int) -> int:
    """A wait status as a shell shows it: the code, or 128 plus the signal's number."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    pass_fds: Sequence[int] = (),
    die_with_parent: int = 0,
    own_session: bool = False,
    cwd: str | None = None,
    umask: int | None = None,
) -> Child:
    """Start `argv` (an absolute path first); None for a standard stream means /dev/null.

    pass_fds keep their numbers in the child. die_with_parent is the signal that the child gets
    when the calling thread ends (PR_SET_PDEATHSIG), 0 for none. own_session: what the user's
    terminal sends to its foreground group does not reach the child; so with die_with_parent.
    cwd and umask are the child's; None inherits them.
    """
    log.effect(f"run {quoted(argv)}")
    streams = (stdin, stdout, stderr)
    environment = clean_environment() if env is None else env
    if not die_with_parent and cwd is None:
        started = _spawn_quickly(argv, environment, streams, pass_fds, own_session, umask)
        if started is not None:
            return started
    owner = os.getpid()
    pid = os.fork()
    if pid == 0:
        _enter(cwd, umask)
        if own_session or die_with_parent:
            # Ctrl-C at the user's terminal is not for a helper, which ends when its owner does.
            os.setsid()
        _exec_child(argv, dict(environment), streams, pass_fds, die_with_parent, owner)
    return Child(pid)


def _spawn_quickly(
    argv: Sequence[str],
    env: Mapping[str, str],
    streams: Sequence[int | None],
    pass_fds: Sequence[int],
    own_session: bool,
    umask: int | None,
) -> Child | None:
    """By posix_spawn(3), which copies nothing of this process: a fork costs 0.7 ms more, most of it
    in the writes afterwards.

    None where it cannot be done, and when it fails: a fork tells of the failure as it does of all.
    """
    if any(fd is not None and fd < 3 for fd in streams):
        return None
    actions = [_stream_action(fd, number) for number, fd in enumerate(streams)]
    actions += [(os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable() if fd not in pass_fds]
    before = -1 if umask is None else os.umask(umask)
    ours = [fd for fd in pass_fds if not os.get_inheritable(fd)]
    try:
        # Not by a duplicate onto itself: glibc before 2.29 would close it.
        for fd in ours:
            os.set_inheritable(fd, True)
        pid = os.posix_spawn(
            argv[0], list(argv), env, file_actions=actions, setsid=own_session,
            setsigmask=(), setsigdef=(signals.SIGPIPE, signals.SIGINT),
        )  # fmt: skip
    except (OSError, NotImplementedError):
        return None
    finally:
        for fd in ours:
            os.set_inheritable(fd, False)
        if before >= 0:
            os.umask(before)
    return Child(pid)


def _stream_action(fd: int | None, number: int) -> tuple[int, ...] | tuple[int, int, str, int, int]:
    if fd is None:
        return (os.POSIX_SPAWN_OPEN, number, "/dev/null", os.O_RDWR, 0)
    return (os.POSIX_SPAWN_DUP2, fd, number)


def _inheritable() -> list[int]:
    """What our own caller has left open for us, beyond the standard streams."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
        except OSError:
            continue  # the listing's own descriptor
    return found


def _enter(cwd: str | None, umask: int | None) -> None:
    if umask is not None:
        os.umask(umask)
    if cwd is not None:
        try:
            os.chdir(cwd)
        except OSError:
            os._exit(127)


def _exec_child(
    argv: Sequence[str],
    env: dict[str, str],
    streams: Sequence[int | None],
    pass_fds: Sequence[int],
    death_signal: int,
    owner: int,
) -> NoReturn:
    try:
        if death_signal:
            from rootless.kernel import libc

            libc.prctl(libc.PR_SET_PDEATHSIG, death_signal)
            # The owner may have died between fork and prctl: then nobody would signal us. In a
            # new pid namespace getppid() is 0 and the check does not apply.
            if os.getppid() not in (owner, 0):
                os._exit(EXIT_ENGINE)
        _install_streams(streams)
        _pass_only(pass_fds)
        signals.pthread_sigmask(signals.SIG_SETMASK, ())
        for number in (signals.SIGPIPE, signals.SIGINT):
            signals.signal(number, signals.SIG_DFL)
        os.execve(argv[0], list(argv), env)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _pass_only(fds: Sequence[int]) -> None:
    """Let `fds` survive the exec, and nothing that our own caller has left open."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd > 2:
            try:
                os.set_inheritable(fd, fd in fds)
            except OSError:
                continue  # the listing's own descriptor


def _install_streams(streams: Sequence[int | None]) -> None:
    null = os.open("/dev/null", os.O_RDWR)
    # First out of the way of 0..2, so that no source is overwritten before it is copied.
    high = [os.dup(null if fd is None else fd) for fd in streams]
    while min(high) < 3:
        high = [os.dup(fd) if fd < 3 else fd for fd in high]
    for number, fd in enumerate(high):
        os.dup2(fd, number)


def command_of_rl() -> list[str]:
    """How this rl was started, up to its own words; an absolute path first.

    A script that names its interpreter is executed itself, as it was: security modules go by that
    (decision 0035).
    """
    import sys

    words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    script = os.path.abspath(words[-1])
    if len(words) > 1 and _first_line(script) == b" ".join(map(os.fsencode, words[:-1])):
        return [script]
    return [sys.executable, *words[1:]]


def _first_line(path: str) -> bytes:
    """What stands behind the `#!` of an executable file; b"" for any other."""
    if not os.access(path, os.X_OK):
        return b""
    try:
        with open(path, "rb") as file:
            line = file.readline(4096)
    except OSError:
        return b""
    return b" ".join(line[2:].split()) if line.startswith(b"#!") else b""


def become_rl(*words: str) -> NoReturn:
    """Execute `rl WORDS` in the place of this process, in the way that it was started itself."""
    command = command_of_rl()
    os.execv(command[0], [*command, *words])


class Completed:
    """The end of a program that `run` waited for."""

    def __init__(self, code: int, stdout: bytes, stderr: bytes) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr

    def complaint(self) -> str:
        """The last line of its standard error, for an error message."""
        lines = self.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"exit code {self.code}"


def run(
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    die_with_parent: int = 0,
) -> Completed:
    """Run `argv` to its end with `stdin` (at most a pipe's 64 KiB) and collect both outputs.

    Outputs go through memory files, so that no reader has to keep up with the child.
    """
    read_end, write_end = os.pipe()
    out, err = os.memfd_create("stdout"), os.memfd_create("stderr")
    try:
        os.write(write_end, stdin)
        os.close(write_end)
        write_end = -1
        code = spawn(
            argv, env=env, stdin=read_end, stdout=out, stderr=err, die_with_parent=die_with_parent
        ).wait()
        return Completed(code, _contents(out), _contents(err))
    finally:
        for fd in (read_end, write_end, out, err):
            if fd >= 0:
                os.close(fd)


def _contents(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)
