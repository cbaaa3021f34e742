"""Each storage driver, mounted where the store is (or would be) and used, as a first start does."""

from __future__ import annotations

import os
from typing import Any

from rootless.engine import facts, image_files, storage
from rootless.errors import RlError, describe_os_error
from rootless.kernel import libc, signals
from rootless.model.container import STORAGE_DRIVERS
from rootless.runtime import storage_trial
from rootless.store import trees
from rootless.tools import confinement, idmap, spawn

FUSE = STORAGE_DRIVERS[0]


def look(root: str, place: str, pid: int) -> dict[str, Any]:
    """The facts that `engine.doctor.storage` judges; arguments: as of `folder_for`.

    tried: for each driver why it does not work, "" where it does. chosen: what a run takes, or
    refused: why it takes none. squash: of engine.image_files.squashfuse_of_host.
    """
    folder = folder_for(root, place, pid)
    host = facts.gather()
    told: dict[str, Any] = {
        "container": confinement.container(),
        "device": _device(),
        "program": spawn.which(FUSE) or "",
        "version": _version(),
        "squash": list(image_files.squashfuse_of_host()),
    }
    told["tried"] = {one: _try(one, folder, host.fuse_overlayfs) for one in STORAGE_DRIVERS}
    host.storage = told["tried"]
    try:
        told["chosen"], told["refused"] = storage.choose("", host, folder, shifts=False), ""
    except RlError as error:
        told["chosen"], told["refused"] = "", error.message
    return told


def folder_for(root: str, place: str, pid: int) -> str:
    """The directory of a trial that process `pid` asked for, removed after it.

    root: the store; place: what of its path is there.
    """
    tmp = f"{root}/tmp"
    return f"{tmp if os.path.isdir(tmp) else place}/.rl-doctor-{pid}"


def _device() -> str:
    """Why /dev/fuse cannot be used, "" when it can."""
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _version() -> str:
    path = spawn.which(FUSE)
    if path is None:
        return ""
    lines = spawn.run([path, "--version"]).stdout.decode(errors="replace").splitlines()
    own = (line for line in lines if line.startswith("fuse-overlayfs") and "version" in line)
    return next(own, "").rpartition(" ")[2]


def _try(driver: str, folder: str, program: str) -> str:
    if driver == FUSE and not program:
        return "not installed" if not spawn.which(driver) else "/dev/fuse cannot be used"
    try:
        os.mkdir(folder, 0o700)
        return str(idmap.call(lambda: _inside(driver, folder, program)))
    except OSError as error:
        return describe_os_error(error)
    except RlError as error:
        return error.message
    finally:
        remove(folder)


def remove(folder: str) -> None:
    """Take the trial's directory away, as far as that goes; a missing one is fine."""
    try:
        trees.remove_tree(folder)
    except OSError:
        pass


def _inside(driver: str, folder: str, program: str) -> str:
    """What a first start tries. The mounts go with this process."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    ((_, reason),) = storage_trial.inside(folder, [driver], program)
    return reason
