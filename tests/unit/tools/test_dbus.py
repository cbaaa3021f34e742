"""A connection, on a real dbus-daemon; and on peers that do what no real one does."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rootless.tools import dbus
from rootless.tools.dbuswire import ProtocolError, build_call

BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")
GREETING = b"OK 0123456789abcdef\r\n"


@contextmanager
def connected(path: str, *, seconds: float = 20, bus: bool = True) -> Iterator[dbus.Connection]:
    connection = dbus.Connection(path, uid=os.geteuid(), seconds=seconds, bus=bus)
    try:
        yield connection
    finally:
        connection.close()


def test_calls_and_their_replies(bus: str) -> None:
    with connected(bus) as connection:
        names = connection.send(*BUS, "ListNames")
        owner = connection.send(*BUS, "GetNameOwner", "s", BUS[0])
        (listed,) = connection.reply(names, "as")
        assert BUS[0] in listed
        assert connection.reply(owner, "s") == (BUS[0],)


def test_an_error_has_the_name_and_the_words(bus: str) -> None:
    with connected(bus) as connection:
        serial = connection.send("org.example.Nobody", "/", "a.b", "Go")
        with pytest.raises(dbus.ErrorReply, match="Nobody") as caught:
            connection.reply(serial)
        assert caught.value.name.startswith("org.freedesktop.DBus.Error.")


def test_the_error_of_an_earlier_call_is_the_one_that_is_told(bus: str) -> None:
    with connected(bus) as connection:
        connection.add_match("nonsense")
        serial = connection.send(*BUS, "ListNames")
        with pytest.raises(dbus.ErrorReply, match="MatchRuleInvalid"):
            connection.reply(serial, "as")


def test_a_signal_before_the_reply_and_one_after_it(bus: str) -> None:
    def ours(message: dbus.Message) -> bool:
        return message.member == "NameOwnerChanged" and message.body("sss")[0] == "a.b"

    with connected(bus) as connection:
        connection.watch(ours)
        connection.add_match("type='signal',member='NameOwnerChanged'")
        connection.send(*BUS, "RequestName", "su", "a.c", 0)
        connection.send(*BUS, "RequestName", "su", "a.b", 0)
        assert connection.reply(connection.send(*BUS, "ReleaseName", "s", "a.b"), "u") == (1,)
        taken, given = connection.signal().body("sss"), connection.signal().body("sss")
        assert (taken[1], given[2]) == ("", "")
        assert taken[2] == given[1] != ""


def test_a_reply_of_another_type(bus: str) -> None:
    with connected(bus) as connection:
        serial = connection.send(*BUS, "ListNames")
        with pytest.raises(ProtocolError, match="'as' came where 's' should"):
            connection.reply(serial, "s")


def test_a_signal_that_does_not_come(bus: str) -> None:
    late = pytest.raises(TimeoutError, match=r"no answer within 0\.2 s")
    with connected(bus, seconds=0.2) as connection, late:
        connection.signal()


def test_the_bus_is_another_users(bus: str) -> None:
    with pytest.raises(PermissionError, match=f"belongs to user id {os.geteuid()}"):
        dbus.Connection(bus, uid=os.geteuid() + 1, seconds=20, bus=True)


def test_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        dbus.Connection(str(tmp_path / "absent"), uid=os.geteuid(), seconds=20, bus=True)
    left = str(tmp_path / "left")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(left)
    with pytest.raises(ConnectionRefusedError, match="left"):
        dbus.Connection(left, uid=os.geteuid(), seconds=20, bus=True)


@contextmanager
def peer(path: Path, act: Callable[[socket.socket], object]) -> Iterator[str]:
    """A peer that accepts one connection and does `act` with it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            accepted, _ = listener.accept()
            with accepted:
                try:
                    act(accepted)
                except ConnectionError:
                    pass  # the client hung up first, which is what it should do

        thread = threading.Thread(target=serve)
        thread.start()
        yield str(path)
        thread.join(20)
        assert not thread.is_alive()


def answers(*parts: bytes) -> Callable[[socket.socket], None]:
    """Reads once, writes `parts`, says no more, and waits for the client to hang up."""

    def act(accepted: socket.socket) -> None:
        accepted.recv(65536)
        for part in parts:
            accepted.sendall(part)
            time.sleep(0.01)
        accepted.shutdown(socket.SHUT_WR)
        while accepted.recv(65536):
            pass

    return act


def reply_from(path: Path, *parts: bytes) -> tuple[object, ...]:
    serving = peer(path / "peer", answers(*parts))
    with serving as address, connected(address, bus=False) as connection:
        return connection.reply(connection.send("", "/", "a.b", "Go"), "s")


def returned(serial: int, text: str) -> bytes:
    """A METHOD_RETURN to `serial`."""
    raw = text.encode()
    body = len(raw).to_bytes(4, "little") + raw + b"\0"
    fields = b"\5\1u\0" + serial.to_bytes(4, "little") + b"\x08\1g\0\1s\0\0"
    head = b"l\2\1\1" + len(body).to_bytes(4, "little") + b"\1\0\0\0" + b"\x0f\0\0\0"
    return head + fields + body


