"""Init where another OCI runtime does the rest: that creates the container, we wait for its end.

    init                                   the other runtime
    ── create ───────────────────────────▶ makes the container; its first process waits
    tells the launcher that process (READY), waits for the word GO
    ── start ────────────────────────────▶
    waits for that process, which becomes its child
    ── delete --force ───────────────────▶

By `create` and `start`, as conmon has it, not by `run`: what fails before the command runs is told
from a command that fails. The bundle is the working directory of all of them and holds what is
between us and that program, by short names: paths of sockets end at 107 bytes.
"""

from __future__ import annotations

import _socket
import os
import sys

from rootless.errors import EXIT_CANNOT_INVOKE, EXIT_ENGINE, EXIT_NOT_FOUND, RuntimeSetupError
from rootless.kernel import libc, signals
from rootless.kernel.channel import close_all_but, null_fd, wait_readable
from rootless.model import jsontext
from rootless.runtime import namespaces
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from rootless.runtime.messages import ForeignRequest, Request
    from rootless.runtime.stdio import Stdio

LOG, PID, CONSOLE, STATE = "log", "pid", "console", "state"
_MS_FOR_TERMINAL = 5000
_MOST_WORDS = 1 << 16
# What runc, crun and ours say of a command that they do not find, or may not execute.
_OF_EXEC = ("executable file", "exec: ", 'exec "', "open executable", "exec container process")
_MISSING = ("not found", "no such file or directory", "not a directory")


class Container:
    """One that the other runtime has created; it waits for `start`."""

    def __init__(self, wanted: ForeignRequest, request: Request, stdio: Stdio) -> None:
        """Raises RuntimeSetupError with that program's own words."""
        self._wanted = wanted
        self._command = request["document"]["process"]["args"][0]
        self._errors = os.memfd_create("stderr", os.MFD_CLOEXEC)
        self.leader = -1
        self._prepare()
        terminal = request["document"]["process"]["terminal"]
        console = _listen() if terminal else None
        try:
            self._create(request, None if terminal else stdio)
            self.pid = _read_pid()
            self.fd = os.pidfd_open(self.pid)
            self.leader = _receive_leader(console) if console else -1
        except BaseException:
            self.delete()
            raise
        # Or nobody would see the end of what the command writes.
        stdio.close_container_side()

    def _prepare(self) -> None:
        libc.prctl_name("rl-runtime")
        libc.set_command_line("rl-runtime")
        os.setsid()
        os.chdir(self._wanted["bundle"])
        # Signals are taken when we wait; the end of the keeper, by SIGTERM, ends the container.
        signals.pthread_sigmask(signals.SIG_BLOCK, signals.valid_signals())
        keeper = os.getppid()
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGTERM)
        libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)
        if os.getppid() != keeper:
            os._exit(EXIT_ENGINE)

    def _create(self, request: Request, stdio: Stdio | None) -> None:
        words = ["create", "--bundle", self._wanted["bundle"], "--pid-file", PID]
        words += [] if stdio else ["--console-socket", CONSOLE]
        pid = os.fork()
        if pid == 0:
            self._become(request, stdio, [*words, self._wanted["name"]])
        if spawn.exit_code_of(os.waitpid(pid, 0)[1]):
            raise self._failure("create", stdio)

    def _become(self, request: Request, stdio: Stdio | None, words: list[str]) -> NoReturn:
        argv = self._argv(*words)
        try:
            if not self._wanted["enters_group"]:
                namespaces.enter_cgroup(request)
            if stdio is None:
                _install((null_fd(), null_fd(), self._errors))
            else:
                stdio.install(interactive=request["interactive"])
            libc.close_on_exec_from(3)
            signals.pthread_sigmask(signals.SIG_SETMASK, ())
            os.execve(argv[0], argv, self._wanted["env"])
        except BaseException as error:
            os.write(2, f"{argv[0]}: {error}\n".encode())
        finally:
            os._exit(EXIT_ENGINE)

    def _argv(self, *words: str) -> list[str]:
        wanted = self._wanted
        options = ["--root", STATE, "--log", LOG, "--log-format", "json", *wanted["options"]]
        return [wanted["program"], *options, *words]

    def _call(self, *words: str) -> int:
        child = spawn.spawn(self._argv(*words), env=self._wanted["env"], stderr=self._errors)
        return child.wait()

    def start(self) -> None:
        """Let the command run. Raises RuntimeSetupError."""
        if self._call("start", self._wanted["name"]):
            error = self._failure("start", None)
            self.delete()
            raise error

    def delete(self) -> None:
        """Take back what there is of it; what cannot be, the keeper ends."""
        self._call("delete", "--force", self._wanted["name"])

    def _failure(self, what: str, stdio: Stdio | None) -> RuntimeSetupError:
        words = last_error(_text(LOG)) or last_error(_written(self._errors, stdio))
        said = words or f"{what} failed without a word"
        code = code_of(said)
        if code != EXIT_ENGINE and self._command not in said:
            said = f'exec "{self._command}": {said}'
        name = os.path.basename(self._wanted["program"])
        text = said if said.startswith(f"{name} ") else f"{name}: {said}"
        return RuntimeSetupError(text, exit_code=code)

    def wait(self) -> NoReturn:
        """Until its first process has ended, or the keeper; end as that process did."""
        null = null_fd()
        for number in range(3):
            os.dup2(null, number)
        close_all_but({self.fd, self._errors})
        code = _wait_for(self.pid, self.fd)
        self.delete()
        os._exit(code)


