"""What only slirp4netns has: its sandbox, its resolver, its API, its IPv6."""

from __future__ import annotations

import os
import socket
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from rootless import log
from rootless.errors import NetworkSetupError, UsageError
from rootless.model.network import parse_network
from rootless.model.ports import parse_publish
from rootless.net import drivers

# A query for the root's name servers: any resolver has an answer, if only an error.
ASK_RESOLVER = """
import socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(3)
sock.sendto(bytes.fromhex("abcd 0100 0001 0000 0000 0000 00 0002 0001"), ({address!r}, 53))
try:
    print(sock.recv(4096)[:2].hex())
except OSError:
    print("no answer")
"""


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_its_own_sandbox_and_seccomp_are_on(box: Any, start: Any) -> None:
    running = start(box, "slirp4netns", "80")
    status = status_of(running.pid)
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")
    mounts = Path(f"/proc/{running.pid}/mountinfo").read_text().splitlines()
    assert {line.split()[4] for line in mounts} >= {"/", "/etc", "/run"}
    assert all("ro" in line.split()[5].split(",") for line in mounts)
    assert not any(line.split()[4].startswith(("/home", "/proc", "/dev")) for line in mounts)


def test_ctrl_c_at_the_terminal_is_not_for_it(box: Any, start: Any) -> None:
    assert os.getsid(start(box, "slirp4netns", "80").pid) != os.getsid(0)


def test_it_holds_only_descriptors_that_it_needs(box: Any, start: Any) -> None:
    running = start(box, "slirp4netns", "80")
    folder = f"/proc/{running.pid}/fd"
    targets = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    files = {target for target in targets if target.startswith("/")}
    assert files == {"/dev/null", "/dev/net/tun"}


def children_named(name: str) -> list[int]:
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if status_of(int(pid))["Name"] == name]


def test_the_relay_has_no_capability_and_no_file(box: Any, start: Any) -> None:
    running = start(box, "slirp4netns", "90/udp")
    relay = children_named("rl-udp")[0]
    status = status_of(relay)
    assert [status[key] for key in ("CapPrm", "CapEff", "CapInh")] == ["0" * 16] * 3
    assert status["NoNewPrivs"] == "1"
    running.stop()
    assert not Path(f"/proc/{relay}").exists()


def test_many_ports(box: Any, start: Any) -> None:
    """More words on its standard error than a pipe holds must not stop it."""
    running = start(box, "slirp4netns", "127.0.0.1:23000-23599:2000-2599")
    assert len(running.ports) == 600
    with socket.create_connection(("127.0.0.1", 23599), timeout=5):
        pass


