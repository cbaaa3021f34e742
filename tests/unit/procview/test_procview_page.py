"""The memory that servers of one connection share, across their deaths."""

from __future__ import annotations

import os
import random
import signal
import struct
import time
from itertools import count

from rootless.procview.page import Page

LARGEST = 1 << 18


def request(unique: int) -> bytes:
    return struct.pack("=IIQQIIII", 40, 15, unique, 2, 0, 0, 1, 0)


def receive(page: Page, raw: bytes) -> bytes:
    fd, write_end = os.pipe()
    try:
        os.write(write_end, raw)
        return page.receive(fd)
    finally:
        os.close(fd)
        os.close(write_end)


def test_a_request_stays_until_it_is_answered() -> None:
    page = Page()
    page.touch()
    assert page.unanswered() == b""
    assert receive(page, request(8)) == request(8) == page.unanswered()
    page.clear()
    assert page.unanswered() == b""


def test_progress_changes_with_what_is_received_and_answered() -> None:
    page = Page()
    seen = [page.progress()]
    for unique in (8, 10):
        receive(page, request(unique))
        seen += [page.progress(), page.progress()]
        page.clear()
        seen += [page.progress()]
    assert seen == [
        (0, True), (8, False), (8, False), (8, True), (10, False), (10, False), (10, True),
    ]  # fmt: skip


def test_what_is_kept_is_what_came_last() -> None:
    page = Page()
    assert page.kept() == b""
    for state in (b"first", b"second and longer", b"3", b"", b"x" * LARGEST):
        page.keep(state)
        assert page.kept() == state
    receive(page, request(8))
    assert (page.unanswered(), page.kept()) == (request(8), b"x" * LARGEST)


def test_more_than_there_is_room_for_changes_nothing() -> None:
    page = Page()
    page.keep(b"good")
    page.keep(b"x" * (1 << 20))
    assert page.kept() == b"good"


def test_another_process_finds_it() -> None:
    page = Page()
    pid = os.fork()
    if pid == 0:
        page.keep(b"from the other")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert page.kept() == b"from the other"


def test_killed_in_the_middle_of_writing_it_leaves_one_of_the_two_whole() -> None:
    page = Page()
    chance = random.Random(5)
    seen = set()
    for _ in range(30):
        pid = os.fork()
        if pid == 0:
            # Large and of different lengths, so that most of the time is spent in the copying.
            for number in count():
                page.keep(bytes((number % 256,)) * (LARGEST - number % 7))
        time.sleep(chance.uniform(0.001, 0.006))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        kept = page.kept()
        assert set(kept) == set(kept[:1])
        assert not kept or len(kept) > LARGEST - 7
        seen.add(kept[:1])
    assert len(seen) > 5
