from __future__ import annotations

import resource

import pytest

from rootless.errors import UsageError
from rootless.model import ulimits


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nofile=1024:2048", ("nofile", 1024, 2048)),
        ("nofile=1024", ("nofile", 1024, 1024)),
        ("NOFILE=0", ("nofile", 0, 0)),
        ("RLIMIT_CORE=0", ("core", 0, 0)),
        ("memlock=-1", ("memlock", ulimits.UNLIMITED, ulimits.UNLIMITED)),
        ("stack=8192:unlimited", ("stack", 8192, ulimits.UNLIMITED)),
        ("stack=8192:-1", ("stack", 8192, ulimits.UNLIMITED)),
    ],
)
def test_forms(text, expected):
    assert ulimits.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "nofile",
        "nofile=",
        "nofile=:5",
        "nofile=5:",
        "nofile=1:2:3",
        "nofile=-2",
        "nofile=1k",
        "nofile=\u00b2",
        "nofile=1.5",
        "nofile= 5",
        f"nofile={2**64}",
    ],
)
def test_malformed_values_name_the_flag_and_the_form(text):
    with pytest.raises(UsageError, match="not of the form NAME=SOFT") as failure:
        ulimits.parse(text)
    assert failure.value.message.startswith(f"--ulimit {text}: ")


@pytest.mark.parametrize("text", ["nfile=1", "=1", "", "os=3"])
def test_an_unknown_name_is_refused_with_a_hint(text):
    with pytest.raises(UsageError, match="no such limit") as failure:
        ulimits.parse(text)
    assert failure.value.hint


def test_the_closest_name_is_the_hint():
    with pytest.raises(UsageError) as failure:
        ulimits.parse("nfile=1")
    assert "nofile" in failure.value.hint


@pytest.mark.parametrize("text", ["nofile=2048:1024", "nofile=unlimited:1024"])
def test_soft_above_hard_is_refused_with_the_two_exchanged(text):
    with pytest.raises(UsageError, match="soft limit is above") as failure:
        ulimits.parse(text)
    soft, hard = text.removeprefix("nofile=").split(":")
    assert failure.value.hint == f"--ulimit nofile={hard}:{soft}"


def test_the_last_of_several_for_one_name_counts():
    limits = ulimits.parse_all(["nofile=1", "core=0", "nofile=2"])
    assert limits == (("nofile", 2, 2), ("core", 0, 0))


def test_host_changes_nothing_and_stands_alone():
    assert ulimits.parse_all(["host"]) == ulimits.parse_all([]) == ()
    with pytest.raises(UsageError, match="cannot be combined"):
        ulimits.parse_all(["host", "nofile=5"])


def test_oci_types_are_the_kernels_names():
    document = ulimits.to_oci(ulimits.parse_all([f"{name}=1:2" for name in ulimits.NAMES]))
    assert document[0] == {"type": "RLIMIT_AS", "soft": 1, "hard": 2}
    # setrlimit(2); the resource module has no constant for LOCKS and RTTIME.
    known = {name for name in dir(resource) if name.startswith("RLIMIT_")}
    assert {limit["type"] for limit in document} - known <= {"RLIMIT_LOCKS", "RLIMIT_RTTIME"}
