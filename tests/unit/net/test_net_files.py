from __future__ import annotations

import pytest

from rootless.net.files import Resolv, hosts_text, parse_resolv, reachable, resolv_text

HOST = """# made by something
domain ignored.example
search corp.example lab.example
nameserver 10.1.1.1
nameserver 10.1.1.2
; options rotate
options edns0
options trust-ad
nameserver
"""


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def test_resolv_is_parsed_as_the_resolver_does() -> None:
    found = parse_resolv(HOST)
    assert found.servers == ["10.1.1.1", "10.1.1.2"]
    assert found.search == ["corp.example", "lab.example"]
    assert found.options == ["edns0", "trust-ad"]


def test_host_settings_are_kept_and_servers_replaced() -> None:
    text = resolv_text(parse_resolv(HOST), ["10.0.2.3", "10.1.1.2", "10.0.2.3"], [], [], [])
    assert text == (
        "search corp.example lab.example\n"
        "nameserver 10.0.2.3\n"
        "nameserver 10.1.1.2\n"
        "options edns0 trust-ad\n"
    )


def test_flags_win() -> None:
    text = resolv_text(parse_resolv(HOST), ["10.0.2.3"], ["9.9.9.9"], ["my.example"], ["ndots:2"])
    assert text == "search my.example\nnameserver 9.9.9.9\noptions ndots:2\n"


def test_a_dot_means_no_search() -> None:
    assert "search" not in resolv_text(parse_resolv(HOST), [], [], ["."], [])


def test_no_more_servers_than_a_resolver_reads() -> None:
    text = Resolv([f"10.0.0.{i}" for i in range(5)], [], []).text()
    assert text.count("nameserver") == 3


def test_reachable_servers() -> None:
    servers = ["127.0.0.53", "::1", "fe80::1%eth0", "0.0.0.0", "10.1.1.1", "2001:db8::1"]
    assert reachable(servers) == ["10.1.1.1", "2001:db8::1"]


def test_hosts() -> None:
    text = hosts_text(
        "web", ["web", "busy_name"], "10.0.2.100", [("db", "10.0.0.5")], host_alias_ip="192.0.2.2"
    )
    assert text == (
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "10.0.0.5\tdb\n"
        "10.0.2.100\tweb busy_name\n"
        "192.0.2.2\thost.containers.internal host.docker.internal\n"
    )


def test_hosts_without_a_network() -> None:
    text = hosts_text("web", [], None, [], host_alias_ip=None)
    assert rows(text)["127.0.0.1"] == ["web"]
    assert "127.0.0.1\tlocalhost\n" in text
    assert "host.containers.internal" not in text


@pytest.mark.parametrize("name", ["host.containers.internal", "host.docker.internal"])
def test_add_host_wins_over_our_alias(name: str) -> None:
    text = hosts_text("web", [], None, [(name, "10.7.7.7")], host_alias_ip="192.0.2.2")
    assert [line for line in text.splitlines() if name in line] == [f"10.7.7.7\t{name}"]
    assert text.count("192.0.2.2") == 1
