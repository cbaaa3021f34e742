from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from rootless import log
from rootless.errors import HostError, UsageError
from rootless.model.network import NetworkChoice, parse_network
from rootless.model.ports import parse_publish
from rootless.net import drivers, slirp4netns
from rootless.net.tun import check_tun
from rootless.tools import pasta as pasta_tool
from rootless.tools import slirp4netns as slirp4netns_tool

HOST = "search corp.example\nnameserver 10.1.1.1\nnameserver 10.1.1.2\noptions edns0\n"


def make(text: str, *publish: str, dns: tuple[str, ...] = ()) -> drivers.Driver:
    ports = [mapping for each in publish for mapping in parse_publish(each)]
    return drivers.make(parse_network(text), ports, dns=dns)


@pytest.mark.parametrize("name", ["none", "host", "slirp4netns", "pasta"])
def test_made_by_name_and_told_in_lines(name: str) -> None:
    driver = make(name)
    assert driver.name == name
    assert driver.describe()[0].startswith("network: ")


def test_only_the_wanted_driver_is_imported() -> None:
    code = (
        "import sys; from rootless.net import drivers; from rootless.model.network import"
        " parse_network; drivers.make(parse_network('slirp4netns'), []);"
        "print(*[name for name in sys.modules if name.startswith('rootless.net')"
        " or name in ('socket', 'json', 'subprocess', 'typing', 'enum')])"
    )
    done = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {str(Path.cwd())!r}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    loaded = set(done.stdout.split())
    assert "rootless.net.slirp4netns" in loaded
    assert not loaded & {"rootless.net.pasta", "rootless.net.none", "rootless.net.host"}
    assert not loaded & {"socket", "json", "subprocess", "typing"}


def test_a_network_without_a_driver() -> None:
    with pytest.raises(UsageError, match="--network other: there is none, host"):
        drivers.make(NetworkChoice("other"), [])


def test_what_the_runtime_has_to_know() -> None:
    facts = {
        name: (make(name).new_namespace, make(name).loopback_by_us)
        for name in ("none", "host", "slirp4netns", "pasta")
    }
    assert facts == {
        "none": (True, True), "host": (False, False),
        "slirp4netns": (True, False), "pasta": (True, False),
    }  # fmt: skip


def test_slirp4netns_addresses_follow_the_cidr() -> None:
    driver = make("slirp4netns:cidr=10.9.8.0/24")
    assert (driver.container_address, driver.gateway) == ("10.9.8.100", "10.9.8.2")


def test_host_alias_is_the_gateway_only_where_loopback_is_open() -> None:
    assert make("slirp4netns:allow_host_loopback=true").host_alias == "10.0.2.2"
    assert make("slirp4netns").host_alias != "10.0.2.2"
    assert make("pasta").host_alias is None


def test_ports_are_told_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert make("slirp4netns", "8080:80").describe()[1] == "publish 0.0.0.0:8080->80/tcp (IPv4)"
    with pytest.raises(UsageError, match="--network none has no ports to publish"):
        make("none", "8080:80")
    said: list[str] = []
    monkeypatch.setattr(log, "_sink", None)
    log.install(lambda level, text: said.append(text), debug=False)
    assert make("host", "8080:80").ports == []
    assert "-p has no effect with --network host" in said[0]


@pytest.mark.parametrize(
    ("network", "host", "servers"),
    [
        ("slirp4netns", HOST, ["10.0.2.3", "10.1.1.2"]),
        ("slirp4netns", "nameserver 127.0.0.53\n", ["10.0.2.3"]),
        ("slirp4netns", "", ["10.0.2.3"]),
        ("slirp4netns:enable_ipv6=false", "nameserver ::1\n", ["10.0.2.3"]),
        ("pasta", "nameserver 10.1.1.1\nnameserver 127.0.0.1\n", ["10.1.1.1"]),
        ("none", HOST, ["10.1.1.1", "10.1.1.2"]),
        ("host", "nameserver 127.0.0.53\n", ["127.0.0.53"]),
    ],
)
def test_name_servers(network: str, host: str, servers: list[str]) -> None:
    text = make(network).resolv(host, [], [], [])
    assert [line.split()[1] for line in text.splitlines() if "nameserver" in line] == servers


