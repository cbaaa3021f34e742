"""System calls that Python does not wrap, thin and named as in the kernel.

The only module of the project that uses ctypes. Each function raises OSError with the errno and,
where the call has one, the path. Nothing here decides anything.
"""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
# The same without letting go of the interpreter's lock meanwhile.
_libc_held = ctypes.PyDLL(None, use_errno=True)

# linux/sched.h
CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# linux/mount.h
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

# linux/magic.h
PROC_SUPER_MAGIC = 0x9FA0

MNT_DETACH = 2

# linux/prctl.h
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECBIT_NOROOT, SECBIT_NOROOT_LOCKED = 1, 2

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# linux/openat2.h
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# asm-generic numbers, the same on every architecture since Linux 5.x: see syscalls(2).
_SYS_MOUNT_SETATTR = 442
_SYS_OPENAT2 = 437
_SYS_CLONE3 = 435
_SYS_CLOSE_RANGE = 436
_SYS_MOVE_MOUNT = 429
_SYS_OPEN_TREE = 428

OPEN_TREE_CLONE = 1
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000
AT_FDCWD = -100
MOVE_MOUNT_F_EMPTY_PATH = 0x4
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x1
MOUNT_ATTR_NOSUID = 0x2
MOUNT_ATTR_NODEV = 0x4
MOUNT_ATTR_NOEXEC = 0x8
MOUNT_ATTR_ATIME = 0x70  # the mask of the next three
MOUNT_ATTR_RELATIME = 0x0
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000


class _OpenHow(ctypes.Structure):
    _fields_ = [
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    ]


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def _bytes(path: str | None) -> bytes | None:
    return None if path is None else os.fsencode(path)


def _fail(path: str | None = None) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number), path)


def _check(result: int, path: str | None = None) -> int:
    if result < 0:
        raise _fail(path)
    return result


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(ctypes.c_int(flags)))


def setns(fd: int, kind: int) -> None:
    """setns(2); `kind` is a CLONE_NEW* flag, several of them when `fd` is a pidfd."""
    _check(_libc.setns(fd, kind))


class _CloneArgs(ctypes.Structure):
    _fields_ = [
        ("flags", ctypes.c_uint64),
        ("pidfd", ctypes.c_uint64),
        ("child_tid", ctypes.c_uint64),
        ("parent_tid", ctypes.c_uint64),
        ("exit_signal", ctypes.c_uint64),
        ("stack", ctypes.c_uint64),
        ("stack_size", ctypes.c_uint64),
        ("tls", ctypes.c_uint64),
    ]


def fork_into(flags: int) -> int:
    """os.fork() of a process with one thread, the child in new namespaces (CLONE_NEW*).

    By clone3(2). After unshare(2) of a pid namespace every later child would be in it as well.
    """
    sigchld = 17
    args = _CloneArgs(flags=flags, exit_signal=sigchld)
    # What os.fork() does around fork(2); the C library's own part is for several threads.
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = _libc_held.syscall(_SYS_CLONE3, ctypes.byref(args), ctypes.sizeof(args))
    number = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
        return 0
    ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, os.strerror(number))
    return int(pid)


def mount(
    source: str | None, target: str, fstype: str | None, flags: int, data: str | None = None
) -> None:
    """mount(2)."""
    result = _libc.mount(
        _bytes(source), _bytes(target), _bytes(fstype), ctypes.c_ulong(flags), _bytes(data)
    )
    _check(result, target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(_libc.umount2(_bytes(target), flags), target)


def pivot_root(new_root: str, put_old: str) -> None:
    """pivot_root(2)."""
    # In glibc and musl, though in no header of either.
    _check(_libc.pivot_root(_bytes(new_root), _bytes(put_old)), new_root)


def give_memory_back() -> None:
    """malloc_trim(3): what was freed goes to the kernel; musl has no such function."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def prctl(option: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """prctl(2) with integer arguments."""
    long = ctypes.c_ulong
    return _check(_libc.prctl(option, long(arg2), long(arg3), long(arg4), long(arg5)))


def current_cpu() -> int:
    """sched_getcpu(3): the processor that this is running on."""
    return int(_libc.sched_getcpu())


def prctl_name(name: str) -> None:
    """PR_SET_NAME: the thread's name in `ps`, cut at 15 bytes."""
    _check(_libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()), 0, 0, 0))


