"""Reading a log back: every byte, the last lines, and a log that is rotated meanwhile."""

from __future__ import annotations

import os
import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.model.loglines import Lines
from rootless.store import log_reader
from rootless.store.log_files import LogWriter

NOON = 1_795_233_240_123_456_789
OPEN: list[log_reader.LogReader | LogWriter] = []


@pytest.fixture(autouse=True)
def _close():
    yield
    close_all()


def close_all():
    while OPEN:
        OPEN.pop().close()


def open_log(folder):
    """A reader that is closed after the test."""
    OPEN.append(log_reader.LogReader(folder))
    return OPEN[-1]


def texts(reader):
    return [data for _, _, data in reader.entries()]


def write(folder, *pieces, max_size=-1, max_files=5):
    writer = LogWriter(str(folder), max_size, max_files)
    for stream, data in pieces:
        writer.write(stream, data, NOON)
    writer.close()


def out(*pieces):
    return [("stdout", piece) for piece in pieces]


def test_what_was_written_is_read(tmp_path):
    pieces = [("stdout", b"a\n"), ("stderr", bytes(range(256))), ("stdout", "ä€😀".encode())]
    write(tmp_path, *pieces)
    when = "2026-11-21T03:54:00.123456789Z"
    assert list(open_log(str(tmp_path)).entries()) == [(when, *piece) for piece in pieces]


@pytest.mark.parametrize("folder", ["none", "file/log"])
def test_no_directory_is_an_empty_log(tmp_path, folder):
    (tmp_path / "file").write_text("")
    reader = open_log(f"{tmp_path}/{folder}")
    assert texts(reader) == []
    assert reader.start_at_tail(3) == 0


def test_a_log_that_begins_later_is_followed(tmp_path):
    reader = open_log(str(tmp_path / "log"))
    assert texts(reader) == []
    write(tmp_path / "log", *out(b"1"))
    assert texts(reader) == [b"1"]
    write(tmp_path / "log", *out(b"2"))
    assert texts(reader) == [b"2"]
    assert texts(reader) == []


def test_files_are_read_oldest_first(tmp_path):
    write(tmp_path, *out(*(b"%d" % n for n in range(20))), max_size=200, max_files=4)
    assert len(os.listdir(tmp_path)) == 4
    assert b"".join(texts(open_log(str(tmp_path)))) == b"1213141516171819"


def test_a_rotation_while_it_is_read(tmp_path):
    writer = LogWriter(str(tmp_path), 200, 4)
    OPEN.append(writer)
    reader = open_log(str(tmp_path))
    for number in range(50):
        writer.write("stdout", b"%d" % number, NOON)
        assert texts(reader) == [b"%d" % number]
    assert not reader.has_gap


def test_what_is_rotated_away_unread_leaves_a_gap(tmp_path):
    writer = LogWriter(str(tmp_path), 200, 2)
    OPEN.append(writer)
    writer.write("stdout", b"0", NOON)
    reader = open_log(str(tmp_path))
    for number in range(1, 9):
        writer.write("stdout", b"%d" % number, NOON)
    # The file that was open is still read to its end.
    found = b"".join(texts(reader))
    assert found.startswith(b"01") and found.endswith(b"8") and len(found) < 9
    assert reader.has_gap


def test_nothing_is_lost_or_doubled_beside_a_writer(tmp_path):
    count = 4000

    def fill():
        writer = LogWriter(str(tmp_path), 4000, 99)
        for number in range(count):
            writer.write("stdout", b"%d\n" % number, NOON)
        writer.close()

    thread = threading.Thread(target=fill)
    reader = open_log(str(tmp_path))
    found: list[bytes] = []
    thread.start()
    while thread.is_alive():
        found += texts(reader)
    thread.join()
    found += texts(reader)
    assert [int(text) for text in found] == list(range(count))


def test_rotations_while_the_names_are_looked_at(tmp_path, monkeypatch):
    """Eight in a row, seldom: those that are asked for then have names that were not listed."""
    writer = LogWriter(str(tmp_path), 100, 99)
    count = 0

    def fill(lines):
        nonlocal count
        for _ in range(lines):
            writer.write("stdout", b"%d\n" % count, NOON)
            count += 1

    fill(10)
    reader = open_log(str(tmp_path))
    found = texts(reader)
    numbers = log_reader._numbers
    bursts = [16, 0, 16]

    def slow(directory):
        listed = numbers(directory)
        fill(bursts.pop() if bursts else 0)
        return listed

    monkeypatch.setattr(log_reader, "_numbers", slow)
    fill(2)
    found += texts(reader)
    writer.close()
    assert [int(text) for text in found] == list(range(count))
    assert not reader.has_gap


