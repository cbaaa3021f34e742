from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.ports import (
    PortMapping,
    exposed_ports,
    find_conflict,
    parse_expose,
    parse_publish,
    shown,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("80", [("", 0, 80, "tcp")]),
        ("80/udp", [("", 0, 80, "udp")]),
        ("8080:80", [("", 8080, 80, "tcp")]),
        ("8080:80/TCP", [("", 8080, 80, "tcp")]),
        ("127.0.0.1:8080:80", [("127.0.0.1", 8080, 80, "tcp")]),
        ("127.0.0.1::80", [("127.0.0.1", 0, 80, "tcp")]),
        ("[::1]:8080:80", [("::1", 8080, 80, "tcp")]),
        ("[::1]::80/udp", [("::1", 0, 80, "udp")]),
        ("8000-8002:80-82", [("", 8000 + i, 80 + i, "tcp") for i in range(3)]),
        ("80-81", [("", 0, 80, "tcp"), ("", 0, 81, "tcp")]),
        ("0.0.0.0:65535:1", [("0.0.0.0", 65535, 1, "tcp")]),
    ],
)
def test_publish(text: str, expected: list[tuple[str, int, int, str]]) -> None:
    assert parse_publish(text) == [PortMapping(*fields) for fields in expected]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "'' is not a port number"),
        ("web:80", "'web' is not a port number"),
        ("0:80", "'0' is not a port number"),
        ("8080:65536", "'65536' is not a port number"),
        ("8080:", "'' is not a port number"),
        ("8080:٨٠", "is not a port number"),
        ("80/sctp", "SCTP"),
        ("80/icmp", "unknown protocol 'icmp'"),
        ("80/", "unknown protocol ''"),
        ("8000-8010:80-81", "11 host ports cannot lead to 2 container ports"),
        ("8000-8010:80", "11 host ports cannot lead to 1 container ports"),
        ("8010-8000:80-90", "ends before it starts"),
        ("300.0.0.1:8080:80", "'300.0.0.1' is not an IP address"),
        ("localhost:8080:80", "'localhost' is not an IP address"),
        (":8080:80", "'' is not an IP address"),
        ("::1:8080:80", "in brackets"),
        ("[::1]8080:80", "written [::1]:8080:80"),
        ("[::1%eth0]:8080:80", "is not an IP address"),
        ('127.0.0.1", "x:1:2', "is not an IP address"),
    ],
)
def test_refused_with_flag_value_and_reason(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_publish(text, "--publish")
    assert caught.value.message.startswith(f"--publish {text}: ")
    assert reason in caught.value.message
    assert caught.value.exit_code == 125


def test_shown_as_docker_ps_does() -> None:
    assert str(PortMapping("", 8080, 80, "tcp")) == "0.0.0.0:8080->80/tcp"
    assert str(PortMapping("::1", 53, 5353, "udp")) == "[::1]:53->5353/udp"


def test_expose_and_exposed() -> None:
    assert parse_expose("80-81/udp") == [
        PortMapping("", 0, 80, "udp"), PortMapping("", 0, 81, "udp"),
    ]  # fmt: skip
    config: dict[str, object] = {
        "ExposedPorts": {
            "80/tcp": {},
            "53/udp": {},
            "not a port": {},
            "9/sctp": {},
            "9" * 5000: {},
        }
    }
    assert exposed_ports(config) == [
        PortMapping("", 0, 80, "tcp"), PortMapping("", 0, 53, "udp"),
    ]  # fmt: skip


@pytest.mark.parametrize("config", [{}, {"ExposedPorts": None}, {"ExposedPorts": {3: {}}}])
def test_nothing_exposed(config: dict[str, object]) -> None:
    assert exposed_ports(config) == []


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("8080:80", "8080:81", True),
        ("8080:80", "127.0.0.1:8080:81", True),
        ("0.0.0.0:8080:80", "127.0.0.1:8080:81", True),
        ("127.0.0.2:8080:80", "127.0.0.1:8080:81", False),
        ("[::]:8080:80", "127.0.0.1:8080:81", False),
        ("[::]:8080:80", "[::1]:8080:81", True),
        ("8080:80", "8080:80/udp", False),
        ("80", "80", False),
    ],
)
def test_conflict(one: str, other: str, clash: bool) -> None:
    ports = parse_publish(one) + parse_publish(other)
    assert find_conflict(ports) == ((ports[0], ports[1]) if clash else None)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([], ""),
        ([("", 8080, 80, "tcp")], "0.0.0.0:8080->80/tcp"),
        ([("::1", 8080, 80, "tcp")], "[::1]:8080->80/tcp"),
        ([("", 91, 91, "udp"), ("", 90, 90, "udp"), ("", 8080, 80, "tcp")],
         "0.0.0.0:8080->80/tcp, 0.0.0.0:90-91->90-91/udp"),
        ([("", 90, 90, "tcp"), ("", 92, 92, "tcp")], "0.0.0.0:90->90/tcp, 0.0.0.0:92->92/tcp"),
        ([("127.0.0.1", 90, 90, "tcp"), ("", 91, 91, "tcp")],
         "127.0.0.1:90->90/tcp, 0.0.0.0:91->91/tcp"),
    ],
)  # fmt: skip
def test_shown(rows: list[tuple[str, int, int, str]], text: str) -> None:
    assert shown(PortMapping(*row) for row in rows) == text
