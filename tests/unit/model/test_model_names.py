"""Names for containers: good as a --name, the same for the same bytes, and many."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from rootless.model import names


@given(st.binary(min_size=4, max_size=40))
def test_a_name_follows_from_four_bytes_and_can_be_given_by_hand(random: bytes) -> None:
    name = names.pick(random)
    assert name == names.pick(random[:4])
    first, _, second = name.partition("_")
    assert first.isalpha() and second.isalpha() and name.isascii() and name.islower()


def test_there_are_thousands() -> None:
    assert len({names.pick(os.urandom(4)) for _ in range(2000)}) > 1500
