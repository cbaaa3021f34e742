"""What the three processes of a container say to each other, and in which order.

    launcher (rl)                keeper                       init (becomes the payload)
    writes the keeper's id maps
    ── ground (the lock) ──────▶
    plans the rest               makes the network's namespace
                                 mounts the root file system
    ── request ────────────────▶
                                 ── forks ──────────────────▶
    ◀─ INIT pids (init's pidfd) ─  init's, the helpers'        unshares the other namespaces
    starts the network                                        mounts, enters the root
    ◀─ TERMINAL (one descriptor; with a terminal only) ───────
    ◀─ READY (of another runtime: its pid, its pidfd) ────────
    ── GO ───────────────────────────────────────────────────▶
    ◀─ STARTING times ────────────────────────────────────────
                                                              drops privileges, execs
    ◀─ end of the stream: exec has succeeded ─────────────────
    ◀─ DRIVER_DIED words ───────  only if the root's file server has ended
    ◀─ OOM what was killed ─────  each time the kernel kills something in the container
    ◀─ EXITED status ───────────
                                 unmounts, removes
    ◀─ UNWOUND ─────────────────

Left of the keeper runs the *control* channel, between launcher and init the *setup* channel.
Where init makes the network's namespace (see Ground) it sends NETWORK when it has. On
either, FAILED (name of the error class, message, hint, exit code) can come instead of the next
message. With --sysinfo, or with a single id mapped, a third one carries one message from init to
keeper, before init drops its privileges: the listener of a filter. When the launcher dies, the
keeper reads the end of the control channel, kills the payload and unwinds alone.
"""

from __future__ import annotations

import errno
import os

from rootless.errors import (
    RlError,
    RuntimeSetupError,
    describe_os_error,
    from_fields,
    to_fields,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol, TypedDict

    from rootless.model.idmap import IdMap

    class Sender(Protocol):
        """Whatever takes messages: a Channel, or who stands for one."""

        def send(self, *message: Any) -> None:
            """Send `message`. Raises OSError when nobody is there."""

    class RootfsRequest(TypedDict):
        """How the keeper makes the root file system.

        driver: fuse-overlayfs, overlay, vfs or directory. path: the container's directory, with
        `l/0` (topmost) and up naming the layers, `upper`, `work` and `merged`. layers: how many;
        for the driver "directory" one, the tree itself. program: fuse-overlayfs, "" for another
        driver; with "overlay": to be used where that cannot be. shifts: from ids on disk to shown
        ids. squash: squashfuse_ll and the file that is the lowest layer, None without one.
        """

        driver: str
        path: str
        layers: int
        program: str
        uid_shift: IdMap
        gid_shift: IdMap
        squash: tuple[str, str] | None

    class Ground(TypedDict):
        """What the keeper begins with. Where no request follows it unmakes what it has made."""

        detached: bool  # nobody reads what the keeper says
        namespaces: int  # those that it makes besides its mount namespace: flags of unshare(2)
        rootfs: RootfsRequest

    class CgroupRequest(TypedDict):
        """The container's control group, made and limited; the keeper is in it already.

        top, container: directories, the latter the root of its cgroup namespace. leave: the keeper
        has to get out of it and remove it.
        """

        top: str
        container: str
        leave: bool

    class EmulationRequest(TypedDict):
        """Calls about users in a namespace with a single id.

        older: the filter for kernels before 5.19, without calls that get an answer written into
        their memory. pretending: the filter for where nobody can answer.
        """

        older: bytes
        pretending: bytes

    class ForeignRequest(TypedDict):
        """Another OCI runtime than our own.

        program: its path. options: those of it that not all have. bundle: the directory with the
        document, where our files for it are too (runtime.foreign). name: the container's.
        enters_group: it puts the container into the control group itself. env: the program's
        environment.
        """

        program: str
        options: list[str]
        bundle: str
        name: str
        enters_group: bool
        env: dict[str, str]

    class Request(TypedDict):
        """Everything else that keeper and init need."""

        document: dict[str, Any]  # the OCI runtime document, linux.seccomp taken out
        early: int  # Ground's namespaces
        inner_maps: tuple[IdMap, IdMap] | None  # of a nested user namespace (--userns keep-id)
        cgroup: CgroupRequest | None
        seccomp: bytes  # the compiled filter, empty for none
        copy_up: list[tuple[str, str]]  # new volumes: (directory on the host, path in the image)
        give: list[tuple[str, int, int]]  # trees to chown first: path, canonical uid and gid
        loopback: bool  # bring lo up
        interactive: bool  # the payload gets our standard input
        init: bool  # run the payload under a reaper
        keep_groups: bool
        most_cpus: int  # to be pinned to as many CPUs; 0 for all that there are
        started_ns: int  # CLOCK_BOOTTIME at the start of the container, if 0 noted by the keeper
        answered: bytes  # the filter that has system calls answered from outside, empty for none
        answered_seccomp: bytes  # the filter of the process that answers, empty for none
        tells_sysinfo: bool  # sysinfo(2) is among them, because the user wants it
        emulation: EmulationRequest | None  # calls about users are, with one id mapped
        listener_to: int  # the descriptor by which init sends its listener, noted by the keeper
        joined: list[str]  # whose descriptors follow the lock's; see runtime.joined
        shared_shm: str  # the source of /dev/shm in the document, "" for one that is not shared
        view: str  # directory to mount the view of the machine on, "" for none
        view_seccomp: bytes  # the filter of the process that answers for it, empty for none
        foreign: ForeignRequest | None  # another runtime that does the rest
        remove: list[str]  # what goes away afterwards, removed inside the user namespace
        discard: bool  # the writable layer need not be written back


INIT = "init"
NETWORK = "network"
TERMINAL = "terminal"
READY = "ready"
GO = "go"
STARTING = "starting"
FAILED = "failed"
EXITED = "exited"
UNWOUND = "unwound"
DRIVER_DIED = "driver-died"
OOM = "oom"


def send_failure(channel: Sender, error: BaseException, doing: str) -> None:
    """Tell the launcher that `error` ended the step `doing`; a gone launcher is no error."""
    if not isinstance(error, RlError):
        text = describe_os_error(error) if isinstance(error, OSError) else repr(error)
        error = RuntimeSetupError(f"{doing}: {text}")
    try:
        channel.send(FAILED, *to_fields(error))
    except OSError:
        pass


def failure_of(message: tuple[Any, ...]) -> RlError:
    """The error that a FAILED message carries."""
    error = from_fields(*message[1:])
    if os.strerror(errno.ENOSYS) in error.message and not error.hint:
        # openat2(2); open_tree(2) and pidfd_open(2) are older.
        error.hint = "uname -r  # Linux 5.6 or newer is needed"
    return error
