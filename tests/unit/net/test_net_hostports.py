from __future__ import annotations

import errno
import os
import socket

import pytest

from rootless.errors import NetworkSetupError
from rootless.model.ports import parse_publish
from rootless.net import hostports


def test_free_ports_are_chosen_and_others_kept() -> None:
    ports = parse_publish("127.0.0.1::80-83")
    chosen = hostports.resolve(ports, both_families=False)
    assert len({port.host_port for port in chosen} - {0}) == 4
    assert [port.container_port for port in chosen] == [80, 81, 82, 83]
    assert hostports.resolve(chosen, both_families=False) == chosen


def test_no_descriptor_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    hostports.resolve(parse_publish("80-85/udp"), both_families=True)
    assert len(os.listdir("/proc/self/fd")) == before


def test_two_flags_for_one_port() -> None:
    ports = parse_publish("22350:80") + parse_publish("127.0.0.1:22350:81")
    with pytest.raises(NetworkSetupError, match="the same host port as"):
        hostports.resolve(ports, both_families=False)


def test_listener_on_the_other_family_counts_where_both_are_wanted() -> None:
    if not os.path.exists("/proc/net/if_inet6"):
        pytest.skip("this host has no IPv6")
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::", 0))
        sock.listen()
        ports = parse_publish(f"{sock.getsockname()[1]}:80")
        assert hostports.resolve(ports, both_families=False) == ports
        with pytest.raises(NetworkSetupError, match="on ::: address already in use"):
            hostports.resolve(ports, both_families=True)


def test_address_that_the_host_has_not() -> None:
    with pytest.raises(NetworkSetupError, match="the host has no such address") as caught:
        hostports.resolve(parse_publish("203.0.113.7:22351:80"), both_families=False)
    assert caught.value.hint == "ip addr"


def test_privileged_port_names_both_ways_out() -> None:
    port = parse_publish("443:8443")[0]
    error = hostports.refusal(port, "0.0.0.0", errno.EACCES)
    assert error.message.startswith("port 443/tcp on 0.0.0.0: ports below ")
    assert error.hint == "-p 8443:8443, or: sudo sysctl net.ipv4.ip_unprivileged_port_start=443"
