"""Where containers of OCI callers are remembered: one directory for each, ROOT/ID.

ROOT is --root, else $XDG_RUNTIME_DIR/rl-oci, else a private directory that follows from the uid
alone. In ID are `status` (JSON, replaced atomically), `start` (the socket that a created
container waits at), `seccomp` (its compiled filter, for exec), `notify/`. The directory itself is
the claim of the name. Nothing there is believed by another user than its owner: see `enter`.
"""

from __future__ import annotations

import errno
import os
import stat
import time

from rootless.errors import BusyError, NotFoundError, RlError, StoreError, UsageError
from rootless.kernel import libc, proc
from rootless.model import jsontext
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Status = dict[str, Any]

_LONGEST_ID = 1024
_FURTHER = "_+-."
_UNFINISHED = ","  # no id has it
_BIGGEST = 16 << 20
CREATING, CREATED, RUNNING, PAUSED, STOPPED = (
    "creating", "created", "running", "paused", "stopped",
)  # fmt: skip


def default_root() -> str:
    """The directory for all of them, made when it is missing. Raises StoreError."""
    uid = os.geteuid()
    session = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(session) and os.path.isdir(session) and os.access(session, os.W_OK):
        return f"{session}/rl-oci"
    if uid == 0 and os.access("/run", os.W_OK):
        return "/run/rl-oci"
    from rootless.store import paths

    return f"{paths.find_runtime()}/oci"


def check_id(container_id: str) -> str:
    """`container_id`, where it can be a name. Raises UsageError."""
    good = all(letter.isalnum() or letter in _FURTHER for letter in container_id)
    if not good or container_id in ("", ".", "..") or not container_id.isascii():
        raise UsageError(f"container id {container_id!r}: letters, digits and {_FURTHER} only")
    if len(container_id) > _LONGEST_ID:
        raise UsageError(f"container id {container_id[:20]}…: too long")
    return container_id


