"""Attributes of log lines, chosen by log options."""

from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model import logattributes, logspec

LABELS = {"app": "shop", "tier": "front", "empty": "", "STAGE": "of the label"}
ENV = ["STAGE=test", "PATH=/bin:/usr/bin", "NOTHING=", "torn"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"max-size": "10m"}, {}),
        ({"labels": "tier,app,nowhere,empty"}, {"app": "shop", "tier": "front"}),
        ({"labels-regex": "^t"}, {"tier": "front"}),
        ({"env": "PATH", "env-regex": "AGE$"}, {"STAGE": "test", "PATH": "/bin:/usr/bin"}),
        ({"labels": "STAGE", "env": "STAGE,NOTHING"}, {"STAGE": "test"}),
        ({"labels": "STAGE", "tag": "t"}, {"STAGE": "of the label", "tag": "t"}),
    ],
)
def test_what_the_options_choose(options: dict[str, str], expected: dict[str, str]) -> None:
    logspec.check_options("json-file", options, "--log-opt")
    assert logattributes.of(options, LABELS, ENV) == expected


def test_as_docker_shows_them() -> None:
    assert logattributes.shown({"b": "x y", "a,=": "\u00fc/"}) == "a%2C%3D=%C3%BC%2F,b=x+y"
    assert logattributes.shown({}) == ""


def test_patterns_are_checked() -> None:
    with pytest.raises(UsageError, match=r"env-regex=\(: not a regular expression"):
        logspec.check_options("journald", {"env-regex": "("}, "--log-opt")
    with pytest.raises(UsageError, match="no options"):
        logspec.check_options("none", {"labels": "a"}, "--log-opt")
