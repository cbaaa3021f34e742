"""The errors of `rl`: a message, a hint and an exit code.

Libraries raise these, only `rootless.cli` prints them and exits.
"""

from __future__ import annotations

# docker's and podman's exit codes (podman-run(1), "Exit Status").
EXIT_ENGINE = 125
EXIT_CANNOT_INVOKE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL_BASE = 128


class RlError(Exception):
    """Something a user can read and act on.

    message: one line that names the object it is about, no final full stop.
    hint: a command to run or the change to make; empty when there is none.
    exit_code: the exit status of `rl`.
    """

    exit_code = 1
    # Whether the host is the cause, which `rl doctor` has more to say about.
    concerns_host = False

    def __init__(self, message: str, hint: str = "", exit_code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(RlError):
    """A flag or an argument that cannot be read; the message names both."""

    exit_code = EXIT_ENGINE


class HostError(RlError):
    """The host lacks something a run needs; the hint says how to get it."""

    exit_code = EXIT_ENGINE
    concerns_host = True


class NotFoundError(RlError):
    """No such image, container, volume or file."""


class InUseError(RlError):
    """The object is needed by another one; the message names that one."""


class BusyError(InUseError):
    """Another command is at work on the container at this moment."""


class ImageError(RlError):
    """An image, a layer or an archive that breaks its format or the rules of safety."""


class RegistryError(RlError):
    """A registry refused, failed or lied; the message names the URL or the reference."""


class StoreError(RlError):
    """The store cannot be read or written (full disk, wrong owner, damaged file)."""


class PlaceError(StoreError):
    """No directory of this host can be the store, or the runtime directory."""

    concerns_host = True


class NetworkSetupError(RlError):
    """The container's network could not be made."""

    exit_code = EXIT_ENGINE


class HostNetworkError(NetworkSetupError):
    """The host's network program or device did not do its part."""

    concerns_host = True


class RuntimeSetupError(RlError):
    """A step of the container's set-up failed before the command ran."""

    exit_code = EXIT_ENGINE


def describe_os_error(error: OSError) -> str:
    """`error` as one short clause: the path when there is one, then the system's reason."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def to_fields(error: RlError) -> tuple[str, str, str, int]:
    """What one process of ours tells another of `error`, in types that `marshal` carries."""
    return type(error).__name__, error.message, error.hint, error.exit_code


def from_fields(name: str, message: str, hint: str, exit_code: int) -> RlError:
    """The inverse; an RlError where this module has no class `name`."""
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, RlError):
        return kind(message, hint, exit_code)
    return RlError(message, hint, exit_code)