def code_of(words: str) -> int:
    """The exit code of `rl run` for what a runtime says of its failure."""
    low = words.lower()
    if not any(sign in low for sign in _OF_EXEC):
        return EXIT_ENGINE
    return EXIT_NOT_FOUND if any(sign in low for sign in _MISSING) else EXIT_CANNOT_INVOKE


def last_error(text: str) -> str:
    """The last error of a log as JSON, one object a line; of any other text its last line."""
    lines = [line for line in text.splitlines() if line.strip()]
    for line in reversed(lines):
        try:
            entry = jsontext.loads(line)
        except ValueError:
            return line.strip()
        if isinstance(entry, dict) and entry.get("level") in ("error", "fatal"):
            return " ".join(str(entry.get("msg", "")).split())
    return ""


def _wait_for(pid: int, fd: int) -> int:
    """The exit code of our child `pid`, whose pidfd is `fd`, as a shell shows it."""
    while True:
        number = signals.sigwait(signals.valid_signals())
        if number == signals.SIGTERM:
            signals.send(fd, signals.SIGKILL)
        elif number == signals.SIGCHLD:
            status = _reap(pid)
            if status is not None:
                return spawn.exit_code_of(status)


def _reap(pid: int) -> int | None:
    """Collect what has ended; the wait status of `pid` if that is among it."""
    found = None
    try:
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == pid:
                found = ended[1]
    except ChildProcessError:
        pass
    return found


def _read_pid() -> int:
    text = _text(PID).strip()
    if not text.isdecimal():
        raise RuntimeSetupError("the other runtime names no process of the container")
    return int(text)


def _listen() -> _socket.socket:
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    sock.bind(CONSOLE)
    sock.listen(1)
    return sock


def _receive_leader(console: _socket.socket) -> int:
    """The leader of the terminal, which has come over the socket when `create` has ended."""
    if not wait_readable([console.fileno()], _MS_FOR_TERMINAL):
        raise RuntimeSetupError("the other runtime sends no terminal")
    fd = console._accept()[0]  # type: ignore[attr-defined]
    os.set_inheritable(fd, False)
    sock = _socket.socket(fileno=fd)
    size = 4
    try:
        _, rights, _, _ = sock.recvmsg(
            _MOST_WORDS, _socket.CMSG_SPACE(size), _socket.MSG_CMSG_CLOEXEC
        )
    finally:
        sock.close()
        console.close()
        os.unlink(CONSOLE)
    fds = [int.from_bytes(raw[:size], sys.byteorder) for _, _, raw in rights]
    if not fds or not os.isatty(fds[0]):
        raise RuntimeSetupError("the other runtime sends no terminal")
    return fds[0]


def _install(streams: tuple[int, int, int]) -> None:
    for number, fd in enumerate(streams):
        os.dup2(fd, number)


def _text(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read(_MOST_WORDS)
    except OSError:
        return ""


def _written(errors: int, stdio: Stdio | None) -> str:
    """What it has written to its standard error, which can be the container's."""
    raw = os.pread(errors, _MOST_WORDS, 0)
    if stdio is not None and stdio.container[2] > 2:
        raw = _left_in_pipe(stdio.container[2])
    return raw.decode(errors="replace")


def _left_in_pipe(write_end: int) -> bytes:
    """What the launcher, which reads at the other end, does not before the command runs."""
    read_end = os.open(f"/proc/self/fd/{write_end}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(read_end, _MOST_WORDS)
    except BlockingIOError:
        return b""
    finally:
        os.close(read_end)
