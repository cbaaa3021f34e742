"""Entries for the journal, received by a socket of ours in the place of systemd-journald's."""

from __future__ import annotations

import array
import os
import socket
import tempfile
from contextlib import closing

import pytest

from rootless import log
from rootless.errors import HostError
from rootless.tools import journal
from rootless.tools.journal import JournalWriter

NOON = 1_795_233_240_123_456_789
ID = "0123456789abcdef" * 4


@pytest.fixture
def stand_in():
    """A datagram socket; its path is short enough for one."""
    with (
        tempfile.TemporaryDirectory(prefix="rl") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.bind(f"{folder}/s")
        listening.settimeout(5)
        yield listening


def writer_to(listening, name="web"):
    return closing(JournalWriter(ID, name, "img:1", "tag", path=listening.getsockname()))


def receive(listening):
    """One entry, from the datagram or from the sealed file that came instead."""
    data, rights, _, _ = listening.recvmsg(1 << 20, socket.CMSG_SPACE(4))
    if rights:
        assert data == b""
        (fd,) = array.array("i", rights[0][2][:4])
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
        data = os.pread(fd, os.fstat(fd).st_size, 0)
        os.close(fd)
    fields = {}
    while data:
        head, _, rest = data.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if equals:
            data = rest
        else:
            size = int.from_bytes(rest[:8], "little")
            value, data = rest[8 : 8 + size], rest[8 + size + 1 :]
        fields[name.decode()] = value
    return fields


def test_an_entry_for_each_line(stand_in):
    with writer_to(stand_in) as writer:
        writer.write("stdout", b"one\ntwo=2\n", NOON)
        writer.write("stderr", b"\xff part", NOON)
    common = {
        "CONTAINER_ID": ID[:12].encode(), "CONTAINER_ID_FULL": ID.encode(),
        "CONTAINER_NAME": b"web", "CONTAINER_TAG": b"tag", "IMAGE_NAME": b"img:1",
        "SYSLOG_IDENTIFIER": b"tag", "SYSLOG_TIMESTAMP": b"2026-11-21T03:54:00.123456789Z",
    }  # fmt: skip
    assert [receive(stand_in) for _ in range(3)] == [
        {**common, "PRIORITY": b"6", "MESSAGE": b"one"},
        {**common, "PRIORITY": b"6", "MESSAGE": b"two=2"},
        {**common, "PRIORITY": b"3", "MESSAGE": b"\xff part", "CONTAINER_PARTIAL_MESSAGE": b"true"},
    ]


def test_a_line_that_no_datagram_takes_goes_as_a_sealed_file(stand_in):
    line = b"x" * 1_000_000
    with writer_to(stand_in) as writer:
        writer.write("stdout", line + b"\n", NOON)
    assert receive(stand_in)["MESSAGE"] == line


def test_a_name_cannot_add_fields(stand_in):
    with writer_to(stand_in, "web\nPRIORITY=0") as writer:
        writer.write("stdout", b"x\n", NOON)
    fields = receive(stand_in)
    assert fields["CONTAINER_NAME"] == b"web\nPRIORITY=0"
    assert fields["PRIORITY"] == b"6"


def test_no_journal_is_a_warning_and_a_later_one_gets_the_rest(tmp_path, monkeypatch):
    said = []
    log.install(lambda level, text: said.append(text), debug=False)
    try:
        with tempfile.TemporaryDirectory(prefix="rl") as folder:
            writer = JournalWriter(ID, "web", "i", "t", path=f"{folder}/s")
            writer.write("stdout", b"lost\n", NOON)
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
                listening.bind(f"{folder}/s")
                listening.settimeout(5)
                writer.write("stdout", b"heard\n", NOON)
                assert receive(listening)["MESSAGE"] == b"heard"
            writer.close()
            assert said == [
                f"output does not reach the journal: {folder}/s: No such file or directory"
            ]
    finally:
        monkeypatch.setattr(log, "_sink", None)


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        (
            b'{"MESSAGE": "a", "PRIORITY": "6", "SYSLOG_TIMESTAMP": "2026-11-21T03:54:00.1Z"}',
            ("2026-11-21T03:54:00.1Z", "stdout", b"a\n"),
        ),
        (
            b'{"MESSAGE": [255, 32], "PRIORITY": "3", "__REALTIME_TIMESTAMP": "1795233240123456",'
            b' "CONTAINER_PARTIAL_MESSAGE": "true"}',
            ("2026-11-21T03:54:00.123456000Z", "stderr", b"\xff "),
        ),
        (b'{"PRIORITY": "6"}', None),
        (b'{"MESSAGE": null, "SYSLOG_TIMESTAMP": "x"}', None),
        (b'{"MESSAGE": [256], "SYSLOG_TIMESTAMP": "x"}', None),
        (b"-- No entries --", None),
    ],
)
def test_what_journalctl_says(line, entry):
    assert journal.parse(line) == entry


def test_the_command():
    assert journal.command(ID, follow=True, tail=5, since_ns=NOON) == [
        "journalctl", f"CONTAINER_ID_FULL={ID}", "--lines=5", "--follow", "--since=@1795233240",
    ]  # fmt: skip
    plain = ["journalctl", f"CONTAINER_ID_FULL={ID}", "--lines=all"]
    assert journal.command(ID, follow=False, tail=None, since_ns=None) == plain


def test_without_journalctl_the_command_is_the_hint(monkeypatch):
    monkeypatch.setattr(journal.spawn, "which", lambda name: None)
    with pytest.raises(HostError) as caught:
        journal.start_reading(["journalctl", "A=b"], 1)
    assert caught.value.hint == "on a host with systemd: journalctl A=b"


def test_attributes_have_fields_of_their_own(stand_in):
    extra = {
        "org.app-name": "shop", "_boot_id": "x", "MESSAGE": "no", "container.id.full": "no",
        "1": "no", "a" * 99: "long", "new": "one\ntwo",
    }  # fmt: skip
    path = stand_in.getsockname()
    with closing(JournalWriter(ID, "web", "img:1", "tag", extra, path=path)) as writer:
        writer.write("stdout", b"said\n", 0)
        fields = receive(stand_in)
    assert fields["ORG_APP_NAME"] == b"shop"
    assert (fields["BOOT_ID"], fields["A" * 64], fields["NEW"]) == (b"x", b"long", b"one\ntwo")
    assert (fields["MESSAGE"], fields["CONTAINER_ID_FULL"]) == (b"said", ID.encode())
    assert "" not in fields
