"""Requests in, answers out: what a server says about a tree, without any descriptor.

Nothing that a container asks can raise here. A handle's content is kept from its reading at offset
0 for those that follow; it is made anew for a handle that is not known any more, so neither a new
server nor a container that opens thousands of files makes a reader fail.
"""

from __future__ import annotations

import errno
import os

from rootless import log
from rootless.procview import fuse
from rootless.procview.fuse import Refusal, Request
from rootless.procview.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.procview.page import Page
    from rootless.procview.tree import Node

# Bytes kept for readers that are between two reads of one file, and what one entry costs beside.
_MAX_KEPT = 1 << 19
_ENTRY_COST = 256


class Session:
    """The tree under `root`, spoken to in bytes.

    has_greeted: it has made an answer to INIT after which the kernel goes on.
    """

    def __init__(self, root: Node, page: Page) -> None:
        self._tree = Tree(root)
        self._page = page
        self._born = page.born
        self._kept: dict[int, bytes] = {}
        self._kept_bytes = 0
        self.has_greeted = False
        self._handlers: dict[int, Callable[[Request], bytes]] = {
            fuse.LOOKUP: self._lookup,
            fuse.GETATTR: self._getattr,
            fuse.READLINK: self._readlink,
            fuse.OPEN: self._open,
            fuse.READ: self._read,
            fuse.STATFS: self._statfs,
            fuse.RELEASE: self._release,
            fuse.INIT: self._init,
            fuse.OPENDIR: self._opendir,
            fuse.READDIR: self._readdir,
            fuse.RELEASEDIR: self._release,
            fuse.ACCESS: self._access,
            fuse.DESTROY: self._destroy,
        }

    def answer(self, raw: bytes) -> bytes:
        """The answer to the request `raw`; nothing when none is wanted or none is possible."""
        unique = fuse.unique_of(raw)
        if unique is None:
            return b""
        try:
            request = Request(raw)
            if request.opcode in fuse.SILENT:
                return b""
            return fuse.reply(unique, self._payload(request))
        except Refusal as refusal:
            return fuse.refusal(unique, refusal.number)
        except Exception as error:
            log.warn(f"the view of /proc: {error!r}")
            return fuse.refusal(unique, errno.EIO)

    def _payload(self, request: Request) -> bytes:
        handler = self._handlers.get(request.opcode)
        if handler is None:
            # ENOSYS: the kernel does without and mostly does not ask again.
            changes = request.opcode in fuse.CHANGING
            raise Refusal(errno.EROFS if changes else errno.ENOSYS)
        return handler(request)

    def _init(self, request: Request) -> bytes:
        if self._page.is_initialised:
            raise Refusal(errno.EIO)
        answer = fuse.init(request)
        self.has_greeted = fuse.is_our_major(request)
        return answer

    def _lookup(self, request: Request) -> bytes:
        folder = self._tree.find(request.node)
        node = folder.lookup(request.name(), request.reader)
        # A fixed file may hide behind a name that is not: what the folder says about it counts.
        attr, attr_valid = node.by_name(self._born, request.reader)
        valid = min(node.valid, folder.valid)
        return fuse.entry(node.number, attr, valid, min(attr_valid, valid))

    def _getattr(self, request: Request) -> bytes:
        node = self._tree.find(request.node)
        attr = node.attributes(self._born, request.reader)
        return fuse.known(attr, node.attr_valid)

    def _readlink(self, request: Request) -> bytes:
        return self._tree.find(request.node).target(request.reader)

    def _open(self, request: Request) -> bytes:
        (flags, _) = request.fields(fuse.OPEN_IN)
        if self._tree.find(request.node).kind == fuse.DT_DIR:
            raise Refusal(errno.EISDIR)
        if flags & (os.O_ACCMODE | os.O_TRUNC) != os.O_RDONLY:
            raise Refusal(errno.EROFS)
        # Without the page cache: sizes of 0 mean nothing then, and every read comes to us.
        return fuse.opened(self._page.new_handle(), fuse.FOPEN_DIRECT_IO)

    def _opendir(self, request: Request) -> bytes:
        self._tree.find(request.node)
        return fuse.opened(self._page.new_handle())

    def _read(self, request: Request) -> bytes:
        handle, offset, size = request.fields(fuse.READ_IN)
        node = self._tree.find(request.node)
        content = self._content(node.content, request.reader, handle, offset)
        return content[offset : offset + size]

    def _readdir(self, request: Request) -> bytes:
        handle, offset, size = request.fields(fuse.READ_IN)
        node = self._tree.find(request.node)
        # Another key: a file's text must never be taken for a listing.
        listing = self._content(node.listing, request.reader, ~handle, offset)
        return fuse.some_dirents(listing, offset, size)

    def _content(self, make: Callable[[int], bytes], reader: int, key: int, offset: int) -> bytes:
        content = self._kept.get(key) if offset else None
        if content is None:
            content = make(reader)
            self._keep(key, content)
        return content

    def _keep(self, key: int, content: bytes) -> None:
        self._drop(key)
        self._kept[key] = content
        self._kept_bytes += len(content) + _ENTRY_COST
        while self._kept_bytes > _MAX_KEPT:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: int) -> None:
        content = self._kept.pop(key, None)
        if content is not None:
            self._kept_bytes -= len(content) + _ENTRY_COST

    def _release(self, request: Request) -> bytes:
        handle = request.fields(fuse.RELEASE_IN)[0]
        self._drop(~handle if request.opcode == fuse.RELEASEDIR else handle)
        return b""

    def _access(self, request: Request) -> bytes:
        (mask, _) = request.fields(fuse.ACCESS_IN)
        if mask & os.W_OK:
            raise Refusal(errno.EROFS)
        return b""

    def _statfs(self, request: Request) -> bytes:
        return fuse.statfs()

    def _destroy(self, request: Request) -> bytes:
        return b""
