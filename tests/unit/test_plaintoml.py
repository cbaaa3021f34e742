"""The short way to read TOML: what it understands means what the real reader says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rootless import plaintoml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = [*CHECKOUT.glob("helpers/modules/*.toml"), *CHECKOUT.glob("config/*.toml")]

PLAIN = """
# a comment
store = "/scratch/$USER/rl"   # with one behind it
empty = ""
hash = "a#b"
on = true
off=false
count = 10
share = 0.5
list = [
  "a", # one
  "b",
]
none = []
[policy]
when = { env = "X", path = "y" }
"""


def test_a_plain_file() -> None:
    text = PLAIN
    found = plaintoml.parse(text)
    assert found == tomllib.loads(text)
    assert found is not None
    assert found["policy"] == {"when": {"env": "X", "path": "y"}}
    assert plaintoml.parse(text.replace("\n", "\r\n")) == found


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_examples(path: Path) -> None:
    text = path.read_text()
    assert plaintoml.parse(text) == tomllib.loads(text)
    lines = [line.removeprefix("# ") for line in text.splitlines()]
    keys = "\n".join(line for line in lines if " = " in line and line[0].isalpha())
    try:
        meant = tomllib.loads(keys)
    except tomllib.TOMLDecodeError:
        return
    assert plaintoml.parse(keys) in (meant, None)


@pytest.mark.parametrize(
    "text",
    [
        "a = 1\na = 2", "[t]\n[t]", "[[t]]", "a.b = 1", '"a" = 1', "[a.b]", "a = 'x'",
        'a = "\\n"', 'a = """x"""', 'a = ""b"', 'a = "x', "a = 01", "a = 1_000", "a = +1",
        "a = -1", "a = 1.", "a = .5", "a = 1e5", "a = 1979-05-27", "a = inf", "a = TRUE", "a =",
        "= 1", "a = 1 b = 2", "a = [1 2]", "a = [1,,2]", "a = [,]", "a = {b = 1,}", "a = { b }",
        "a = {\nb = 1}", "a = {b = 1, b = 2}", "a = [1", "a", "[a", "[]", "a = \x01", "# \x00",
        'a = "\x7f"', "a = 1\r", "[a] b = 1", "a = 1.2.3", "é = 1", "a = 0x10",
        "a = [", "a = {", "a = [[", "a = [\n#x", "[",
    ],
)  # fmt: skip
def test_everything_else_is_for_the_real_reader(text: str) -> None:
    assert plaintoml.parse(text) is None


PIECES = st.sampled_from(
    ["a", "b", "key-1", " ", "\t", "\n", "\r\n", "=", " = ", '"', '"x y"', '"#"', "'", "[", "]",
     "{", "}", ",", "#", "1", "0", ".5", "12", "-", "+", "true", "false", "\\", ".", "é", "\x00",
     "\x7f", "\u2028", '""', '"""'],
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["", "a = ", "a = [", "[t]\n", "a = {b = "]), st.lists(PIECES, max_size=14))
def test_it_never_understands_more(start: str, pieces: list[str]) -> None:
    text = start + "".join(pieces)
    found = plaintoml.parse(text)
    if found is not None:
        assert found == tomllib.loads(text)
