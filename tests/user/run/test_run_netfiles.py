"""Names of the container and of others: hostname, /etc/hosts, /etc/resolv.conf; a real network."""

from __future__ import annotations

import os
import socket
import threading

from tests.user.conftest import Rl
from tests.user.run.conftest import Sh


def test_hostname(sh: Sh) -> None:
    done = sh("hostname; cat /etc/hostname; echo $HOSTNAME; cat /etc/hosts", "--hostname", "box")
    assert done.stdout.split()[:3] == ["box"] * 3
    assert any("box" in line.split()[1:] for line in done.stdout.splitlines()[3:])


def test_the_default_hostname_is_the_short_id(rl: Rl, busybox_image: str) -> None:
    name = rl("run", "--net=none", "--name", "c", busybox_image, "hostname").stdout.strip()
    assert rl("ps", "-aq").stdout.strip() == name and len(name) == 12
    rl("rm", "c")


def test_domainname(sh: Sh) -> None:
    assert sh("cat /proc/sys/kernel/domainname", "--domainname", "example").stdout == "example\n"


def test_uts_host(rl: Rl, sh: Sh, busybox_image: str) -> None:
    assert sh("hostname", "--uts=host").stdout.strip() == os.uname().nodename
    done = rl("run", "--uts=host", "--hostname", "x", busybox_image, "true", code=125)
    assert "--hostname" in done.stderr


def test_add_host(sh: Sh) -> None:
    done = sh("cat /etc/hosts", "--add-host", "one:10.1.2.3", "--add-host", "six:fd00::6")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["10.1.2.3", "one"] in rows and ["fd00::6", "six"] in rows


def test_no_hosts_leaves_the_images_file(sh: Sh) -> None:
    assert "/etc/hosts" not in sh("cat /proc/mounts", "--no-hosts").stdout


def test_dns(sh: Sh) -> None:
    flags = ["--net=slirp4netns", "--dns", "192.0.2.53", "--dns-search", "example.org"]
    done = sh("cat /etc/resolv.conf", *flags, "--dns-option", "ndots:3")
    assert done.stdout.split("\n")[:-1] == [
        "search example.org", "nameserver 192.0.2.53", "options ndots:3",
    ]  # fmt: skip


def test_dns_none_leaves_the_images_file(sh: Sh) -> None:
    assert "/etc/resolv.conf" not in sh("cat /proc/mounts", "--dns=none").stdout


def test_the_default_network(sh: Sh) -> None:
    done = sh("ip -4 addr show; ip route; cat /etc/resolv.conf", "--net=slirp4netns")
    assert "10.0.2.100/24" in done.stdout and "default via 10.0.2.2" in done.stdout
    assert "nameserver 10.0.2.3" in done.stdout


def test_the_hosts_loopback_is_closed(sh: Sh) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"nc -w 2 10.0.2.2 {port} </dev/null && echo open || echo closed"
        assert sh(script, "--net=slirp4netns").stdout == "closed\n"


def test_a_published_port(rl: Rl, busybox_image: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = rl.popen(
        "run", "--rm", "-p", f"127.0.0.1:{port}:80", busybox_image, "sh", "-c",
        "echo ready; echo served | nc -l -p 80", stdout=-1,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    answers: list[bytes] = []
    ask = threading.Thread(target=lambda: answers.append(_ask(port)))
    ask.start()
    ask.join(20)
    process.communicate(timeout=20)
    assert answers == [b"served\n"]


def _ask(port: int) -> bytes:
    for _ in range(50):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            answer = client.recv(100)
            if answer:
                return answer
        threading.Event().wait(0.05)
    return b""


def test_network_host_and_none(sh: Sh) -> None:
    devices = set(sh("ls /sys/class/net", "--net=host").stdout.split())
    assert devices == {name for _, name in socket.if_nameindex()}
    assert sh("ip -o addr show up", "--net=none").stdout.split()[1] == "lo"