@pytest.mark.parametrize(
    ("host", "servers"),
    [
        ("nameserver 2001:db8::1\n", ["fd00::3"]),
        ("nameserver 2001:db8::1\nnameserver 10.1.1.1\n", ["10.0.2.3", "2001:db8::1"]),
    ],
)
def test_name_servers_on_ipv6(
    host: str, servers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slirp4netns, "host_has_ipv6", lambda: True)
    text = make("slirp4netns").resolv(host, [], [], [])
    assert [line.split()[1] for line in text.splitlines()] == servers


def test_the_host_network_keeps_the_text_byte_for_byte() -> None:
    text = "# comment\n" + HOST
    assert make("host").resolv(text, [], [], []) == text
    assert make("host").resolv(text, ["9.9.9.9"], [], []).splitlines()[1] == "nameserver 9.9.9.9"


def test_resolver_on_loopback_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "_sink", None)
    log.install(lambda level, text: said.append(text), debug=False)
    make("slirp4netns").resolv("nameserver 127.0.0.53\n", [], [], [])
    make("slirp4netns", dns=("9.9.9.9",)).resolv("nameserver 127.0.0.1\n", ["9.9.9.9"], [], [])
    assert said == []
    make("slirp4netns").resolv("nameserver 127.0.0.1\n", [], [], [])
    assert "the host's resolver is on 127.0.0.1" in said[0]


def test_slirp4netns_flags() -> None:
    driver = make("slirp4netns:mtu=1500,enable_ipv6=false,outbound_addr=eth0", dns=("9.9.9.9",))
    assert isinstance(driver, slirp4netns.Slirp4netns)
    settings = driver.settings()
    assert settings.flags() == [
        "--configure", "--mtu=1500", "--cidr=10.0.2.0/24", "--disable-host-loopback",
        "--disable-dns", "--enable-sandbox", "--enable-seccomp", "--outbound-addr=eth0",
    ]  # fmt: skip
    settings.unprotected.add("seccomp")
    assert "--enable-seccomp" not in settings.flags()


def test_pasta_port_flags() -> None:
    ports = parse_publish("8080:80") + parse_publish("[::1]:53:5353/udp")
    assert pasta_tool.port_flags(ports) == ["-t", "8080:80", "-u", "::1/53:5353"]
    assert pasta_tool.port_flags([]) == ["-t", "none", "-u", "none"]


def test_the_telling_line_of_what_a_program_said() -> None:
    said = 'WARNING: x\nopen("/dev/net/tun"): Permission denied\nchild failed(1)\n'
    assert slirp4netns_tool.complaint(said) == 'open("/dev/net/tun"): Permission denied'
    assert slirp4netns_tool.complaint("") == "ended without a word"
    said = "1795213002.7650: Couldn't install signal handlers\nFailed to send 9 bytes to syslog\n"
    assert pasta_tool.complaint(said) == "Couldn't install signal handlers"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("cannot mkdir /old\ncreate_sandbox failed\n", "sandbox"),
        ("enable_seccomp failed\n", "seccomp"),
        ("slirp4netns: unrecognized option '--enable-seccomp'\n", "seccomp"),
        ("ioctl(TUNSETIFF): Operation not permitted\n", None),
    ],
)
def test_a_protection_that_is_lacking(words: str, name: str | None) -> None:
    assert slirp4netns_tool.lacking_protection(words) == name


def test_tap_device(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no such device") as caught:
        check_tun(str(tmp_path / "tun"))
    assert "modprobe tun" in caught.value.hint
    check_tun("/dev/null")