def test_api_socket_is_closed_to_others_and_goes(box: Any, runtime_dir: Path) -> None:
    driver = drivers.make(parse_network("slirp4netns"), parse_publish("22330:80"))
    driver.check()
    running = driver.start(box.userns, box.netns, runtime_dir=str(runtime_dir))
    try:
        assert stat.S_IMODE(runtime_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE((runtime_dir / "slirp4netns").stat().st_mode) & 0o004 == 0
        running.wait_ready()
        assert list(runtime_dir.iterdir()) == []
    finally:
        running.stop()


@pytest.mark.parametrize(("publish", "state"), [((), "alive or a zombie"), (("80",), "reaped")])
def test_stop_without_waiting_waits_only_for_ports(
    box: Any, start: Any, publish: tuple[str, ...], state: str
) -> None:
    """A port that is still held would fail the next run's `-p`."""
    running = start(box, "slirp4netns", *publish)
    running.stop(wait=False)
    assert Path(f"/proc/{running.pid}").exists() == (state != "reaped")
    if not publish:
        assert os.waitpid(running.pid, 0)[1] == 9
    running.stop()


def test_a_fork_of_the_starter_can_stop_it(box: Any, start: Any) -> None:
    """The supervisor of a detached container is such a fork."""
    running = start(box, "slirp4netns")
    pid = os.fork()
    if pid == 0:
        running.stop()
        os._exit(0 if status_of(running.pid)["State"].startswith("Z") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


# Duplicate address detection takes the kernel a second or two.
CONNECT_IPV6 = """
import socket, time
for attempt in range(100):
    lines = [line.split() for line in open("/proc/net/if_inet6")]
    if any(line[0].startswith("fd00") and not int(line[4], 16) & 0x40 for line in lines):
        print("has an address")
        break
    time.sleep(0.1)
try:
    with socket.create_connection(("fd00::2", {port}), timeout=3) as sock:
        print(sock.recv(100).decode())
except OSError:
    print("refused")
"""


@pytest.mark.parametrize(("opened", "answer"), [("false", "refused"), ("true", "reached")])
def test_ipv6_address_and_host_loopback(box: Any, start: Any, opened: str, answer: str) -> None:
    if not drivers.make(parse_network("slirp4netns"), []).ipv6:  # type: ignore[attr-defined]
        pytest.skip("this host has no IPv6")
    start(box, f"slirp4netns:allow_host_loopback={opened}")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        server.settimeout(20)
        client = box.python(CONNECT_IPV6.format(port=server.getsockname()[1]))
        if opened == "true":
            with server.accept()[0] as peer:
                peer.sendall(b"reached")
        assert client.communicate(timeout=30)[0].splitlines() == ["has an address", answer]


def test_ipv6_can_be_left_out(box: Any, start: Any) -> None:
    running = start(box, "slirp4netns:enable_ipv6=false")
    assert b"--enable-ipv6" not in Path(f"/proc/{running.pid}/cmdline").read_bytes()


def test_cidr_and_mtu(box: Any, start: Any) -> None:
    start(box, "slirp4netns:cidr=10.9.8.0/24,mtu=1500")
    code = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.connect(('192.0.2.254', 9)); print(s.getsockname()[0])"
    )
    assert box.output(code) == "10.9.8.100"
    show = "print(*[l.split()[:2] for l in open('/proc/net/dev') if 'tap0' in l])"
    assert "tap0" in box.output(show)


@pytest.mark.may_skip_on_ci("needs a name server that answers the host")
def test_resolver_is_the_hosts(box: Any, start: Any) -> None:
    start(box, "slirp4netns")
    if box.output(ASK_RESOLVER.format(address="10.0.2.3")) == "no answer":
        pytest.skip("the host's name server does not answer")
    assert box.output(ASK_RESOLVER.format(address="10.0.2.77")) == "no answer"


@pytest.mark.parametrize("dns", [(), ("192.0.2.53",)])
def test_resolver_is_off_with_dns_flags(box: Any, start: Any, dns: tuple[str, ...]) -> None:
    running = start(box, "slirp4netns", dns=dns)
    words = Path(f"/proc/{running.pid}/cmdline").read_bytes().split(b"\0")
    assert (b"--disable-dns" in words) == bool(dns)


def fake_program(folder: Path, monkeypatch: Any, script: str) -> None:
    program = folder / "slirp4netns"
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_failure_has_its_own_words(box: Any, start: Any, monkeypatch: Any, tmp_path: Path) -> None:
    fake_program(
        tmp_path, monkeypatch,
        "import sys\n"
        "print('sent tapfd=5 for tap0\\nioctl(TUNSETIFF): Device or resource busy\\n"
        "child failed(1)', file=sys.stderr)\n"
        "sys.exit(1)\n",
    )  # fmt: skip
    with pytest.raises(NetworkSetupError) as caught:
        start(box, "slirp4netns")
    assert caught.value.message == "slirp4netns: ioctl(TUNSETIFF): Device or resource busy"


def test_goes_without_a_sandbox_that_the_host_refuses_and_says_so(
    box: Any, start: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    fake_program(
        tmp_path, monkeypatch,
        "import os, sys\n"
        "if '--enable-sandbox' in sys.argv:\n"
        "    print('cannot remount ro /tmp/run\\ncreate_sandbox failed\\n"
        "do_slirp failed', file=sys.stderr)\n"
        "    sys.exit(1)\n"
        "os.execv('/usr/bin/slirp4netns', sys.argv)\n",
    )  # fmt: skip
    said: list[tuple[str, str]] = []
    monkeypatch.setattr(log, "_sink", None)
    log.install(lambda level, text: said.append((level, text)), debug=False)
    running = start(box, "slirp4netns", "22340:80")
    assert status_of(running.pid)["Seccomp"] == "2"
    assert said == [
        ("notice", "slirp4netns: its own sandbox does not work on this host, going without")
    ]


def test_missing_program_names_the_package(
    box: Any, start: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    from rootless.tools import spawn

    monkeypatch.setattr(spawn, "which", lambda name: None)
    with pytest.raises(Exception, match="slirp4netns: not installed") as caught:
        start(box, "slirp4netns")
    assert caught.value.hint == "sudo apt-get install slirp4netns"  # type: ignore[attr-defined]


def test_ipv6_port_is_refused_with_the_way_out() -> None:
    with pytest.raises(UsageError, match="IPv4 addresses only") as caught:
        drivers.make(parse_network("slirp4netns"), parse_publish("[::1]:8080:80"))
    assert caught.value.hint == "rl run --network pasta …"
