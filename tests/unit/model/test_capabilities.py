from __future__ import annotations

import re

import pytest

from rootless.errors import UsageError
from rootless.model import capabilities as caps

# podman-run(1) and containers.conf(5): the set of podman 4.
PODMAN = [
    "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
]  # fmt: skip


def test_default_is_podmans():
    names = caps.resolve([], [], privileged=False)
    assert sorted(names) == sorted(f"CAP_{name}" for name in PODMAN)


def test_numbers_are_the_kernels():
    # linux/capability.h
    assert len(caps.NAMES) == len(set(caps.NAMES)) == 41
    numbers = {"CAP_CHOWN": 0, "CAP_SETPCAP": 8, "CAP_SYS_ADMIN": 21, "CAP_SETFCAP": 31}
    numbers |= {"CAP_SYSLOG": 34, "CAP_BPF": 39, "CAP_CHECKPOINT_RESTORE": 40}
    assert {name: caps.NAMES.index(name) for name in numbers} == numbers


def test_names_are_in_the_order_of_their_numbers():
    assert caps.resolve(["syslog", "audit_write"], ["setuid"], privileged=False) == tuple(
        name
        for name in caps.NAMES
        if name in {*caps.DEFAULT, "CAP_SYSLOG", "CAP_AUDIT_WRITE"} - {"CAP_SETUID"}
    )


@pytest.mark.parametrize("spelling", ["net_raw", "NET_RAW", "cap_net_raw", "CAP_Net_Raw"])
def test_spellings_of_a_name(spelling):
    assert caps.resolve([spelling], ["ALL"], privileged=False) == ("CAP_NET_RAW",)


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (["all"], [], caps.NAMES),
        ([], ["CAP_ALL"], ()),
        (["kill", "chown"], ["all"], ("CAP_CHOWN", "CAP_KILL")),
    ],
)
def test_all_stands_for_every_one(add, drop, expected):
    assert caps.resolve(add, drop, privileged=False) == expected


def test_adding_all_but_one():
    names = caps.resolve(["ALL"], ["sys_admin"], privileged=False)
    assert set(caps.NAMES) - set(names) == {"CAP_SYS_ADMIN"}


def test_privileged_has_all_but_what_is_dropped():
    assert caps.resolve([], [], privileged=True) == caps.NAMES
    names = caps.resolve([], ["SYS_ADMIN"], privileged=True)
    assert set(caps.NAMES) - set(names) == {"CAP_SYS_ADMIN"}


@pytest.mark.parametrize(("flag", "add", "drop"), [("--cap-add", 1, 0), ("--cap-drop", 0, 1)])
def test_an_unknown_name_is_named_with_the_closest(flag, add, drop):
    with pytest.raises(UsageError, match=re.escape(f"{flag} net_admni")) as failure:
        caps.resolve(["net_admni"] * add, ["net_admni"] * drop, privileged=False)
    assert "CAP_NET_ADMIN" in failure.value.hint


@pytest.mark.parametrize("value", ["", "CAP_", "chown,kill", "42"])
def test_what_is_no_name_is_refused(value):
    with pytest.raises(UsageError, match="no such capability"):
        caps.resolve([value], [], privileged=False)


@pytest.mark.parametrize("name", ["chown", "all"])
def test_added_and_dropped_is_a_contradiction(name):
    with pytest.raises(UsageError, match="also given to --cap-drop"):
        caps.resolve([name], [name.upper()], privileged=False)


def test_masks_are_inverse():
    assert caps.to_mask(["CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"]) == 1 | 1 << 40
    assert caps.from_mask(1 | 1 << 40 | 1 << 63) == ("CAP_CHOWN", "CAP_CHECKPOINT_RESTORE")
    assert caps.to_mask(["CAP_OF_THE_FUTURE"]) == 0


def test_root_holds_the_bounding_set_and_passes_nothing_on():
    sets = caps.process_capabilities(caps.DEFAULT, is_root=True)
    assert sets["bounding"] == sets["effective"] == sets["permitted"] == list(caps.DEFAULT)
    # CVE-2022-27651
    assert sets["inheritable"] == sets["ambient"] == []


def test_another_user_holds_what_was_added_alone():
    bounding = caps.resolve(["net_raw"], ["chown"], privileged=False)
    added = caps.explicitly_added(["net_raw"], bounding)
    sets = caps.process_capabilities(bounding, is_root=False, added=added)
    assert sets.pop("bounding") == list(bounding)
    assert set(map(tuple, sets.values())) == {("CAP_NET_RAW",)}


def test_another_user_without_additions_holds_nothing():
    sets = caps.process_capabilities(caps.DEFAULT, is_root=False)
    assert sets.pop("bounding") == list(caps.DEFAULT)
    assert not any(sets.values())


def test_added_all_is_all_of_the_bounding_set():
    bounding = caps.resolve(["all"], ["kill"], privileged=False)
    assert caps.explicitly_added(["all"], bounding) == bounding
