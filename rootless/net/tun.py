"""/dev/net/tun, which every user-mode network opens as the user."""

from __future__ import annotations

import os

from rootless.errors import HostError

TUN = "/dev/net/tun"


def check_tun(path: str = TUN) -> None:
    """Raises HostError where the user cannot open it, with the command that changes that."""
    if not os.path.exists(path):
        raise HostError(f"{path}: no such device", hint=f"sudo modprobe tun; ls -l {path}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise HostError(f"{path}: permission denied", hint=f"sudo chmod 0666 {path}")
