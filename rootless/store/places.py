"""Whether a directory can hold a store, found out by doing there what a store does.

A home on a network file system mostly cannot: the server lets nobody but its own root give files to
subordinate ids. What is found is kept by the store being there: nothing is tried where one exists.
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import HostError, PlaceError, StoreError
from rootless.store import files, instead, trees
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_HINT = "export RL_ROOT=DIR, a directory on a local disk"
# linux/magic.h, and what these file systems define themselves: for the reader only.
_KINDS = {
    0x6969: "NFS", 0x0BD00BD0: "Lustre", 0x47504653: "GPFS", 0x19830326: "BeeGFS",
    0xFF534D42: "CIFS", 0xFE534D42: "SMB", 0x517B: "SMB", 0x65735546: "FUSE", 0x00C36400: "Ceph",
    0x5346414F: "AFS", 0x6B414653: "AFS", 0x01021997: "9p", 0x4D44: "FAT", 0x2011BAB0: "exFAT",
    0xAAD7AAEA: "PanFS",
}  # fmt: skip
# More than this is needed by any image; what a full disk or a quota still lets be written is not.
_SOME_BYTES = bytes(1 << 20)


def choose(candidates: Sequence[tuple[str, bool]]) -> str:
    """The first of `candidates` (path, whether anybody could have made it) that can hold a store.

    One that anybody could have made is made at once, with a note of what it stands for, and said.
    Raises StoreError with all reasons.
    """
    refused: list[tuple[str, str]] = []
    for path, is_shared in candidates:
        reason = _reason_against(path, is_shared=is_shared)
        if not reason:
            if is_shared:
                _settle(path, refused)
            return path
        refused.append((path, reason))
    reasons = "; ".join(f"{path}: {reason}" for path, reason in refused)
    raise PlaceError(f"no place for a store: {reasons}", hint=_HINT)


def require(root: str) -> None:
    """Raises StoreError where `root`, which the user has named, cannot hold a store."""
    reason = judge(root)
    if reason:
        raise PlaceError(f"{root}: cannot hold a store: {reason}", hint=_HINT)


def of_site(root: str, said_in: str) -> str:
    """`root`, which the configuration file `said_in` names. Raises StoreError where it is somebody
    else's or cannot hold a store."""
    uid = os.geteuid()
    try:
        owner = os.lstat(root).st_uid
    except FileNotFoundError:
        owner = uid
    except OSError as error:
        raise files.explain(error, root) from error
    reason = f"it belongs to uid {owner}" if owner != uid else ""
    if not reason and not os.access(f"{root}/tmp", os.W_OK | os.X_OK):
        reason = judge(root)
    if reason:
        raise PlaceError(f"{root}: cannot hold a store: {reason}", hint=f"grep store {said_in}")
    return root


def judge(place: str) -> str:
    """Why `place` cannot hold a store, "" when it can.

    Leaves nothing behind. What the host does not allow anywhere, such as user namespaces, is no
    reason against a place.
    """
    made = _missing(f"{place}/tmp")
    try:
        files.make_dirs(f"{place}/tmp")
        _try(f"{place}/tmp/trial-{os.getpid()}")
        return ""
    except (StoreError, OSError) as error:
        return _with_kind(place, _reason_of(error))
    finally:
        for folder in made:
            _remove_if_empty(folder)


def _missing(path: str) -> list[str]:
    """The directories of `path` that are not there, the deepest first."""
    found = []
    while not os.path.lexists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def _remove_if_empty(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:
        pass  # it was never made, or another command has begun to use it


def _reason_of(error: StoreError | OSError) -> str:
    """Without the path, which is none that the user knows."""
    cause = error.__cause__ if isinstance(error, StoreError) else error
    if isinstance(cause, OSError):
        return (cause.strerror or str(cause)).lower()
    return str(error)


def _with_kind(place: str, reason: str) -> str:
    kind = file_system_kind(place)
    return f"{kind}: {reason}" if kind else reason


def file_system_kind(path: str) -> str:
    """The name of the file system that `path` is or would be on, "" for a usual local one."""
    from rootless.kernel import libc

    while not os.path.isdir(path):
        path = os.path.dirname(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return _KINDS.get(libc.file_system_of(fd), "")
    finally:
        os.close(fd)


def _try(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
        _as_user(folder)
        _as_root(folder)
        # Last: where the other side of a network file system does not answer, this waits for ever.
        with files.Lock(f"{folder}/lock", blocking=False):
            pass
    finally:
        trees.remove_tree(folder)


def _as_user(folder: str) -> None:
    files.write_atomic(f"{folder}/file", _SOME_BYTES, durable=True)
    os.link(f"{folder}/file", f"{folder}/link")
    os.symlink("file", f"{folder}/symlink")
    os.unlink(f"{folder}/file")
    files.write_atomic(f"{folder}/link", b"")


def _as_root(folder: str) -> None:
    """Of the user namespace, where layers are unpacked."""
    maps = idmap.canonical_maps()
    owners = (_last_of(maps.uids), _last_of(maps.gids))
    try:
        idmap.call(lambda: _own_as_layers_do(f"{folder}/tree", owners), maps)
    except HostError as error:
        log.effect(f"not known whether {folder} takes owners: {error.message}")


def _last_of(rows: tuple[tuple[int, int, int], ...]) -> int:
    return max(first + size - 1 for first, _, size in rows)


def _own_as_layers_do(tree: str, owners: tuple[int, int]) -> None:
    path = f"{tree}/file"
    try:
        os.mkdir(tree, 0o755)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        _change_owner(path, owners)
        os.chmod(path, 0o4751)
        info = os.stat(path)
        if (info.st_uid, info.st_gid, info.st_mode & 0o7777) != (*owners, 0o4751):
            raise StoreError("files do not keep their owner and mode")
        os.rename(tree, f"{tree}.renamed")
    finally:
        trees.remove_tree(tree)
        trees.remove_tree(f"{tree}.renamed")


def _change_owner(path: str, owners: tuple[int, int]) -> None:
    if owners == (0, 0):
        return
    try:
        os.chown(path, *owners)
    except OSError as error:
        raise StoreError(f"files cannot belong to subordinate ids ({error.strerror})") from None


def _reason_against(path: str, *, is_shared: bool) -> str:
    if not is_shared:
        return judge(path)
    uid = os.geteuid()
    had = os.path.lexists(path)
    try:
        # Alone, with no parents: either it is ours or it was there.
        if not had:
            os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        return _reason_of(error)
    if not files.is_private(path, uid):
        return f"is not a private directory of uid {uid}"
    reason = judge(path)
    if reason and not had:
        _remove_if_empty(path)
    return reason


def _settle(path: str, refused: list[tuple[str, str]]) -> None:
    files.make_dirs(f"{path}/tmp")
    place, reason = refused[0] if refused else ("", "there is no home directory")
    instead.add(path, place, reason)
    why = f"{place}: {reason}" if place else reason
    log.notice(f"the store is {path}, on this host alone ({why}; RL_ROOT says otherwise)")
