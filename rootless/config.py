"""Where configuration is: the files that `rl` ships and those that administrators and users write.

A shipped file gives the defaults; files of the same name in /etc/rl, in ~/.config/rl and in the
directory that RL_CONFIG names stand above it, each above the ones before.
"""

from __future__ import annotations

import os
import sys

from rootless.errors import NotFoundError, UsageError, describe_os_error

# The administrator's. What it says about what users may do, nothing of theirs changes.
SYSTEM_FOLDER = "/etc/rl"

# Each of several files is looked for in the same few directories, of which most do not exist.
_missing: set[str] = set()


def shipped(name: str) -> str:
    """The path of the file `name` of the project's `config/` directory, or of `packaging/`.

    A wheel carries it in `rootless/_config`, a distribution's package may put it in `share/rl`, and
    a checkout has both directories beside the package. Raises NotFoundError.
    """
    for folder in _shipped_folders():
        path = f"{folder}/{name}"
        if os.path.exists(path):
            return path
    raise NotFoundError(
        f"{name}: missing from this installation of rl",
        hint="pip install --force-reinstall rootless",
    )


def _shipped_folders() -> tuple[str, ...]:
    package = os.path.dirname(os.path.abspath(__file__))
    checkout = os.path.dirname(package)
    return (
        f"{package}/_config",
        f"{checkout}/config",
        f"{checkout}/packaging",
        f"{sys.prefix}/share/rl",
    )


def user_files(name: str) -> list[str]:
    """The existing files `name` of the administrator and of the user, the strongest last."""
    paths = [f"{folder}/{name}" for folder in user_folders() if _is_there(folder)]
    return [path for path in paths if os.path.exists(path)]


def system_file(name: str) -> str:
    """The path of the administrator's file `name`, "" where there is none."""
    path = f"{SYSTEM_FOLDER}/{name}"
    return path if _is_there(SYSTEM_FOLDER) and os.path.exists(path) else ""


def _is_there(folder: str) -> bool:
    if folder in _missing:
        return False
    if os.path.isdir(folder):
        return True
    _missing.add(folder)
    return False


def user_folders() -> list[str]:
    """The directories of the administrator and of the user, the strongest last."""
    explicit = os.environ.get("RL_CONFIG")
    own = [os.path.abspath(explicit)] if explicit else []
    return [SYSTEM_FOLDER, f"{home()}/rl", *own]


def home() -> str:
    """Where the user's configuration of all programs is (XDG Base Directory Specification)."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return named if os.path.isabs(named) else os.path.expanduser("~/.config")


def load(path: str, *, must_be_read: bool = False) -> dict[str, object]:
    """The tables of the TOML file `path`, empty where it cannot be read. Raises UsageError.

    must_be_read: a file that may not be read is an error: what it forbids would be allowed.
    On the start path: without a file that says anything, no TOML reader is imported.
    """
    return _parse(_read(path, must_be_read=must_be_read), path)


def _read(path: str, *, must_be_read: bool) -> str:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if isinstance(error, PermissionError) and not must_be_read:
            return ""
        raise UsageError(describe_os_error(error)) from error
    with open(fd, encoding="utf-8", errors="replace") as file:
        return file.read()


def _parse(content: str, path: str) -> dict[str, object]:
    # A file of comments alone, as the shipped one is, must not cost the import below.
    if all(not line.strip() or line.lstrip().startswith("#") for line in content.splitlines()):
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        document: dict[str, object] = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from error
    return document
