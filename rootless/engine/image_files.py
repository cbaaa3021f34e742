"""`rl run FILE.sqsh` and `rl run ./DIR`: an image that is a file or a directory, and not a name.

A squashfs file is mounted in the user namespace, or unpacked where that cannot be. A directory is
the lowest layer as it is. Neither is ever written to.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.engine import images, trials
from rootless.engine.plan import ImageFacts
from rootless.errors import EXIT_ENGINE, NotFoundError, RlError, UsageError
from rootless.image import squashfile
from rootless.runtime.rootfs import SQUASH
from rootless.store import files
from rootless.store.verdicts import Verdicts
from rootless.tools import idmap, spawn, squashfuse
from rootless.tools.fuse_server import DEVICE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.image.squashfile import SquashFile
    from rootless.store.paths import Paths

# The user database, as far as a plan reads it.
_USERS = ("etc/passwd", "etc/group")


def facts_of(paths: Paths, path: str, before: dict[str, Any] | None = None) -> ImageFacts:
    """The plan's view of the file or directory at `path`, absolute.

    before: the record of a container that was made of it. Raises NotFoundError, UsageError,
    ImageError, HostError; of an RlError about the file the exit code is a failed start's.
    """
    try:
        was_file = before is not None and "fingerprint" in before["image_file"]
        if os.path.isdir(path) and not was_file:
            return _of_directory(paths, path)
        found = squashfile.read(path)
        if before is not None:
            _compare(found, before)
        return _of_squash(paths, found)
    except RlError as error:
        error.exit_code = EXIT_ENGINE
        raise


def _of_directory(paths: Paths, path: str) -> ImageFacts:
    path = os.path.realpath(path)
    if f"{os.path.realpath(paths.root)}/".startswith(f"{path.rstrip('/')}/"):
        # Its lowest layer would have its own writable one in it.
        raise UsageError(f"{path}: the store {paths.root} is in it", hint=f"rl run --rootfs {path}")
    passwd, group = (images.read_in_layers([path], one) for one in _USERS)
    return ImageFacts({}, [path], passwd, group, file={"path": path})


def _of_squash(paths: Paths, found: SquashFile) -> ImageFacts:
    system = found.config.get("os") or "linux"
    if system != "linux":
        raise UsageError(f"{found.path}: is an image for {system}, not for linux")
    program, problem = squashfuse_of_host()
    problem = problem or trials.squashfuse(Verdicts(paths), program)
    if problem:
        return _unpacked(paths, found, problem)
    if found.ids > 1 and idmap.canonical_maps().is_single:
        log.notice(
            f"{found.path}: files in it that are not root's can be read, but not changed"
            " (rl image squash, on a host without subordinate ids, makes one without such files)"
        )
    squash = (program, found.path)
    passwd, group = found.passwd, found.group
    if passwd is None or group is None:
        passwd, group = _users_in(paths, squash)
    # Where the keeper mounts it, as seen from the link of the layer.
    layers = [f"../{SQUASH}"]
    return ImageFacts(found.section, layers, passwd, group, file=_remembered(found), squash=squash)


def squashfuse_of_host() -> tuple[str, str]:
    """The program, "" where it cannot be used; why, and what helps."""
    program = spawn.which(squashfuse.PROGRAM)
    if not program:
        return "", "squashfuse_ll is not installed (sudo apt-get install squashfuse)"
    try:
        os.close(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return "", f"{DEVICE}: {error.strerror} (sudo chmod 0666 {DEVICE})"
    return program, ""


def _unpacked(paths: Paths, found: SquashFile, problem: str) -> ImageFacts:
    from rootless.image import unsquash

    tree = unsquash.tree_of(paths, found)
    if not os.path.isdir(tree):
        log.notice(f"{found.path}: is unpacked into {tree}, as {problem}")
        for note in unsquash.unpack(paths, found, tree):
            log.notice(f"{found.path}: {note}")
    unsquash.note_use(tree)
    passwd, group = (images.read_in_layers([tree], one) for one in _USERS)
    told = {**_remembered(found), "unpacked": tree}
    return ImageFacts(found.section, [tree], passwd, group, file=told)


def _remembered(found: SquashFile) -> dict[str, str]:
    return {
        "path": found.path, "fingerprint": found.fingerprint,
        "image_id": found.image_id, "name": found.name,
    }  # fmt: skip


def _users_in(paths: Paths, squash: tuple[str, str]) -> tuple[str, str]:
    """The user database of a file that does not tell: another program has made it."""
    files.make_dirs(paths.tmp)

    def look() -> list[str]:
        from rootless.runtime import keeper

        keeper.leave_mounts_of_host()
        # Only this process sees the mount, so any directory will do.
        server = squashfuse.mount(*squash, paths.tmp)
        try:
            return [images.read_in_layers([paths.tmp], one) for one in _USERS]
        finally:
            server.kill()

    passwd, group = idmap.call(look)
    return passwd, group


def require_unchanged(record: dict[str, Any]) -> SquashFile:
    """The image file of the container with `record`. Raises RlError when it is another, or gone."""
    found = squashfile.read(record["image_file"]["path"])
    _compare(found, record)
    return found


def _compare(found: SquashFile, record: dict[str, Any]) -> None:
    if found.fingerprint != record["image_file"].get("fingerprint"):
        raise NotFoundError(
            f"container {record['name']}: its image file {found.path} has changed",
            hint=f"put the file back, or: rl rm {record['name']}",
        )


def section_of(record: dict[str, Any]) -> dict[str, Any]:
    """What the image of a container that was made of a file gives its containers; {} without."""
    told = record.get("image_file") or {}
    return require_unchanged(record).section if "fingerprint" in told else {}
