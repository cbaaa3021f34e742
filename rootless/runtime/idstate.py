"""What is remembered of the processes whose calls about users are answered.

Of each process only a number: in its soft limit of file locks (RLIMIT_LOCKS), which the kernel has
not looked at since 2.4.25. So forks inherit it, execve(2) keeps it, and it is gone with the
process; nobody has to follow who becomes whose child. What the numbers mean is in memory that all
servers of one listener share: when one is killed, the next reads it there. A process can change
its limit itself and so deceive itself, and nobody else.
"""

from __future__ import annotations

import marshal
import mmap
import resource
import struct
import zlib

from rootless.model.credentials import Credentials
from rootless.model.idcalls import RLIMIT_LOCKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_MARK = 0x724C4964 << 32  # no limit that somebody would have set
_NUMBERS = 0xFFFFFFFF
_SIZE = 1 << 20
_HEADER = struct.Struct("=II")  # length, checksum


class IdState:
    """Made before the servers are forked, and told who the first process is (`take_base`): whoever
    has no number yet is that one still."""

    def __init__(self) -> None:
        self._base = Credentials.of(0, 0)
        self._map = mmap.mmap(-1, _SIZE)
        self._known: list[Credentials] = []
        self._size = 0
        self.root_mount = -1

    def take_base(self, uid: int, gid: int, groups: Sequence[int]) -> None:
        """The first process runs as them. Root has all its powers until it gives them up."""
        self._base = Credentials((uid, uid, uid), (gid, gid, gid), tuple(sorted(set(groups))))

    def resume(self) -> None:
        """In a server: know what those before it have known."""
        length, checksum = _HEADER.unpack_from(self._map)
        data = self._map[_HEADER.size : _HEADER.size + length]
        # One that was killed while it wrote leaves nothing of use.
        if length and zlib.crc32(data) == checksum:
            self.root_mount, known = marshal.loads(data)
            self._known = [Credentials.from_fields(fields) for fields in known]
            self._size = length

    def of(self, pid: int) -> Credentials:
        """The credentials of the process. Raises OSError when it is gone."""
        soft = resource.prlimit(pid, RLIMIT_LOCKS)[0]
        number = soft & _NUMBERS
        if soft < 0 or soft & ~_NUMBERS != _MARK or number >= len(self._known):
            return self._base
        return self._known[number]

    def remember(self, pid: int, credentials: Credentials) -> None:
        """Note that the process has them now. Raises OSError, ValueError where a hard limit is in
        the way, or too much is remembered."""
        if credentials not in self._known:
            self._add(credentials)
        hard = resource.prlimit(pid, RLIMIT_LOCKS)[1]
        resource.prlimit(pid, RLIMIT_LOCKS, (_MARK | self._known.index(credentials), hard))

    def _add(self, credentials: Credentials) -> None:
        # What a process tries out must not fill our memory; in marshal's format a number takes up
        # to nine bytes.
        self._size += 9 * (10 + len(credentials.groups))
        if self._size > _SIZE - _HEADER.size:
            raise ValueError("too many different credentials")
        self._known.append(credentials)
        self.keep()

    def keep(self) -> None:
        """Have what is known survive this process."""
        known = [one.fields() for one in self._known]
        data = marshal.dumps((self.root_mount, known))
        if _HEADER.size + len(data) <= _SIZE:
            self._map[_HEADER.size : _HEADER.size + len(data)] = data
            _HEADER.pack_into(self._map, 0, len(data), zlib.crc32(data))
