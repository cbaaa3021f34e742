"""Calls about users, answered as if all ids were there: for a user namespace with a single id.

chown(2) and its like note the owner beside the file (`rootless.model.ownermark`), where that file
is in the container's own root; mknod(2) leaves an empty file in the place of a device, with a note
as well. set*id(2) and setgroups(2) are remembered for the process, and get*id(2) tells them: a
program that looks whether it has given up its privileges finds that it has. To the kernel all of
them stay one user, with all rights to the container's files: this makes software run that insists
on users, and keeps no two of them apart. stat(2) is not answered: it is what programs call most,
and shows the container's root as the owner.
"""

from __future__ import annotations

import errno
import os
import stat
import struct

from rootless.kernel import notify
from rootless.model import idcalls, ownermark
from rootless.model.credentials import KEEP, Credentials, Refused
from rootless.model.ownermark import OwnerMark
from rootless.procview import notified
from rootless.runtime.callers import AT_SYMLINK_NOFOLLOW, Callers, Gone, by_fd, is_markable
from rootless.runtime.idstate import IdState

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rootless.kernel.notify import Notification
    from rootless.procview.notified import Listener

    Handler = Callable[[Notification, str, bool], int | None]

_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_ID, _SHORT_ID = 0xFFFFFFFF, 0xFFFF
_OVERFLOW = 65534
_OWN_FILES = (
    "/proc/self/", "/proc/thread-self/", "/dev/fd/", "/dev/stdin", "/dev/stdout", "/dev/stderr",
)  # fmt: skip
_MOST_GROUPS = 65536  # NGROUPS_MAX
_SET_ID = stat.S_ISUID | stat.S_ISGID
# A note that cannot be written for these reasons is one that a real chown(2) could not write.
_REAL = (errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE)


