"""The compiled programs, run by a small interpreter of classic BPF: no filter is installed here."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import struct

import pytest

from rootless import config, log
from rootless.errors import HostError, UsageError
from rootless.kernel import seccomp
from rootless.model import capabilities
from rootless.model import seccomp as model

ALLOW, KILL_PROCESS = 0x7FFF0000, 0x80000000
PODMANS_PROFILE = "/usr/share/containers/seccomp.json"

# linux/audit.h
X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
X32 = 0x40000000

# asm/unistd_64.h and unistd_32.h
CALLS = {
    "read": 0, "ioctl": 16, "socket": 41, "clone": 56, "ptrace": 101, "personality": 135,
    "pivot_root": 155, "chroot": 161, "mount": 165, "kexec_load": 246, "keyctl": 250,
    "unshare": 272, "setns": 308, "bpf": 321, "userfaultfd": 323, "io_uring_setup": 425,
    "clone3": 435, "futex_waitv": 449,
}  # fmt: skip
CALLS_I386 = {"read": 3, "mount": 21, "ioctl": 54, "socketcall": 102, "clone": 120, "unshare": 310}


def refused(number):
    return 0x00050000 | number


def run_program(program, number, args=(), arch=X86_64):
    """The action for one system call; BPF as linux/filter.h and seccomp(2) describe it."""
    data = struct.pack("<iIQ6Q", number, arch, 0, *args, *[0] * (6 - len(args)))
    code = list(struct.iter_unpack("<HBBI", program))
    accumulator = position = 0
    while True:
        op, true, false, k = code[position]
        position += 1
        if op == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif op == 0x54:  # BPF_ALU | BPF_AND | BPF_K
            accumulator &= k
        elif op == 0x05:  # BPF_JMP | BPF_JA
            position += k
        elif op == 0x06:  # BPF_RET | BPF_K
            return k
        else:
            tests = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k}
            position += true if tests[op] else false


@pytest.fixture(scope="module", autouse=True)
def libseccomp():
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        pytest.skip("needs libseccomp2")


def compile_profile(path, caps, machine="x86_64"):
    with open(path) as file:
        return seccomp.compile_filter(model.resolve(json.load(file), caps, machine, "6.1.0"))


@pytest.fixture(scope="module")
def default():
    """The action that the shipped profile, with the default capabilities, takes for a call."""
    program = compile_profile(config.shipped("seccomp.json"), capabilities.DEFAULT)
    return lambda name, *args: run_program(program, CALLS[name], args)


@pytest.fixture(scope="module")
def default_i386():
    program = compile_profile(config.shipped("seccomp.json"), capabilities.DEFAULT)
    return lambda name, *args: run_program(program, CALLS_I386[name], args, I386)


@pytest.fixture(scope="module")
def everything():
    program = compile_profile(config.shipped("seccomp.json"), capabilities.NAMES)
    return lambda name, *args: run_program(program, CALLS[name], args)


def document_of(*rules, default="SCMP_ACT_ALLOW", **more):
    return {"defaultAction": default, "syscalls": list(rules), **more}


def compiled(*rules, **more):
    more.setdefault("architectures", ["SCMP_ARCH_X86_64"])
    return seccomp.compile_filter(document_of(*rules, **more))


def argument(op, value, value_two=0, index=0):
    return {"index": index, "op": f"SCMP_CMP_{op}", "value": value, "valueTwo": value_two}


@pytest.mark.parametrize("name", ["read", "ptrace", "chroot", "futex_waitv"])
def test_the_default_allows(default, name):
    assert default(name) == ALLOW


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("mount", errno.EPERM),
        ("unshare", errno.EPERM),
        ("setns", errno.EPERM),
        ("pivot_root", errno.EPERM),
        ("bpf", errno.EPERM),
        ("kexec_load", errno.EPERM),
        ("userfaultfd", errno.EPERM),
        ("io_uring_setup", errno.EPERM),
        ("keyctl", errno.ENOSYS),
        ("clone3", errno.ENOSYS),
    ],
)
def test_the_default_refuses(default, name, number):
    assert default(name) == refused(number)


def test_a_call_of_the_future_looks_like_one_of_an_older_kernel(default):
    program = compile_profile(config.shipped("seccomp.json"), capabilities.DEFAULT)
    assert run_program(program, 4000) == refused(errno.ENOSYS)


@pytest.mark.parametrize("name", ["mount", "unshare", "setns", "bpf", "clone3"])
def test_all_capabilities_open_what_they_guard(everything, name):
    assert everything(name) == ALLOW


@pytest.mark.parametrize("name", ["kexec_load", "userfaultfd", "io_uring_setup", "keyctl"])
def test_no_capability_opens_the_rest(everything, name):
    assert everything(name) != ALLOW


NEW_NAMESPACE_FLAGS = [1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)]


@pytest.mark.parametrize("flag", NEW_NAMESPACE_FLAGS, ids=hex)
@pytest.mark.parametrize("others", [0, 17, 0x3D0F00, 1 << 40, 1 << 63], ids=hex)
def test_clone_makes_no_namespaces(default, flag, others):
    assert default("clone", flag | others) == refused(errno.EPERM)


def test_clone_with_every_namespace_at_once(default):
    assert default("clone", sum(NEW_NAMESPACE_FLAGS)) == refused(errno.EPERM)


# fork, pthread_create, vfork, posix_spawn
@pytest.mark.parametrize("flags", [17, 0x3D0F00, 0x4111, 0x1200011, 0x80000000], ids=hex)
def test_clone_makes_processes_and_threads(default, flags):
    assert default("clone", flags) == ALLOW


def test_clone_with_sys_admin_makes_namespaces(everything):
    assert everything("clone", sum(NEW_NAMESPACE_FLAGS)) == ALLOW


@pytest.mark.parametrize("command", [0x5412, 0x541C], ids=["TIOCSTI", "TIOCLINUX"])
# CVE-2019-10063: the kernel does not look at the upper half.
@pytest.mark.parametrize("high", [0, 1 << 32, 1 << 63, 0xFFFFFFFF << 32], ids=hex)
def test_nothing_types_into_a_terminal(default, default_i386, command, high):
    assert default("ioctl", 0, command | high) == refused(errno.EPERM)
    assert default_i386("ioctl", 0, command) == refused(errno.EPERM)


# TCGETS, the neighbours of the two, FIONREAD, SIOCGIFCONF, FICLONE, FS_IOC_GETFLAGS sign-extended
@pytest.mark.parametrize(
    "command",
    [0, 0x5401, 0x5411, 0x5413, 0x541B, 0x541D, 0x8912, 0x40049409, 0xFFFFFFFF80086601],
    ids=hex,
)
def test_other_ioctls_are_allowed(default, command):
    assert default("ioctl", 1, command) == ALLOW


@pytest.mark.parametrize("family", [1, 2, 10, 16, 17, 37, 39, 41, 0, 255])
@pytest.mark.parametrize("protocol", [0, 6, 15])
def test_sockets(default, family, protocol):
    assert default("socket", family, 2, protocol) == ALLOW


@pytest.mark.parametrize("family", [38, 40], ids=["AF_ALG", "AF_VSOCK"])
@pytest.mark.parametrize("high", [0, 1 << 32, 1 << 63], ids=hex)
def test_socket_families_that_are_closed(default, everything, family, high):
    for filter_ in (default, everything):
        assert filter_("socket", family | high, 5, 0) == refused(errno.EAFNOSUPPORT)


def test_netlink_audit_looks_absent_without_its_capability(default, everything):
    for high in (0, 1 << 32):
        assert default("socket", 16 | high, 3, 9 | high) == refused(errno.EINVAL)
    assert default("socket", 2, 3, 9) == ALLOW
    assert everything("socket", 16, 3, 9) == ALLOW


@pytest.mark.parametrize(
    ("persona", "action"),
    [
        (0, ALLOW),
        (0xFFFFFFFF, ALLOW),
        (0x0008, ALLOW),
        (0x20000, ALLOW),
        (0x0040000, refused(errno.ENOSYS)),  # ADDR_NO_RANDOMIZE
        (0x0400000, refused(errno.ENOSYS)),  # READ_IMPLIES_EXEC
    ],
    ids=hex,
)
def test_personality(default, persona, action):
    assert default("personality", persona) == action


def test_32_bit_programs_are_filtered_alike(default_i386):
    assert default_i386("read") == default_i386("socketcall") == ALLOW
    assert default_i386("mount") == default_i386("unshare") == refused(errno.EPERM)
    assert default_i386("clone", 0x10000000) == refused(errno.EPERM)


@pytest.mark.parametrize("number", [0, 16, 41, 165, 512], ids=lambda n: f"x32-{n}")
def test_x32_looks_absent(number):
    program = compile_profile(config.shipped("seccomp.json"), capabilities.NAMES)
    assert run_program(program, X32 | number) == refused(errno.ENOSYS)


def test_a_foreign_architecture_looks_absent_even_where_everything_is_allowed():
    assert run_program(compiled(), 0, arch=AARCH64) == refused(errno.ENOSYS)


def test_the_shipped_profile_for_aarch64():
    program = compile_profile(config.shipped("seccomp.json"), capabilities.DEFAULT, "aarch64")
    # asm-generic/unistd.h
    for number, action in [(63, ALLOW), (40, refused(errno.EPERM)), (97, refused(errno.EPERM))]:
        assert run_program(program, number, arch=AARCH64) == action
    assert run_program(program, 0) == refused(errno.ENOSYS)


@pytest.mark.parametrize("machine", ["ppc64le", "s390x", "riscv64"])
def test_the_shipped_profile_compiles_for_other_machines(machine):
    program = compile_profile(config.shipped("seccomp.json"), capabilities.DEFAULT, machine)
    assert len(program) % 8 == 0 and len(program) // 8 > 100


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ("SCMP_ACT_KILL", 0),
        ("SCMP_ACT_KILL_THREAD", 0),
        ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS),
        ("SCMP_ACT_TRAP", 0x00030000),
        ("SCMP_ACT_ERRNO", refused(7)),
        ("SCMP_ACT_TRACE", 0x7FF00007),
        ("SCMP_ACT_LOG", 0x7FFC0000),
        ("SCMP_ACT_NOTIFY", 0x7FC00000),
    ],
)
def test_actions(action, code):
    program = compiled({"names": ["read"], "action": action, "errnoRet": 7})
    assert run_program(program, CALLS["read"]) == code
    assert run_program(program, CALLS["mount"]) == ALLOW


def test_errno_without_a_number_is_eperm():
    assert run_program(compiled(default="SCMP_ACT_ERRNO"), 0) == refused(errno.EPERM)


@pytest.mark.parametrize(
    ("condition", "matching", "other"),
    [
        (argument("EQ", 5), [5], [4, 6, 5 | 1 << 32]),
        (argument("NE", 5), [4, 5 | 1 << 32], [5]),
        (argument("LT", 5), [0, 4], [5, 1 << 32]),
        (argument("LE", 5), [5], [6, 1 << 32]),
        (argument("GT", 5), [6, 1 << 32], [5]),
        (argument("GE", 5), [5, 1 << 32], [4]),
        (argument("MASKED_EQ", 0xF0, 0x30), [0x30, 0x3F, 0x130], [0x20, 0x70]),
        (argument("EQ", 1 << 33), [1 << 33], [0, 1 << 34]),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else "",
)
def test_operators(condition, matching, other):
    program = compiled({"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS", "args": [condition]})
    assert {run_program(program, 0, [value]) for value in matching} == {KILL_PROCESS}
    assert {run_program(program, 0, [value]) for value in other} == {ALLOW}


def test_conditions_on_several_arguments_all_have_to_hold():
    args = [argument("EQ", 1), argument("EQ", 2, index=3)]
    program = compiled({"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS", "args": args})
    assert run_program(program, 0, [1, 0, 0, 2]) == KILL_PROCESS
    assert run_program(program, 0, [1, 0, 0, 3]) == run_program(program, 0, [0, 0, 0, 2]) == ALLOW


def test_two_conditions_on_one_argument_are_alternatives():
    # As runc and crun read them.
    args = [argument("EQ", 1), argument("EQ", 2)]
    program = compiled({"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS", "args": args})
    assert [run_program(program, 0, [n]) == KILL_PROCESS for n in range(4)] == [0, 1, 1, 0]


def test_a_rule_that_is_given_twice_or_repeats_the_default_is_no_error():
    rule = {"names": ["read"], "action": "SCMP_ACT_KILL_PROCESS"}
    program = compiled(rule, rule, {"names": ["mount"], "action": "SCMP_ACT_ALLOW"})
    assert run_program(program, 0) == KILL_PROCESS


def test_unknown_names_are_told_and_left_out():
    said = []
    log.install(lambda level, text: said.append(text), debug=True)
    try:
        program = compiled({"names": ["no_such_call", "read"], "action": "SCMP_ACT_KILL_PROCESS"})
    finally:
        log.install(lambda level, text: None, debug=False)
    assert run_program(program, 0) == KILL_PROCESS
    assert len(said) == 1 and said[0].endswith(": no_such_call")


def test_without_architectures_the_machines_own_is_meant():
    if os.uname().machine != "x86_64":
        pytest.skip("needs an x86_64 machine")
    program = seccomp.compile_filter(document_of())
    assert run_program(program, 0) == ALLOW
    assert run_program(program, 3, arch=I386) == refused(errno.ENOSYS)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (document_of(default="SCMP_ACT_MAYBE"), "SCMP_ACT_MAYBE"),
        (document_of({"names": ["read"], "action": "ALLOW"}), "ALLOW"),
        (document_of(architectures=["SCMP_ARCH_VAX"]), "SCMP_ARCH_VAX"),
        (
            document_of(
                {
                    "names": ["read"],
                    "action": "SCMP_ACT_LOG",
                    "args": [{"index": 0, "value": 0, "op": "=="}],
                }
            ),
            "==",
        ),
        (
            document_of(
                {"names": ["read"], "action": "SCMP_ACT_LOG", "args": [argument("EQ", 0, index=9)]}
            ),
            "read",
        ),
    ],
)
def test_a_document_that_cannot_be_compiled_names_what_is_wrong(document, named):
    with pytest.raises(UsageError, match=f"seccomp profile: .*{named}"):
        seccomp.compile_filter(document)


def test_a_missing_library_is_told_with_its_package(monkeypatch):
    monkeypatch.setattr(seccomp, "_LIBRARY", "libseccomp-not-there.so.2")
    with pytest.raises(HostError, match="not installed") as failure:
        seccomp.compile_filter(document_of())
    assert failure.value.hint == "sudo apt-get install libseccomp2"


@pytest.mark.may_skip_on_ci("podman's profile is a fact to compare with, not a dependency")
def test_what_podman_allows_and_the_shipped_profile_does_not():
    """Each difference has its reason in a comment of config/seccomp.json."""
    if not os.path.exists(PODMANS_PROFILE):
        pytest.skip(f"needs {PODMANS_PROFILE} (golang-github-containers-common)")

    def allowed(path):
        program = compile_profile(path, capabilities.DEFAULT)
        return {number for number in range(462) if run_program(program, number) == ALLOW}

    closed = allowed(PODMANS_PROFILE) - allowed(config.shipped("seccomp.json"))
    # keyctl, syslog, reboot, clone3; mounts: pivot_root, mount, umount2, open_tree, move_mount,
    # fsopen, fsconfig, fsmount, fspick, mount_setattr; unshare, setns
    namespaces = {155, 165, 166, 428, 429, 430, 431, 432, 433, 442, 272, 308}
    assert closed == {250, 103, 169, 435} | namespaces
