"""The user's systemd is asked over a bus, which knows us by our id on the host: also where we are
root of a user namespace, as whom Podman calls its runtime."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from rootless.tools import dbus, idmap

BUS = ("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus")


def ask(path: str, name: int) -> list[str]:
    connection = dbus.Connection(path, uid=os.geteuid(), seconds=20, bus=True, name=name)
    try:
        (listed,) = connection.reply(connection.send(*BUS, "ListNames"), "as")
        return list(listed)
    finally:
        connection.close()


def test_root_of_a_user_namespace_is_known_by_its_host_uid(short_dir: Path) -> None:
    path, uid = f"{short_dir}/bus", os.geteuid()
    with subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address", f"--address=unix:path={path}"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as daemon:  # fmt: skip
        assert daemon.stdout is not None and daemon.stdout.readline()
        try:
            assert BUS[0] in ask(path, uid)
            assert BUS[0] in idmap.call(lambda: ask(path, uid))
        finally:
            daemon.terminate()
