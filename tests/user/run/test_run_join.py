"""Containers in namespaces of other containers (`container:NAME`), and --volumes-from."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.store import containers
from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, Sh, wait_until

Donor = Callable[..., str]


@pytest.fixture
def donor(rl: Rl, busybox_image: str) -> Iterator[Donor]:
    """A container that runs until the test has ended, called "donor" unless flags name it."""

    def start(*flags: str, script: str = "echo up; exec sleep 1000") -> str:
        named = () if "--name" in flags else ("--name", "donor")
        network = () if any(flag.startswith("--net") for flag in flags) else ("--net=none",)
        words = ("run", "-d", *named, *network, *flags, busybox_image, "sh", "-c", script)
        container_id = rl(*words).stdout.strip()
        wait_until(lambda: "up" in rl("logs", container_id).stdout)
        return container_id

    yield start
    rl("rm", "--force", "--all")


def inspected(rl: Rl, name: str) -> Any:
    return json.loads(rl("inspect", name).stdout)[0]


def pid_of(rl: Rl, container_id: str, name: str = "init") -> int:
    state: Any = containers.read_state(rl.paths, container_id)
    return int(state["processes"][name][0])


def running_with(words: str) -> list[int]:
    """The pids of all processes with this command line."""
    wanted = words.replace(" ", "\0") + "\0"
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as file:
                if file.read() == wanted:
                    found.append(int(name))
        except OSError:
            continue
    return found


# --- the network


def test_a_network_is_shared_with_its_names(rl: Rl, donor: Donor, sh: Sh) -> None:
    listen = "echo up; while true; do echo hello | nc -l -p 1234; done"
    donor_id = donor("--hostname", "there", "--add-host", "far:192.0.2.9", script=listen)
    script = """
        until nc 127.0.0.1 1234 < /dev/null 2> /dev/null; do sleep 0.05; done
        hostname; cat /etc/hosts; readlink /proc/self/ns/net; readlink /proc/self/ns/uts
    """
    lines = sh(script, "--net", "container:donor").stdout.splitlines()
    assert lines[:2] == ["hello", "there"]
    assert "192.0.2.9\tfar" in lines
    init = pid_of(rl, donor_id)
    assert os.readlink(f"/proc/{init}/ns/net") == lines[-2]
    assert os.readlink(f"/proc/{init}/ns/uts") != lines[-1]


def test_a_network_with_a_way_out_is_set_up_once(rl: Rl, donor: Donor, busybox_image: str) -> None:
    donor("--net", "slirp4netns")
    joiner = rl(
        "run", "-d", "--name", "joiner", "--net", "container:donor", busybox_image, "sleep", "1000"
    ).stdout.strip()  # fmt: skip
    state: Any = containers.read_state(rl.paths, joiner)
    assert "network" not in state["processes"]
    shown = rl("run", "--rm", "--net", "container:joiner", busybox_image, "ip", "-4", "address")
    assert "10.0.2.100" in shown.stdout and "tap0" in shown.stdout
    rl("rm", "-f", "donor")
    # It goes on with a network that leads nowhere, and ends as any other.
    assert inspected(rl, "joiner")["State"]["Running"]
    assert rl("stop", "-t", "0", "joiner").stdout == "joiner\n"


def test_what_inspect_and_ps_show(rl: Rl, donor: Donor, busybox_image: str) -> None:
    donor_id = donor()
    rl(
        "run", "-d", "--name", "joiner", "--net", "container:donor", "--pid", "container:donor",
        "--ipc", f"container:{donor_id[:9]}", "--uts", "container:donor", busybox_image,
        "sleep", "1000",
    )  # fmt: skip
    settings = inspected(rl, "joiner")["HostConfig"]
    modes = [settings[key] for key in ("NetworkMode", "PidMode", "IpcMode", "UTSMode")]
    assert modes == [f"container:{donor_id}"] * 4
    shown = rl("ps", "--filter", "name=joiner", "--format", "{{.Networks}}").stdout
    assert shown == f"container:{donor_id[:12]}\n"


# --- pid, ipc, uts


def test_processes_of_both_are_seen_and_end_apart(
    rl: Rl, donor: Donor, busybox_image: str, leftovers: Leftovers
) -> None:
    donor_id = donor(script="echo up; sleep 71001 & exec sleep 71000")
    joiner = rl(
        "run", "-d", "--name", "joiner", "--net=none", "--pid", "container:donor", busybox_image,
        "sh", "-c", "sleep 71002 & (sleep 71003 &) ; ps; exec sleep 71004",
    ).stdout.strip()  # fmt: skip
    # The last one runs when ps has listed the others.
    wait_until(lambda: all(running_with(f"sleep {number}") for number in (71002, 71003, 71004)))
    numbers = (71000, 71001, 71002, 71003)
    wait_until(lambda: all(f"sleep {one}" in rl("logs", "joiner").stdout for one in numbers))
    rl("kill", "joiner")
    assert not any(running_with(f"sleep {number}") for number in (71002, 71003, 71004))
    assert running_with("sleep 71000") == [pid_of(rl, donor_id)]
    assert leftovers.live() == [donor_id] and joiner != donor_id


def test_exec_in_a_container_that_joined_others(rl: Rl, donor: Donor, busybox_image: str) -> None:
    init = pid_of(rl, donor())
    rl(
        "run", "-d", "--name", "joiner", "--net", "container:donor", "--pid", "container:donor",
        busybox_image, "sleep", "71008",
    )  # fmt: skip
    done = rl("exec", "joiner", "sh", "-c", "ps")
    assert "sleep 1000" in done.stdout and "sleep 71008" in done.stdout
    shown = rl("exec", "joiner", "readlink", "/proc/self/ns/net").stdout.strip()
    assert shown == os.readlink(f"/proc/{init}/ns/net")
    assert rl("exec", "joiner", "sh", "-c", "exit 5", code=5).stdout == ""


def test_orphans_end_without_a_control_group(rl: Rl, donor: Donor, busybox_image: str) -> None:
    donor()
    done = rl(
        "run", "--rm", "--net=none", "--cgroup-manager", "disabled", "--pid", "container:donor",
        busybox_image, "sh", "-c", "(sleep 71005 &) ; sleep 71006 & exit 4", code=4,
    )  # fmt: skip
    assert done.stderr == ""
    assert running_with("sleep 71005") == running_with("sleep 71006") == []


def test_the_end_of_a_pid_namespace_ends_who_joined_it(
    rl: Rl, donor: Donor, busybox_image: str, leftovers: Leftovers
) -> None:
    donor()
    rl(
        "run", "-d", "--name", "joiner", "--net=none", "--pid", "container:donor", busybox_image,
        "sleep", "71007",
    )  # fmt: skip
    rl("stop", "-t", "0", "donor")
    assert rl("wait", "joiner").stdout == "137\n"
    assert running_with("sleep 71007") == []
    wait_until(lambda: leftovers.live() == [])


def test_clocks_agree_in_a_joined_pid_namespace(rl: Rl, donor: Donor, sh: Sh) -> None:
    """ps would find processes that are yet to start, were they counted from another moment."""
    donor()
    script = "cut -d' ' -f22 /proc/1/stat; cut -d. -f1 /proc/uptime; readlink /proc/self/ns/time"
    first, uptime, _ = sh(script, "--pid", "container:donor").stdout.splitlines()
    assert int(first) // os.sysconf("SC_CLK_TCK") <= int(uptime) < 60


def test_shared_memory_goes_with_an_ipc_namespace(rl: Rl, donor: Donor, sh: Sh) -> None:
    donor_id = donor(script="echo mine > /dev/shm/one; echo up; exec sleep 1000")
    script = "cat /dev/shm/one; echo yours > /dev/shm/two; readlink /proc/self/ns/ipc"
    lines = sh(script, "--ipc", "container:donor").stdout.splitlines()
    init = pid_of(rl, donor_id)
    assert lines == ["mine", os.readlink(f"/proc/{init}/ns/ipc")]
    assert sh("cat /dev/shm/two", "--ipc", "container:donor").stdout == "yours\n"


def test_an_ipc_namespace_that_is_private(rl: Rl, donor: Donor, busybox_image: str) -> None:
    donor("--ipc", "private")
    words = ("run", "--rm", "--net=none", "--ipc", "container:donor", busybox_image, "true")
    assert "non-shareable IPC" in rl(*words, code=125).stderr


def test_a_shared_host_name(rl: Rl, donor: Donor, sh: Sh) -> None:
    donor("--hostname", "there")
    done = sh("hostname; cat /etc/hostname; echo $HOSTNAME", "--uts", "container:donor")
    assert done.stdout == "there\n" * 3


# --- what cannot be


@pytest.mark.parametrize(
    ("of_donor", "flags", "words"),
    [
        (("--userns", "keep-id"), ("--net", "container:donor"), "has ids of its own"),
        (("--userns", "keep-id"), ("--userns", "container:donor"), "has ids of its own"),
        (("--net", "host"), ("--net", "container:donor"), "has the host's"),
        (("--pid", "host"), ("--net=none", "--pid", "container:donor"), "has the host's"),
    ],
)
def test_namespaces_that_cannot_be_joined(
    rl: Rl,
    donor: Donor,
    leftovers: Leftovers,
    busybox_image: str,
    of_donor: tuple[str, ...],
    flags: tuple[str, ...],
    words: str,
) -> None:
    donor_id = donor(*of_donor)
    done = rl("run", "--rm", *flags, busybox_image, "true", code=None)
    assert done.returncode == 125 and words in done.stderr and "hint: " in done.stderr
    assert leftovers.containers() == [donor_id]


def test_two_containers_that_have_nothing_in_common(
    rl: Rl, donor: Donor, busybox_image: str, sh: Sh
) -> None:
    donor()
    donor("--name", "second")
    flags = ("--net", "container:donor", "--pid", "container:second")
    done = rl("run", "--rm", *flags, busybox_image, "true", code=125)
    assert "do not share a user namespace" in done.stderr
    rl("rm", "-f", "second")
    donor("--name", "second", "--userns", "container:donor")
    assert sh("echo both", *flags).stdout == "both\n"


def test_one_that_is_gone(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--rm", "--net", "container:nobody", busybox_image, "true", code=125)
    assert "no such container: nobody" in done.stderr


# --- starts


def test_a_start_needs_the_other_container(
    rl: Rl, donor: Donor, busybox_image: str, leftovers: Leftovers
) -> None:
    donor("--hostname", "there")
    rl(
        "create", "--name", "joiner", "--net", "container:donor", busybox_image,
        "sh", "-c", "hostname; exec sleep 1000",
    )  # fmt: skip
    assert leftovers.live() == [inspected(rl, "donor")["Id"]]
    rl("start", "joiner")
    wait_until(lambda: rl("logs", "joiner").stdout == "there\n")
    rl("stop", "-t", "0", "joiner", "donor")
    done = rl("start", "joiner", code=None)
    assert done.returncode != 0
    assert "cannot join network of a non running container: donor" in done.stderr
    assert "hint: rl start donor" in done.stderr
    rl("start", "donor", "joiner")
    wait_until(lambda: rl("logs", "joiner").stdout == "there\n" * 2)
    rl("rm", "-f", "donor")
    rl("stop", "-t", "0", "joiner")
    assert "is gone" in rl("start", "joiner", code=None).stderr


def test_a_restart_policy_without_the_other_container(
    rl: Rl, donor: Donor, busybox_image: str
) -> None:
    donor()
    rl(
        "run", "-d", "--name", "joiner", "--net=none", "--pid", "container:donor",
        "--restart", "always", busybox_image, "sleep", "1000",
    )  # fmt: skip
    rl("stop", "-t", "0", "donor")
    wait_until(lambda: "non running container" in inspected(rl, "joiner")["State"]["Error"])
    assert inspected(rl, "joiner")["State"]["Status"] == "exited"


# --- volumes


def test_volumes_of_another_container(
    rl: Rl, donor: Donor, sh: Sh, short_dir: Path, leftovers: Leftovers
) -> None:
    (short_dir / "bound").mkdir()
    (short_dir / "bound" / "file").write_text("bound\n")
    donor(
        "-v", f"{short_dir}/bound:/bound:ro", "-v", "named:/named", "-v", "/anonymous",
        "--tmpfs", "/tmpfs", script="echo a > /anonymous/f; echo n > /named/f; echo up; sleep 1000",
    )  # fmt: skip
    script = (
        "cat /bound/file /named/f /anonymous/f; echo x > /bound/x; echo y > /named/y; ls /tmpfs"
    )
    done = sh(script, "--volumes-from", "donor", code=1)
    assert done.stdout == "bound\nn\na\n" and "Read-only" in done.stderr
    rl("stop", "-t", "0", "donor")
    assert sh("cat /named/y", "--volumes-from", "donor").stdout == "y\n"
    assert len(leftovers.volumes()) == 2


def test_read_only_volumes_of_another_container(donor: Donor, sh: Sh) -> None:
    donor("-v", "named:/named")
    done = sh("touch /named/x", "--volumes-from", "donor:ro", code=1)
    assert "Read-only" in done.stderr


def test_own_mounts_come_before_those_of_others(donor: Donor, sh: Sh) -> None:
    donor("-v", "first:/data", "-v", "first:/other", script="touch /data/first; echo up; sleep 99")
    donor("--name", "second", "-v", "second:/data", script="touch /data/second; echo up; sleep 99")
    both = ("--volumes-from", "donor", "--volumes-from", "second")
    assert sh("ls /data /other", *both).stdout.split() == ["/data:", "second", "/other:", "first"]
    assert sh("ls /data", *both, "-v", "third:/data").stdout == ""
    assert sh("ls /data", *both, "--tmpfs", "/data").stdout == ""


def test_a_volume_of_another_container_is_in_use(
    rl: Rl, donor: Donor, busybox_image: str, leftovers: Leftovers
) -> None:
    """An anonymous one goes with the last container that has it."""
    donor("--rm", "-v", "named:/named", "-v", "/anonymous")
    anonymous = next(name for name in leftovers.volumes() if name != "named")
    words = ("--net=none", "--volumes-from", "donor", busybox_image, "cat", "/anonymous/f")
    rl("create", "--name", "joiner", *words)
    rl("run", "--rm", "--net=none", "--volumes-from", "joiner", busybox_image, "true")
    assert leftovers.volumes() == sorted([anonymous, "named"])
    rl("stop", "-t", "0", "donor")
    assert leftovers.volumes() == sorted([anonymous, "named"])
    assert "is used by container joiner" in rl("volume", "rm", "named", code=None).stderr
    rl("rm", "-v", "joiner")
    assert leftovers.volumes() == ["named"]
    assert leftovers.everything() == {}


def test_dry_run_shows_what_is_joined(rl: Rl, donor: Donor, busybox_image: str) -> None:
    init = pid_of(rl, donor())
    done = rl("run", "--dry-run", "--net", "container:donor", busybox_image, "true")
    spaces = {one["type"]: one for one in json.loads(done.stdout)["linux"]["namespaces"]}
    assert spaces["network"]["path"] == f"/proc/{init}/ns/net"
    assert "another container's" in done.stderr
