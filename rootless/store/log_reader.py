"""Reading a container's log while it is written and rotated.

Files are told apart by their inodes: a rename(2) changes names only, and one that is open stays.
"""

from __future__ import annotations

import os

from rootless.model import jsontext
from rootless.store.log_files import MOST_FILES, file_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    # RFC 3339 in UTC with nine digits after the point, the stream, and what was read from it.
    Entry = tuple[str, str, bytes]
    Inode = tuple[int, int]

_BLOCK = 256 * 1024
# A rotation may rename files between two looks at them; none takes that many looks.
_LOOKS = 100
# How many pieces before the wanted lines are looked at for the beginning of the first one.
_PATIENCE = 1000


def parse(line: bytes) -> Entry | None:
    """The entry in a line of a log file; None for one that was torn."""
    try:
        entry = jsontext.loads(line)
        text = entry["log"].encode("utf-8", "surrogateescape")
        return entry["time"], entry["stream"], text
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


class LogReader:
    """All of the log in `directory`, oldest first; goes on where it was when asked again.

    has_gap: files were rotated away before they were read. A missing directory is an empty log.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._files = _open_all(directory)
        self._index = 0 if self._files else -1
        self._position = 0
        self.has_gap = False

    def close(self) -> None:
        """Let go of the files."""
        for fd in self._files:
            os.close(fd)
        self._files = []

    def entries(self) -> Iterator[Entry]:
        """What has come since the last call."""
        while True:
            yield from self._rest()
            if not self._has_next():
                return
            # Nothing more is written to it now; something may have been since the look above.
            yield from self._rest()
            self._index += 1
            self._position = 0

    def _rest(self) -> Iterator[Entry]:
        """Whole lines of the current file from the current position on."""
        if self._index < 0:
            return
        rest, offset = b"", self._position
        while block := os.pread(self._files[self._index], _BLOCK, offset):
            offset += len(block)
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                self._position += len(line) + 1
                entry = parse(line)
                if entry is not None:
                    yield entry

    def _has_next(self) -> bool:
        """Whether there is a file after the current one, which is then open."""
        if self._index + 1 < len(self._files):
            return True
        newer = self._open_newer()
        if newer < 0:
            return False
        self._files.append(newer)
        return True

    def _open_newer(self) -> int:
        """The file that was begun after the last one that is open; -1 when there is none."""
        last = _inode(os.fstat(self._files[-1])) if self._files else None
        if last is not None and last == _stat(self._directory, 0):
            return -1
        for _ in range(_LOOKS):
            found = _look(self._directory)
            after = _after(found, last)
            if after is None:
                return -1
            fd = _open(self._directory, after[0])
            if fd >= 0 and _inode(os.fstat(fd)) == after[1]:
                self.has_gap |= last is not None and last not in dict(found).values()
                return fd
            _close(fd)
        return -1

    # --- the last lines

    def start_at_tail(self, count: int) -> int:
        """Go to where the last `count` lines of text begin; how many lines to skip from there on.

        A line may be in several pieces, and the other stream's between them; lines count in the
        order of their ends.
        """
        wanted = _LastLines(count)
        for index, position, entry in self._backward():
            if wanted.is_enough:
                break
            self._index, self._position = index, position
            wanted.add(entry[1], entry[2])
        if not wanted.seen and self._files:
            self._index = len(self._files) - 1
            self._position = os.fstat(self._files[-1]).st_size
        return max(0, wanted.lines - count)

    def _backward(self) -> Iterator[tuple[int, int, Entry]]:
        """Each entry with its file and its position there, the newest first."""
        for index in range(len(self._files) - 1, -1, -1):
            for position, line in _lines_backward(self._files[index]):
                entry = parse(line)
                if entry is not None:
                    yield index, position, entry


class _LastLines:
    """Counts lines from the end, until all of the last `count` are there from their beginnings."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.lines = 0
        self.seen: dict[str, int] = {}
        self._wanted: dict[str, int] = {}
        self._beyond = 0

    @property
    def is_enough(self) -> bool:
        """The line before the first wanted one of each stream has to be there, for its end."""
        if self.lines < self._count:
            return False
        whole = all(self.seen[stream] > count for stream, count in self._wanted.items() if count)
        return whole or self._beyond > _PATIENCE

    def add(self, stream: str, data: bytes) -> None:
        ends = data.count(b"\n")
        if stream not in self.seen and not data.endswith(b"\n"):
            ends += 1  # the last line of the stream, so far without an end
        taken = min(ends, max(0, self._count - self.lines))
        self._wanted[stream] = self._wanted.get(stream, 0) + taken
        self.seen[stream] = self.seen.get(stream, 0) + ends
        self.lines += ends
        self._beyond += self.lines >= self._count


def _lines_backward(fd: int) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a file with their positions, the last one first."""
    position = os.fstat(fd).st_size
    # What follows the last line's end is torn or not yet written whole.
    parts: list[bytes] = []
    has_end = False
    while position > 0:
        start = max(0, position - _BLOCK)
        first, *others = os.pread(fd, position - start, start).split(b"\n")
        at = position
        for line in reversed(others):
            at -= len(line)
            if has_end:
                yield at, b"".join([line, *reversed(parts)])
            parts, has_end = [], True
            at -= 1
        parts.append(first)
        position = start
    if has_end:
        yield 0, b"".join(reversed(parts))


def _open_all(directory: str) -> list[int]:
    """Descriptors of all files that are there at one moment, the oldest first."""
    for _ in range(_LOOKS):
        found = _look(directory)
        fds = [_open(directory, number) for number, _ in reversed(found)]
        inodes = [_inode(os.fstat(fd)) for fd in fds if fd >= 0]
        if inodes == [inode for _, inode in reversed(found)]:
            return fds
        for fd in fds:
            _close(fd)
    return []


def _look(directory: str) -> list[tuple[int, Inode]]:
    """The number and the inode of each file, the newest first.

    Renames between the looks show a file twice, or not at all; the same seen twice is what there
    is, also with a gap among the numbers that a writer left which was killed while it renamed.
    """
    before: list[tuple[int, Inode]] | None = None
    found: list[tuple[int, Inode]] = []
    for _ in range(_LOOKS):
        looked = [(number, _stat(directory, number)) for number in _numbers(directory)]
        found = [(number, inode) for number, inode in looked if inode is not None]
        if found == before:
            break
        before = found
    return found


def _numbers(directory: str) -> list[int]:
    try:
        names = set(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [number for number in range(MOST_FILES) if file_name(number) in names]


def _after(found: list[tuple[int, Inode]], last: Inode | None) -> tuple[int, Inode] | None:
    """The file after `last`; the oldest one when `last` is gone."""
    before: tuple[int, Inode] | None = None
    for one in found:
        if one[1] == last:
            return before
        before = one
    return before


def _stat(directory: str, number: int) -> Inode | None:
    try:
        return _inode(os.stat(f"{directory}/{file_name(number)}"))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _inode(info: os.stat_result) -> Inode:
    return info.st_dev, info.st_ino


def _open(directory: str, number: int) -> int:
    try:
        return os.open(f"{directory}/{file_name(number)}", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)
