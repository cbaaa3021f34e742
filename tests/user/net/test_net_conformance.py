"""What every driver with a network of its own has to do, on real namespaces and programs."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.errors import NetworkSetupError
from rootless.model.idmap import IdMaps
from rootless.net import drivers
from rootless.net.driver import host_address
from rootless.tools import idmap

DRIVERS = ["slirp4netns", "pasta"]
CHECKOUT = Path(__file__).parents[3]

TCP_SERVER = """
import socket
server = socket.create_server(("0.0.0.0", {port}))
print("listening", flush=True)
while True:
    peer, _ = server.accept()
    peer.sendall(b"{port}:" + peer.recv(100))
    peer.close()
"""
UDP_SERVER = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", {port}))
print("listening", flush=True)
while True:
    data, peer = server.recvfrom(100)
    server.sendto(b"{port}:" + data, peer)
"""
CONNECT = """
import socket
try:
    with socket.create_connection(({host!r}, {port}), timeout=3) as sock:
        print(sock.recv(100).decode() or "closed")
except OSError as error:
    print("refused")
"""

pytestmark = pytest.mark.parametrize("name", DRIVERS)


@pytest.fixture
def serve(box: Any) -> Iterator[Any]:
    """Start one of the servers above inside the box."""
    processes = []

    def starter(code: str, port: int, where: Any = box) -> None:
        process = where.python(code.format(port=port))
        processes.append(process)
        assert process.stdout.readline() == "listening\n"

    yield starter
    for process in processes:
        process.kill()
        process.communicate()


def ask_tcp(port: int, host: str = "127.0.0.1") -> bytes:
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.sendall(b"hello")
        return b"".join(iter(lambda: sock.recv(100), b""))


def ask_udp(port: int, host: str = "127.0.0.1") -> bytes:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(b"hello", (host, port))
        return sock.recv(100)


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_tcp_port(name: str, box: Any, start: Any, serve: Any) -> None:
    port = free_port()
    start(box, name, f"{port}:80")
    serve(TCP_SERVER, 80)
    assert ask_tcp(port) == b"80:hello"


def test_udp_port(name: str, box: Any, start: Any, serve: Any) -> None:
    port = free_port(socket.SOCK_DGRAM)
    start(box, name, f"{port}:90/udp", "127.0.0.1:22300:91/udp")
    for inside in (90, 91):
        serve(UDP_SERVER, inside)
    assert ask_udp(port) == b"90:hello"
    assert ask_udp(22300) == b"91:hello"


def test_udp_port_on_the_other_addresses(name: str, box: Any, start: Any, serve: Any) -> None:
    """The relay's 127.0.0.1 and the program's other addresses share a port; ::1 is pasta's."""
    start(box, name, "22301:90/udp")
    serve(UDP_SERVER, 90)
    other = {"slirp4netns": host_address() or "", "pasta": "::1"}[name]
    assert ask_udp(22301, other) == b"90:hello"
    assert ask_udp(22301) == b"90:hello"


def test_range_of_ports(name: str, box: Any, start: Any, serve: Any) -> None:
    start(box, name, "127.0.0.1:22310-22313:90-93")
    for inside in (90, 93):
        serve(TCP_SERVER, inside)
    assert ask_tcp(22310) == b"90:hello"
    assert ask_tcp(22313) == b"93:hello"


def test_free_port_is_chosen_and_told(name: str, box: Any, start: Any, serve: Any) -> None:
    running = start(box, name, "80", "81")
    serve(TCP_SERVER, 80)
    first, second = (mapping.host_port for mapping in running.ports)
    assert len({0, first, second}) == 3
    assert ask_tcp(first) == b"80:hello"


def test_loopback_port_is_not_on_other_addresses(
    name: str, box: Any, start: Any, serve: Any
) -> None:
    address = host_address()
    assert address is not None, "the host has no route: this test needs an outside address"
    port, public = free_port(), free_port()
    start(box, name, f"127.0.0.1:{port}:80", f"{public}:80")
    serve(TCP_SERVER, 80)
    assert ask_tcp(port) == b"80:hello"
    assert ask_tcp(public, address) == b"80:hello"
    with pytest.raises(ConnectionRefusedError):
        ask_tcp(port, address)


@pytest.mark.parametrize(
    ("protocol", "kind"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)]
)
def test_port_in_use(name: str, box: Any, start: Any, protocol: str, kind: int) -> None:
    with socket.socket(socket.AF_INET, kind) as sock:
        # As slirp4netns binds its own: another container's UDP port must be noticed, too.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", 0))
        if protocol == "tcp":
            sock.listen()
        port = sock.getsockname()[1]
        with pytest.raises(NetworkSetupError) as caught:
            start(box, name, f"{port}:80/{protocol}")
    assert caught.value.message == f"port {port}/{protocol} on 0.0.0.0: address already in use"
    assert caught.value.hint.endswith(f"'sport = :{port}'")


