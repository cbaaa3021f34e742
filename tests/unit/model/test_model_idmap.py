"""Id maps: looking up, composing, splitting as the kernel wants it, /etc/subuid."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rootless.model import idmap
from rootless.model.idmap import IdMaps

IdMap = tuple[tuple[int, int, int], ...]
ROWS: IdMap = ((0, 1000, 1), (1, 100000, 10), (11, 300000, 10))


@st.composite
def id_maps(draw: st.DrawFn) -> IdMap:
    """Up to five ranges that are disjoint on both sides, in any order on the outer one."""
    rows = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 20)), max_size=5))
    order = draw(st.permutations(range(len(rows))))
    outside = {}
    position = 1000
    for number in order:
        outside[number] = position
        position += rows[number][1] + number % 2
    result, inside = [], 0
    for number, (gap, size) in enumerate(rows):
        result.append((inside + gap, outside[number], size))
        inside += gap + size
    return tuple(result)


@st.composite
def inner_maps(draw: st.DrawFn) -> IdMap:
    rows = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), max_size=4))
    result, inside, middle = [], 0, 0
    for gap, size in rows:
        result.append((inside, middle + gap, size))
        inside, middle = inside + size, middle + gap + size
    return tuple(result)


def test_maps_are_equal_by_what_they_say() -> None:
    assert IdMaps(ROWS, ROWS) == IdMaps(tuple(ROWS), tuple(ROWS))
    assert len({IdMaps(ROWS, ROWS), IdMaps(ROWS, ROWS), IdMaps(ROWS, ())}) == 2
    assert IdMaps(ROWS, ()) != IdMaps((), ROWS)
    assert IdMaps(ROWS, ROWS) != ROWS
    assert repr(IdMaps((), ())) == "IdMaps(gids=(), uids=())"


def test_single() -> None:
    assert IdMaps(((0, 1000, 1),), ROWS).is_single
    assert not IdMaps(ROWS, ROWS).is_single
    assert idmap.size_of(ROWS) == 21
    assert idmap.size_of(()) == 0


def test_the_user_is_root_and_subordinate_ids_follow_in_their_order() -> None:
    assert idmap.rootful_map(1000, [(100000, 10), (300000, 10)]) == ROWS
    assert idmap.rootful_map(5, []) == ((0, 5, 1),)


@pytest.mark.parametrize(
    ("inside", "outside"),
    [(0, 1000), (1, 100000), (10, 100009), (11, 300000), (20, 300009), (21, None), (-1, None)],
)
def test_look_up_both_ways(inside: int, outside: int | None) -> None:
    assert idmap.to_outside(ROWS, inside) == outside
    if outside is not None:
        assert idmap.to_inside(ROWS, outside) == inside


def test_ids_that_nothing_maps_to() -> None:
    assert [idmap.to_inside(ROWS, number) for number in (0, 999, 1001, 100010)] == [None] * 4


@given(id_maps())
def test_there_and_back(rows: IdMap) -> None:
    for first, outside, size in rows:
        for offset in (0, size - 1):
            assert idmap.to_outside(rows, first + offset) == outside + offset
            assert idmap.to_inside(rows, outside + offset) == first + offset


@given(inner_maps(), id_maps())
def test_split_pieces_lie_in_one_range_each_and_say_the_same(inner: IdMap, outer: IdMap) -> None:
    pieces = idmap.split(inner, outer)
    for _, middle, size in pieces:
        assert size > 0
        homes = [first for first, _, length in outer
                 if first <= middle and middle + size <= first + length]  # fmt: skip
        assert len(homes) == 1
    assert list(pieces) == sorted(pieces)
    for inside in range(130):
        outside = idmap.to_outside(inner, inside)
        known = outside is not None and idmap.to_outside(outer, outside) is not None
        assert idmap.to_outside(pieces, inside) == (outside if known else None)


@given(inner_maps(), id_maps())
def test_through_is_one_look_up_after_the_other(inner: IdMap, outer: IdMap) -> None:
    whole = idmap.through(inner, outer)
    for inside in range(130):
        middle = idmap.to_outside(inner, inside)
        expected = None if middle is None else idmap.to_outside(outer, middle)
        assert idmap.to_outside(whole, inside) == expected


@given(id_maps())
def test_the_kernels_format_is_read_back(rows: IdMap) -> None:
    assert idmap.parse_map(idmap.format_map(rows)) == rows


def test_the_kernel_pads_its_columns() -> None:
    assert idmap.parse_map(
        "         0       1000          1\n\n         1     100000      65536\n"
    ) == (
        (0, 1000, 1),
        (1, 100000, 65536),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("me:100000:65536\n", [(100000, 65536)]),
        ("1000:5:6\nme:7:8\nother:1:2\n", [(5, 6), (7, 8)]),
        ("me:1:2\nme:1:0\nme:1:\nme::2\nme:1\nme:1:2:3\nme:-1:2\nme:²:3\nme:٣:3", [(1, 2)]),
        ("# me:1:2\n\n me:3:4 \n", [(3, 4)]),
        ("me2:1:2\nme :1:2", []),
        ("", []),
    ],
)
def test_subordinate_ranges(text: str, expected: list[tuple[int, int]]) -> None:
    assert idmap.parse_subid(text, "me", 1000) == expected


def test_ranges_for_a_reader() -> None:
    shown = idmap.outside_ranges(((0, 1000, 1), (1, 100000, 65536), (65537, 300000, 2)))
    assert shown == "1000, 100000-165535, 300000-300001"
