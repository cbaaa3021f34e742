from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.errors import UsageError
from rootless.model.moment import duration_text, parse_duration, parse_moment, rfc3339

SECOND = 1_000_000_000
NOW = 1_795_233_240 * SECOND + 123_456_789  # 2026-11-21T03:54:00.123456789Z


@pytest.fixture(autouse=True)
def _zone(monkeypatch):
    monkeypatch.setenv("TZ", "CET-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600), ("1h30m", 5400), ("1.5h", 5400), ("1h1m1s", 3661), ("0", 0), ("-1m", -60),
        ("+2s", 2), (".5s", 0.5), ("100ms", 0.1), ("3us", 3e-6), ("3µs", 3e-6), ("7ns", 7e-9),
    ],
)  # fmt: skip
def test_spans(text, seconds):
    assert parse_duration(text) == round(seconds * SECOND)


@pytest.mark.parametrize("text", ["", "10", "m", "1x", "1h30", "1 h", "--1m", "1m-1s", "1..5s"])
def test_what_is_no_span(text):
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21T03:54:00.123456789Z", NOW),
        ("2026-11-21T03:54:00Z", NOW - 123_456_789),
        ("2026-11-21t03:54:00z", NOW - 123_456_789),
        ("2026-11-21T05:54:00.123456789+02:00", NOW),
        ("2026-11-20T19:24:00.123456789-08:30", NOW),
        ("2026-11-21T04:54:00.123456789", NOW),
        ("2026-11-21T04:54", NOW - 123_456_789),
        ("2026-11-21", (1_795_233_240 - 4 * 3600 - 54 * 60) * SECOND),
        ("1795233240", NOW - 123_456_789),
        ("1795233240.123456789", NOW),
        ("10m", NOW - 600 * SECOND),
        ("-10m", NOW + 600 * SECOND),
    ],
)
def test_moments(text, expected):
    assert parse_moment(text, NOW, "--since") == expected


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01", "2026-11-21T25:00:00Z", "2026-11", "26-11-21", "1e9",
     "2026-11-21T03:54:00.x", "2026-11-21T03:54:00.1x1Z", "1.2.3", "٣",
     "2026-11-21T03:54:00+aa:bb"],
)  # fmt: skip
def test_what_is_no_moment(text):
    with pytest.raises(UsageError, match=r"--since .*: not a time"):
        parse_moment(text, NOW, "--since")


@given(st.integers(0, 4_000_000_000 * SECOND))
def test_what_is_written_is_read(when):
    assert parse_moment(rfc3339(when), NOW, "--since") == when


@pytest.mark.parametrize(
    "text", ["0s", "1s", "1.5s", "250ms", "1.25ms", "30s", "1m0s", "1m30.5s", "1h0m0s", "26h3m1s"]
)
def test_durations_are_written_as_go_does(text):
    assert duration_text(parse_duration(text)) == text


@pytest.mark.parametrize(("nanoseconds", "text"), [(5, "5ns"), (1500, "1.5µs"), (10**6, "1ms")])
def test_short_durations(nanoseconds, text):
    assert duration_text(nanoseconds) == text
