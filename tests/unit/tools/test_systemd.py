"""The user's manager: why none is reached, and a conversation with a stand-in on a real bus.

systemd itself answers in tests/system.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jeepney
import pytest
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from rootless.tools import systemd

UNIT = "rl-0123456789ab.scope"
OBJECT = jeepney.DBusAddress(
    "/org/freedesktop/systemd1", interface="org.freedesktop.systemd1.Manager"
)
# What the stand-in does with a call: given a function that sends a message.
Answer = Callable[[jeepney.Message, Callable[[jeepney.Message], object]], object]


@pytest.fixture(autouse=True)
def booted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a machine that systemd runs."""
    monkeypatch.setattr(systemd, "_BOOTED", str(tmp_path))


@contextmanager
def stand_in(bus: str, answer: Answer) -> Iterator[systemd.Manager]:
    """Something that owns systemd's name on `bus` and answers one call."""
    connection = open_dbus_connection(f"unix:path={bus}")
    reply = connection.send_and_get_reply(
        jeepney.bus_messages.message_bus.RequestName("org.freedesktop.systemd1")
    )
    assert reply.body == (1,)
    thread = threading.Thread(target=serve, args=(connection, answer))
    thread.start()
    try:
        yield systemd.Manager(seconds=20, runtime_dir=os.path.dirname(bus))
        thread.join(20)
        assert not thread.is_alive()
    finally:
        connection.close()


def serve(connection: DBusConnection, answer: Answer) -> None:
    while True:
        call = connection.receive(timeout=20)
        if call.header.message_type is jeepney.MessageType.method_call:
            answer(call, connection.send)
            return


def member_of(call: jeepney.Message) -> str:
    return str(call.header.fields[jeepney.HeaderFields.member])


def ended(number: int, unit: str, result: str) -> jeepney.Message:
    body = (number, f"/org/freedesktop/systemd1/job/{number}", unit, result)
    return jeepney.new_signal(OBJECT, "JobRemoved", "uoss", body)


def test_a_scope_is_there_when_its_own_job_is_done(bus: str) -> None:
    """Other jobs end before the reply and after it, one of them for a unit of the same name."""
    seen: list[Any] = []

    def answer(call: jeepney.Message, send: Callable[[jeepney.Message], object]) -> None:
        seen.append((member_of(call), call.body))
        send(ended(6, UNIT, "failed"))
        send(jeepney.new_method_return(call, "o", ("/org/freedesktop/systemd1/job/7",)))
        send(ended(8, "other.scope", "failed"))
        send(ended(7, UNIT, "done"))

    with stand_in(bus, answer) as manager:
        manager.start_scope(UNIT, [5, 6], [("Delegate", "b", True)]).wait()
    properties = [("Delegate", ("b", True)), ("PIDs", ("au", [5, 6]))]
    assert seen == [("StartTransientUnit", (UNIT, "fail", properties, []))]


def test_a_job_that_fails(bus: str) -> None:
    def answer(call: jeepney.Message, send: Callable[[jeepney.Message], object]) -> None:
        send(jeepney.new_method_return(call, "o", ("/org/freedesktop/systemd1/job/7",)))
        send(ended(7, UNIT, "failed"))

    with stand_in(bus, answer) as manager:
        job = manager.stop_unit(UNIT)
        with pytest.raises(systemd.ManagerRefused, match=f"{UNIT}: .*failed") as caught:
            job.wait()
    assert caught.value.name == "result.failed"
    assert caught.value.hint.startswith("journalctl --user ")


def test_a_refusal_has_the_managers_words(bus: str) -> None:
    def answer(call: jeepney.Message, send: Callable[[jeepney.Message], object]) -> None:
        name = "org.freedesktop.systemd1.UnitExists"
        send(jeepney.new_error(call, name, "s", ("Unit x was already loaded.",)))

    with stand_in(bus, answer) as manager:
        job = manager.start_scope(UNIT, [1], [])
        with pytest.raises(systemd.ManagerRefused, match=f"^{UNIT}: .*already loaded$") as caught:
            job.wait()
    assert caught.value.name == "org.freedesktop.systemd1.UnitExists"