def test_torn_lines_are_left_out(tmp_path):
    (tmp_path / "log.json.1").write_text('{"time": "2026')
    write(tmp_path, *out(b"1"))
    with open(tmp_path / "log.json", "a") as file:
        file.write('{"time": "20')
    write(tmp_path, *out(b"2"))
    with open(tmp_path / "log.json", "a") as file:
        file.write('{"time": "20')
    assert texts(open_log(str(tmp_path))) == [b"1", b"2"]
    reader = open_log(str(tmp_path))
    reader.start_at_tail(1)
    assert texts(reader)[-1:] == [b"2"]


@pytest.mark.parametrize("line", [b"null", b"[]", b'{"log": 1}', b'{"log": "x"}', b"\xff", b"{"])
def test_what_is_no_entry(line):
    assert log_reader.parse(line) is None


def test_a_gap_among_the_names_hides_no_file(tmp_path):
    """A writer was killed between two renames, or could not make a new file."""
    write(tmp_path, *out(b"1", b"2", b"3", b"4"), max_size=100, max_files=4)
    (tmp_path / "log.json").unlink()
    assert texts(open_log(str(tmp_path))) == [b"1", b"2", b"3"]
    (tmp_path / "log.json.2").rename(tmp_path / "log.json.4")
    assert texts(open_log(str(tmp_path))) == [b"2", b"1", b"3"]


# --- the last lines


def tail(folder, count):
    reader = open_log(str(folder))
    lines = Lines(skip=reader.start_at_tail(count))
    parts = [part for entry in reader.entries() for part in lines.show(*entry)]
    close_all()
    return parts


@pytest.mark.parametrize("block", [1, 7, 100, 256 * 1024])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 9, 10, 11, 1000])
def test_the_last_lines(tmp_path, monkeypatch, count, block):
    monkeypatch.setattr(log_reader, "_BLOCK", block)
    text = b"".join(b"line %d\n" % number for number in range(10))
    # Pieces that end anywhere, in several files.
    write(tmp_path, *out(*(text[at : at + 11] for at in range(0, len(text), 11))), max_size=300)
    expected = text.splitlines(keepends=True)[-count:] if count else []
    assert b"".join(data for _, data in tail(tmp_path, count)) == b"".join(expected)


def test_a_line_whose_beginning_is_before_the_other_stream(tmp_path):
    write(tmp_path, ("stdout", b"0\nab"), ("stderr", b"x\n"), ("stdout", b"cd\n"))
    assert tail(tmp_path, 1) == [("stdout", b"ab"), ("stdout", b"cd\n")]
    assert tail(tmp_path, 2) == [("stdout", b"ab"), ("stderr", b"x\n"), ("stdout", b"cd\n")]


def test_a_last_line_without_an_end_counts(tmp_path):
    write(tmp_path, *out(b"1\n2\n3"))
    assert tail(tmp_path, 2) == [("stdout", b"2\n3")]


def test_few_lines_of_a_long_log_are_found_from_its_end(tmp_path, monkeypatch):
    write(tmp_path, *out(*(b"x" * 1000 + b"\n" for _ in range(2000))))
    read = []
    pread = os.pread
    monkeypatch.setattr(
        log_reader.os, "pread", lambda fd, n, at: read.append(n) or pread(fd, n, at)
    )
    assert len(b"".join(data for _, data in tail(tmp_path, 10))) == 10 * 1001
    assert sum(read) < 4 * 256 * 1024


@given(st.lists(st.sampled_from([b"a", b"b\n", b"c\nd", b"\n", b"e\nf\n"])), st.integers(0, 8))
def test_a_tail_is_that_of_the_text(tmp_path_factory, pieces, count):
    folder = tmp_path_factory.mktemp("log")
    write(folder, *out(*pieces), max_size=150, max_files=100)
    lines = b"".join(pieces).splitlines(keepends=True)
    expected = lines[-count:] if count else []
    assert b"".join(data for _, data in tail(folder, count)) == b"".join(expected)


def test_random_streams_come_back_each_in_order(tmp_path):
    chance = random.Random(5)
    pieces = [
        (chance.choice(["stdout", "stderr"]), chance.randbytes(chance.randrange(1, 3000)))
        for _ in range(300)
    ]
    write(tmp_path, *pieces, max_size=60_000, max_files=100)
    assert [(s, d) for _, s, d in open_log(str(tmp_path)).entries()] == pieces
