"""Which files of the machine's view a container gets."""

from __future__ import annotations

import pytest

from rootless.engine import plan_view
from rootless.errors import HostError, UsageError
from rootless.model.container import ContainerSpec
from tests.unit.engine.plans import document_of, host

PRESSURE = {"pressure/cpu", "pressure/memory", "pressure/io"}


def chosen(procview: str = "", **facts: object) -> list[str]:
    return plan_view.choose(ContainerSpec(image="alpine", procview=procview), host(**facts))


@pytest.mark.parametrize("wish", ["", "on"])
def test_all_of_it_by_default(wish: str) -> None:
    assert chosen(wish) == list(plan_view.FILES)


def test_off() -> None:
    assert chosen("off") == []


def test_single_files() -> None:
    wish = "meminfo,/proc/uptime,pressure/cpu,/sys/devices/system/cpu,/sys/devices/system/node"
    assert chosen(wish) == ["meminfo", "uptime", "pressure/cpu", "cpus", "nodes"]


def test_a_host_without_pressure_has_no_place_for_it() -> None:
    assert set(plan_view.FILES) - set(chosen(has_pressure=False)) == PRESSURE


def test_a_kernel_without_numa_has_no_place_for_nodes() -> None:
    assert set(plan_view.FILES) - set(chosen(has_nodes=False)) == {"nodes"}


def test_without_fuse_a_container_starts_all_the_same() -> None:
    assert chosen(has_fuse=False) == []


@pytest.mark.parametrize("wish", ["on", "meminfo"])
def test_without_fuse_what_was_asked_for_is_refused(wish: str) -> None:
    with pytest.raises(HostError, match=f"--procview {wish}: /dev/fuse cannot be used") as caught:
        chosen(wish, has_fuse=False)
    assert caught.value.hint == "sudo chmod 0666 /dev/fuse"


@pytest.mark.parametrize("wish", ["kcore", "meminfo,", "../meminfo", "/proc/self/mem"])
def test_a_file_that_there_is_no_view_of(wish: str) -> None:
    with pytest.raises(UsageError, match="there is no view of") as caught:
        chosen(wish)
    assert "meminfo" in caught.value.hint


def test_a_bind_cannot_be_written_to_and_comes_from_the_containers_directory() -> None:
    (mount,) = plan_view.mounts(["pressure/io"], "/store/containers/1")
    assert mount == {
        "destination": "/proc/pressure/io",
        "type": "bind",
        "source": "/store/containers/1/view/pressure/io",
        "options": ["bind", "rprivate", "nosuid", "noexec", "nodev", "ro"],
    }


def test_a_users_own_mount_wins() -> None:
    mounts = document_of("-v", "/tmp:/proc/uptime")["mounts"]
    (found,) = (one for one in mounts if one["destination"] == "/proc/uptime")
    assert found["source"] == "/tmp"