def test_properties_are_set_until_the_unit_ends(bus: str) -> None:
    seen: list[Any] = []

    def answer(call: jeepney.Message, send: Callable[[jeepney.Message], object]) -> None:
        seen.append((member_of(call), call.body))
        send(jeepney.new_method_return(call))

    with stand_in(bus, answer) as manager:
        manager.set_properties(UNIT, [("CPUWeight", "t", 50)])
    assert seen == [("SetUnitProperties", (UNIT, True, [("CPUWeight", ("t", 50))]))]


def test_a_property_is_read_from_the_units_object(bus: str) -> None:
    seen: list[Any] = []

    def answer(call: jeepney.Message, send: Callable[[jeepney.Message], object]) -> None:
        seen.append((call.header.fields[jeepney.HeaderFields.path], call.body))
        send(jeepney.new_method_return(call, "v", (("s", "active"),)))

    with stand_in(bus, answer) as manager:
        assert manager.read_property("a.scope", "ActiveState") == "active"
    path = "/org/freedesktop/systemd1/unit/a_2escope"
    assert seen == [(path, ("org.freedesktop.systemd1.Unit", "ActiveState"))]


def test_a_manager_that_does_not_answer(bus: str) -> None:
    """Whether it was done is not known."""
    with stand_in(bus, lambda call, send: None):
        manager = systemd.Manager(seconds=0.3, runtime_dir=os.path.dirname(bus))
        with pytest.raises(systemd.ManagerLost, match=rf"{UNIT}: .*within 0\.3 s"):
            manager.reset_failed(UNIT)


@pytest.mark.parametrize(
    ("unit", "name"),
    [("rl-1.scope", "rl_2d1_2escope"), ("1a.scope", "_31a_2escope"), ("é", "_c3_a9")],
)
def test_the_object_of_a_unit(unit: str, name: str) -> None:
    """systemd's bus_path_escape(): a digit only after the first byte, all else but letters _xx."""
    assert systemd.unit_path(unit) == f"/org/freedesktop/systemd1/unit/{name}"


def reason_of(runtime_dir: Path) -> tuple[str, str, str]:
    with pytest.raises(systemd.ManagerUnreachable) as caught:
        systemd.Manager(seconds=5, runtime_dir=str(runtime_dir)).start_scope(UNIT, [1], []).wait()
    return caught.value.reason, caught.value.message, caught.value.hint


def test_no_directory_of_the_user(tmp_path: Path) -> None:
    reason, message, hint = reason_of(tmp_path / "absent")
    assert (reason, hint) == ("no-runtime-dir", f"loginctl enable-linger {os.geteuid()}")
    assert message.startswith(f"{tmp_path}/absent: ")


def test_no_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_BOOTED", str(tmp_path / "absent"))
    assert reason_of(tmp_path)[0] == "no-systemd"


def test_no_socket(tmp_path: Path) -> None:
    reason, message, hint = reason_of(tmp_path)
    assert (reason, hint) == ("no-socket", f"systemctl status user@{os.geteuid()}.service")
    assert message.startswith(f"{tmp_path}/")


def test_a_socket_that_a_dead_manager_left(tmp_path: Path) -> None:
    """The bus beside it is absent: what is there tells more than what is not."""
    (tmp_path / "systemd").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "systemd/private"))
    reason, message, _ = reason_of(tmp_path)
    assert reason == "not-connected"
    assert message == f"{tmp_path}/systemd/private: Connection refused"


def test_a_bus_without_systemd(bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_NAME", "org.example.NotSystemd")
    reason, message, _ = reason_of(Path(bus).parent)
    assert reason == "not-on-the-bus"
    assert message.startswith("org.example.NotSystemd: ")
