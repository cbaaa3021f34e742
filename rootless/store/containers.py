"""Containers on disk: a directory and a record each, and a symbolic link for the name.

There is no central file and no lock to create one: the kernel's mkdir(2) and symlink(2) decide who
comes first. What runs has a second directory on node-local storage, with a lock that is held as
long as somebody looks after the container.
"""

from __future__ import annotations

import errno
import os
import time

from rootless.errors import EXIT_ENGINE, InUseError, NotFoundError, StoreError
from rootless.model import jsontext
from rootless.model.mountspec import is_volume_name
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rootless.store.paths import Paths

    Record = dict[str, Any]

_ID_LENGTH = 64
_LOCK = "lock"
# Seconds after which a container that cannot be seen yet never will be.
_BIRTH = 60.0


def new_id() -> str:
    """A fresh container id: 64 hexadecimal digits, as docker's."""
    return os.urandom(_ID_LENGTH // 2).hex()


def directory(paths: Paths, container_id: str) -> str:
    """Where the container's writable layer and its files are."""
    return f"{paths.containers}/{container_id}"


def live_directory(paths: Paths, container_id: str) -> str:
    """Where the lock and the state of a running container are."""
    return f"{paths.running}/{container_id}"


def claim_name(paths: Paths, name: str, container_id: str) -> None:
    """Take `name` for `container_id`. Raises InUseError when a container has it."""
    link = f"{paths.names}/{name}"
    files.make_dirs(paths.names)
    while True:
        try:
            os.symlink(container_id, link)
            return
        except FileExistsError:
            _clear_stale_name(paths, name, link)
        except OSError as error:
            raise files.explain(error, link) from error


def _clear_stale_name(paths: Paths, name: str, link: str) -> None:
    """Take the name from a container that is gone. Raises InUseError when it is not."""
    with _names_lock(paths):
        try:
            owner = os.readlink(link)
        except FileNotFoundError:
            return
        if os.path.isdir(directory(paths, owner)):
            raise InUseError(
                f'the container name "{name}" is in use by container {owner[:12]}',
                hint=f"rl rm {name}",
                exit_code=EXIT_ENGINE,
            )
        os.unlink(link)


def _names_lock(paths: Paths) -> files.Lock:
    """For who unlinks a name: between its look and its unlink(2) no other start takes it."""
    files.make_dirs(paths.locks)
    return files.Lock(f"{paths.locks}/names")


def release_name(paths: Paths, name: str, container_id: str) -> None:
    """Give `name` back if `container_id` has it; "" where it is not known, for a search."""
    for one in [name] if name else _listed(paths.names):
        link = f"{paths.names}/{one}"
        try:
            if os.readlink(link) == container_id:
                _unlink_name(paths, link, container_id)
        except FileNotFoundError:
            continue


def _unlink_name(paths: Paths, link: str, container_id: str) -> None:
    with _names_lock(paths):
        if os.readlink(link) == container_id:
            os.unlink(link)


def write_record(paths: Paths, record: Record) -> None:
    """Keep `record` (its "id" says where)."""
    path = f"{directory(paths, record['id'])}/container.json"
    files.write_atomic(path, jsontext.dumps(record).encode())


def update_record(paths: Paths, container_id: str, **changes: Any) -> None:
    """Change some fields of a record. Raises what reading and writing it raise."""
    with RecordChange(paths, container_id) as record:
        record.update(changes)


class RecordChange:
    """`with RecordChange(paths, id) as record`: what is changed in `record` is written at the end.

    One at a time, so that no change gets lost between a look and a write; waits for the others.
    Nothing is written when the block raises. Raises what reading and writing a record raise.
    """

    def __init__(self, paths: Paths, container_id: str) -> None:
        self._paths = paths
        self._id = container_id
        self._lock = _record_lock(paths, container_id)
        self._record: Record = {}

    def __enter__(self) -> Record:
        try:
            self._record = read_record(self._paths, self._id)
        except BaseException:
            self._lock.release()
            raise
        return self._record

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                write_record(self._paths, self._record)
        finally:
            self._lock.release()


def _record_lock(paths: Paths, container_id: str) -> files.Lock:
    """The lock on the record's file, which each write replaces: held once it has its name still."""
    path = f"{directory(paths, container_id)}/container.json"
    while True:
        lock = files.Lock(path, create=False)
        try:
            lock.acquire()
            if lock.is_current():
                return lock
        except FileNotFoundError:
            raise _not_found(container_id) from None
        except OSError as error:
            raise files.explain(error, path) from error
        lock.release()


def _not_found(text: str) -> NotFoundError:
    return NotFoundError(f"no such container: {text}", hint="rl ps -a")


def read_record(paths: Paths, container_id: str) -> Record:
    """The record of a container. Raises NotFoundError, StoreError when it is damaged."""
    return _read_document(paths, container_id, "container.json")


def _read_document(paths: Paths, container_id: str, name: str) -> dict[str, Any]:
    path = f"{directory(paths, container_id)}/{name}"
    try:
        with open(path, "rb") as file:
            document = jsontext.loads(file.read())
    except FileNotFoundError:
        raise _not_found(container_id) from None
    except ValueError as error:
        raise StoreError(f"{path}: damaged: {error}", hint=f"rl rm -f {container_id}") from None
    if not isinstance(document, dict):
        raise StoreError(f"{path}: damaged", hint=f"rl rm -f {container_id}")
    return document


def write_config(paths: Paths, container_id: str, document: dict[str, Any]) -> None:
    """Keep the OCI runtime document of a container's last start."""
    path = f"{directory(paths, container_id)}/config.json"
    # A normal user of the host need not see the environment.
    files.write_atomic(path, jsontext.dumps(document).encode(), mode=0o600)


def read_config(paths: Paths, container_id: str) -> dict[str, Any]:
    """The document that write_config kept. Raises NotFoundError, StoreError when damaged."""
    return _read_document(paths, container_id, "config.json")


def trees_of(paths: Paths, container_id: str, record: Record) -> list[str]:
    """What goes with a container: its anonymous volumes, then its directory with the record."""
    names = filter(is_volume_name, record.get("volumes", []))
    anonymous = [f"{paths.volumes}/{name}" for name in names]
    return [*anonymous, directory(paths, container_id)]


def without_shared(trees: list[str]) -> list[str]:
    """`trees` (of trees_of) without the volumes that another container uses by now."""
    if len(trees) < 2:
        return trees
    *own, place = trees
    folder, container_id = os.path.split(place)
    used: set[str] = set()
    for other in _listed(folder):
        if other != container_id:
            used.update(_volumes_of(f"{folder}/{other}"))
    return [*(tree for tree in own if os.path.basename(tree) not in used), place]


def _volumes_of(place: str) -> list[str]:
    try:
        with open(f"{place}/container.json", "rb") as file:
            record = jsontext.loads(file.read())
        return list(record["mounted_volumes"])
    except (OSError, ValueError, KeyError, TypeError):
        return []  # just made or just removed, or damaged


def all_ids(paths: Paths) -> list[str]:
    """The ids of all containers that have a directory."""
    return [name for name in _listed(paths.containers) if len(name) == _ID_LENGTH]


def live_ids(paths: Paths) -> list[str]:
    """The ids of the containers that run or were not unwound."""
    return [name for name in _listed(paths.running) if len(name) == _ID_LENGTH]


def clear_unborn(paths: Paths) -> None:
    """Remove what a start left that was killed before its container could be seen."""
    for name in _listed(paths.running):
        if not name.startswith(".new-"):
            continue
        path = f"{paths.running}/{name}"
        try:
            if time.time() - os.stat(path).st_mtime < _BIRTH and _is_maker_alive(name):
                continue
            lock = files.Lock(f"{path}/{_LOCK}", blocking=False)
            if lock.acquire():
                os.unlink(lock.path)
                lock.release()
                os.rmdir(path)
        except FileNotFoundError:
            continue


def _is_maker_alive(name: str) -> bool:
    """Whether somebody has the pid that `claim_live` has put at the end of a name."""
    return os.path.exists(f"/proc/{name.rpartition('-')[2]}")


def _listed(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []


def find(paths: Paths, text: str) -> str:
    """The id of the container with name, id or unique beginning of an id `text`.

    Raises NotFoundError, also when several fit.
    """
    if "/" in text:
        raise _not_found(text)
    try:
        owner = os.readlink(f"{paths.names}/{text}")
        if os.path.isdir(directory(paths, owner)):
            return owner
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL, errno.ENAMETOOLONG, errno.ENOTDIR):
            raise
    fitting = [one for one in all_ids(paths) if text and one.startswith(text)]
    if len(fitting) > 1:
        raise NotFoundError(f"container {text}: {len(fitting)} ids begin so", hint="rl ps -a")
    if not fitting:
        raise _not_found(text)
    return fitting[0]


def write_state(paths: Paths, container_id: str, state: dict[str, Any]) -> None:
    """Keep who runs the container: pids with their start times, and the boot."""
    path = f"{live_directory(paths, container_id)}/state.json"
    files.write_atomic(path, jsontext.dumps(state).encode(), mode=0o600)


def read_state(paths: Paths, container_id: str) -> dict[str, Any]:
    """The state of a live container, empty when nothing was written yet."""
    try:
        with open(f"{live_directory(paths, container_id)}/state.json", "rb") as file:
            state = jsontext.loads(file.read())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def live_lock(paths: Paths, container_id: str, *, blocking: bool = False) -> files.Lock:
    """The lock that the container's launcher and keeper hold as long as they live.

    Acquiring it raises FileNotFoundError where it is gone: the directory is about to go, too.
    """
    path = f"{live_directory(paths, container_id)}/{_LOCK}"
    # Made by a look from outside, it would stand in the way of the rmdir(2) below.
    return files.Lock(path, blocking=blocking, create=False)


def is_held(running: str, container_id: str) -> bool:
    """Whether somebody looks after the container, as `running` (a Paths.running) has it."""
    lock = files.Lock(f"{running}/{container_id}/{_LOCK}", blocking=False, create=False)
    try:
        is_free = lock.acquire()
    except OSError:
        return False
    lock.release()
    return not is_free


def claim_live(paths: Paths, container_id: str) -> files.Lock | None:
    """Take the live directory of a container that does not run: nobody starts it meanwhile.

    None while somebody else has it. `remove_live_directory`, then the lock's release, give it back.
    Raises StoreError.
    """
    # With our pid: another start may be at work on it, or was killed in between.
    folder = f"{paths.running}/.new-{container_id}-{os.getpid()}"
    files.make_dirs(paths.running)
    lock = files.Lock(f"{folder}/{_LOCK}")
    try:
        # Locked before it can be seen: whoever finds it unlocked may take it for a dead one's.
        os.mkdir(folder, 0o700)
        lock.acquire()
        os.rename(folder, live_directory(paths, container_id))
    except OSError as error:
        files.unlink_if_there(lock.path)
        lock.release()
        _rmdir_if_there(folder)
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise files.explain(error, folder) from error
        return None
    return lock


def remove_live_directory(paths: Paths, container_id: str) -> None:
    """Forget that the container ran; its files there are the user's own."""
    path = live_directory(paths, container_id)
    # The lock last: without one the directory holds nothing any more.
    for name in sorted(_listed(path), key=lambda name: name == _LOCK):
        try:
            os.unlink(f"{path}/{name}")
        except IsADirectoryError:
            from rootless.store import trees

            trees.remove_tree(f"{path}/{name}")
    _rmdir_if_there(path)


def _rmdir_if_there(path: str) -> None:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass


def remove_unlocked(paths: Paths, container_id: str) -> None:
    """Remove a live directory whose lock is gone, unless its owner does so at this moment."""
    try:
        os.rmdir(live_directory(paths, container_id))
    except OSError:
        pass
