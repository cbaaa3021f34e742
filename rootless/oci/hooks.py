"""The document's hooks: programs of the caller at six moments (config.md, "POSIX-platform Hooks").

Each gets the container's state on its standard input. What it writes is kept for the message of its
failure; nothing of it reaches the streams of the container or of the caller.
"""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.errors import RuntimeSetupError
from rootless.kernel import libc, signals
from rootless.kernel.channel import close_all_but, wait_readable
from rootless.model import jsontext
from rootless.tools.spawn import exit_code_of, last_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

PREPARING = ("prestart", "createRuntime")
PHASES = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
_MOST_WORDS = 4096


class HookFailed(RuntimeSetupError):
    """A hook ended with another exit code than 0, or not in its time."""

    exit_code = 1


def run_all(hooks: dict[str, Any], phase: str, state: dict[str, Any], directory: str) -> None:
    """Run those of `phase` in their order, in `directory`. Raises HookFailed at the first that
    fails."""
    for number, hook in enumerate(hooks.get(phase) or ()):
        _run(hook, f"hooks.{phase}[{number}]", state, directory)


def run_with_warnings(
    hooks: dict[str, Any], phase: str, state: dict[str, Any], directory: str
) -> None:
    """The same for what is done already: a failure is a warning, and the next one runs."""
    for number, hook in enumerate(hooks.get(phase) or ()):
        try:
            _run(hook, f"hooks.{phase}[{number}]", state, directory)
        except RuntimeSetupError as error:
            log.warn(error.message)


def _run(hook: dict[str, Any], name: str, state: dict[str, Any], directory: str) -> None:
    path = str(hook.get("path", ""))
    log.effect(f"hook {name}: {path}")
    if not path.startswith("/"):
        raise HookFailed(f"{name}: path {path!r} is not absolute")
    text = _memory("state", jsontext.dumps(state).encode())
    words = _memory("words", b"")
    pid = os.fork()
    if pid == 0:
        _become(hook, path, text, words, directory)
    os.close(text)
    try:
        code = _wait(pid, name, hook.get("timeout"))
        if code:
            said = last_words(os.pread(words, _MOST_WORDS, 0).decode(errors="replace"))
            raise HookFailed(f"{name}: {path}: exit code {code}: {said}")
    finally:
        os.close(words)


def _memory(name: str, content: bytes) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _become(hook: dict[str, Any], path: str, text: int, words: int, directory: str) -> NoReturn:
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
        os.setsid()
        for number in (signals.SIGPIPE, *signals.FROM_TERMINAL):
            signals.signal(number, signals.SIG_DFL)
        signals.pthread_sigmask(signals.SIG_SETMASK, ())
        for number, fd in enumerate((text, words, words)):
            os.dup2(fd, number)
        close_all_but(())
        if directory:
            os.chdir(directory)
        env = dict(os.environ)
        if hook.get("env") is not None:
            env = dict(entry.split("=", 1) for entry in hook["env"] if "=" in entry)
        os.execve(path, [str(word) for word in hook.get("args") or [path]], env)
    except BaseException as error:
        os.write(2, f"{path}: {error}\n".encode(errors="replace"))
    os._exit(127)


def _wait(pid: int, name: str, timeout: Any) -> int:
    if timeout is not None:
        deadline = time.monotonic() + float(timeout)
        fd = os.pidfd_open(pid)
        left = max(0, int((deadline - time.monotonic()) * 1000))
        ended = wait_readable([fd], left)
        os.close(fd)
        if not ended:
            os.kill(pid, signals.SIGKILL)
            os.waitpid(pid, 0)
            raise HookFailed(f"{name}: not done after {timeout} s")
    return exit_code_of(os.waitpid(pid, 0)[1])
