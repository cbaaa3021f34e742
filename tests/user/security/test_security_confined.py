"""The default capabilities and the default filter on a real process of a user namespace."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import signal
import socket
import termios
import tty

import pytest

from rootless.kernel import capabilities, libc
from rootless.model import capabilities as model
from rootless.runtime import seccomp
from rootless.tools import idmap

LIBC = ctypes.CDLL(None, use_errno=True)
X86_64_CALLS = {"bpf": 321, "keyctl": 250, "clone3": 435, "io_uring_setup": 425, "userfaultfd": 323}


def confine(names=model.DEFAULT, *, uid=0, added=(), filtered=True):
    """What the runtime does to a container's process just before it becomes the payload."""
    sets = model.process_capabilities(names, is_root=uid == 0, added=added)
    program = seccomp.program_for(seccomp.default_document(names), "/nonexistent")
    capabilities.drop_bounding(sets["bounding"])
    if uid:
        libc.prctl(libc.PR_SET_KEEPCAPS, 1)
        os.setresuid(uid, uid, uid)
    missing = capabilities.set_sets(sets)
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    if filtered:
        libc.seccomp_set_mode_filter(program)
    return missing


def status():
    with open("/proc/self/status") as file:
        rows = dict(line.rstrip("\n").split(":\t", 1) for line in file)
    sets = {key[3:]: model.from_mask(int(rows[key], 16)) for key in rows if key.startswith("Cap")}
    return {**sets, "no_new_privs": int(rows["NoNewPrivs"]), "seccomp": int(rows["Seccomp"])}


def errno_of(function, *args):
    ctypes.set_errno(0)
    return ctypes.get_errno() if function(*args) < 0 else 0


def os_errno_of(function, *args):
    try:
        function(*args)
    except OSError as error:
        return error.errno
    return 0


def confined(function, **options):
    """The result of `function` in a process that is confined, in a new user namespace."""

    def inside():
        confine(**options)
        return function()

    return idmap.call(inside)


def test_the_sets_of_root():
    found = confined(status)
    assert found["Bnd"] == found["Prm"] == found["Eff"] == model.DEFAULT
    assert found["Inh"] == found["Amb"] == ()


def test_the_sets_after_root_has_executed_a_program():
    def execute():
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(write_end, 1)
            os.execv("/bin/cat", ["cat", "/proc/self/status"])
        os.waitpid(pid, 0)
        return os.read(read_end, 65536).decode()

    rows = dict(line.split(":\t", 1) for line in confined(execute).splitlines())
    mask = f"{model.to_mask(model.DEFAULT):016x}"
    assert rows["CapPrm"] == rows["CapEff"] == rows["CapBnd"] == mask
    assert rows["CapInh"] == rows["CapAmb"] == "0" * 16


def test_the_sets_of_another_user_are_empty_but_for_the_bounding_set():
    found = confined(status, uid=1)
    assert found["Bnd"] == model.DEFAULT
    assert found["Prm"] == found["Eff"] == found["Inh"] == found["Amb"] == ()


def test_what_another_user_was_given_outlives_execve():
    def execute():
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(write_end, 1)
            os.execv("/bin/grep", ["grep", "CapEff", "/proc/self/status"])
        os.waitpid(pid, 0)
        return os.read(read_end, 65536).decode()

    names = (*model.DEFAULT, "CAP_NET_RAW")
    found = confined(execute, names=names, uid=1, added=("CAP_NET_RAW",))
    assert int(found.split()[1], 16) == model.to_mask(["CAP_NET_RAW"])


def test_dropping_everything():
    found = confined(status, names=())
    assert [found[name] for name in ("Bnd", "Prm", "Eff", "Inh", "Amb")] == [()] * 5


def test_all_capabilities_can_be_kept_in_a_user_namespace():
    def inside():
        return list(confine(model.NAMES, filtered=False)), status()

    missing, found = idmap.call(inside)
    assert missing == []
    assert found["Eff"] == found["Bnd"] == model.NAMES


def test_what_the_host_holds_back_is_left_out_and_told():
    def inside():
        # As on a host that took CAP_SYS_RESOURCE from everybody.
        held = model.to_mask(model.NAMES) & ~model.to_mask(["CAP_SYS_RESOURCE"])
        libc.capset(held, held, 0)
        return list(confine(model.NAMES, filtered=False)), status()["Eff"]

    missing, effective = idmap.call(inside)
    assert missing == ["CAP_SYS_RESOURCE"]
    assert set(model.NAMES) - set(effective) == {"CAP_SYS_RESOURCE"}


def test_the_kernel_and_the_table_agree_on_the_last_capability():
    with open("/proc/sys/kernel/cap_last_cap") as file:
        assert capabilities.last_capability() == int(file.read())


def test_no_new_privileges_and_the_filter_are_on():
    found = confined(status)
    assert (found["no_new_privs"], found["seccomp"]) == (1, 2)


@pytest.mark.parametrize("flag", ["NEWUSER", "NEWNS", "NEWNET", "NEWTIME"])
def test_no_new_namespaces(flag):
    number = getattr(libc, f"CLONE_{flag}")
    assert confined(lambda: os_errno_of(libc.unshare, number)) == errno.EPERM
    # The reason for the refusal is the filter: without it a user namespace could be made.
    if flag == "NEWUSER":
        assert confined(lambda: os_errno_of(libc.unshare, number), filtered=False) == 0


def test_no_mounts():
    attempt = ("tmpfs", "/tmp", "tmpfs", 0)
    assert confined(lambda: os_errno_of(libc.mount, *attempt)) == errno.EPERM


