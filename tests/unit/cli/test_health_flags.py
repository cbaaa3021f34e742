from __future__ import annotations

import pytest

from rootless.cli import argv
from rootless.cli.cmd_run import RUN
from rootless.cli.run_flags import container_spec
from rootless.errors import UsageError
from rootless.model import spec_document

SECOND = 1_000_000_000


def spec(*words):
    parsed = argv.parse(RUN, [*words, "image"])
    assert parsed is not None
    return container_spec(parsed)


def test_without_flags_it_is_left_to_the_image():
    assert (spec().health, spec().health_on_failure) == ({}, "")


def test_flags():
    found = spec(
        "--health-cmd=test -e /up", "--health-interval=1m30s", "--health-timeout", "500ms",
        "--health-start-period=10s", "--health-start-interval=1s", "--health-retries=4",
        "--health-on-failure=kill",
    )  # fmt: skip
    assert found.health == {
        "Test": ["CMD-SHELL", "test -e /up"], "Interval": 90 * SECOND, "Timeout": SECOND // 2,
        "StartPeriod": 10 * SECOND, "StartInterval": SECOND, "Retries": 4,
    }  # fmt: skip
    assert found.health_on_failure == "kill"
    assert spec_document.from_document(spec_document.to_document(found)) == found


def test_no_healthcheck():
    assert spec("--no-healthcheck").health == {"Test": ["NONE"]}
    assert spec("--no-healthcheck=false").health == {}
    assert spec("--health-on-failure=none").health_on_failure == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--health-interval=5"], "--health-interval 5: not a time"),
        (["--health-timeout=-1s"], "--health-timeout -1s: not a time"),
        (["--health-start-period=1us"], "--health-start-period 1us: not a time of 1ms or more"),
        (["--health-retries=-1"], "--health-retries -1: not a number"),
        (["--no-healthcheck", "--health-cmd=x"], "--no-healthcheck and --health-cmd exclude"),
    ],
)
def test_mistakes_name_the_flag(words, message):
    with pytest.raises(UsageError, match=message):
        spec(*words)