def capget() -> tuple[int, int, int]:
    """capget(2) of the calling thread: (effective, permitted, inheritable) as 64-bit masks."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)()
    _check(_libc.capget(header, data))
    return (data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32)


def set_command_line(text: str) -> None:
    """Show `text` in /proc/PID/cmdline, as far as the place of the old arguments goes.

    What the kernel shows is the process's own memory, and Python has copied it long ago.
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])
    if 0 < start < end:
        content = text.encode()[: end - start - 1]
        ctypes.memmove(start, content.ljust(end - start, b"\0"), end - start)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) on the calling thread, sets as bit masks of 64 bits."""
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    low, high = 0xFFFFFFFF, 32
    data = (ctypes.c_uint32 * 6)(
        effective & low, permitted & low, inheritable & low,
        effective >> high, permitted >> high, inheritable >> high,
    )  # fmt: skip
    _check(_libc.capset(header, data))


def sethostname(name: str) -> None:
    """sethostname(2)."""
    raw = name.encode()
    _check(_libc.sethostname(raw, len(raw)))


def setdomainname(name: str) -> None:
    """setdomainname(2)."""
    raw = name.encode()
    _check(_libc.setdomainname(raw, len(raw)))


def openat2(dir_fd: int, path: str, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """openat2(2): a descriptor, opened with O_CLOEXEC."""
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    result = _libc.syscall(
        _SYS_OPENAT2, dir_fd, _bytes(path), ctypes.byref(how), ctypes.sizeof(how)
    )
    return _check(result, path)


def open_tree(dir_fd: int, path: str, flags: int) -> int:
    """open_tree(2): a descriptor of a mount, a detached copy with OPEN_TREE_CLONE."""
    result = _libc.syscall(_SYS_OPEN_TREE, dir_fd, _bytes(path), flags | os.O_CLOEXEC)
    return _check(result, path)


def move_mount(from_fd: int, from_path: str, to_fd: int, to_path: str, flags: int) -> None:
    """move_mount(2)."""
    result = _libc.syscall(
        _SYS_MOVE_MOUNT, from_fd, _bytes(from_path), to_fd, _bytes(to_path), flags
    )
    _check(result, to_path)


def mount_setattr(
    dir_fd: int, path: str, flags: int, *, attr_set: int, attr_clr: int = 0, userns_fd: int = 0
) -> None:
    """mount_setattr(2), without a change of propagation. userns_fd: for MOUNT_ATTR_IDMAP."""
    attr = _MountAttr(attr_set, attr_clr, 0, userns_fd)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR, dir_fd, _bytes(path), flags, ctypes.byref(attr), ctypes.sizeof(attr)
    )
    _check(result, path)


def join_new_session_keyring() -> None:
    """KEYCTL_JOIN_SESSION_KEYRING (keyctl(2)): leave the login's keys behind.

    A kernel without keyrings and a user whose quota of them is used up are no failure.
    """
    machine = os.uname().machine
    numbers = {"x86_64": 250, "i686": 288, "ppc64le": 271, "s390x": 280}
    # The C library has no function for it. armv6l to armv8l share a table; the rest is asm-generic.
    number = 311 if machine.startswith("armv") else numbers.get(machine, 219)
    join_session_keyring = 1
    _libc.syscall(number, join_session_keyring, None)


def inotify_init1(flags: int) -> int:
    """inotify_init1(2): a descriptor."""
    return _check(_libc.inotify_init1(flags))


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """inotify_add_watch(2): the watch's number."""
    return _check(_libc.inotify_add_watch(fd, _bytes(path), ctypes.c_uint32(mask)), path)


def file_system_of(fd: int) -> int:
    """The magic number of the file system that `fd` is on (fstatfs(2)); O_PATH is enough."""
    buffer = (ctypes.c_uint32 * 64)()
    _check(_libc.fstatfs(fd, buffer))
    return int(buffer[0])


def close_on_exec_from(first: int) -> None:
    """close_range(2) with CLOSE_RANGE_CLOEXEC: no descriptor from `first` on survives an exec."""
    flag, last = 4, 0xFFFFFFFF
    if _libc.syscall(_SYS_CLOSE_RANGE, first, ctypes.c_uint(last), flag) == 0:
        return
    # Linux before 5.11.
    for name in os.listdir("/proc/self/fd"):
        if int(name) >= first:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                continue  # the listing's own descriptor, closed by now


def seccomp_set_mode_filter(program: bytes) -> None:
    """PR_SET_SECCOMP with `program`, an array of struct sock_filter (seccomp(2))."""

    class SockFprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = SockFprog(len(program) // 8, ctypes.addressof(buffer))
    pr_set_seccomp, mode_filter = 22, 2
    _check(_libc.prctl(pr_set_seccomp, ctypes.c_ulong(mode_filter), ctypes.byref(fprog), 0, 0))


class _Quota(ctypes.Structure):
    """struct if_dqblk of linux/quota.h."""

    _fields_ = [(name, ctypes.c_uint64) for name in (
        "bhardlimit", "bsoftlimit", "curspace", "ihardlimit", "isoftlimit", "curinodes", "btime",
        "itime",
    )] + [("valid", ctypes.c_uint32)]  # fmt: skip


def user_quota(device: str, uid: int) -> tuple[int, int, int, int]:
    """quotactl(2), Q_GETQUOTA: (bytes used, most bytes, files used, most files); 0 for no limit.

    A user may ask for its own. Most: the soft limit where there is one, as the hard one ends all.
    """
    q_getquota, user, block = 0x800007, 0, 1024
    told = _Quota()
    command = ctypes.c_int(q_getquota << 8 | user)
    _check(_libc.quotactl(command, _bytes(device), ctypes.c_int(uid), ctypes.byref(told)), device)
    most = (told.bsoftlimit or told.bhardlimit) * block
    return told.curspace, most, told.curinodes, told.isoftlimit or told.ihardlimit
