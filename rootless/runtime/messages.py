"""What the three processes of a container say to each other, and in which order.

    launcher (rl)                keeper                       init (becomes the payload)
    ── request ────────────────▶
                                 mounts the root file system
                                 ── forks ──────────────────▶
    ◀─ INIT pid (its pidfd) ────                              unshares its namespaces
    ◀─ NAMESPACES ────────────────────────────────────────────
    starts the network                                        mounts, enters the root
    ◀─ TERMINAL (one descriptor; with a terminal only) ───────
    ◀─ READY ─────────────────────────────────────────────────
    ── GO ───────────────────────────────────────────────────▶
    ◀─ STARTING times ────────────────────────────────────────
                                                              drops privileges, execs
    ◀─ end of the stream: exec has succeeded ─────────────────
    ◀─ EXITED status ───────────
                                 unmounts, removes
    ◀─ UNWOUND ─────────────────

Left of the keeper runs the *control* channel, between launcher and init the *setup* channel. On
either, FAILED (name of the error class, message, hint, exit code) can come instead of the next
message. When the launcher dies, the keeper reads the end of the control channel, kills the payload
and unwinds alone.
"""

from __future__ import annotations

from rootless.errors import (
    RlError,
    RuntimeSetupError,
    describe_os_error,
    from_fields,
    to_fields,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypedDict

    from rootless.kernel.channel import Channel
    from rootless.model.idmap import IdMap

    class RootfsRequest(TypedDict):
        """How the keeper makes the root file system.

        driver: fuse-overlayfs, overlay, vfs or directory. path: the container's directory, with
        `l/0` (topmost) and up naming the layers, `upper`, `work` and `merged`. layers: how many;
        for the driver "directory" one, the tree itself. shifts: from ids on disk to shown ids.
        """

        driver: str
        path: str
        layers: int
        program: str
        uid_shift: IdMap
        gid_shift: IdMap

    class Request(TypedDict):
        """Everything that keeper and init need; all of it decided before anything is made."""

        document: dict[str, Any]  # the OCI runtime document, linux.seccomp taken out
        rootfs: RootfsRequest
        inner_maps: tuple[IdMap, IdMap] | None  # of a nested user namespace (--userns keep-id)
        seccomp: bytes  # the compiled filter, empty for none
        copy_up: list[tuple[str, str]]  # new volumes: (directory on the host, path in the image)
        give: list[tuple[str, int, int]]  # trees to chown first: path, canonical uid and gid
        loopback: bool  # bring lo up
        interactive: bool  # the payload gets our standard input
        init: bool  # run the payload under a reaper
        keep_groups: bool
        remove: list[str]  # what goes away afterwards, removed inside the user namespace
        discard: bool  # the writable layer need not be written back


INIT = "init"
NAMESPACES = "namespaces"
TERMINAL = "terminal"
READY = "ready"
GO = "go"
STARTING = "starting"
FAILED = "failed"
EXITED = "exited"
UNWOUND = "unwound"
DRIVER_DIED = "driver-died"


def send_failure(channel: Channel, error: BaseException, doing: str) -> None:
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
    return from_fields(*message[1:])
