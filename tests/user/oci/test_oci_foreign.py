"""`rl run --runtime`: another runtime on what our keeper has made. rl-oci stands for all of them:
crun refuses hosts with both versions of cgroups, and behaves alike on others."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.user.conftest import Rl

SHOW = "id -u; cat /etc/hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat; exit 3"


@pytest.mark.parametrize("network", ["none", "slirp4netns"])
def test_a_run_in_the_foreground(rl: Rl, busybox_image: str, rl_oci: str, network: str) -> None:
    words = ["run", "--rm", "-i", "--runtime", rl_oci, "--net", network, "--hostname=me"]
    done = rl(*words, busybox_image, "sh", "-c", SHOW, input="said\n", code=3)
    assert done.stdout == "0\nme\n0\nsaid\n"
    assert done.stderr == ""


def test_a_detached_one_ends_as_a_whole(rl: Rl, busybox_image: str, rl_oci: str) -> None:
    words = ["--runtime", rl_oci, "--net=none", busybox_image, "sleep", "1234"]
    rl("run", "-d", "--name=one", *words)
    deadline = time.monotonic() + 20
    while not running("sleep", "1234"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "belongs to another runtime" in rl("exec", "one", "true", code=125).stderr
    rl("kill", "one")
    rl("wait", "one")
    assert not running("sleep", "1234")
    rl("rm", "one")


def running(*words: str) -> bool:
    line = "\0".join(words).encode() + b"\0"
    return any(
        path.read_bytes() == line for path in Path("/proc").glob("[0-9]*/cmdline") if readable(path)
    )


def readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_the_program_is_missing(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--rm", "--runtime=no-such", "--net=none", busybox_image, "true", code=125)
    assert "no-such: not installed" in done.stderr
    done = rl("run", "--rm", "--runtime=/no/such", "--net=none", busybox_image, "true", code=None)
    assert done.returncode in (125, 127) and "/no/such" in done.stderr


@pytest.mark.parametrize("flag", ["-t", "--init", "--userns=keep-id", "--timens=private"])
def test_what_only_our_own_can_do(rl: Rl, busybox_image: str, flag: str) -> None:
    done = rl("run", "--rm", "--runtime=crun", flag, busybox_image, "true", code=125)
    assert "not together with" in done.stderr


def test_crun_is_told_what_it_needs(rl: Rl, busybox_image: str, short_dir: Path) -> None:
    """A program in its place shows its arguments and the document that it gets."""
    program = short_dir / "shows"
    program.write_text('#!/bin/sh\necho "$@"\ncat config.json\n')
    program.chmod(0o755)
    done = rl("run", "--rm", "--runtime", str(program), "--net=none", busybox_image, "true")
    words, document = done.stdout.split("\n", 1)
    assert "--cgroup-manager=disabled run --bundle" in words
    assert '"type": "user"' not in document and '"uidMappings"' not in document
    assert '"defaultAction"' in document
