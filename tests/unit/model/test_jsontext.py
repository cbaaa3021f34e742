"""The start path's JSON reads and writes what the standard library's does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.model import jsontext

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(VALUES)
def test_it_reads_and_writes_as_json_does(value: Any) -> None:
    assert jsontext.dumps(value) == json.dumps(value)
    assert jsontext.loads(json.dumps(value, indent=1)) == value
    assert jsontext.loads(json.dumps(value, ensure_ascii=False).encode()) == value


@pytest.mark.parametrize(
    "text", ["", " ", "{", "[1,]", '{"a" 1}', "1 2", "nul", b"\xff\xfe", '"\n"']
)
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        jsontext.loads(text)


def test_what_json_cannot_say_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="bytes is not JSON serializable"):
        jsontext.dumps({"a": b"x"})
