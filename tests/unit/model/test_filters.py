from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.filters import Filters, matches

KEYS = {"name": "PATTERN", "label": "KEY", "label!": "KEY", "dangling": "true|false"}


def filters(*words: str) -> Filters:
    return Filters(words, KEYS, "rl x")


def test_values() -> None:
    known = filters("name=a", "NAME=b=c", "dangling=1")
    assert known.values("name") == ["a", "b=c"] and known.values("label") == ()
    assert "name" in known and "label" not in known
    assert known.boolean("dangling") is True and filters().boolean("dangling") is None
    assert filters("dangling=false").boolean("dangling") is False


def test_one_of_a_key_is_enough() -> None:
    known = filters("name=a", "name=b")
    assert known.fits("name", "b".__eq__) and not known.fits("name", "c".__eq__)
    assert known.fits("label", "nothing".__eq__)


@pytest.mark.parametrize(
    ("words", "fit"),
    [
        ([], True),
        (["label=a"], True),
        (["label=a=1"], True),
        (["label=a=2"], False),
        (["label=a", "label=c"], False),
        (["label!=c"], True),
        (["label!=b"], False),
        (["label!=b=3"], True),
        (["label=a", "label!=b=2"], False),
    ],
)
def test_labels(words: list[str], fit: bool) -> None:
    assert filters(*words).labels_fit({"a": "1", "b": "2"}) is fit


@pytest.mark.parametrize("word", ["x=1", "name", "name=", "=", ""])
def test_what_is_no_filter(word: str) -> None:
    with pytest.raises(UsageError) as caught:
        filters(word)
    assert caught.value.message == f"--filter {word}: not a filter"
    assert caught.value.hint.startswith("rl x --filter name=PATTERN | label=KEY")


def test_a_boolean_that_is_none() -> None:
    with pytest.raises(UsageError, match="--filter dangling=perhaps: not a filter"):
        filters("dangling=perhaps").boolean("dangling")


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("eb", "web", True),
        ("^web$", "web", True),
        ("^eb", "web", False),
        ("w.b", "web", True),
        ("(", "web", False),
        ("(", "(", True),
    ],
)
def test_matches(pattern: str, text: str, fits: bool) -> None:
    assert matches(pattern, text) is fits