def test_privileged_port(name: str, box: Any, start: Any) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first <= 80:
        pytest.skip("this host lets everybody have port 80")
    with pytest.raises(NetworkSetupError) as caught:
        start(box, name, "80:80")
    assert caught.value.message.startswith("port 80/tcp on 0.0.0.0: ports below")
    assert "-p 8080:80" in caught.value.hint
    assert "sudo sysctl net.ipv4.ip_unprivileged_port_start=80" in caught.value.hint


def test_host_loopback_is_closed_unless_asked_for(name: str, new_box: Any, start: Any) -> None:
    """Both in one test: that it is open on request shows that the closed one was really tried."""
    answers = {}
    for opened in ("false", "true"):
        box = new_box()
        with socket.create_server(("127.0.0.1", 0)) as server:
            running = start(box, f"{name}:allow_host_loopback={opened}")
            gateway = box.output(
                "print([line.split()[2] for line in open('/proc/net/route')"
                " if line.split()[1] == '0' * 8][0])"
            )
            host = socket.inet_ntoa(int(gateway, 16).to_bytes(4, sys.byteorder))
            client = box.python(CONNECT.format(host=host, port=server.getsockname()[1]))
            if select.select([server], [], [], 5 if opened == "true" else 0)[0]:
                peer, _ = server.accept()
                peer.sendall(b"reached the host")
                peer.close()
            answers[opened] = client.communicate(timeout=30)[0].strip()
            running.stop()
    assert answers == {"false": "refused", "true": "reached the host"}


def test_loopback_inside_is_up(name: str, box: Any, start: Any) -> None:
    start(box, name)
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[0])"
    assert box.output(code) == "127.0.0.1"


def test_address_is_the_one_that_the_driver_tells(name: str, box: Any, start: Any) -> None:
    from rootless.model.network import parse_network

    start(box, name)
    driver = drivers.make(parse_network(name), [])
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.connect(('192.0.2.254', 9)); print(s.getsockname()[0])"
    )
    assert box.output(code) == driver.container_address


def test_stop_leaves_nothing(name: str, box: Any, start: Any, runtime_dir: Path) -> None:
    before = os.listdir("/proc/self/fd")
    running = start(box, name, "22320:80", "22320:80/udp")
    assert list(runtime_dir.iterdir()) == []
    pid = running.pid
    assert not any(os.get_inheritable(fd) for fd in running.fds())
    running.stop()
    running.stop()
    assert not Path(f"/proc/{pid}").exists()
    assert sorted(os.listdir("/proc/self/fd")) == sorted(before)
    assert running.fds() == []
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.bind(("0.0.0.0", 22320))


def test_program_gets_none_of_our_descriptors(name: str, box: Any, start: Any) -> None:
    read_end, write_end = os.pipe()
    start(box, name, "80")
    os.close(write_end)
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    assert poll.poll(0) == [(read_end, select.POLLHUP)], "the program holds a pipe of ours open"
    os.close(read_end)


def test_dies_with_its_owner(name: str, box: Any, runtime_dir: Path) -> None:
    """SIGKILL, which nobody can handle. The UDP port is the relay's as well."""
    code = f"""
import sys, time
from rootless.model.network import parse_network
from rootless.model.ports import parse_publish
from rootless.net import drivers
driver = drivers.make(parse_network({name!r}), parse_publish("22360:80/udp"))
driver.check()
running = driver.start({box.userns!r}, {box.netns!r}, runtime_dir={str(runtime_dir)!r})
running.wait_ready()
print(running.pid, flush=True)
time.sleep(60)
"""
    owner = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert owner.stdout is not None
    pidfd = os.pidfd_open(int(owner.stdout.readline()))
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    assert poll.poll(200) == []
    owner.kill()
    owner.communicate()
    ended = poll.poll(5000) != []
    if not ended:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.close(pidfd)
    assert ended
    assert_becomes_free(22360)


def assert_becomes_free(port: int) -> None:
    deadline = time.monotonic() + 5
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                sock.bind(("127.0.0.1", port))
                return
            except OSError:
                assert time.monotonic() < deadline, f"somebody still has port {port}"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["keep-id", "nomap"])
def test_ports_where_the_container_root_is_not_the_user(
    name: str, new_box: Any, start: Any, serve: Any, kind: str
) -> None:
    box = new_box(shifted_maps(kind))
    port = free_port()
    start(box, name, f"{port}:80", f"{port}:80/udp")
    for server, ask in ((TCP_SERVER, ask_tcp), (UDP_SERVER, ask_udp)):
        serve(server, 80, box)
        assert ask(port) == b"80:hello"


def shifted_maps(kind: str) -> IdMaps:
    """The user is 1000 inside (keep-id) or not there at all (nomap); 0 is a subordinate id."""
    rows = {}
    for which, own in (("uid", os.getuid()), ("gid", os.getgid())):
        ranges = idmap.subordinate_ids(f"/etc/sub{which}")
        if not ranges:
            pytest.skip("this user has no subordinate ids")
        first = ranges[0][0]
        rows[which] = {
            "keep-id": ((0, first, 1000), (1000, own, 1), (1001, first + 1000, 1000)),
            "nomap": ((0, first, 2000),),
        }[kind]
    return IdMaps(rows["uid"], rows["gid"])
