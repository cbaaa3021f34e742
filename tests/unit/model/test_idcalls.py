"""The filters of calls about users, run on calls by an interpreter of their few instructions."""

from __future__ import annotations

import stat
import struct
import sys

import pytest

from rootless.model import bpf, idcalls, sysinfo

MACHINES = ["x86_64", "i686", "aarch64", "armv7l", "riscv64", "loongarch64", "ppc64le", "s390x"]
LOAD, AND, JUMP, RETURN = 0x20, 0x54, 0x15, 0x06


def outcome(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """The action for a call (linux/seccomp.h: struct seccomp_data)."""
    six = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("=iIQ6Q", number, arch, 0, *six)
    code = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        kind, if_true, if_false, value = code[at]
        at += 1
        if kind == LOAD:
            accumulator = int.from_bytes(data[value : value + 4], sys.byteorder)
        elif kind == AND:
            accumulator &= value
        elif kind == JUMP:
            at += if_true if accumulator == value else if_false
        else:
            assert kind == RETURN
            return int(value)


def number_of(arch: int, name: str) -> int:
    return next(number for number, known in idcalls.TABLES[arch].items() if known == name)


@pytest.mark.parametrize("machine", MACHINES)
def test_each_call_of_each_architecture(machine: str) -> None:
    answering, pretending = idcalls.answering(machine), idcalls.pretending(machine)
    for arch in idcalls._MACHINES[machine]:
        for number, shown in idcalls.TABLES[arch].items():
            name = shown.removesuffix(idcalls.SHORT)
            if name in idcalls._CHOSEN:
                continue
            assert outcome(answering, arch, number) == bpf.NOTIFY, (arch, name)
            changes = name in (*idcalls.OWNERS, *idcalls.SETTERS)
            expected = bpf.SUCCEED if changes else bpf.ALLOW
            assert outcome(pretending, arch, number) == expected, (arch, name)
        for other in (3, 100_000):
            assert outcome(answering, arch, other) == bpf.ALLOW
            assert outcome(pretending, arch, other) == bpf.ALLOW


@pytest.mark.parametrize(
    ("name", "arguments", "is_meant"),
    [
        ("mknod", (1, stat.S_IFCHR | 0o666, 259), True),
        ("mknod", (1, stat.S_IFBLK | 0o600, 8), True),
        ("mknod", (1, stat.S_IFIFO | 0o600, 0), False),
        ("mknod", (1, 0o644, 0), False),
        ("mknodat", (2**32 - 100, 1, stat.S_IFCHR | 0o666, 259), True),
        ("mknodat", (2**32 - 100, 1, stat.S_IFREG, 259), False),
        ("prctl", (8, 1), True),
        ("prctl", (15, 8), False),
        ("prlimit64", (0, 10, 1), True),
        ("prlimit64", (10, 7, 1), False),
        ("setrlimit", (10, 1), True),
    ],
)
def test_calls_of_which_some_are_meant(
    name: str, arguments: tuple[int, ...], is_meant: bool
) -> None:
    number = number_of(bpf.X86_64, name)
    action = outcome(idcalls.answering("x86_64"), bpf.X86_64, number, *arguments)
    assert action == (bpf.NOTIFY if is_meant else bpf.ALLOW)
    if name.startswith("mknod"):
        action = outcome(idcalls.pretending("x86_64"), bpf.X86_64, number, *arguments)
        assert action == (bpf.SUCCEED if is_meant else bpf.ALLOW)


def test_without_those_that_write_into_memory() -> None:
    older = idcalls.answering("x86_64", writes=False)
    assert outcome(older, bpf.X86_64, number_of(bpf.X86_64, "getresuid")) == bpf.ALLOW
    assert outcome(older, bpf.X86_64, number_of(bpf.X86_64, "getuid")) == bpf.NOTIFY


@pytest.mark.parametrize("machine", MACHINES)
def test_sysinfo_in_the_same_filter(machine: str) -> None:
    both = idcalls.answering(machine, with_sysinfo=True)
    for arch, numbers in sysinfo.calls(machine):
        for number in numbers:
            assert outcome(both, arch, number) == bpf.NOTIFY
            assert outcome(sysinfo.program(machine), arch, number) == bpf.NOTIFY
            assert outcome(idcalls.answering(machine), arch, number) == bpf.ALLOW


def test_a_machine_that_is_not_known() -> None:
    assert (idcalls.answering("vax"), idcalls.pretending("vax")) == (b"", b"")


def test_names_of_numbers() -> None:
    assert idcalls.name_of(bpf.X86_64, 92) == "chown"
    assert idcalls.name_of(bpf.I386, 182) == "chown" + idcalls.SHORT
    assert idcalls.name_of(bpf.X86_64, 1) == idcalls.name_of(1, 92) == ""
