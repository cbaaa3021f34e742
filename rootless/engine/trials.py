"""What works on this host, found out by trying once in each boot (store.verdicts remembers it)."""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import HostError
from rootless.model.container import STORAGE_DRIVERS
from rootless.net.tun import check_tun
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.verdicts import Verdicts
_FUSE = STORAGE_DRIVERS[0]
_SQUASH = "squashfuse"
_DEVICE = "/dev/fuse"
_LIMIT = "/proc/sys/user/max_net_namespaces"


def storage(verdicts: Verdicts, program: str) -> dict[str, str]:
    """Driver → reason against it, "" for the first that works; later ones are missing.

    program: fuse-overlayfs, "" where it cannot be used. Raises StoreError where nothing can be
    written.
    """
    found: dict[str, str] = {}
    for driver in STORAGE_DRIVERS:
        reason = verdicts.get(driver, _program(driver, program))
        if driver == _FUSE and not program:
            reason = "cannot be used"  # why, `_obstacle` says
        if reason is None:
            return _try_storage(verdicts, program, found)
        found[driver] = reason
        if not reason:
            break
    return found


def overlay_too(verdicts: Verdicts, found: dict[str, str]) -> dict[str, str]:
    """`found`, and whether native overlay works, for who would rather have that."""
    alone = storage(verdicts, "")
    return {**found, **{name: why for name, why in alone.items() if name not in found}}


def squashfuse(verdicts: Verdicts, program: str) -> str:
    """Why `program` mounts no image file, "" if it does. Raises StoreError."""
    key = f"{_identity(program)} {_identity(_DEVICE)}"
    reason = verdicts.get(_SQUASH, key)
    if reason is None:
        from rootless.runtime import storage_trial

        log.effect(f"try {program}")
        try:
            reason = verdicts.put(_SQUASH, key, storage_trial.squash(verdicts.paths, program))
        except HostError:
            return ""  # no user namespaces: the start itself says that better
    return reason


def _program(driver: str, program: str) -> str:
    if driver != _FUSE or not program:
        return ""
    return f"{_identity(program)} {_identity(_DEVICE)}"


def _identity(path: str) -> str:
    """By which another version of a program is known, or another device."""
    try:
        info = os.stat(path)
    except OSError:
        return path
    return f"{path} {info.st_ino} {info.st_mtime_ns}"


def _try_storage(verdicts: Verdicts, program: str, known: dict[str, str]) -> dict[str, str]:
    """From the first driver on that is not in `known`."""
    from rootless.runtime import storage_trial

    rest = STORAGE_DRIVERS[len(known) :]
    log.effect(f"try the storage drivers {', '.join(rest)}")
    try:
        found = storage_trial.run(verdicts.paths, rest, program)
    except HostError:
        return known  # no user namespaces: the start itself says that better
    for driver, reason in found:
        known[driver] = verdicts.put(driver, _program(driver, program), reason)
    return known


def network(verdicts: Verdicts, driver: str) -> str:
    """Why slirp4netns or pasta, whichever `driver` is, gives no container a network; "" if it
    does."""
    program = spawn.which(driver)
    if program is None:
        return f"{driver}: not installed"
    try:
        check_tun()
    except HostError as error:
        return error.message
    # By the limit of namespaces too, which is what administrators set.
    key = f"{_identity(program)} {_limit()}"
    reason = verdicts.get(driver, key)
    if reason is not None:
        return reason
    from rootless.engine import network_trial

    log.effect(f"try the network driver {driver}")
    try:
        return verdicts.put(driver, key, network_trial.run(driver, verdicts.paths.runtime))
    except HostError:
        return ""  # no user namespaces: the start itself says that better


def _limit() -> str:
    try:
        with open(_LIMIT) as file:
            return file.read().strip()
    except OSError:
        return ""
