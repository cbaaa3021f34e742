from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model import logspec


@pytest.mark.parametrize(
    ("word", "driver"),
    [
        ("json-file", "json-file"),
        ("k8s-file", "json-file"),
        ("local", "json-file"),
        ("journald", "journald"),
        ("none", "none"),
    ],
)
def test_drivers_and_their_other_names(word, driver):
    assert logspec.parse_driver(word, "--log-driver") == driver


def test_another_driver_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="--log-driver syslog: not one of json-file, journald"):
        logspec.parse_driver("syslog", "--log-driver syslog")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, (7, 2)),
        ({"max-size": "10m"}, (10 * 1024 * 1024, 2)),
        ({"max-size": "-1", "max-file": "3"}, (-1, 3)),
    ],
)
def test_limits(options, expected):
    logspec.check_options("json-file", options, "--log-opt")
    assert logspec.limits(options, 7, 2) == expected


@pytest.mark.parametrize(
    ("driver", "option", "text"),
    [
        ("json-file", "max-size", "ten"),
        ("json-file", "max-size", "0"),
        ("json-file", "max-file", "0"),
        ("json-file", "max-file", "101"),
        ("json-file", "max-file", "-1"),
        ("json-file", "tag", "{{.Nothing}}"),
        ("json-file", "max_size", "1m"),
        ("journald", "max-size", "1m"),
        ("journald", "tag", "{{.Nothing}}"),
        ("journald", "tag", "a\nB=1"),
        ("none", "max-size", "1m"),
    ],
)
def test_options_that_are_refused_are_named(driver, option, text):
    with pytest.raises(UsageError) as caught:
        logspec.check_options(driver, {option: text}, "--log-opt")
    assert caught.value.message.startswith(f"--log-opt {option}={text}: ")


@pytest.mark.parametrize(
    ("tag", "filled"),
    [
        ("", "0123456789ab"),
        ("web", "web"),
        ("{{.Name}}/{{.ID}}", "n/0123456789ab"),
        ("{{.ImageName}} {{.ImageID}} {{.ImageFullID}}", "i:1 abcdefabcdef sha256:" + "abcdef" * 9),
        ("{{.FullID}}", "0123456789abcdef"),
    ],
)
def test_tags(tag, filled):
    logspec.check_options("journald", {"tag": tag}, "--log-opt")
    image_id = "sha256:" + "abcdef" * 9
    assert logspec.fill_tag(tag, "0123456789abcdef", "n", "i:1", image_id) == filled
