"""Whether containers live on after the user has logged out."""

from __future__ import annotations

import os

from rootless import log
from rootless.cgroup import choice as choices
from rootless.store import files, paths

_LINGERING = "/var/lib/systemd/linger"
_MARK = "linger-was-said"


def warn_once() -> None:
    """Say, once after each boot, that the end of the session is the end of the containers."""
    mark = f"{paths.find_runtime()}/{_MARK}"
    if os.path.exists(mark) or not choices.choose().is_systemd:
        return
    import pwd

    name = pwd.getpwuid(os.geteuid()).pw_name
    if os.path.exists(f"{_LINGERING}/{name}"):
        return
    log.warn(
        "the container ends when you log out, as the user's systemd does;"
        f" to let it live on: loginctl enable-linger {name}"
    )
    files.write_atomic(mark, b"")
