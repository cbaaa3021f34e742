from __future__ import annotations

import pytest

from rootless.cgroup import usage
from rootless.cgroup.usage import Pressure


def test_counts() -> None:
    assert usage.count("123\n") == 123
    assert usage.count("max\n") is None
    assert usage.count("") is None


def test_cpu_time() -> None:
    assert usage.cpu_usec("usage_usec 153859\nuser_usec 35506\n") == 153859
    assert usage.cpu_usec("") is None


@pytest.mark.parametrize(
    ("current", "stat", "used"),
    [
        ("1000\n", "anon 10\ninactive_file 300\nactive_file 7\n", 700),
        ("1000\n", "", 1000),
        ("100\n", "inactive_file 300\n", 0),
        ("", "inactive_file 300\n", None),
    ],
)
def test_memory_is_counted_as_docker_does(current: str, stat: str, used: int | None) -> None:
    assert usage.memory_in_use(current, stat) == used


def test_block_traffic_of_all_devices() -> None:
    text = (
        "8:0 rbytes=100 wbytes=20 rios=1 wios=1 dbytes=0 dios=0\n253:0 rbytes=1 wbytes=2 rios=1\n"
    )
    assert usage.block_bytes(text) == (101, 22)
    assert usage.block_bytes("") == (0, 0)
    assert usage.block_bytes(None) is None


def test_network_traffic_without_the_loopback() -> None:
    text = (
        "Inter-|   Receive                              |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs\n"
        "    lo:    9999       1    0    0    0     0          0         0     9999       1    0\n"
        "  tap0:     110       1    0    0    0     0          0         0      602       7    0\n"
        "eth0:5 1 0 0 0 0 0 0 6 7 0\n"
    )
    assert usage.net_bytes(text) == (115, 608)
    assert usage.net_bytes("") == (0, 0)


def test_pressure() -> None:
    text = (
        "some avg10=0.72 avg60=0.18 avg300=0.04 total=150566\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
        "new avg10=x\n"
    )
    assert usage.pressure(text) == {
        "some": Pressure(0.72, 0.18, 0.04, 150566),
        "full": Pressure(0.0, 0.0, 0.0, 0),
    }
    assert usage.pressure("") == {}
