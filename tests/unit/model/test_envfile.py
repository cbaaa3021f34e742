from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.envfile import parse_env, parse_env_file, parse_label_file, parse_pairs

HOST = {"HOME": "/home/me", "LC_ALL": "C", "LC_TIME": "de"}


def test_env_words() -> None:
    words = ["A=1", "A=2", "B=x=y", "E=", "HOME", "MISSING", "LC_*"]
    assert parse_env(words, HOST) == {
        "A": "2", "B": "x=y", "E": "", "HOME": "/home/me", "LC_ALL": "C", "LC_TIME": "de",
    }  # fmt: skip


def test_env_word_without_a_name() -> None:
    with pytest.raises(UsageError, match="--env '=x'"):
        parse_env(["=x"], HOST)


def test_env_file_takes_values_as_they_stand() -> None:
    content = (
        b'\xef\xbb\xbf# comment\r\n\nA=1\r\n  B="q" # no comment\nHOME\nMISSING\nC= x\nD=a\x0cb'
    )
    assert parse_env_file(content, "f", HOST) == {
        "A": "1", "B": '"q" # no comment', "HOME": "/home/me", "C": " x", "D": "a\x0cb",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\n=x", "f:2: the name before"),
        (b"A B=1", "f:1: the name 'A B'"),
        (b"ok=1\nA=\xff", "f:2: not UTF-8"),
    ],
)
def test_env_file_errors_name_the_line(content: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_env_file(content, "f", HOST)


def test_labels() -> None:
    assert parse_label_file(b"a=1\nb\n", "f") == {"a": "1", "b": ""}
    assert parse_pairs(["a=1", "b"], "--label") == {"a": "1", "b": ""}
    with pytest.raises(UsageError, match="--label '=1'"):
        parse_pairs(["=1"], "--label")
