"""The files that are shown, as plain objects.

The tree is fixed: made before the server is forked, and every fork of one process numbers it alike,
so a new server goes on where a dead one ended. Only content changes, and what a directory of the
host (rootless.procview.hostdir) has in it.
"""

from __future__ import annotations

import errno
import stat

from rootless.procview import fuse
from rootless.procview.fuse import Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# What cannot change while it is mounted may be remembered; the kernel counts in seconds.
_FOR_EVER = 1 << 30
# A text may grow by a digit.
_SIZE_VALID = 1


class Node:
    """Something with a number and attributes. Every method may raise fuse.Refusal.

    number: set by Tree. valid, attr_valid: seconds for which the kernel may remember the name and
    the attributes. The `reader` of methods: see fuse.Request.
    """

    __slots__ = ("number",)
    kind = fuse.DT_REG
    valid = _FOR_EVER

    def __init__(self) -> None:
        self.number = 0

    @property
    def attr_valid(self) -> int:
        """See the class."""
        return _FOR_EVER

    def attributes(self, born: int, reader: int) -> bytes:
        """struct fuse_attr; `born`: the tree's age, seconds since the epoch."""
        raise NotImplementedError

    def by_name(self, born: int, reader: int) -> tuple[bytes, int]:
        """For who looks up a name: the attributes, and how long they may be remembered."""
        return self.attributes(born, reader), self.attr_valid

    def content(self, reader: int) -> bytes:
        """The file's whole text."""
        raise Refusal(errno.EISDIR)

    def listing(self, reader: int) -> bytes:
        """The directory's whole content, made by fuse.dirents."""
        raise Refusal(errno.ENOTDIR)

    def lookup(self, name: bytes, reader: int) -> Node:
        """The file `name` in this directory."""
        raise Refusal(errno.ENOTDIR)

    def target(self, reader: int) -> bytes:
        """What the symbolic link says."""
        raise Refusal(errno.EINVAL)

    def below(self) -> Iterator[Node]:
        """The fixed nodes under this one."""
        return iter(())

    def find(self, number: int) -> Node | None:
        """The node under this one that has `number` without being fixed."""
        return None


class File(Node):
    """A text made anew by `content` for a reader, at each reading from the start.

    size: how long it is now. read(2) goes by the text, but sendfile(2), with which busybox's cat
    copies, ends at the size; without one it is 0, as in /proc, and sendfile(2) copies nothing.
    varies: whether readers get different texts.
    """

    __slots__ = ("_content", "_size", "_varies")

    def __init__(
        self,
        content: Callable[[int], bytes],
        size: Callable[[int], int] | None = None,
        varies: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__()
        self._content = content
        self._size = size
        self._varies = varies

    @property
    def attr_valid(self) -> int:
        """As long as the size can be trusted."""
        if not self._size:
            return _FOR_EVER
        return 0 if self._varies() else _SIZE_VALID

    def attributes(self, born: int, reader: int) -> bytes:
        """Those of a file that anybody may read."""
        size = self._size(reader) if self._size else 0
        return fuse.attributes(self.number, stat.S_IFREG | 0o444, size=size, seconds=born)

    def by_name(self, born: int, reader: int) -> tuple[bytes, int]:
        """Without the size, which would cost the whole text: each mount of a file begins with its
        name. Who opens the file or wants its attributes makes the kernel ask for them (GETATTR)."""
        if not self._size:
            return super().by_name(born, reader)
        return fuse.attributes(self.number, stat.S_IFREG | 0o444, seconds=born), 0

    def content(self, reader: int) -> bytes:
        """The text as of now."""
        return self._content(reader)


class Directory(Node):
    """A fixed set of nodes."""

    __slots__ = ("_children",)
    kind = fuse.DT_DIR

    def __init__(self, children: Mapping[bytes, Node]) -> None:
        super().__init__()
        self._children = dict(children)

    def attributes(self, born: int, reader: int) -> bytes:
        """Those of a directory that anybody may list."""
        return fuse.attributes(self.number, stat.S_IFDIR | 0o555, seconds=born)

    def lookup(self, name: bytes, reader: int) -> Node:
        """The child `name`."""
        try:
            return self._children[name]
        except KeyError:
            raise Refusal(errno.ENOENT) from None

    def listing(self, reader: int) -> bytes:
        """The children in the order in which they were given."""
        rows = [(node.number, node.kind, name) for name, node in self._children.items()]
        return fuse.dirents(dots(self.number) + rows)

    def below(self) -> Iterator[Node]:
        """Children, and what is under them."""
        for node in self._children.values():
            yield node
            yield from node.below()


def dots(number: int) -> list[tuple[int, int, bytes]]:
    """The two rows that every listing starts with; the kernel knows better where `..` is."""
    return [(number, fuse.DT_DIR, b"."), (number, fuse.DT_DIR, b"..")]


class Tree:
    """A root directory and the nodes under it by number."""

    __slots__ = ("_fixed",)

    def __init__(self, root: Node) -> None:
        self._fixed = {fuse.ROOT_NODE: root}
        for number, node in enumerate(root.below(), fuse.ROOT_NODE + 1):
            self._fixed[number] = node
        for number, node in self._fixed.items():
            node.number = number

    def find(self, number: int) -> Node:
        """The node `number`. Raises Refusal(ESTALE) when there is none any more."""
        node = self._fixed.get(number)
        if node is not None:
            return node
        for fixed in self._fixed.values():
            node = fixed.find(number)
            if node is not None:
                return node
        # The VFS then looks the path up anew, by itself.
        raise Refusal(errno.ESTALE)
