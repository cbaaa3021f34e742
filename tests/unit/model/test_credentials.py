"""What set*id makes of a process: the rules of kernel/sys.c, table by table."""

from __future__ import annotations

import errno

import pytest

from rootless.model.credentials import KEEP, Credentials, Refused

ROOT = Credentials.of(0, 0)


def user(*uids: int) -> Credentials:
    return Credentials((uids[0], uids[1], uids[2]), (5, 5, 5), ())


@pytest.mark.parametrize(
    ("before", "call", "arguments", "after"),
    [
        (ROOT, "setuid", [7], (7, 7, 7)),
        (ROOT, "setreuid", [7, 8], (7, 8, 8)),
        (ROOT, "setreuid", [KEEP, 7], (0, 7, 7)),
        (ROOT, "setreuid", [KEEP, 0], (0, 0, 0)),
        (ROOT, "setresuid", [1, 2, 3], (1, 2, 3)),
        (ROOT, "setresuid", [KEEP, 7, KEEP], (0, 7, 0)),
        (user(0, 7, 0), "setuid", [0], (0, 0, 0)),
        (user(1, 2, 3), "setuid", [3], (1, 3, 3)),
        (user(1, 2, 3), "setreuid", [2, 3], (2, 3, 3)),
        (user(1, 2, 3), "setreuid", [KEEP, 1], (1, 1, 3)),
        (user(1, 2, 3), "setresuid", [3, 1, 2], (3, 1, 2)),
        (user(7, 7, 7), "setresuid", [7, 7, 7], (7, 7, 7)),
    ],
)
def test_uids(
    before: Credentials, call: str, arguments: list[int], after: tuple[int, int, int]
) -> None:
    made = before.after(call, arguments)
    assert (made.uids, made.gids) == (after, before.gids)


@pytest.mark.parametrize(
    ("before", "call", "arguments", "number"),
    [
        (user(7, 7, 7), "setuid", [0], errno.EPERM),
        (user(1, 2, 3), "setuid", [2], errno.EPERM),
        (user(1, 2, 3), "setreuid", [3, KEEP], errno.EPERM),
        (user(7, 7, 7), "setresuid", [KEEP, 0, KEEP], errno.EPERM),
        (user(7, 7, 7), "setgid", [0], errno.EPERM),
        (ROOT, "setuid", [KEEP], errno.EINVAL),
        (ROOT, "setgid", [KEEP], errno.EINVAL),
    ],
)
def test_refusals(before: Credentials, call: str, arguments: list[int], number: int) -> None:
    with pytest.raises(Refused) as caught:
        before.after(call, arguments)
    assert caught.value.errno == number


def test_gids_are_changed_by_who_is_root_and_make_nobody_root() -> None:
    made = ROOT.after("setresgid", [1, 2, 3])
    assert (made.uids, made.gids, made.is_root) == ((0, 0, 0), (1, 2, 3), True)
    assert user(0, 7, 0).after("setregid", [5, 5]).gids == (5, 5, 5)


def test_groups_are_for_root() -> None:
    assert ROOT.with_groups((3, 4)).groups == (3, 4)
    with pytest.raises(Refused):
        user(7, 7, 7).with_groups(())


def test_capabilities_that_are_kept() -> None:
    """As setpriv(1) goes about it: first the uid, then the gids."""
    dropped = ROOT.keeping(keeps=True).after("setresuid", [7, 7, 7])
    assert dropped.after("setresgid", [8, 8, 8]).with_groups((9,)).uids == (7, 7, 7)
    assert not dropped.keeping(keeps=False).is_root
    assert not user(7, 7, 7).keeping(keeps=True).is_root
    assert Credentials.from_fields(dropped.fields()) == dropped
