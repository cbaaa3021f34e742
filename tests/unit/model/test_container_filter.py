from __future__ import annotations

from typing import Any

import pytest

from rootless.errors import UsageError
from rootless.model.container_filter import ContainerFilter
from rootless.model.ports import PortMapping

WEB: dict[str, Any] = {
    "id": "abc" + "0" * 61, "name": "web", "image": "docker.io/library/nginx:latest",
    "image_id": "12" * 32, "created": 10.0, "status": "running", "labels": {"app": "x"},
    "exit_code": None, "network": "", "mounted_volumes": ["data"], "health": {"status": "healthy"},
    "mounts": [{"destination": "/srv"}],
}  # fmt: skip
PORTS = [PortMapping("", 8080, 80, "tcp"), PortMapping("", 53, 53, "udp")]


def takes(*words: str, **changes: Any) -> bool:
    wanted = ContainerFilter(words, lambda word: {"created": float(word)})
    return wanted.takes({**WEB, **changes}, PORTS)


@pytest.mark.parametrize(
    ("word", "fits"),
    [
        ("id=abc", True), ("id=bc0", True), ("id=xyz", False),
        ("name=we", True), ("name=^/web$", True), ("name=^we$", False),
        ("status=running", True), ("status=exited", False),
        ("exited=0", False), ("health=healthy", True), ("health=none", False),
        ("ancestor=nginx", True), ("ancestor=nginx:latest", True), ("ancestor=nginx:1", False),
        ("ancestor=docker.io/library/nginx", True), ("ancestor=ginx", False),
        ("ancestor=121212121212", True), ("ancestor=sha256:" + "12" * 32, True),
        ("ancestor=12", False),
        ("before=11", True), ("before=10", False), ("since=9", True), ("since=10", False),
        ("volume=data", True), ("volume=/srv", True), ("volume=other", False),
        ("network=bridge", True), ("network=slirp4netns:mtu=1500", True), ("network=host", False),
        ("publish=8080", True), ("publish=8000-9000/tcp", True), ("publish=80", False),
        ("publish=8080/udp", False), ("expose=53/udp", True), ("expose=8080", False),
        ("label=app=x", True), ("label!=app", False),
    ],
)  # fmt: skip
def test_filters(word: str, fits: bool) -> None:
    assert takes(word) is fits


def test_exit_codes_are_of_containers_that_ended() -> None:
    assert takes("exited=3", status="exited", exit_code=3)
    assert not takes("exited=3", status="exited", exit_code=4)
    assert not takes("exited=3", status="running", exit_code=3)


def test_all_keys_have_to_fit() -> None:
    assert takes("name=web", "status=running", "status=paused")
    assert not takes("name=web", "status=paused")
    assert takes("before=20", "before=11") and not takes("before=20", "before=9")


def test_without_a_health_check() -> None:
    assert takes("health=none", health=None) and not takes("health=healthy", health=None)


def test_who_names_statuses() -> None:
    assert ContainerFilter(["status=dead"], dict).names_statuses
    assert not ContainerFilter(["name=x"], dict).names_statuses


@pytest.mark.parametrize(
    "word", ["status=up", "health=well", "exited=x", "publish=x", "expose=70000", "is-task=true"]
)
def test_what_is_no_filter(word: str) -> None:
    with pytest.raises(UsageError, match=f"--filter {word}: not a filter"):
        takes(word)
