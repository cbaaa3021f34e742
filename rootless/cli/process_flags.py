"""Flags that say how a process is run, of `rl run` and `rl exec` alike."""

from __future__ import annotations

import os

from rootless.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.options import Parsed


def environment(parsed: Parsed, *, of_host: bool = False) -> dict[str, str]:
    """Later sources win: the host's, then files, then flags. Raises UsageError."""
    env = dict(os.environ) if of_host else {}
    words, files = parsed.all("env"), parsed.all("env-file")
    if words or files:
        from rootless.model import envfile

        for path in files:
            content = read(path, f"--env-file {path}")
            env.update(envfile.parse_env_file(content, path, os.environ))
        env.update(envfile.parse_env(words, os.environ))
    return env


def workdir(parsed: Parsed) -> str:
    """--workdir, "" without. Raises UsageError for one that is not absolute."""
    path = parsed.text("workdir")
    if path and not path.startswith("/"):
        raise UsageError(f"--workdir {path}: not an absolute path", hint=f"--workdir /{path}")
    return path


def read(path: str, place: str) -> bytes:
    """The bytes of a file that a flag names. Raises UsageError that begins with `place`."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UsageError(f"{place}: {error.strerror}") from error
