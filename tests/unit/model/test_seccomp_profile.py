from __future__ import annotations

import json
import re

import pytest

from rootless import config
from rootless.errors import UsageError
from rootless.model import capabilities, seccomp

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def profile_of(*rules, **top):
    return {"defaultAction": ERRNO, "syscalls": list(rules), **top}


def rule(name, **more):
    return {"names": [name], "action": ALLOW, **more}


def names(document):
    return [name for entry in document["syscalls"] for name in entry["names"]]


def resolve(profile, caps=(), machine="x86_64", release="6.1.0-18-amd64"):
    return seccomp.resolve(profile, caps, machine, release)


def shipped():
    with open(config.shipped("seccomp.json")) as file:
        return json.load(file)


@pytest.mark.parametrize(
    ("condition", "admitted"),
    [
        ({}, True),
        ({"includes": {"caps": ["CAP_BPF"]}}, True),
        ({"includes": {"caps": ["CAP_BPF", "CAP_KILL"]}}, False),
        ({"excludes": {"caps": ["CAP_BPF", "CAP_KILL"]}}, False),
        ({"excludes": {"caps": ["CAP_KILL"]}}, True),
        ({"includes": {"arches": ["arm64", "amd64"]}}, True),
        ({"includes": {"arches": ["arm64"]}}, False),
        ({"excludes": {"arches": ["amd64"]}}, False),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"includes": {"minKernel": "6.1"}}, True),
        ({"includes": {"minKernel": "6.10"}}, False),
        ({"excludes": {"minKernel": "4.8"}}, False),
        ({"includes": {"caps": ["CAP_BPF"], "arches": ["arm64"]}}, False),
        ({"includes": None, "excludes": {}}, True),
    ],
)
def test_conditions(condition, admitted):
    document = resolve(profile_of(rule("read", **condition)), caps=["CAP_BPF"])
    assert names(document) == ["read"] * admitted


def test_the_document_holds_only_what_the_runtime_spec_knows():
    profile = profile_of(
        rule(
            "clone",
            comment="x",
            errnoRet=7,
            includes={},
            args=[{"index": 0, "value": 4, "valueTwo": 0, "op": "SCMP_CMP_EQ"}],
        ),
        defaultErrnoRet=38,
        archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
    )
    assert resolve(profile) == {
        "defaultAction": ERRNO,
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            {
                "names": ["clone"],
                "action": ALLOW,
                "errnoRet": 7,
                "args": [{"index": 0, "value": 4, "op": "SCMP_CMP_EQ"}],
            }
        ],
    }


def test_podmans_error_names_and_dockers_old_single_names():
    profile = profile_of({"name": "bpf", "action": ERRNO, "errno": "EPERM"}, defaultErrno="ENOSYS")
    document = resolve(profile)
    assert document["defaultErrnoRet"] == 38
    assert document["syscalls"] == [{"names": ["bpf"], "action": ERRNO, "errnoRet": 1}]


def test_architectures_without_a_map():
    assert resolve(profile_of())["architectures"] == ["SCMP_ARCH_X86_64"]
    given = profile_of(architectures=["SCMP_ARCH_ARM"])
    assert resolve(given)["architectures"] == ["SCMP_ARCH_ARM"]
    assert resolve(profile_of(), machine="vax")["architectures"] == []


@pytest.mark.parametrize(
    "profile",
    [
        {},
        [],
        {"defaultAction": ERRNO, "syscalls": [{"names": ["x"]}]},
        {"defaultAction": ERRNO, "syscalls": [{"action": ALLOW}]},
        {"defaultAction": ERRNO, "syscalls": [{"names": [5], "action": ALLOW}]},
        {"defaultAction": ERRNO, "syscalls": ["read"]},
        {"defaultAction": ERRNO, "syscalls": [rule("x", args=[{"index": 0}])]},
        {"defaultAction": ERRNO, "syscalls": [rule("x", includes={"minKernel": "new"})]},
    ],
)
def test_what_is_no_profile_is_refused(profile):
    with pytest.raises(UsageError, match="seccomp profile: not in docker's format"):
        resolve(profile)


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "ppc64le", "s390x", "riscv64"])
def test_each_machine_of_the_shipped_profile_has_its_architecture(machine):
    document = resolve(shipped(), caps=capabilities.DEFAULT, machine=machine)
    assert document["architectures"][0] == f"SCMP_ARCH_{machine.upper()}"


def test_x32_is_not_among_the_shipped_profiles_architectures():
    assert "SCMP_ARCH_X32" not in json.dumps(shipped())


@pytest.mark.parametrize(
    ("cap", "opened"),
    [("CAP_SYS_ADMIN", "mount"), ("CAP_BPF", "bpf"), ("CAP_SYS_BOOT", "reboot")],
)
def test_a_capability_opens_its_calls_in_the_shipped_profile(cap, opened):
    for held, action in [([cap], ALLOW), ([], ERRNO)]:
        document = resolve(shipped(), caps=held)
        assert {e["action"] for e in document["syscalls"] if opened in e["names"]} == {action}


def test_every_name_of_the_shipped_profile_has_the_form_of_a_system_call():
    for name in {name for entry in shipped()["syscalls"] for name in entry["names"]}:
        assert re.fullmatch(r"_?[a-z][a-z0-9_]*", name), name


def test_no_name_is_given_twice_in_one_rule_of_the_shipped_profile():
    for entry in shipped()["syscalls"]:
        assert len(entry["names"]) == len(set(entry["names"]))
