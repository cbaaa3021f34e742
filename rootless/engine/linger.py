"""Whether containers live on after the user has logged out."""

from __future__ import annotations

import os

from rootless import log
from rootless.store import files, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cgroup.choice import Choice

_LINGERING = "/var/lib/systemd/linger"
_MARK = "linger-was-said"


def warn_once(choice: Choice) -> None:
    """Say, once after each boot, that the end of the session is the end of the containers.

    choice: who makes their groups.
    """
    if not choice.is_systemd:
        return
    mark = f"{paths.find_runtime()}/{_MARK}"
    if os.path.exists(mark):
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
