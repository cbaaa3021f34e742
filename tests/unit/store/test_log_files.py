"""What the writer of a container's log leaves on disk."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless import log
from rootless.store import log_files
from rootless.store.log_files import LogWriter

NOON = 1_795_233_240_123_456_789  # 2026-11-21T03:54:00.123456789Z


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text("ascii").splitlines()]


def raw(entry: dict[str, str]) -> bytes:
    return entry["log"].encode("utf-8", "surrogateescape")


def test_a_piece_of_output_is_a_line_with_its_time_and_stream(tmp_path):
    writer = LogWriter(f"{tmp_path}/log")
    writer.write("stdout", b"one\ntwo", NOON)
    writer.write("stderr", 'ä "\\\n'.encode(), NOON + 1_000_000_000)
    writer.close()
    assert lines(tmp_path / "log/log.json") == [
        {"time": "2026-11-21T03:54:00.123456789Z", "stream": "stdout", "log": "one\ntwo"},
        {"time": "2026-11-21T03:54:01.123456789Z", "stream": "stderr", "log": 'ä "\\\n'},
    ]


def test_the_log_is_the_users_alone(tmp_path):
    writer = LogWriter(f"{tmp_path}/log")
    writer.write("stdout", b"x", NOON)
    writer.close()
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "log/log.json").stat().st_mode & 0o777 == 0o600


@given(st.lists(st.binary(min_size=1), max_size=5))
def test_every_byte_comes_back(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("log")
    writer = LogWriter(str(folder))
    for piece in pieces:
        writer.write("stdout", piece, NOON)
    writer.close()
    found = lines(folder / "log.json") if pieces else []
    assert [raw(entry) for entry in found] == pieces


@given(st.text(st.sampled_from('ab \\"/\n\r\t\x1b~\x7fä')))
def test_lines_are_as_json_writes_them(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("log")
    writer = LogWriter(str(folder))
    writer.write("stdout", text.encode(), NOON)
    writer.close()
    line = (folder / "log.json").read_text("ascii")
    assert line.endswith(f', "log": {json.dumps(text)}}}\n')


def test_a_character_between_two_pieces(tmp_path):
    writer = LogWriter(str(tmp_path))
    text = "a€😀".encode()
    for at in range(len(text)):
        writer.write("stdout", text[at : at + 1], NOON)
    writer.close()
    assert b"".join(map(raw, lines(tmp_path / "log.json"))).decode() == "a€😀"


def contents(folder: Path) -> dict[str, str]:
    """File name → what its pieces say."""
    return {
        path.name: "".join(entry["log"] for entry in lines(path))
        for path in sorted(folder.iterdir())
    }


def test_full_files_are_renamed_and_the_oldest_goes(tmp_path):
    writer = LogWriter(str(tmp_path), max_size=200, max_files=3)
    for number in range(9):
        writer.write("stdout", b"%d" % number, NOON)
    writer.close()
    assert contents(tmp_path) == {"log.json": "8", "log.json.1": "67", "log.json.2": "45"}


def test_one_file_alone_begins_anew(tmp_path):
    writer = LogWriter(str(tmp_path), max_size=200, max_files=1)
    for number in range(5):
        writer.write("stdout", b"%d" % number, NOON)
    writer.close()
    assert contents(tmp_path) == {"log.json": "4"}


def test_a_piece_beyond_the_limit_stands_alone(tmp_path):
    writer = LogWriter(str(tmp_path), max_size=100, max_files=2)
    writer.write("stdout", b"x" * 500, NOON)
    writer.write("stdout", b"y" * 500, NOON)
    writer.close()
    assert contents(tmp_path) == {"log.json": "y" * 500, "log.json.1": "x" * 500}


def test_a_later_writer_goes_on_where_the_file_is(tmp_path):
    for text in (b"1", b"2", b"3"):
        writer = LogWriter(str(tmp_path), max_size=200, max_files=2)
        writer.write("stdout", text, NOON)
        writer.close()
    assert contents(tmp_path) == {"log.json": "3", "log.json.1": "12"}


def test_without_a_limit_there_is_one_file(tmp_path):
    writer = LogWriter(str(tmp_path), max_size=-1)
    for _ in range(100):
        writer.write("stdout", b"x" * 1000, NOON)
    writer.close()
    assert contents(tmp_path) == {"log.json": "x" * 100_000}


def test_a_torn_line_does_not_spoil_the_next_one(tmp_path):
    path = tmp_path / "log.json"
    path.write_text('{"time": "2026-')
    writer = LogWriter(str(tmp_path))
    writer.write("stdout", b"x", NOON)
    writer.close()
    torn, whole = path.read_text().splitlines()
    assert torn == '{"time": "2026-'
    assert json.loads(whole)["log"] == "x"


class FullDisk:
    """os.write(2) on a disk with `room` bytes: what fits is written, then ENOSPC."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
        self.room = room
        self._write = os.write
        monkeypatch.setattr(log_files.os, "write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        fitting = min(self.room, len(data))
        if not fitting:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.room -= fitting
        return self._write(fd, data[:fitting])


@pytest.fixture
def said(monkeypatch):
    told: list[str] = []
    log.install(lambda level, text: told.append(f"{level}: {text}"), debug=False)
    yield told
    monkeypatch.setattr(log, "_sink", None)


def test_a_full_disk_loses_pieces_and_says_so(tmp_path, monkeypatch, said):
    disk = FullDisk(monkeypatch, 120)
    writer = LogWriter(str(tmp_path))
    writer.write("stdout", b"kept\n", NOON)
    writer.write("stdout", b"lost 1\n", NOON)
    writer.write("stderr", b"lost two\n", NOON)
    # Nothing of a line that did not fit whole.
    assert contents(tmp_path) == {"log.json": "kept\n"}
    disk.room = 10_000
    writer.write("stdout", b"kept again\n", NOON)
    writer.close()
    found = lines(tmp_path / "log.json")
    assert [entry["stream"] for entry in found] == ["stdout", "note", "stdout"]
    assert found[1]["log"] == (
        "16 bytes of output in 2 pieces are missing here: No space left on device\n"
    )
    where = f"{tmp_path}/log.json"
    assert said == [
        f"warning: the container's log is not written: {where}: No space left on device"
    ]


def test_what_was_lost_last_is_noted_at_the_end(tmp_path, monkeypatch, said):
    disk = FullDisk(monkeypatch, 0)
    writer = LogWriter(str(tmp_path))
    writer.write("stdout", b"lost", NOON)
    disk.room = 10_000
    writer.close()
    assert [entry["stream"] for entry in lines(tmp_path / "log.json")] == ["note"]
    assert len(said) == 1


def test_no_failure_reaches_the_caller(tmp_path, said):
    # The directory's parent is a file; then it is gone.
    (tmp_path / "file").write_text("")
    for folder in (f"{tmp_path}/file/log", f"{tmp_path}/none/log"):
        writer = LogWriter(folder)
        writer.write("stdout", b"x", NOON)
        writer.close()
    assert [text.rpartition(": ")[2] for text in said] == [
        "Not a directory",
        "No such file or directory",
    ]


def test_the_writer_is_light():
    code = "import sys; from rootless.store import log_files; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({os.getcwd()!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint({"json", "re", "datetime", "typing", "enum", "rootless.store.files"})
