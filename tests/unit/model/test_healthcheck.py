from __future__ import annotations

import pytest

from rootless.model import health, healthcheck
from rootless.model.healthcheck import Check

SECOND = 1_000_000_000
IMAGE = {"Test": ["CMD", "up"], "Interval": 7 * SECOND, "Retries": 2}


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("curl -f localhost || exit 1", ["CMD-SHELL", "curl -f localhost || exit 1"]),
        ('["CMD", "up", "-q"]', ["CMD", "up", "-q"]),
        ('["up", "-q"]', ["CMD", "up", "-q"]),
        ('["CMD-SHELL", "a b"]', ["CMD-SHELL", "a b"]),
        ('["NONE"]', ["NONE"]),
        ("none", ["NONE"]),
        ("[ -e /ready ]", ["CMD-SHELL", "[ -e /ready ]"]),
        ("[1]", ["CMD-SHELL", "[1]"]),
    ],
)
def test_commands(text, test):
    assert healthcheck.parse_command(text) == test


def test_flags_complete_the_image_and_defaults_complete_both():
    found = healthcheck.of({"Retries": 5}, "", {"Healthcheck": IMAGE})
    assert found == Check(
        command=["up"], interval=7 * SECOND, timeout=30 * SECOND, start_period=0,
        start_interval=5 * SECOND, retries=5, on_failure="none",
    )  # fmt: skip
    assert Check(**found.fields()) == found


def test_a_command_of_the_flags_keeps_the_times_of_the_image():
    found = healthcheck.of({"Test": ["CMD-SHELL", "x"]}, "kill", {"Healthcheck": IMAGE})
    assert (found.command, found.interval) == (["/bin/sh", "-c", "x"], 7 * SECOND)
    assert found.on_failure == "kill"


def test_the_shell_is_the_images():
    config = {"Healthcheck": {"Test": ["CMD-SHELL", "x"]}, "Shell": ["/bin/bash", "-ec"]}
    assert healthcheck.of({}, "", config).command == ["/bin/bash", "-ec", "x"]


@pytest.mark.parametrize(
    ("wish", "config"),
    [
        ({}, {}),
        ({"Test": ["NONE"]}, {"Healthcheck": IMAGE}),
        ({}, {"Healthcheck": {"Test": ["NONE"]}}),
        ({}, {"Healthcheck": {"Test": []}}),
        ({}, {"Healthcheck": {"Test": ["CMD"]}}),
        ({}, {"Healthcheck": {"Test": ["other", "x"]}}),
        ({"Interval": 1}, {}),
    ],
)
def test_no_check(wish, config):
    assert healthcheck.of(wish, "", config) is None


def row(code):
    return health.result("s", "e", code, b"")


def states(codes, *, retries=3, in_start_period=False):
    """(status, streak) after each of `codes`."""
    known, found = health.starting(None), []
    for code in codes:
        known = health.after(known, row(code), retries=retries, in_start_period=in_start_period)
        found.append((known["status"], known["failing_streak"]))
    return found


def test_from_healthy_to_unhealthy_and_back():
    assert states([0, 1, 2, -1, 0]) == [
        ("healthy", 0), ("healthy", 1), ("healthy", 2), ("unhealthy", 3), ("healthy", 0),
    ]  # fmt: skip


def test_it_is_starting_until_a_success_or_enough_failures():
    assert states([1, 1], retries=2) == [("starting", 1), ("unhealthy", 2)]


def test_failures_of_the_start_period_do_not_count_before_a_success():
    found = states([1, 1, 0, 1], retries=1, in_start_period=True)
    assert found == [("starting", 0), ("starting", 0), ("healthy", 0), ("unhealthy", 1)]


def test_the_last_five_results_are_kept():
    known = health.starting(None)
    for code in range(8):
        known = health.after(known, row(code), retries=9, in_start_period=False)
    assert [one["exit_code"] for one in known["log"]] == [3, 4, 5, 6, 7]
    assert health.starting(known)["log"] == known["log"]


def test_output_is_cut():
    assert health.result("s", "e", 0, b"x" * 4096)["output"] == "x" * 4096
    assert health.result("s", "e", 0, b"x" * 4097)["output"] == "x" * 4096 + "..."
    assert health.result("s", "e", 1, b"\xff\n", "late: ")["output"] == "late: \ufffd\n"
