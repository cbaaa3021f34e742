"""/dev/net/tun, which every user-mode network opens as the user."""

from __future__ import annotations

import os

from rootless.errors import HostError

TUN = "/dev/net/tun"


def check_tun(path: str = TUN) -> None:
    """Raises HostError where the user cannot open it, with the command that changes that."""
    if not os.path.exists(path):
        raise HostError(f"{path}: no such device", hint=f"sudo modprobe tun; ls -l {path}")
    try:
        # A control group may not be allowed the device, the kernel may lack its module.
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise HostError(f"{path}: {reason}", hint=f"sudo chmod 0666 {path}") from error
