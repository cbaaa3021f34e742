"""Messages and descriptors between two of our processes."""

from __future__ import annotations

import os
import select
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.kernel import channel

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_what_is_sent_is_received(message: list[Any]) -> None:
    left, right = channel.pair()
    left.send(*message)
    assert right.receive() == (tuple(message), [])
    left.close()
    assert right.receive() is None
    right.close()


def test_messages_keep_their_order_and_bounds() -> None:
    left, right = channel.pair()
    for number in range(20):
        left.send("n", number)
    assert [right.receive() for _ in range(20)] == [(("n", n), []) for n in range(20)]
    left.close()
    right.close()


def test_descriptors_travel_as_copies_that_no_exec_inherits() -> None:
    left, right = channel.pair()
    read_end, write_end = os.pipe()
    left.send("fds", fds=[read_end, write_end])
    os.close(write_end)
    received = right.receive()
    assert received is not None
    message, (new_read, new_write) = received
    assert message == ("fds",)
    assert not os.get_inheritable(new_read)
    os.write(new_write, b"x")
    assert os.read(read_end, 1) == b"x"
    for fd in (read_end, new_read, new_write):
        os.close(fd)
    left.close()
    right.close()


def test_a_message_larger_than_the_socket_holds() -> None:
    left, right = channel.pair()
    body = os.urandom(3 << 20)
    pid = os.fork()
    if pid == 0:
        right.close()
        left.send("big", body)
        os._exit(0)
    left.close()
    assert right.receive() == (("big", body), [])
    assert os.waitpid(pid, 0)[1] == 0
    right.close()


def test_the_other_end_is_gone() -> None:
    left, right = channel.pair()
    right.close()
    with pytest.raises(BrokenPipeError):
        left.send("nobody")
    assert left.receive() is None
    left.close()


def test_an_end_with_our_message_unread_is_an_end_like_any_other() -> None:
    left, right = channel.pair()
    left.send("unread")
    right.close()
    assert left.receive() is None
    left.close()


@pytest.mark.parametrize("part", [b"", b"\x09", b"\x09\0\0\0", b"\x09\0\0\0half"])
def test_a_message_that_was_cut_is_none(part: bytes) -> None:
    left, right = channel.pair()
    if part:
        os.write(left.fd, part)
    left.close()
    assert right.receive() is None
    right.close()


def test_both_ends_stay_out_of_children() -> None:
    left, right = channel.pair()
    assert not os.get_inheritable(left.fd)
    assert not os.get_inheritable(right.fd)
    left.close()
    right.close()


def test_wait_readable() -> None:
    left, right = channel.pair()
    read_end, write_end = os.pipe()
    assert channel.wait_readable([left.fd, read_end], 0) == []
    right.send("x")
    assert channel.wait_readable([left.fd, read_end]) == [left.fd]
    os.close(write_end)
    assert channel.wait_readable([left.fd, read_end]) == [left.fd, read_end]
    os.close(read_end)
    left.close()
    right.close()


def test_the_null_device() -> None:
    fd = channel.null_fd()
    assert os.fstat(fd).st_rdev == os.makedev(1, 3)
    assert os.read(fd, 1) == b""
    assert os.write(fd, b"x") == 1
    assert not os.get_inheritable(fd)
    assert select.select([fd], [], [], 0)[0] == [fd]
    os.close(fd)
