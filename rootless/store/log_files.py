"""The log of a container on disk, and who writes it.

`log.json` is the newest file, `log.json.1` the one before it, and so on. A line is a JSON object
for one piece of output as it was read, often many lines of text or a part of one:

    {"time": "2026-11-21T03:54:00.123456789Z", "stream": "stdout", "log": "…"}

Bytes that are no UTF-8, also those of a character that two pieces share, are in "log" as U+DC80 to
U+DCFF (surrogateescape, PEP 383): put together again, the pieces are the output to the byte. The
stream "note" is ours, with a sentence about the log itself.

On the path of each detached start, and called for each piece of output: imports and work are few.
"""

from __future__ import annotations

import errno
import os
import time

from rootless import log
from rootless.model.jsontext import quoted

NAME = "log.json"
NOTE = "note"
# As docker's driver "local": 100 MB for a container at most.
DEFAULT_MAX_SIZE = 20 * 1024 * 1024
DEFAULT_MAX_FILES = 5
# A reader holds them all open.
MOST_FILES = 100


# JSON's escapes of what is common in a log, the backslash first.
_ESCAPES = (
    (b"\\", b"\\\\"), (b'"', b'\\"'), (b"\n", b"\\n"), (b"\r", b"\\r"), (b"\t", b"\\t"),
    (b"\x1b", b"\\u001b"),
)  # fmt: skip
_COMMON = bytes(range(0x20, 0x7F)) + b"\n\r\t\x1b"


def _quoted(data: bytes) -> bytes:
    """`data` as a JSON string in ASCII."""
    if data.translate(None, _COMMON):
        return quoted(data.decode("utf-8", "surrogateescape")).encode()
    # A third of the time of the encoder, which goes through all characters twice.
    for plain, escaped in _ESCAPES:
        data = data.replace(plain, escaped)
    return b'"%b"' % data


def file_name(number: int) -> str:
    """The name of the newest file (0), of the one before it (1), and so on."""
    return f"{NAME}.{number}" if number else NAME


class LogWriter:
    """Appends to the log in `directory`, which is made when missing. One writer at a time.

    max_size: bytes after which a new file is begun, 0 or less for never; a piece is never split,
    so a file may be longer by one. max_files: how many are kept, the newest included. No method
    raises for what the disk does: what cannot be written is counted, and a note in the log tells
    of it as soon as there is space again.
    """

    def __init__(
        self,
        directory: str,
        max_size: int = DEFAULT_MAX_SIZE,
        max_files: int = DEFAULT_MAX_FILES,
    ) -> None:
        self._directory = directory
        self._max_size = max_size
        self._max_files = max(1, max_files)
        self._fd = -1
        self._size = 0
        self._lost_pieces = self._lost_bytes = 0
        self._reason = ""
        self._second = -1
        self._second_text = ""

    def write(self, stream: str, data: bytes, when_ns: int) -> None:
        """Keep `data`, read from "stdout" or "stderr" at `when_ns` (nanoseconds since 1970)."""
        line = self._line(stream, data, when_ns)
        if self._lost_pieces:
            line = self._note(when_ns) + line
        try:
            self._append(line)
        except OSError as error:
            self._drop(len(data), error)
        else:
            self._lost_pieces = self._lost_bytes = 0

    def close(self) -> None:
        """End; notes what could not be written, if there is space for that now."""
        if self._lost_pieces:
            try:
                self._append(self._note(time.time_ns()))
            except OSError:
                pass  # it was said as a warning
        self._close_file()

    def _line(self, stream: str, data: bytes, when_ns: int) -> bytes:
        second, nanoseconds = divmod(when_ns, 1_000_000_000)
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        head = f'{{"time": "{self._second_text}.{nanoseconds:09d}Z", "stream": "{stream}", "log": '
        return b"%b%b}\n" % (head.encode(), _quoted(data))

    def _note(self, when_ns: int) -> bytes:
        text = (
            f"{self._lost_bytes} bytes of output in {self._lost_pieces} pieces"
            f" are missing here: {self._reason}\n"
        )
        return self._line(NOTE, text.encode(), when_ns)

    def _append(self, line: bytes) -> None:
        if self._fd < 0:
            self._open()
        if 0 < self._max_size < self._size + len(line) and self._size:
            self._rotate()
        start = self._size
        try:
            rest: bytes | memoryview = line
            while rest:
                written = os.write(self._fd, rest)
                self._size += written
                rest = memoryview(rest)[written:]
        except OSError:
            self._take_back(start)
            raise

    def _take_back(self, start: int) -> None:
        """Cut off the part of a line that did fit."""
        try:
            os.ftruncate(self._fd, start)
            self._size = start
        except OSError:
            self._close_file()  # the next one to open it ends the torn line

    def _open(self) -> None:
        path = f"{self._directory}/{NAME}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            fd = os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.mkdir(self._directory, 0o700)
            fd = os.open(path, flags, 0o600)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                # A writer before this one was killed in the middle of a line.
                size += os.write(fd, b"\n")
        except OSError:
            os.close(fd)
            raise
        self._fd, self._size = fd, size

    def _rotate(self) -> None:
        self._close_file()
        # From the oldest on; readers tell the files by their inodes, not by their names.
        for number in range(self._max_files - 1, 0, -1):
            try:
                os.rename(self._path(number - 1), self._path(number))
            except FileNotFoundError:
                continue
        if self._max_files == 1:
            os.unlink(self._path(0))
        self._open()

    def _path(self, number: int) -> str:
        return f"{self._directory}/{file_name(number)}"

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _drop(self, size: int, error: OSError) -> None:
        self._lost_pieces += 1
        self._lost_bytes += size
        self._reason = os.strerror(error.errno or errno.EIO)
        log.warn(f"the container's log is not written: {self._path(0)}: {self._reason}")
