from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model import security


def parse(*options, privileged=False):
    return security.parse(options, privileged=privileged)


def test_everything_is_on_by_default():
    choice = parse()
    assert choice.no_new_privileges is True
    assert choice.seccomp == security.DEFAULT_PROFILE
    assert choice.masked_paths == security.MASKED_PATHS
    assert choice.readonly_paths == security.READONLY_PATHS


def test_privileged_switches_everything_off():
    choice = parse(privileged=True)
    assert choice.no_new_privileges is False
    assert choice.seccomp == choice.apparmor == security.UNCONFINED
    assert choice.masked_paths == choice.readonly_paths == ()


def test_an_option_is_stronger_than_privileged():
    choice = parse("seccomp=/p.json", "no-new-privileges", "mask=/proc/kcore", privileged=True)
    assert choice.seccomp == "/p.json"
    assert choice.no_new_privileges is True
    assert choice.masked_paths == ("/proc/kcore",)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("no-new-privileges", True),
        ("no-new-privileges:true", True),
        ("no-new-privileges=true", True),
        ("no-new-privileges:false", False),
        ("no-new-privileges=false", False),
    ],
)
def test_no_new_privileges(option, expected):
    # Privileged starts from False, unprivileged from True: each value is seen to be set.
    assert parse(option, privileged=expected).no_new_privileges is expected


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("seccomp=unconfined", security.UNCONFINED),
        ("seccomp:unconfined", security.UNCONFINED),
        ("seccomp=a=b:c.json", "a=b:c.json"),
        ("seccomp=builtin", security.DEFAULT_PROFILE),
        ("seccomp=default", security.DEFAULT_PROFILE),
    ],
)
def test_seccomp(option, expected):
    assert parse(option).seccomp == expected


def test_labels_are_taken_and_change_nothing():
    plain, labelled = parse(), parse("label=type:spc_t", "label:level:s0", "label=disable")
    assert all(getattr(plain, name) == getattr(labelled, name) for name in plain.__slots__)


def test_apparmor_and_proc_options():
    choice = parse("apparmor=mine", "proc-opts=hidepid=2,subset=pid")
    assert choice.apparmor == "mine"
    assert choice.proc_options == ("hidepid=2", "subset=pid")


def test_mask_adds_paths_once():
    choice = parse("mask=/proc/cmdline:/sys/x/", "mask=/proc/cmdline:/proc/kcore")
    assert choice.masked_paths == (*security.MASKED_PATHS, "/proc/cmdline", "/sys/x")


@pytest.mark.parametrize("option", ["unmask=ALL", "unmask=all", "systempaths=unconfined"])
def test_unmask_all(option):
    choice = parse(option)
    assert choice.masked_paths == choice.readonly_paths == ()


def test_unmask_of_paths_and_patterns_covers_read_only_ones_too():
    choice = parse("unmask=/proc/acpi:/sys/*:/proc/sys")
    assert not [path for path in choice.masked_paths if path.startswith("/sys/")]
    assert "/proc/acpi" not in choice.masked_paths
    assert "/proc/kcore" in choice.masked_paths
    assert "/proc/sys" not in choice.readonly_paths
    assert "/proc/sysrq-trigger" in choice.readonly_paths


def test_later_options_win():
    assert "/proc/kcore" in parse("unmask=ALL", "mask=/proc/kcore").masked_paths
    assert parse("seccomp=unconfined", "seccomp=default").seccomp == security.DEFAULT_PROFILE


@pytest.mark.parametrize(
    "option",
    [
        "",
        "secomp=unconfined",
        "seccomp",
        "seccomp=",
        "apparmor=",
        "no-new-privileges=yes",
        "label=disabled",
        "mask=",
        "mask=proc",
        "unmask=",
        "unmask=/proc:relative",
        "systempaths=open",
        "proc-opts",
    ],
)
def test_what_cannot_be_read_is_refused_by_name(option):
    with pytest.raises(UsageError) as failure:
        parse(option)
    assert failure.value.message.startswith(f"--security-opt {option}: ")


def test_an_unknown_option_lists_the_known_ones():
    with pytest.raises(UsageError) as failure:
        parse("secomp=unconfined")
    assert "seccomp" in failure.value.hint
