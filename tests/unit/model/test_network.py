from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.network import NetworkChoice, address_in, parse_network


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", NetworkChoice("none")),
        ("host", NetworkChoice("host")),
        ("bridge", NetworkChoice("slirp4netns")),
        ("default", NetworkChoice("slirp4netns")),
        ("private", NetworkChoice("slirp4netns")),
        ("", NetworkChoice("slirp4netns")),
        ("slirp4netns", NetworkChoice("slirp4netns")),
        ("pasta", NetworkChoice("pasta")),
        (
            "slirp4netns:cidr=10.9.8.0/24,mtu=1500,enable_ipv6=false",
            NetworkChoice(
                "slirp4netns", {"cidr": "10.9.8.0/24", "mtu": "1500", "enable_ipv6": "false"}
            ),
        ),
        ("pasta:interface=eth1", NetworkChoice("pasta", {"interface": "eth1"})),
    ],
)
def test_choice(text: str, expected: NetworkChoice) -> None:
    assert parse_network(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("web", "no such network; there is none, host, container:NAME, slirp4netns"),
        ("host:x", "no such network"),
        ("container:", "no such network"),
        ("slirp4netns:mtu=" + "9" * 5000, "mtu is a number"),
        ("slirp4netns:cidr=10.0.2.0/²", "cidr is an IPv4 network"),
        ("slirp4netns:colour=red", "slirp4netns has no option 'colour'; there is cidr"),
        ("slirp4netns:interface=eth0", "has no option 'interface'"),
        ("pasta:cidr=10.0.0.0/24", "has no option 'cidr'"),
        ("slirp4netns:mtu=70000", "mtu is a number from 68 to 65520"),
        ("slirp4netns:mtu=-1", "mtu is a number"),
        ("slirp4netns:enable_ipv6=yes", "enable_ipv6 is true or false, not 'yes'"),
        ("slirp4netns:cidr=10.0.2.0/30", "cidr is an IPv4 network"),
        ("slirp4netns:cidr=fd00::/64", "cidr is an IPv4 network"),
        ("slirp4netns:outbound_addr", "outbound_addr is an address"),
        ("slirp4netns:port_handler=magic", "port_handler is slirp4netns"),
    ],
)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_network(text)
    assert caught.value.message.startswith(f"--network {text}: ")
    assert reason in caught.value.message


def test_address_in_a_network() -> None:
    assert address_in("10.0.2.0/24", 100) == "10.0.2.100"
    assert address_in("10.0.2.77/24", 2) == "10.0.2.2"
    assert address_in("172.16.255.0/23", 3) == "172.16.254.3"


def test_flag_has_a_default() -> None:
    assert parse_network("slirp4netns:enable_ipv6=false").flag("enable_ipv6", default=True) is False
    assert parse_network("slirp4netns").flag("enable_ipv6", default=True) is True
