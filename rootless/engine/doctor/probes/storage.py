"""Each storage driver, mounted where the store is (or would be), and a program executed from it."""

from __future__ import annotations

import os
import shutil
from typing import Any

from rootless.engine import facts, image_files, storage
from rootless.errors import RlError, describe_os_error
from rootless.kernel import libc, signals
from rootless.runtime import keeper, rootfs
from rootless.store import trees
from rootless.tools import confinement, idmap, spawn

DRIVERS = ("fuse-overlayfs", "overlay", "vfs")
_PROGRAM = "/bin/true"
# In the layer: has to be there and executable through the mount.
_NAME = "program"


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
        "program": spawn.which("fuse-overlayfs") or "",
        "version": _version(),
        "squash": list(image_files.squashfuse_of_host()),
        "tried": {},
    }
    try:
        told["chosen"], told["refused"] = storage.choose("", host, folder, shifts=False), ""
    except RlError as error:
        told["chosen"], told["refused"] = "", error.message
    for driver in DRIVERS:
        told["tried"][driver] = _try(driver, folder, host.fuse_overlayfs)
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
    path = spawn.which("fuse-overlayfs")
    if path is None:
        return ""
    lines = spawn.run([path, "--version"]).stdout.decode(errors="replace").splitlines()
    own = (line for line in lines if line.startswith("fuse-overlayfs") and "version" in line)
    return next(own, "").rpartition(" ")[2]


def _try(driver: str, folder: str, program: str) -> str:
    if driver == "fuse-overlayfs" and not program:
        return "not installed" if not spawn.which(driver) else "/dev/fuse cannot be used"
    try:
        _fill(folder)
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


def _fill(folder: str) -> None:
    for name in ("", "/l", "/l/0", "/upper", "/work", "/merged"):
        os.mkdir(f"{folder}{name}", 0o700)
    shutil.copyfile(_PROGRAM, f"{folder}/l/0/{_NAME}")
    os.chmod(f"{folder}/l/0/{_NAME}", 0o755)


def _inside(driver: str, folder: str, program: str) -> str:
    """As the keeper does it. The mounts go with this process."""
    libc.prctl(libc.PR_SET_PDEATHSIG, signals.SIGKILL)
    keeper.leave_mounts_of_host()
    made = rootfs.make({
        "driver": driver, "path": folder, "layers": 1, "program": program,
        "uid_shift": (), "gid_shift": (), "squash": None,
    })  # fmt: skip
    try:
        return _use(made.path)
    except OSError as error:
        return made.complaint() if driver == "fuse-overlayfs" else describe_os_error(error)
    finally:
        made.unmount(discard=True)


def _use(root: str) -> str:
    """What a container does at least: write, and execute."""
    with open(f"{root}/written", "w") as file:
        file.write("x")
    os.rename(f"{root}/{_NAME}", f"{root}/renamed")
    code = spawn.spawn([f"{root}/renamed"]).wait()
    return "" if code == 0 else f"a program in it cannot be executed (exit code {code})"
