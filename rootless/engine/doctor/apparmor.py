"""The AppArmor profile that lets rl have user namespaces, as commands for an administrator.

The profile attaches to the path of the script `rl` (see the file): it has to be one that only root
can change. Decision 0035.
"""

from __future__ import annotations

import os
import shlex

from rootless import config
from rootless.tools import spawn

_PROFILE = "apparmor/rl"
_TARGET = "/etc/apparmor.d/rl"
_HEAD = "profile rl "
# Where the profile that is shipped expects rl; the last is what the commands below make.
_USUAL = ("/usr/bin/rl", "/usr/local/bin/rl", "/opt/rl/bin/rl")
# Not to be pasted: whose rl it is that root installs is for root to decide.
_INSTALL = (
    "# First install rl where only root can change it; users then run /opt/rl/bin/rl:\n"
    "#   sudo python3 -m venv /opt/rl && sudo /opt/rl/bin/pip install SOURCE-OF-RL"
)


def commands() -> str:
    """For this rl where root owns it, else for one that root installs first."""
    script = own_script()
    if not script or not is_roots(script):
        return f"{_INSTALL}\n{_load(_profile())}"
    return _load(attached(_profile(), script))


def own_script() -> str:
    """The file that was executed, "" where that was Python with rl as a module."""
    words = spawn.command_of_rl()
    return os.path.realpath(words[0]) if len(words) == 1 else ""


def is_roots(script: str) -> bool:
    """Whether nobody but root can change `script`, the package, or a directory above them."""
    return all(_is_roots_path(path) for path in (script, os.path.abspath(config.__file__)))


def _is_roots_path(path: str) -> bool:
    while True:
        info = os.stat(path)
        # In a directory with the sticky bit others cannot rename what is root's.
        is_open = info.st_mode & 0o022 and not info.st_mode & 0o1000
        if info.st_uid != 0 or is_open:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def attached(profile: str, script: str) -> str:
    """`profile` with the path `script` where it is none of the usual ones."""
    if script in _USUAL:
        return profile
    lines = profile.splitlines()
    place = next(at for at, line in enumerate(lines) if line.startswith(_HEAD))
    flags = lines[place].partition(" flags=")[2]
    lines[place] = f'{_HEAD}"{script}" flags={flags}'
    return "\n".join(lines)


def _profile() -> str:
    """Without its comments."""
    with open(config.shipped(_PROFILE), encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if not line.startswith("#")]
    return "\n".join(lines).strip()


def _load(profile: str) -> str:
    return (
        f"sudo tee {_TARGET} >/dev/null <<'END'\n{profile}\nEND\n"
        f"sudo apparmor_parser -r {shlex.quote(_TARGET)}"
    )
