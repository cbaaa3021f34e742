from __future__ import annotations

import os

import pytest

from rootless.cli import diagnostics, output, progress
from rootless.errors import HostError, HostNetworkError, NetworkSetupError

DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0B"),
        (512, "512B"),
        (999, "999B"),
        (1000, "1kB"),
        (7_050_000, "7.05MB"),
        (134_200_000, "134MB"),
        (1_500_000_000, "1.5GB"),
        (999_900_000, "1000MB"),
    ],
)
def test_human_size(size: int, shown: str) -> None:
    assert output.human_size(size) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "Less than a second ago"),
        (1, "1 second ago"),
        (59, "59 seconds ago"),
        (60, "About a minute ago"),
        (150, "2 minutes ago"),
        (3600, "About an hour ago"),
        (2 * 3600, "2 hours ago"),
        (3 * 86400, "3 days ago"),
        (20 * 86400, "2 weeks ago"),
        (100 * 86400, "3 months ago"),
        (1000 * 86400, "2 years ago"),
    ],
)
def test_human_age(seconds: int, shown: str) -> None:
    assert output.human_age(seconds) == shown


def test_age_of_images() -> None:
    assert output.age_of("1970-01-01T00:00:10.123456789Z", 12.2) == "2 seconds ago"
    assert output.age_of("1970-01-01T02:00:10+02:00", 12.2) == "2 seconds ago"
    assert output.age_of("2970-01-01T00:00:00Z", 12.2) == "Less than a second ago"
    for text in ("", "yesterday", "1970-01-01T00:00:10+2", "1970-01-01T00:00:10 x"):
        assert output.age_of(text, 12.2) == "N/A"
    assert output.age_of("1970-13-01T00:00:00Z", 12.2) == "N/A"


def test_table(capsys: pytest.CaptureFixture[str]) -> None:
    output.write_table(("NAME", "SIZE"), [("long name", "1B"), ("x\x1b[2J", "")])
    assert capsys.readouterr().out == "NAME        SIZE\nlong name   1B\nx\\x1b[2J\n"


def test_short_id() -> None:
    assert output.short_id(DIGEST) == "0123456789ab"
    assert output.short_id("abcdef" * 4) == "abcdefabcdef"


def test_control_characters_are_not_passed_on(capfd: pytest.CaptureFixture[str]) -> None:
    diagnostics.say("warning", "a\x1b]0;title\x07b\nc ü")
    assert capfd.readouterr().err == "rl: warning: a\\x1b]0;title\\x07b\\nc ü\n"


def test_what_concerns_the_host_points_to_the_doctor(capfd: pytest.CaptureFixture[str]) -> None:
    assert diagnostics.complain(HostError("/dev/fuse: missing", "sudo modprobe fuse")) == 125
    lines = capfd.readouterr().err.splitlines()
    assert lines[:2] == ["rl: error: /dev/fuse: missing", "hint: sudo modprobe fuse"]
    assert lines[2].startswith("hint: rl doctor")
    diagnostics.complain(HostNetworkError("slirp4netns: no tap", "rl doctor"))
    assert capfd.readouterr().err == "rl: error: slirp4netns: no tap\nhint: rl doctor\n"
    diagnostics.complain(NetworkSetupError("port 80/tcp: address already in use"))
    assert "doctor" not in capfd.readouterr().err


def test_bytes_of_odd_file_names_are_passed_on(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    diagnostics.say_line(os.fsdecode(b"f\xff"))
    assert capfdbinary.readouterr().err == b"f\xff\n"


def test_plain_progress(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.PlainProgress("pulling") as shown:
        shown.message("from localhost")
        shown.begin(DIGEST, 2_000_000, 1_000_000)
        shown.advance(DIGEST, 1_000_000)
        shown.finish(DIGEST, "unpacked")
    assert capfd.readouterr().err.splitlines() == [
        "from localhost",
        "0123456789ab: pulling 2MB, 1MB are there",
        "0123456789ab: unpacked",
    ]


def test_terminal_progress_redraws_in_place() -> None:
    reader, writer = os.pipe()
    with progress.TerminalProgress(writer) as shown:
        shown.begin(DIGEST, 200, 50)
        shown.begin("sha256:" + "f" * 64, 100, 0)
        shown.advance(DIGEST, 50)
        shown.finish(DIGEST, "unpacked")
    os.close(writer)
    with open(reader, "rb") as pipe:
        text = pipe.read().decode()
    assert "[=======>" in text and "50B/200B" in text
    # Two bars are on the screen when the first one ends: two lines up, and the rest is cleared.
    assert "\x1b[2F\x1b[J0123456789ab  unpacked 200B\n" in text
    assert text.endswith("\x1b[1F\x1b[J")


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (79, f"0123456789ab  [{'=' * 15}>{' ' * 14}]  1MB/2MB"),
        (39, "0123456789ab  [=======>      ]  1MB/2MB"),
        (26, "0123456789ab  1MB/2MB"),
    ],
)
def test_a_narrow_terminal_shows_the_numbers(columns: int, shown: str) -> None:
    assert progress._bar(DIGEST, progress._Blob(2_000_000, 1_000_000), columns) == shown


def test_quiet_progress_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with progress.choose(quiet=True) as shown:
        shown.message("x")
        shown.begin(DIGEST, 1, 0)
        shown.advance(DIGEST, 1)
        shown.finish(DIGEST, "present")
    assert capfd.readouterr() == ("", "")
