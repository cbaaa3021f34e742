"""Bytes between descriptors: all of them, in order, with ends and back-pressure passed on."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Iterator

import pytest

from rootless import log
from rootless.engine.pump import Pump, milliseconds, poll


@pytest.fixture
def pipes() -> Iterator[tuple[int, int, int, int]]:
    """Source (read end, write end), sink (read end, write end); the sink does not block."""
    fds = (*os.pipe(), *os.pipe())
    os.set_blocking(fds[3], False)
    yield fds
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            continue  # the test did


def turn(pump: Pump, timeout: int = 1000) -> dict[int, int]:
    masks: dict[int, int] = {}
    pump.wants(masks)
    pump.handle(poll(masks, timeout))
    return masks


def test_bytes_pass(pipes: tuple[int, int, int, int]) -> None:
    source, feed, out, sink = pipes
    pump = Pump(source, sink)
    os.write(feed, b"\0hello\xff")
    assert turn(pump) == {source: select.POLLIN}
    assert os.read(out, 100) == b"\0hello\xff"


def test_the_end_is_passed_on_once(pipes: tuple[int, int, int, int]) -> None:
    source, feed, out, sink = pipes
    ends: list[str] = []

    def close() -> None:
        ends.append("end")
        os.close(sink)

    pump = Pump(source, sink, at_end=close)
    os.write(feed, b"last")
    os.close(feed)
    turn(pump)
    assert ends == []
    turn(pump)
    assert pump.ended
    pump.finish()
    pump.handle({source: select.POLLIN})
    assert ends == ["end"]
    assert turn(pump, 0) == {}, "an ended pump waits for nothing"
    assert os.read(out, 100) == b"last"
    assert os.read(out, 100) == b""


def test_what_cannot_be_written_is_not_read(pipes: tuple[int, int, int, int]) -> None:
    source, feed, out, sink = pipes
    os.set_blocking(feed, False)
    pump = Pump(source, sink)
    sent = 0
    for _ in range(50):
        try:
            sent += os.write(feed, b"x" * 65536)
        except BlockingIOError:
            break
        turn(pump, 0)
    assert sent < 50 * 65536, "back-pressure has to reach the writer"
    masks: dict[int, int] = {}
    pump.wants(masks)
    assert masks == {sink: select.POLLOUT}
    os.close(feed)
    received = b""
    while not pump.ended:
        received += os.read(out, 1 << 20)
        turn(pump, 0)
    os.close(sink)
    while part := os.read(out, 1 << 20):
        received += part
    assert received == b"x" * sent


def test_a_reader_that_is_gone_ends_the_pump(pipes: tuple[int, int, int, int]) -> None:
    source, feed, out, sink = pipes
    ends: list[int] = []
    pump = Pump(source, sink, at_end=lambda: ends.append(1))
    os.close(out)
    os.write(feed, b"nobody reads this")
    turn(pump)
    assert pump.ended and ends == [1]


def test_a_terminal_whose_other_side_is_closed_has_ended() -> None:
    leader, follower = os.openpty()
    read_end, write_end = os.pipe()
    pump = Pump(leader, write_end)
    os.write(follower, b"bye")
    os.close(follower)
    pump.drain()
    assert pump.ended
    assert os.read(read_end, 100) == b"bye"
    for fd in (leader, read_end, write_end):
        os.close(fd)


def test_drain_takes_what_is_there_and_does_not_wait(pipes: tuple[int, int, int, int]) -> None:
    source, feed, out, sink = pipes
    os.write(feed, b"rest")
    pump = Pump(source, sink)
    start = time.monotonic()
    pump.drain()
    assert pump.ended
    assert time.monotonic() - start < 1, "the writer still has the pipe open"
    assert os.read(out, 100) == b"rest"


def test_drain_waits_for_a_slow_reader_without_spinning(
    pipes: tuple[int, int, int, int],
) -> None:
    source, feed, out, sink = pipes
    filled = 0
    try:
        while True:
            filled += os.write(sink, b"x" * 65536)
    except BlockingIOError:
        pass
    os.write(feed, b"rest")
    received: list[bytes] = []

    def read_late() -> None:
        time.sleep(0.3)
        while sum(map(len, received)) < filled + 4:
            received.append(os.read(out, 1 << 20))

    reader = threading.Thread(target=read_late)
    reader.start()
    used = time.process_time()
    Pump(source, sink).drain()
    used = time.process_time() - used
    reader.join(10)
    assert b"".join(received)[-4:] == b"rest"
    assert used < 0.15, "waiting has to be the kernel's"


def test_poll_tells_what_came() -> None:
    read_end, write_end = os.pipe()
    assert poll({read_end: select.POLLIN}, 0) == {}
    assert poll({write_end: select.POLLOUT}, 0) == {write_end: select.POLLOUT}
    os.close(write_end)
    assert poll({read_end: select.POLLIN}, None)[read_end] & select.POLLHUP
    os.close(read_end)


def test_what_a_full_disk_does_not_take_is_told(
    pipes: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warn", said.append)
    source, feed = pipes[:2]
    full = os.open("/dev/full", os.O_WRONLY)
    pump = Pump(source, full)
    os.write(feed, b"x")
    turn(pump)
    os.close(full)
    assert pump.ended
    assert said == ["bytes of a standard stream are lost: No space left on device"]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, None), (0.0, 1), (0.0101, 11), (-1.0, 0), (-(10.0**12), 0), (10.0**12, 2**31 - 1)],
)
def test_times_that_poll_takes(seconds: float | None, expected: int | None) -> None:
    assert milliseconds(seconds) == expected


def test_the_longest_time_is_not_too_long_for_poll() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    assert poll({read_end: select.POLLIN}, milliseconds(10.0**12)) == {read_end: select.POLLHUP}
    os.close(read_end)
