"""--userns: maps that the kernel takes, and in which the user finds its own id."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from rootless.engine import userns
from rootless.errors import HostError, UsageError
from rootless.model.idmap import IdMaps, rootful_map, size_of, to_inside, to_outside

IdMap = tuple[tuple[int, int, int], ...]
SINGLE = IdMaps(((0, 1000, 1),), ((0, 1000, 1),))
WIDE = IdMaps(
    ((0, 1000, 1), (1, 100000, 65536), (65537, 300000, 65536)),
    ((0, 1000, 1), (1, 200000, 65536)),
)


@st.composite
def subordinate(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Ranges of /etc/subuid: apart from each other and from the user's own id, in any order."""
    start, ranges = 100000, []
    for gap, size in draw(
        st.lists(st.tuples(st.integers(0, 9), st.integers(1, 70000)), min_size=1, max_size=4)
    ):
        ranges.append((start + gap, size))
        start += gap + size
    return draw(st.permutations(ranges))


@st.composite
def canonical_maps(draw: st.DrawFn) -> IdMaps:
    return IdMaps(rootful_map(1000, draw(subordinate())), rootful_map(1000, draw(subordinate())))


def is_disjoint(rows: list[tuple[int, int]]) -> bool:
    """Whether ranges (first, size) have no number in common."""
    ends = sorted((first, first + size) for first, size in rows)
    return all(one[1] <= other[0] for one, other in itertools.pairwise(ends))


def check_for_kernel(inner: IdMap, outer: IdMap) -> None:
    """What map_write() of kernel/user_namespace.c and user_namespaces(7) ask of a map."""
    assert 1 <= len(inner) <= 340
    assert all(size > 0 for _, _, size in inner)
    assert is_disjoint([(inside, size) for inside, _, size in inner])
    assert is_disjoint([(middle, size) for _, middle, size in inner])
    for _, middle, size in inner:
        in_one = [
            1 for first, _, length in outer if first <= middle and middle + size <= first + length
        ]
        assert len(in_one) == 1, "a range has to lie in one range of the parent"


def check(chosen: userns.UserNamespace, canonical: IdMaps) -> None:
    assert chosen.inner is not None
    for inner, outer, host in (
        (chosen.inner.uids, canonical.uids, chosen.host.uids),
        (chosen.inner.gids, canonical.gids, chosen.host.gids),
    ):
        check_for_kernel(inner, outer)
        assert size_of(host) == size_of(inner)
        for inside, middle, size in inner:
            for offset in (0, size - 1):
                assert to_outside(host, inside + offset) == to_outside(outer, middle + offset)


@given(canonical_maps(), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_keep_id_maps_the_users_own_id(canonical: IdMaps, uid: int, gid: int) -> None:
    chosen = userns.choose("keep-id", canonical, uid, gid, [])
    check(chosen, canonical)
    assert to_outside(chosen.host.uids, uid) == to_outside(chosen.host.gids, gid) == 1000
    assert chosen.default_user == f"{uid}:{gid}"
    assert chosen.inner is not None
    assert size_of(chosen.inner.uids) == size_of(canonical.uids), "no id is given up"
    assert chosen.shift == chosen.inner


@given(canonical_maps())
def test_nomap_hides_the_user(canonical: IdMaps) -> None:
    chosen = userns.choose("nomap", canonical, 1000, 1000, [])
    check(chosen, canonical)
    assert to_inside(chosen.host.uids, 1000) is None
    assert to_inside(chosen.host.gids, 1000) is None
    assert to_outside(chosen.host.uids, 0) is not None
    assert chosen.default_user == ""


@given(canonical_maps(), st.lists(st.integers(1, 30000), min_size=1, max_size=5))
def test_auto_ranges_of_running_containers_are_disjoint(
    canonical: IdMaps, sizes: list[int]
) -> None:
    available = min(size_of(canonical.uids), size_of(canonical.gids)) - 1
    assume(sum(sizes) <= available)
    taken: list[tuple[int, int]] = []
    for size in sizes:
        chosen = userns.choose(f"auto:size={size}", canonical, 1000, 1000, taken)
        check(chosen, canonical)
        assert chosen.inner is not None
        assert size_of(chosen.inner.uids) == size_of(chosen.inner.gids) == size
        assert to_inside(chosen.host.uids, 1000) is None
        taken.append((chosen.inner.uids[0][1], size))
    assert is_disjoint(taken)


def test_a_gap_between_two_containers_is_used_again() -> None:
    chosen = userns.choose("auto:size=10", WIDE, 1000, 1000, [(1, 5), (16, 100), (6, 0)])
    assert chosen.inner is not None
    assert chosen.inner.uids == ((0, 6, 10),)


@pytest.mark.parametrize("text", ["", "host"])
def test_without_a_mode_the_canonical_namespace_is_used(text: str) -> None:
    chosen = userns.choose(text, WIDE, 1000, 1000, [])
    assert (chosen.inner, chosen.default_user) == (None, "")
    assert chosen.host is WIDE
    assert chosen.shift == IdMaps((), ())


def test_keep_id_as_another() -> None:
    chosen = userns.choose("keep-id:uid=33,gid=34", WIDE, 1000, 1001, [])
    assert chosen.default_user == "33:34"
    assert to_outside(chosen.host.uids, 33) == 1000
    assert to_outside(chosen.host.gids, 34) == 1000


def test_a_user_without_subordinate_ids() -> None:
    chosen = userns.choose("keep-id", SINGLE, 1000, 1000, [])
    assert chosen.host.uids == ((1000, 1000, 1),)
    assert chosen.shift == IdMaps((), ()), "every file is the user's on disk, and stays so"
    for mode in ("auto", "nomap"):
        with pytest.raises(HostError, match=f"--userns {mode}: needs subordinate ids") as caught:
            userns.choose(mode, SINGLE, 1000, 1000, [])
        assert caught.value.hint.startswith("sudo usermod --add-subuids")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("other", "no such mode"),
        ("keepid", "no such mode"),
        ("container:x", "no such mode"),
        ("keep-id:user=3", "'user=3' is no option of it"),
        ("keep-id:size=3", "'size=3' is no option of it"),
        ("auto:uid=3", "'uid=3' is no option of it"),
        ("host:uid=3", "'uid=3' is no option of it"),
        ("nomap:size=3", "'size=3' is no option of it"),
        ("keep-id:uid", "uid is a number from 0"),
        ("keep-id:uid=", "uid is a number from 0"),
        ("keep-id:uid=-1", "uid is a number from 0"),
        ("keep-id:uid=²", "uid is a number from 0"),
        ("keep-id:uid=2147483648", "uid is a number from 0"),
        ("auto:size=0", "size is a number from 1"),
    ],
)
def test_options_are_checked(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"--userns {text}: {message}"):
        userns.choose(text, WIDE, 1000, 1000, [])


def test_too_few_ids_are_told_with_their_number() -> None:
    with pytest.raises(HostError, match=r"65536 in all, 1 running containers use some"):
        userns.choose("auto", WIDE, 1000, 1000, [(1, 1)])
