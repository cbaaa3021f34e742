"""The file server: one connection of the kernel's FUSE, one process that answers it.

A connection is a descriptor and a shared page, made by the process that mounts (the keeper) and
inherited by the server that it forks. When a server dies, the descriptor lives on in the keeper,
readers wait, and the next server goes on with the request that the dead one had in work. Without
that step its reader could not even be killed: the kernel waits for the answer to a request that has
been read. A server waits in read(2) and nowhere else; it ends when the connection does.
"""

from __future__ import annotations

import errno
import gc
import os

from rootless import log
from rootless.kernel import libc
from rootless.procview import fuse
from rootless.procview.page import Page
from rootless.procview.session import Session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.procview.tree import Node

_FLAGS = libc.MS_RDONLY | libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
# A request that the server died of this often gets an error instead of another server.
_MAX_ATTEMPTS = 5


class Connection:
    """A FUSE descriptor and the memory that its servers share."""

    __slots__ = ("fd", "page")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.page = Page()

    def progress(self) -> object:
        """Something that changes when a server answers."""
        return self.page.progress()

    def close(self) -> None:
        """Close the descriptor; with the last copy of it the mount answers ENOTCONN to all."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def mount(target: str, source: str = "rl") -> Connection:
    """Mount a read-only file system of ours at the directory `target`, for every user.

    The caller is root of the user namespace that owns its mount namespace. Readers wait until
    `serve` runs. Raises OSError.
    """
    fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    try:
        options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions"
        log.effect(f"mount -t fuse -o ro,nosuid,nodev,noexec,{options} {source} {target}")
        libc.mount(source, target, "fuse", _FLAGS, options)
    except BaseException:
        os.close(fd)
        raise
    return Connection(fd)


def serve(connection: Connection, root: Node) -> None:
    """Answer the kernel from the tree under `root` until the connection is gone.

    To be called in a process of its own, forked from the one that made `connection` and `root`.
    """
    # A collection would write into every object that is shared with the parent.
    gc.freeze()
    connection.page.touch()
    session = Session(root, connection.page)
    _take_over(connection, session)
    while not connection.page.is_initialised:
        raw = _receive(connection)
        if not raw:
            return
        _send(connection, session.answer(raw))
        # Only now: a death in between must leave an INIT that is answered once more.
        connection.page.is_initialised = session.has_greeted
    while raw := _receive(connection):
        _send(connection, session.answer(raw))


def _take_over(connection: Connection, session: Session) -> None:
    """Answer the request that a server before this one has left behind."""
    page = connection.page
    raw = page.unanswered()
    if not raw:
        return
    page.attempts += 1
    if page.attempts <= _MAX_ATTEMPTS:
        answer = session.answer(raw)
    else:
        answer = fuse.refusal(fuse.unique_of(raw) or 0, errno.EIO)
    _send(connection, answer)
    page.attempts = 0
    page.is_initialised |= session.has_greeted


def _receive(connection: Connection) -> bytes:
    while True:
        try:
            return connection.page.receive(connection.fd)
        except OSError as error:
            # ENOENT: the reader was killed while its request was on the way to us. Everything
            # else, ENODEV above all, is the end.
            if error.errno != errno.ENOENT:
                return b""


def _send(connection: Connection, answer: bytes) -> None:
    """Give the kernel its answer and forget the request. Silence is an answer too."""
    if answer:
        try:
            os.write(connection.fd, answer)
        except OSError as error:
            _send_failed(connection, answer, error.errno or 0)
    connection.page.clear()


def _send_failed(connection: Connection, answer: bytes, number: int) -> None:
    # ENOENT: the request is gone, killed or answered by the server before this one.
    if number in (errno.ENOENT, errno.ENODEV, errno.EPIPE):
        return
    log.warn(f"the view of /proc: the kernel refuses an answer: {os.strerror(number)}")
    try:
        os.write(connection.fd, fuse.refusal(fuse.unique_of(answer) or 0, errno.EIO))
    except OSError:
        pass  # the connection is ending; the next read says so
