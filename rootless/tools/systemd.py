"""The user's own systemd manager: scopes, their properties, their end.

The manager is found from the user id alone; no environment variable is read. It has a socket of its
own in /run/user/UID, to which systemctl(1) talks as well; the user's bus is the other way. Which
one comes first, and what each costs: decision 0017.

Interface: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

import os

from rootless import log
from rootless.errors import HostError, describe_os_error
from rootless.tools import dbus
from rootless.tools.dbuswire import Message, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    # Name, D-Bus signature, value: ("CPUWeight", "t", 100).
    Property = tuple[str, str, Any]

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = "org.freedesktop.systemd1.Manager"
_UNIT = "org.freedesktop.systemd1.Unit"
_PROPERTIES = "org.freedesktop.DBus.Properties"
# Below /run/user/UID; whether a bus listens there.
_SOCKETS = (("systemd/private", False), ("bus", True))
# What a bus says of a manager that is not on it and cannot be started by it. To a bus that systemd
# has just started for us the manager connects a moment later, and the bus waits for it.
_NOT_THERE = (
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
    "org.freedesktop.DBus.Error.Spawn.",
)

# sd_booted(3).
_BOOTED = "/run/systemd/system"

# Why no manager could be reached: `ManagerUnreachable.reason`.
NO_SYSTEMD = "no-systemd"
NO_RUNTIME_DIR = "no-runtime-dir"
NO_SOCKET = "no-socket"
NOT_CONNECTED = "not-connected"
NOT_ON_THE_BUS = "not-on-the-bus"


class ManagerUnreachable(HostError):
    """There is no manager to talk to, and nothing was asked of one. reason: one of the above."""

    def __init__(self, reason: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.reason = reason


class ManagerRefused(HostError):
    """The manager was asked and said no. name: the D-Bus error, or `result.` and how the job
    ended; text: the manager's own words."""

    def __init__(self, name: str, text: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.name = name
        self.text = text


class ManagerLost(HostError):
    """Asked, but without an answer: too late, hung up, or senseless. It may still be done."""


class Job:
    """Something the manager has been asked to do. `wait` or `close` must be called once."""

    __slots__ = ("_connection", "_serial", "_unit")

    def __init__(self, unit: str, connection: dbus.Connection, serial: int) -> None:
        self._unit = unit
        self._connection = connection
        self._serial = serial

    def wait(self) -> None:
        """Return when the job is done. Raises ManagerRefused, and what `Manager` raises."""
        try:
            result = self._result()
        except (OSError, ProtocolError, dbus.ErrorReply) as error:
            raise _described(error, self._unit) from None
        finally:
            self.close()
        if result != "done":
            message = f"{self._unit}: systemd could not do it (job result: {result})"
            hint = f"journalctl --user --unit {self._unit} --since -1min"
            raise ManagerRefused(f"result.{result}", result, message, hint)

    def _result(self) -> str:
        (job,) = self._connection.reply(self._serial, "o")
        while True:
            _, path, _, result = self._connection.signal().body("uoss")
            if path == job:
                return str(result)

    def close(self) -> None:
        """Wait no longer; the manager goes on."""
        self._connection.close()


class Manager:
    """The manager of the user `uid`, ours unless told. seconds: for each thing asked of it.

    host_uid: that user's id on the host, where we are root of a user namespace.

    Nothing is open between two calls. All methods raise ManagerUnreachable and ManagerLost; those
    that wait for the answer raise ManagerRefused.
    """

    __slots__ = ("_host_uid", "_runtime_dir", "_seconds", "_uid")

    def __init__(
        self,
        uid: int | None = None,
        *,
        seconds: float = 25.0,
        runtime_dir: str = "",
        host_uid: int | None = None,
    ) -> None:
        self._uid = os.geteuid() if uid is None else uid
        self._host_uid = self._uid if host_uid is None else host_uid
        self._seconds = seconds
        self._runtime_dir = runtime_dir or f"/run/user/{self._host_uid}"

    def absence(self) -> ManagerUnreachable | None:
        """Why there is certainly no manager; None where a socket waits to be tried."""
        if any(os.path.exists(f"{self._runtime_dir}/{name}") for name, _ in _SOCKETS):
            return None
        return self._unreachable(FileNotFoundError(None, None, f"{self._runtime_dir}/bus"))

    def start_scope(self, unit: str, pids: Sequence[int], properties: Sequence[Property]) -> Job:
        """Ask for the scope `unit` (`name.scope`) around the processes `pids` of ours.

        Returns as soon as the question is sent. When the job is done, the processes are in the
        scope's control group, which is then in their /proc/PID/cgroup.
        """
        log.effect(f"systemd: start {unit} around {', '.join(map(str, pids))}")
        listed = [(name, (signature, value)) for name, signature, value in properties]
        listed.append(("PIDs", ("au", list(pids))))
        # "fail": never in the place of another job for a unit of this name.
        args: tuple[Any, ...] = (unit, "fail", listed, [])
        return self._start_job(unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", args)

    def stop_unit(self, unit: str) -> Job:
        """Ask for the end of `unit`: SIGTERM, and SIGKILL after its TimeoutStopUSec."""
        log.effect(f"systemd: stop {unit}")
        return self._start_job(unit, "StopUnit", "ss", (unit, "replace"))

    def attach(self, unit: str, child: str, pids: Sequence[int]) -> None:
        """Move processes of ours into the group `child` (such as "/helpers") of a delegated unit.

        Needed for those that are elsewhere: from there we may not move them ourselves.
        """
        log.effect(f"systemd: attach {', '.join(map(str, pids))} to {unit}{child}")
        args = (unit, child, list(pids))
        self._ask(unit, _PATH, _MANAGER, "AttachProcessesToUnit", "ssau", args)

    def set_properties(self, unit: str, properties: Sequence[Property]) -> None:
        """Change resource settings of the running `unit`, until it ends."""
        log.effect(f"systemd: set {', '.join(name for name, _, _ in properties)} of {unit}")
        listed = [(name, (signature, value)) for name, signature, value in properties]
        self._ask(unit, _PATH, _MANAGER, "SetUnitProperties", "sba(sv)", (unit, True, listed))

    def reset_failed(self, unit: str) -> None:
        """Forget that `unit` has failed: a name that did so is taken until then."""
        log.effect(f"systemd: reset-failed {unit}")
        self._ask(unit, _PATH, _MANAGER, "ResetFailedUnit", "s", (unit,))

    def read_property(self, unit: str, name: str, interface: str = _UNIT) -> Any:
        """One property of `unit`, as ActiveState; those of scopes, as ControlGroup, are on the
        interface org.freedesktop.systemd1.Scope. An unknown unit has "inactive" and its like."""
        args = (interface, name)
        ((_, value),) = self._ask(unit, unit_path(unit), _PROPERTIES, "Get", "ss", args, "v")
        return value

    def _ask(
        self,
        unit: str,
        path: str,
        interface: str,
        member: str,
        signature: str,
        args: Sequence[Any],
        returns: str = "",
    ) -> tuple[Any, ...]:
        connection, name = self._connect()
        try:
            serial = connection.send(name, path, interface, member, signature, *args)
            return connection.reply(serial, returns)
        except (OSError, ProtocolError, dbus.ErrorReply) as error:
            raise _described(error, unit) from None
        finally:
            connection.close()

    def _start_job(self, unit: str, member: str, signature: str, args: Sequence[Any]) -> Job:
        connection, name = self._connect()
        try:
            # The one who asked is told of the job's end without Subscribe().
            connection.watch(lambda message: _is_end_of_job(message, unit))
            if name:
                connection.add_match(
                    f"type='signal',sender='{_NAME}',interface='{_MANAGER}',"
                    f"member='JobRemoved',arg2='{unit}'"
                )
            serial = connection.send(name, _PATH, _MANAGER, member, signature, *args)
            connection.flush()
        except (OSError, ProtocolError) as error:
            connection.close()
            raise _described(error, unit) from None
        except BaseException:
            connection.close()
            raise
        return Job(unit, connection, serial)

    def _connect(self) -> tuple[dbus.Connection, str]:
        """A connection, and the manager's name on it: none where it is the peer itself."""
        last: OSError | None = None
        for name, bus in _SOCKETS:
            try:
                path = f"{self._runtime_dir}/{name}"
                made = dbus.Connection(
                    path, uid=self._uid, seconds=self._seconds, bus=bus, name=self._host_uid
                )
                return made, _NAME if bus else ""
            except OSError as error:
                last = last if isinstance(error, FileNotFoundError) and last else error
        assert last is not None
        raise self._unreachable(last)

    def _unreachable(self, error: OSError) -> ManagerUnreachable:
        enable = f"loginctl enable-linger {self._uid}"
        look = f"systemctl status user@{self._uid}.service"
        if not os.path.isdir(_BOOTED):
            return ManagerUnreachable(NO_SYSTEMD, f"{_BOOTED}: systemd does not run here")
        if not os.path.isdir(self._runtime_dir):
            message = f"{self._runtime_dir}: there is no systemd manager of yours"
            return ManagerUnreachable(NO_RUNTIME_DIR, message, enable)
        if isinstance(error, FileNotFoundError):
            message = f"{error.filename}: your systemd manager does not run"
            return ManagerUnreachable(NO_SOCKET, message, look)
        return ManagerUnreachable(NOT_CONNECTED, describe_os_error(error), look)


def unit_path(unit: str) -> str:
    """The object of `unit`: every byte that is no letter or digit as _xx, also a leading digit."""
    escaped = [
        letter if letter.isascii() and (letter.isalpha() or (at and letter.isdigit()))
        else "".join(f"_{byte:02x}" for byte in letter.encode())
        for at, letter in enumerate(unit)
    ]  # fmt: skip
    return f"{_PATH}/unit/{''.join(escaped)}"


def _is_end_of_job(message: Message, unit: str) -> bool:
    if message.interface != _MANAGER or message.member != "JobRemoved":
        return False
    return bool(message.body("uoss")[2] == unit)


def _described(error: Exception, unit: str) -> HostError:
    """What went wrong after the connection was made."""
    if isinstance(error, dbus.ErrorReply):
        text = error.text.rstrip(". ") or error.name
        if error.name.startswith(_NOT_THERE):
            return ManagerUnreachable(NOT_ON_THE_BUS, f"{_NAME}: {text}")
        hint = f"systemctl --user status {unit}"
        return ManagerRefused(error.name, text, f"{unit}: systemd refused: {text}", hint)
    look = f"systemctl status user@{os.geteuid()}.service"
    if isinstance(error, PermissionError):
        return ManagerUnreachable(NOT_CONNECTED, describe_os_error(error), look)
    reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
    return ManagerLost(f"{unit}: no answer from systemd: {reason}", look)