class Emulation:
    """Answers the calls of `idcalls`, in the process that serves `listener`."""

    def __init__(self, listener: Listener, state: IdState) -> None:
        self._listener = listener
        self._state = state
        self._callers = Callers(listener.fd)
        self._handlers: dict[str, Handler] = {
            **dict.fromkeys(idcalls.OWNERS, self._chown),
            **dict.fromkeys(idcalls.DEVICES, self._mknod),
            **dict.fromkeys(idcalls.GETTERS, self._get),
            **dict.fromkeys(("getresuid", "getresgid"), self._get_three),
            **dict.fromkeys(idcalls.SETTERS, self._set),
            "setgroups": self._set_groups,
            "getgroups": self._get_groups,
            "setfsuid": self._set_fs,
            "setfsgid": self._set_fs,
            **dict.fromkeys(idcalls.LIMITS, self._keep_limit),
            idcalls.PRCTL: self._keep_capabilities,
        }

    def begin(self) -> None:
        """Be ready to answer; nothing is imported afterwards."""
        self._state.resume()
        self._callers.begin()
        os.umask(0)

    def answer(self, waiting: Notification) -> int | None:
        """What the call returns, a negative errno, or None to have the kernel do it."""
        shown = idcalls.name_of(waiting.arch, waiting.call)
        name = shown.removesuffix(idcalls.SHORT)
        handler = self._handlers.get(name)
        if handler is None:
            return None
        try:
            if self._state.root_mount < 0:
                self._learn_root(waiting)
            return handler(waiting, name, shown != name)
        except Gone:
            return None
        except Refused as error:
            return -error.errno
        except OSError as error:
            return -(error.errno or errno.EPERM)

    def knows(self, waiting: Notification) -> bool:
        """Whether it is one of the calls that this answers."""
        return bool(idcalls.name_of(waiting.arch, waiting.call))

    def _learn_root(self, waiting: Notification) -> None:
        """Of the first process, on its way to the command or already that, unless it has shut us
        out: then the next one will do."""
        try:
            self._take_root_mount(waiting)
        except OSError:
            pass

    def _take_root_mount(self, waiting: Notification) -> None:
        fd = self._callers.find(waiting, _FDCWD, "/", follow=True)
        self._state.root_mount = self._callers.mount_of(fd)
        self._state.keep()
        os.close(fd)

    # Who a process is.

    def _get(self, waiting: Notification, name: str, short: bool) -> int:
        now = self._state.of(waiting.pid)
        three = now.uids if name.endswith("uid") else now.gids
        return _shown(three[1 if name.startswith("gete") else 0], short=short)

    def _get_three(self, waiting: Notification, name: str, short: bool) -> int:
        now = self._state.of(waiting.pid)
        for address, number in zip(
            waiting.arguments, now.uids if name == "getresuid" else now.gids, strict=False
        ):
            self._write_ids(waiting, address, [number], short=short)
        return 0

    def _get_groups(self, waiting: Notification, name: str, short: bool) -> int:
        groups = self._state.of(waiting.pid).groups
        room = _signed(waiting.arguments[0])
        if room < 0 or 0 < room < len(groups):
            return -errno.EINVAL
        if room and groups:
            self._write_ids(waiting, waiting.arguments[1], groups, short=short)
        return len(groups)

    def _write_ids(
        self, waiting: Notification, address: int, ids: Sequence[int], *, short: bool
    ) -> None:
        shown = [_shown(number, short=short) for number in ids]
        content = struct.pack(f"={len(shown)}{'H' if short else 'I'}", *shown)
        if not notified.write(self._listener, waiting, address, content):
            raise Refused(errno.EFAULT)

    # Who a process becomes.

    def _set(self, waiting: Notification, name: str, short: bool) -> int:
        ids = [_wanted(number, short=short) for number in waiting.arguments[:3]]
        now = self._state.of(waiting.pid)
        self._become(waiting, now, now.after(name, ids))
        return 0

    def _set_groups(self, waiting: Notification, name: str, short: bool) -> int:
        count = _signed(waiting.arguments[0])
        if not 0 <= count <= _MOST_GROUPS:
            return -errno.EINVAL
        form = struct.Struct(f"={count}{'H' if short else 'I'}")
        data = notify.read_memory(waiting.pid, waiting.arguments[1], form.size) if count else b""
        if data is None:
            return -errno.EFAULT
        now = self._state.of(waiting.pid)
        self._become(waiting, now, now.with_groups(tuple(sorted(form.unpack(data)))))
        return 0

    def _set_fs(self, waiting: Notification, name: str, short: bool) -> int:
        # For accesses to files alone, and those are the kernel's: what it tells is who it was.
        now = self._state.of(waiting.pid)
        return _shown((now.uids if name == "setfsuid" else now.gids)[1], short=short)

    def _keep_limit(self, waiting: Notification, name: str, short: bool) -> int | None:
        # The limit that IdState has its numbers in: Debian's pam_limits(8) puts back all of them.
        is_change = name == "setrlimit" or waiting.arguments[2]
        return 0 if is_change else None

    def _keep_capabilities(self, waiting: Notification, name: str, short: bool) -> None:
        now = self._state.of(waiting.pid)
        self._become(waiting, now, now.keeping(keeps=bool(waiting.arguments[1])))

    def _become(self, waiting: Notification, now: Credentials, new: Credentials) -> None:
        if new == now:
            return
        if not notify.is_waiting(self._listener.fd, waiting.id):
            raise Gone
        try:
            self._state.remember(waiting.pid, new)
        except (OSError, ValueError):
            pass  # a limit of its own is in the way: it succeeds, and will be told otherwise

    # Whose a file is.

    def _chown(self, waiting: Notification, name: str, short: bool) -> int:
        place = 2 if name == "fchownat" else 1
        owner = [_wanted(number, short=short) for number in waiting.arguments[place : place + 2]]
        fd = self._target(waiting, name)
        if fd < 0:
            return 0
        try:
            return self._note(fd, owner[0], owner[1], self._state.of(waiting.pid))
        finally:
            os.close(fd)

    def _target(self, waiting: Notification, name: str) -> int:
        """-1 for what is not in the image."""
        arguments = waiting.arguments
        if name == "fchown":
            return self._callers.file(waiting, arguments[0] & _ID)
        if name != "fchownat":
            path = self._callers.path_argument(waiting, 0)
            return self._find(waiting, _FDCWD, path, follow=name == "chown")
        path = self._callers.path_argument(waiting, 1)
        folder, flags = arguments[0], arguments[4]
        if not path and flags & _AT_EMPTY_PATH:
            path = "."
            if folder & _ID != _FDCWD & _ID:
                return self._callers.file(waiting, folder & _ID)
        return self._find(waiting, folder, path, follow=not flags & AT_SYMLINK_NOFOLLOW)

    def _find(self, waiting: Notification, folder: int, path: str, *, follow: bool) -> int:
        try:
            return self._callers.find(waiting, folder, path, follow=follow)
        except OSError as error:
            # Links of /proc are not followed, and "self" would be somebody else.
            if error.errno == errno.ELOOP or path.startswith(_OWN_FILES):
                return -1
            raise

    def _note(self, fd: int, uid: int, gid: int, who: Credentials) -> int:
        info = os.fstat(fd)
        if not is_markable(info) or not self._is_ours(fd):
            return 0
        path = by_fd(fd)
        before = _mark_of(path)
        old = before or OwnerMark(0, 0, 0)
        if not who.is_root:
            _check_may_give(old, uid, gid, who)
        new = OwnerMark(
            old.uid if uid == KEEP else uid, old.gid if gid == KEEP else gid,
            stat.S_IMODE(info.st_mode), old.kind, old.device,
        )  # fmt: skip
        number = _write_mark(path, before, new)
        if number in _REAL:
            return -number
        _take_set_id(path, info)
        return 0

    def _is_ours(self, fd: int) -> bool:
        """Whether it is in the root file system: volumes and binds are others' files."""
        return self._callers.mount_of(fd) == self._state.root_mount

    def _mknod(self, waiting: Notification, name: str, short: bool) -> int | None:
        at = 1 if name == "mknodat" else 0
        mode, device = waiting.arguments[at + 1] & 0xFFFF, waiting.arguments[at + 2] & _ID
        kind = stat.S_IFMT(mode)
        if kind == stat.S_IFCHR and device == 0:
            return None  # what everybody may make
        if not self._state.of(waiting.pid).is_root:
            return -errno.EPERM
        path = self._callers.path_argument(waiting, at)
        head, tail = os.path.split(path)
        if not tail or tail in (".", ".."):
            return -(errno.EEXIST if path else errno.ENOENT)
        folder = self._callers.find(
            waiting, waiting.arguments[0] if at else _FDCWD, head or ".",
            follow=True, more=os.O_DIRECTORY,
        )  # fmt: skip
        try:
            permissions = stat.S_IMODE(mode) & ~self._callers.umask_of(waiting.pid)
            numbers = os.major(device), os.minor(device)
            mark = OwnerMark(0, 0, permissions, kind, numbers)
            self._stand_in(folder, tail, mark)
        finally:
            os.close(folder)
        return 0

    def _stand_in(self, folder: int, name: str, mark: OwnerMark) -> None:
        os.mknod(name, stat.S_IFREG | mark.mode, dir_fd=folder)
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            if self._is_ours(fd):
                _write_mark(by_fd(fd), None, mark)
        finally:
            os.close(fd)