class Record:
    """One container's directory and what stands in its `status`."""

    __slots__ = ("directory", "id", "status")

    def __init__(self, root: str, container_id: str) -> None:
        self.id = check_id(container_id)
        self.directory = f"{root}/{self.id}"
        self.status: Status = {}

    @property
    def socket(self) -> str:
        """Where a created container waits for its start."""
        return f"{self.directory}/start"

    def claim(self) -> None:
        """Make the directory with `status` in it. Raises BusyError when the name is taken."""
        files.make_dirs(os.path.dirname(self.directory))
        # Whoever sees the directory can read the status: a rename puts both there.
        new = f"{self._unfinished}{os.getpid()}"
        try:
            os.mkdir(new, 0o700)
            self._write(new)
            os.rename(new, self.directory)
        except OSError as error:
            _remove_tree(new)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise BusyError(
                    f"container with id {self.id} already exists", hint=f"rl-oci delete {self.id}"
                ) from None
            raise files.explain(error, self.directory) from error

    @property
    def _unfinished(self) -> str:
        """How the names of directories begin that are not containers yet."""
        return f"{os.path.dirname(self.directory)}/{_UNFINISHED}{self.id}{_UNFINISHED}"

    def save(self) -> None:
        """Write `status`. Raises StoreError."""
        self._write(self.directory)

    def _write(self, directory: str) -> None:
        content = jsontext.dumps(self.status).encode()
        files.write_atomic(f"{directory}/status", content, mode=0o600)

    def load(self) -> Record:
        """Read `status`. Raises NotFoundError and StoreError."""
        # What is a link was not made by us, and leads where nothing of it is ours to remove.
        if os.path.islink(self.directory) or not os.path.isdir(self.directory):
            raise NotFoundError(f"container {self.id} does not exist", hint="rl-oci list")
        try:
            with open(f"{self.directory}/status", "rb") as file:
                value = jsontext.loads(file.read(_BIGGEST))
        except FileNotFoundError:
            value = {}
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.directory}/status: {error}") from error
        self.status = value if isinstance(value, dict) else {}
        return self

    @property
    def pid(self) -> int:
        """The first process, 0 when it does not run any more."""
        return self._alive("pid", "started")

    def _alive(self, pid_key: str, started_key: str) -> int:
        pid, started = self.status.get(pid_key, 0), self.status.get(started_key, 0)
        same_boot = self.status.get("boot") == proc.boot_id()
        return int(pid) if same_boot and proc.is_alive(pid, started) else 0

    @property
    def state(self) -> str:
        """CREATING, CREATED, RUNNING, PAUSED or STOPPED (runtime.md, "State")."""
        if not self.status.get("made"):
            if self._alive("creator", "creator_started"):
                return CREATING
            # It has finished meanwhile, or was killed and takes the container along.
            self.load()
        if not self.status.get("made") or not self.pid:
            return STOPPED
        if os.path.exists(self.socket):
            return CREATED
        return PAUSED if _is_frozen(self.status.get("cgroup", "")) else RUNNING

    def document(self, state: str = "") -> Status:
        """The OCI state. state: "" for the present one."""
        state = state or self.state
        pid = 0 if state == STOPPED else self.status.get("pid", 0)
        return {
            "ociVersion": self.status.get("ociVersion", ""),
            "id": self.id,
            "status": state,
            "pid": pid,
            "bundle": self.status.get("bundle", ""),
            "annotations": self.status.get("annotations", {}),
        }

    def remove(self) -> None:
        """Remove the directory with all that is in it; a missing one is no error. What a maker
        that was killed has left of it goes too."""
        _remove_tree(self.directory)
        root, start = os.path.split(self._unfinished)
        for name in os.listdir(root) if os.path.isdir(root) else ():
            pid = name.removeprefix(start)
            if name.startswith(start) and not proc.start_time(int(pid) if pid.isdecimal() else 0):
                _remove_tree(f"{root}/{name}")

    def connectable(self, name: str) -> tuple[str, int]:
        """A path for bind(2) or connect(2) to the socket `name`, which is short enough whatever
        the directory is called, and the descriptor that has to stay open meanwhile."""
        fd = os.open(self.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{fd}/{name}", fd


def _is_frozen(cgroup: str) -> bool:
    from rootless.cgroup import group

    if not cgroup:
        return False
    try:
        return group.numbers(group.read(f"{cgroup}/cgroup.events")).get("frozen") == 1
    except OSError:
        return False


def _remove_tree(path: str) -> None:
    try:
        with os.scandir(path) as entries:
            found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return
    for name, is_dir in found:
        if is_dir:
            _remove_tree(name)
        else:
            files.unlink_if_there(name)
    os.rmdir(path)


def enter(root: str, container_id: str) -> None:
    """Before anything in the container's directory is believed: as root become its owner.

    Slurm cleans up as root what its users have made; what a user has written into `status` must
    only do what that user can do. Raises RlError where the owner is nobody that we could become.
    """
    if os.geteuid() != 0:
        return
    # The owner of the place above counts too: there one name can be put for another.
    for path in (root, f"{root}/{check_id(container_id)}"):
        try:
            info = os.lstat(path)
        except OSError:
            return
        if not stat.S_ISDIR(info.st_mode):
            raise RlError(f"{path}: not a directory")
        if info.st_uid != 0:
            _become(info, path)
            return


def _become(owner: os.stat_result, path: str) -> None:
    try:
        os.setgroups([owner.st_gid])
        os.setresgid(owner.st_gid, owner.st_gid, owner.st_gid)
        os.setresuid(owner.st_uid, owner.st_uid, owner.st_uid)
        libc.prctl(libc.PR_SET_DUMPABLE, 1)
    except OSError as error:
        raise RlError(f"{path}: its owner {owner.st_uid} is nobody here") from error


def all_ids(root: str) -> list[str]:
    """The names that are taken, in their order."""
    try:
        names = [name for name in os.listdir(root) if not name.startswith(_UNFINISHED)]
        return sorted(name for name in names if os.path.isdir(f"{root}/{name}"))
    except FileNotFoundError:
        return []


def now() -> str:
    """This moment as RFC 3339 has it, in UTC."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"