HEXADECIMAL = str(os.geteuid()).encode().hex().encode()
AUTHENTICATION = b"\0AUTH EXTERNAL " + HEXADECIMAL + b"\r\nBEGIN\r\n"


def test_to_a_bus_everything_goes_out_in_one_write(tmp_path: Path) -> None:
    seen: list[bytes] = []

    def act(accepted: socket.socket) -> None:
        seen.append(accepted.recv(65536))
        accepted.sendall(GREETING + returned(1, ":1.1") + returned(2, "one") + returned(3, "two"))

    with peer(tmp_path / "peer", act) as address, connected(address) as connection:
        one = connection.send("d", "/", "a.b", "One")
        two = connection.send("d", "/", "a.b", "Two")
        assert connection.reply(one, "s") == ("one",)
        assert connection.reply(two, "s") == ("two",)
    calls = [
        build_call(1, BUS[0], BUS[1], BUS[2], "Hello"),
        build_call(2, "d", "/", "a.b", "One"),
        build_call(3, "d", "/", "a.b", "Two"),
    ]
    assert seen == [AUTHENTICATION + b"".join(calls)]


def test_a_peer_is_woken_after_it_has_agreed(tmp_path: Path) -> None:
    """systemd leaves a call alone that it has read with the authentication, until more comes."""
    seen: list[bytes] = []

    def act(accepted: socket.socket) -> None:
        seen.append(accepted.recv(65536))
        accepted.sendall(GREETING)
        seen.append(accepted.recv(65536))
        accepted.sendall(returned(1, "one"))

    with peer(tmp_path / "peer", act) as address, connected(address, bus=False) as connection:
        assert connection.reply(connection.send("", "/", "a.b", "One"), "s") == ("one",)
    assert seen == [
        AUTHENTICATION + build_call(1, "", "/", "a.b", "One"),
        build_call(2, "", "/", "org.freedesktop.DBus.Peer", "Ping"),
    ]


def test_an_answer_in_small_pieces(tmp_path: Path) -> None:
    data = GREETING + returned(1, "hello")
    pieces = [data[at : at + 5] for at in range(0, len(data), 5)]
    assert reply_from(tmp_path, *pieces) == ("hello",)


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (b"", PermissionError, "hung up during the authentication"),
        (b"REJECTED EXTERNAL\r\n", PermissionError, "authentication refused"),
        (b"HTTP/1.1 400 Bad\r\n", ProtocolError, "HTTP/1.1 400 Bad"),
        (b"x" * 3000, ProtocolError, "endless line"),
        (GREETING, ConnectionResetError, "closed the connection"),
        (GREETING + b"l\2\1\1", ConnectionResetError, "closed the connection"),
        (GREETING + returned(1, "x")[:-1], ConnectionResetError, "closed the connection"),
        (GREETING + b"HTTP/1.1 400 Bad", ProtocolError, "byte order"),
        (GREETING + b"l\2\1\1" + b"\xff" * 12, ProtocolError, "4294967295 bytes of header"),
        (GREETING + returned(1, "x")[:-1] + b"y", ProtocolError, "does not end where it says"),
        (GREETING + returned(7, "not ours"), ConnectionResetError, "closed the connection"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else None,
)
def test_a_broken_peer(tmp_path: Path, answer: bytes, error: type, reason: str) -> None:
    with pytest.raises(error, match=reason):
        reply_from(tmp_path, answer)


@pytest.mark.parametrize("spoken", [b"", b"OK", GREETING, GREETING + returned(1, "x")[:20]])
def test_a_peer_that_hangs_ends_with_the_deadline(tmp_path: Path, spoken: bytes) -> None:
    def act(accepted: socket.socket) -> None:
        accepted.sendall(spoken)
        while accepted.recv(65536):
            pass

    serving = peer(tmp_path / "peer", act)
    with serving as address, connected(address, seconds=0.2, bus=False) as connection:
        serial = connection.send("", "/", "a.b", "Go")
        with pytest.raises(TimeoutError, match=r"no answer within 0\.2 s"):
            connection.reply(serial)


def test_a_peer_that_never_stops_ends_with_the_deadline(tmp_path: Path) -> None:
    def act(accepted: socket.socket) -> None:
        accepted.sendall(GREETING)
        while True:
            accepted.sendall(returned(7, "not ours") * 100)

    serving = peer(tmp_path / "peer", act)
    with serving as address, connected(address, seconds=0.3, bus=False) as connection:
        serial = connection.send("", "/", "a.b", "Go")
        with pytest.raises(TimeoutError):
            connection.reply(serial)


def test_a_peer_that_reads_nothing_ends_with_the_deadline(tmp_path: Path) -> None:
    hung_up = threading.Event()
    with peer(tmp_path / "peer", lambda _: hung_up.wait(20)) as address:
        with connected(address, seconds=0.2, bus=True) as connection:
            connection.send("", "/", "a.b", "Go", "s", "x" * 4_000_000)
            with pytest.raises(TimeoutError):
                connection.flush()
        hung_up.set()
