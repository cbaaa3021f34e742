"""systemd's journal: entries by its native protocol, and journalctl(1) to read them again.

Source of the format: systemd.io/JOURNAL_NATIVE_PROTOCOL. The fields are those of podman and docker,
so that what is written for their containers finds ours, too.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import sys

from rootless import log
from rootless.errors import HostError
from rootless.kernel import signals
from rootless.model import jsontext
from rootless.model.moment import rfc3339
from rootless.tools import spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
# syslog(3): LOG_ERR and LOG_INFO, as docker and podman have it.
_PRIORITIES = {"stdout": b"6", "stderr": b"3"}
# A journal that takes nothing any more holds the container up no longer than this for each line.
_PATIENCE_S = 5.0
_PARTIAL = "CONTAINER_PARTIAL_MESSAGE"
_OWN = ("IMAGE_NAME", "MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "SYSLOG_TIMESTAMP")
# The journal drops entries with longer ones.
_LONGEST_NAME = 64
# linux/fcntl.h: all seals, without which the journal does not read a file.
_F_ADD_SEALS = 1033
_ALL_SEALS = 0x1 | 0x2 | 0x4 | 0x8
# sendto(2) for what is more than a datagram takes.
_TOO_LONG = (errno.EMSGSIZE, errno.ENOBUFS)


class JournalWriter:
    """Sends output to the journal: an entry for each line; `write` and `close` never raise.

    The part of a line that was read without its end is an entry of its own, marked as podman does.
    """

    def __init__(
        self,
        container_id: str,
        name: str,
        image: str,
        tag: str,
        extra: Mapping[str, str] | None = None,
        *,
        path: str = SOCKET,
    ) -> None:
        """extra: attributes that get fields of their own."""
        self._path = path
        self._socket: _socket.socket | None = None
        self._fields = b"".join(
            _field(key, value.encode(errors="surrogateescape"))
            for key, value in (
                ("CONTAINER_ID", container_id[:12]),
                ("CONTAINER_ID_FULL", container_id),
                ("CONTAINER_NAME", name),
                ("CONTAINER_TAG", tag),
                ("IMAGE_NAME", image),
                ("SYSLOG_IDENTIFIER", tag),
                *_named_fields(extra or {}),
            )
        )

    def write(self, stream: str, data: bytes, when_ns: int) -> None:
        """Send `data`, read from "stdout" or "stderr" at `when_ns` (nanoseconds since 1970)."""
        head = self._fields + _field("PRIORITY", _PRIORITIES[stream])
        head += _field("SYSLOG_TIMESTAMP", rfc3339(when_ns).encode())
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._send(head + _field("MESSAGE", line))
        if rest:
            self._send(head + _field(_PARTIAL, b"true") + _field("MESSAGE", rest))

    def close(self) -> None:
        """End."""
        self._disconnect()

    def _send(self, entry: bytes) -> None:
        try:
            if self._socket is None:
                self._socket = _connected(self._path)
            try:
                self._socket.send(entry)
            except OSError as error:
                if error.errno not in _TOO_LONG:
                    raise
                _send_as_file(self._socket, entry)
        except OSError as error:
            # A journal that was started again listens on a new socket.
            self._disconnect()
            log.warn(f"output does not reach the journal: {self._path}: {error.strerror or error}")

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _named_fields(extra: Mapping[str, str]) -> list[tuple[str, str]]:
    """With names as the journal takes them, made as docker makes them; none that are ours."""
    found = []
    for name, value in extra.items():
        field = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())
        field = field.lstrip("_0123456789")[:_LONGEST_NAME]
        if field and field not in _OWN and not field.startswith("CONTAINER_"):
            found.append((field, value))
    return found


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


def _connected(path: str) -> _socket.socket:
    one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        one.settimeout(_PATIENCE_S)
        one.connect(path)
    except BaseException:
        one.close()
        raise
    return one


def _send_as_file(one: _socket.socket, entry: bytes) -> None:
    fd = os.memfd_create("journal-entry", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        os.write(fd, entry)
        fcntl.fcntl(fd, _F_ADD_SEALS, _ALL_SEALS)
        rights = fd.to_bytes(4, sys.byteorder)
        one.sendmsg([b""], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    finally:
        os.close(fd)


def command(
    container_id: str, *, follow: bool, tail: int | None, since_ns: int | None
) -> list[str]:
    """The journalctl(1) that shows a container's entries, without its path."""
    argv = ["journalctl", f"CONTAINER_ID_FULL={container_id}"]
    # Without a number, --follow would begin with the last ten.
    argv.append(f"--lines={'all' if tail is None else tail}")
    if follow:
        argv.append("--follow")
    if since_ns is not None:
        argv.append(f"--since=@{max(0, since_ns) // 1_000_000_000}")
    return argv


def start_reading(words: list[str], output: int) -> spawn.Child:
    """Start journalctl(1) with `words` of `command`, and JSON lines for `parse` to `output`.

    Raises HostError where there is no journalctl.
    """
    path = spawn.which(words[0])
    if path is None:
        raise HostError(
            "journalctl: not installed, and only it reads the journal",
            hint=f"on a host with systemd: {spawn.quoted(words)}",
        )
    argv = [path, *words[1:], "--output=json", "--all", "--quiet", "--no-pager"]
    # Its complaints (no right to read, no journal) are for the user's eyes.
    return spawn.spawn(argv, stdout=output, stderr=2, die_with_parent=signals.SIGTERM)


def parse(line: bytes) -> tuple[str, str, bytes] | None:
    """(time, stream, bytes) of a line of journalctl's JSON; None for what is no entry of ours."""
    try:
        entry = jsontext.loads(line)
        message = entry["MESSAGE"]
        stream = "stderr" if entry.get("PRIORITY") == "3" else "stdout"
        when = entry.get("SYSLOG_TIMESTAMP") or rfc3339(int(entry["__REALTIME_TIMESTAMP"]) * 1000)
        # Bytes that are no printable UTF-8 come as a list of numbers.
        data = bytes(message) if isinstance(message, list) else message.encode()
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return when, stream, data if entry.get(_PARTIAL) == "true" else data + b"\n"
