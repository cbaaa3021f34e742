"""A connection to a D-Bus bus or peer over a UNIX socket: calls, replies, signals.

`socket` is not imported, for its price (decision 0014); jeepney and its like cost more than all the
rest of a start (decision 0017). Whatever the other side sends or does not send ends within the
connection's time, in an answer or in one error.

Protocol: the D-Bus Specification, "Authentication Protocol" and "Message Bus"
(dbus.freedesktop.org/doc/dbus-specification.html).
"""

from __future__ import annotations

import _socket
import errno
import sys
import time

from rootless.tools.dbuswire import (
    ERROR,
    FIXED_HEADER,
    METHOD_RETURN,
    SIGNAL,
    Message,
    ProtocolError,
    build_call,
    message_size,
    parse_message,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_BUS = "org.freedesktop.DBus"
_BUS_PATH = "/org/freedesktop/DBus"
_LONGEST_LINE = 1024
_MOST_KEPT = 64
_CHUNK = 64 * 1024


class ErrorReply(Exception):
    """The peer refused a call. name: as `org.freedesktop.DBus.Error.Failed`; text: its words."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class Connection:
    """A connection to the bus or the peer that listens at `path`. Not for several threads.

    uid: ours, and the listener's: another user's socket is refused. name: ours as the listener
    knows it, another one where we are root of a user namespace. seconds: after them whatever
    is still waited for ends in TimeoutError. bus: a message bus, not the one peer itself.

    What is sent is kept until an answer is waited for, and then written at once, the
    authentication before it: one write, and no waiting for its end.

    All methods raise OSError (PermissionError when the authentication is refused, TimeoutError,
    ConnectionError) and ProtocolError.
    """

    def __init__(
        self, path: str, *, uid: int, seconds: float, bus: bool, name: int | None = None
    ) -> None:
        self._path = path
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self._serial = 0
        self._received = bytearray()
        self._authenticated = False
        self._wanted: Callable[[Message], bool] | None = None
        self._kept: list[Message] = []
        # EXTERNAL: who we are is what the kernel says; the hexadecimal text names the same uid.
        told = str(uid if name is None else name).encode().hex().encode()
        self._unsent = b"\0AUTH EXTERNAL %s\r\nBEGIN\r\n" % told
        self._bus = bus
        self._sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
        try:
            self._connect(uid)
        except BaseException:
            self.close()
            raise
        if bus:
            self.send(_BUS, _BUS_PATH, _BUS, "Hello")

    def _connect(self, uid: int) -> None:
        self._sock.settimeout(self._left())
        try:
            self._sock.connect(self._path)
        except OSError as error:
            error.filename = self._path
            raise
        # struct ucred: pid, uid, gid (unix(7)).
        peer = self._sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
        owner = int.from_bytes(peer[4:8], sys.byteorder)
        if owner != uid:
            raise PermissionError(errno.EPERM, f"belongs to user id {owner}", self._path)

    def send(
        self,
        destination: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *args: Any,
    ) -> int:
        """Note a method call for the next `flush`; the serial number to give to `reply`.

        destination: empty for a peer that is no bus. Raises ValueError or OverflowError for `args`
        that are not of `signature`.
        """
        self._serial += 1
        self._unsent += build_call(
            self._serial, destination, path, interface, member, signature, args
        )
        return self._serial

    def add_match(self, rule: str) -> None:
        """Have the bus deliver the signals of `rule` ("Match Rules" in the specification)."""
        self.send(_BUS, _BUS_PATH, _BUS, "AddMatch", "s", rule)

    def watch(self, wanted: Callable[[Message], bool]) -> None:
        """Keep the signals for which `wanted` is true, for `signal`. Others are dropped unread."""
        self._wanted = wanted

    def flush(self) -> None:
        """Write what was noted by `send`."""
        data, self._unsent = self._unsent, b""
        self._sock.settimeout(self._left())
        try:
            self._sock.sendall(data, _socket.MSG_NOSIGNAL)
        except TimeoutError:
            raise self._late() from None

    def reply(self, serial: int, signature: str = "") -> tuple[Any, ...]:
        """The values, of `signature`, that answer the call `serial`.

        Raises ErrorReply when it, or one that was sent before it, was refused.
        """
        while True:
            message = self._next()
            if message.kind == ERROR and 0 < message.reply_to <= serial:
                raise ErrorReply(message.error_name, _words_of(message))
            if message.kind == METHOD_RETURN and message.reply_to == serial:
                return message.body(signature)

    def signal(self) -> Message:
        """The next of the watched signals; those that came before a reply count."""
        while not self._kept:
            self._next()
        return self._kept.pop(0)

    def close(self) -> None:
        """Hang up; what was not flushed is not sent."""
        self._sock.close()

    def _next(self) -> Message:
        """The next message of any kind; a watched signal is also kept."""
        if self._unsent:
            self.flush()
        if not self._authenticated:
            self._authenticate()
        size = message_size(self._need(FIXED_HEADER))
        message = parse_message(self._need(size))
        del self._received[:size]
        if message.kind == SIGNAL and self._wanted is not None and self._wanted(message):
            self._kept.append(message)
            del self._kept[:-_MOST_KEPT]
        return message

    def _authenticate(self) -> None:
        while b"\r\n" not in self._received:
            if len(self._received) > _LONGEST_LINE:
                raise ProtocolError("an endless line during the authentication")
            self._receive_greeting()
        line, _, rest = bytes(self._received).partition(b"\r\n")
        if line.startswith(b"REJECTED"):
            raise PermissionError(errno.EACCES, "authentication refused", self._path)
        if not line.startswith(b"OK "):
            raise ProtocolError(f"{line[:80]!r} during the authentication")
        self._received = bytearray(rest)
        self._authenticated = True
        if not self._bus:
            # systemd as the peer may have read the calls together with the authentication, and
            # then looks at them only when more comes (its bus-socket.c, bus_socket_read_auth).
            self.send("", "/", "org.freedesktop.DBus.Peer", "Ping")
            self.flush()

    def _receive_greeting(self) -> None:
        try:
            self._receive()
        except ConnectionResetError:
            reason = "hung up during the authentication"
            raise PermissionError(errno.EACCES, reason, self._path) from None

    def _need(self, count: int) -> bytes:
        while len(self._received) < count:
            self._receive()
        return bytes(self._received[:count])

    def _receive(self) -> None:
        self._sock.settimeout(self._left())
        try:
            data = self._sock.recv(_CHUNK)
        except TimeoutError:
            raise self._late() from None
        if not data:
            raise ConnectionResetError(errno.ECONNRESET, "closed the connection", self._path)
        self._received += data

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> TimeoutError:
        return TimeoutError(errno.ETIMEDOUT, f"no answer within {self._seconds:g} s", self._path)


def _words_of(message: Message) -> str:
    """The text of an error; by convention its first value, when that is one."""
    if message.signature != "s":
        return ""
    text: str = message.body("s")[0]
    return text