def test_sys_admin_opens_namespaces_and_mounts():
    def attempt():
        unshared = os_errno_of(libc.unshare, libc.CLONE_NEWNS)
        return unshared, os_errno_of(libc.mount, "tmpfs", "/tmp", "tmpfs", 0)

    assert confined(attempt, names=(*model.DEFAULT, "CAP_SYS_ADMIN")) == (0, 0)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("bpf", errno.EPERM),
        ("io_uring_setup", errno.EPERM),
        ("userfaultfd", errno.EPERM),
        ("keyctl", errno.ENOSYS),
        ("clone3", errno.ENOSYS),
    ],
)
def test_calls_that_are_closed(name, number):
    if os.uname().machine != "x86_64":
        pytest.skip("needs an x86_64 machine")
    call = X86_64_CALLS[name]
    assert confined(lambda: errno_of(LIBC.syscall, call, 0, 0, 0, 0, 0)) == number


def trace_a_child():
    pid = os.fork()
    if pid == 0:
        LIBC.ptrace(0, 0, 0, 0)  # PTRACE_TRACEME
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    stopped = os.WIFSTOPPED(os.waitpid(pid, os.WUNTRACED)[1])
    continued = errno_of(LIBC.ptrace, 7, pid, 0, 0)  # PTRACE_CONT
    return stopped, continued, os.waitpid(pid, 0)[1]


def test_debuggers_work():
    assert confined(trace_a_child) == (True, 0, 0)


def test_threads_and_processes_can_be_made():
    def attempt():
        import threading

        results = []
        thread = threading.Thread(target=lambda: results.append(1))
        thread.start()
        thread.join()
        pid = os.posix_spawn("/bin/true", ["true"], {})
        return results, os.waitpid(pid, 0)[1]

    assert confined(attempt) == ([1], 0)


@pytest.mark.parametrize(
    ("family", "number"),
    [
        (socket.AF_INET, 0),
        (socket.AF_UNIX, 0),
        (socket.AF_NETLINK, 0),
        (socket.AF_ALG, errno.EAFNOSUPPORT),
        (socket.AF_VSOCK, errno.EAFNOSUPPORT),
    ],
)
def test_socket_families(family, number):
    kind = socket.SOCK_SEQPACKET if family == socket.AF_ALG else socket.SOCK_DGRAM
    assert confined(lambda: os_errno_of(socket.socket, family, kind)) == number


def typing_errno(high):
    """The errno of TIOCSTI on this process's terminal, `high` in the upper half of the command."""
    _, terminal = os.openpty()
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    command, text = ctypes.c_ulong(termios.TIOCSTI | high), ctypes.create_string_buffer(b"x")
    # syscall(2): the C library's ioctl may cut the command to an int.
    return errno_of(LIBC.syscall, ctypes.c_long(16), terminal, command, text)


@pytest.mark.parametrize("high", [0, 1 << 32, 1 << 63], ids=hex)
def test_nothing_can_be_typed_into_a_terminal(high):
    if os.uname().machine != "x86_64":
        pytest.skip("needs an x86_64 machine")
    assert confined(lambda: typing_errno(high)) == errno.EPERM
    # Not for want of a right to do so: without the filter it works, or is switched off (EIO).
    assert confined(lambda: typing_errno(high), filtered=False) in (0, errno.EIO)


def test_terminals_work():
    def attempt():
        _, terminal = os.openpty()
        tty.setraw(terminal)
        termios.tcflush(terminal, termios.TCIOFLUSH)
        return os.get_terminal_size(terminal)[0]

    assert confined(attempt) == 0


# push rbx; mov eax, edi; mov ebx, esi; mov ecx, edx; int 0x80; pop rbx; ret
INT_80 = bytes.fromhex("53 89f8 89f3 89d1 cd80 5b c3")


def i386_call(number, first=0, second=0):
    """The kernel's answer to a 32-bit system call; a process without that ABI dies of SIGSEGV."""
    pages = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    pages.write(INT_80)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    return ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 3)(address)(number, first, second)


def has_i386():
    if os.uname().machine != "x86_64":
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0 if i386_call(20) == os.getpid() else 1)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.may_skip_on_ci("a kernel can be built without 32-bit system calls")
def test_32_bit_system_calls_are_filtered_too():
    if not has_i386():
        pytest.skip("needs a kernel with IA32 emulation")

    def attempt():
        getpid = i386_call(20) == os.getpid()
        return getpid, i386_call(310, libc.CLONE_NEWUSER), i386_call(120, libc.CLONE_NEWUSER)

    assert confined(attempt) == (True, -errno.EPERM, -errno.EPERM)


def test_a_filter_cannot_be_taken_off():
    def attempt():
        program = b"\x06\0\0\0\0\0\xff\x7f"  # BPF_RET ALLOW
        libc.seccomp_set_mode_filter(program)
        return os_errno_of(libc.unshare, libc.CLONE_NEWUSER)

    assert confined(attempt) == errno.EPERM


def test_a_second_start_finds_the_program_and_loads_no_library(tmp_path):
    cache = str(tmp_path / "cache")
    document = seccomp.default_document(model.DEFAULT)
    first = seccomp.program_for(document, cache)

    def inside():
        import sys

        sys.modules.pop("rootless.kernel.seccomp", None)
        again = seccomp.program_for(document, cache)
        return again == first, "rootless.kernel.seccomp" in sys.modules

    assert idmap.call(inside) == (True, False)