def _mark_of(path: str) -> OwnerMark | None:
    try:
        return ownermark.parse(os.getxattr(path, ownermark.NAME))
    except OSError:
        return None


def _write_mark(path: str, before: OwnerMark | None, new: OwnerMark) -> int:
    """Have `new` noted; 0, or the errno of why it could not be."""
    if new == before:
        return 0
    try:
        if new.is_needed:
            os.setxattr(path, ownermark.NAME, new.text())
        elif before is not None:
            os.removexattr(path, ownermark.NAME)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _check_may_give(before: OwnerMark, uid: int, gid: int, who: Credentials) -> None:
    """What chown(2) lets the owner of a file do: give it to a group of theirs. Whose a file
    without a note is nobody knows: what a process makes that was root before has none."""
    is_owner = before.uid in (0, who.uids[1])
    groups = (KEEP, before.gid, who.gids[1], *who.groups)
    if not is_owner or uid not in (KEEP, before.uid, who.uids[1]) or gid not in groups:
        raise Refused(errno.EPERM)


def _take_set_id(path: str, info: os.stat_result) -> None:
    """A file that changes hands runs with nobody's rights any more (chown(2))."""
    if not stat.S_ISREG(info.st_mode) or not info.st_mode & _SET_ID:
        return
    mode = stat.S_IMODE(info.st_mode) & ~stat.S_ISUID
    if mode & stat.S_IXGRP:
        mode &= ~stat.S_ISGID
    if mode != stat.S_IMODE(info.st_mode):
        os.chmod(path, mode)


def _wanted(number: int, *, short: bool) -> int:
    if short:
        number &= _SHORT_ID
        return KEEP if number == _SHORT_ID else number
    return number & _ID


def _shown(number: int, *, short: bool) -> int:
    return _OVERFLOW if short and number > _SHORT_ID else number


def _signed(number: int) -> int:
    number &= _ID
    return number - (1 << 32) if number >> 31 else number
