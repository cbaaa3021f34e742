"""Podman, as a normal user, with rl-oci for its runtime."""

from __future__ import annotations

import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.user.conftest import Rl

IMAGE = "localhost/bb"
APPLETS = ("sh", "cat", "id", "ls", "sleep", "echo", "ps", "tty", "true")


class Podman:
    """podman with a store and settings of its own."""

    def __init__(self, place: Path, rl: Rl, runtime: str) -> None:
        settings = place / "containers.conf"
        settings.write_text(
            '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "rl-oci"\n'
            f'[engine.runtimes]\nrl-oci = ["{runtime}"]\n'
        )
        session = place / "x"
        session.mkdir(mode=0o700)
        self.env = {
            **rl.env, "XDG_RUNTIME_DIR": str(session), "CONTAINERS_CONF": str(settings),
        }  # fmt: skip
        policy = rl.home / ".config/containers/policy.json"
        policy.parent.mkdir(parents=True)
        policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        self.argv = ["podman", "--root", f"{place}/g", "--runroot", f"{place}/r",
                     "--tmpdir", f"{place}/t", "--storage-driver=vfs"]  # fmt: skip

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [*self.argv, *words], env=self.env, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout.strip() if code == 0 else done.stdout + done.stderr


@pytest.fixture
def podman(short_dir: Path, rl: Rl, rl_oci: str) -> Iterator[Podman]:
    place = short_dir / "p"
    place.mkdir()
    program = Podman(place, rl, rl_oci)
    with tarfile.open(place / "image.tar", "w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name in APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
    program("import", "-q", str(place / "image.tar"), IMAGE)
    yield program
    program("system", "reset", "-f")
    program("system", "migrate")


def test_run(podman: Podman) -> None:
    assert podman("run", "--rm", "--net=none", IMAGE, "echo", "hello") == "hello"
    podman("run", "--rm", "--net=none", IMAGE, "sh", "-c", "exit 7", code=7)
    said = podman("run", "--rm", "--net=none", IMAGE, "nosuch", code=127)
    assert "executable file not found in $PATH" in said
    assert podman("run", "--rm", "--net=none", "-t", IMAGE, "tty") == "/dev/pts/0"
    user = podman("run", "--rm", "--net=none", "--user=33:44", IMAGE, "id")
    assert user.startswith("uid=33 gid=44")
    me = podman("run", "--rm", "--net=none", "--userns=keep-id", IMAGE, "id", "-u")
    assert int(me) > 0


def test_a_life(podman: Podman) -> None:
    script = "trap 'exit 3' TERM; echo up; while :; do sleep 0.1; done"
    podman("run", "-d", "--name=one", "--net=none", IMAGE, "sh", "-c", script)
    assert podman("inspect", "-f", "{{.OCIRuntime}} {{.State.Status}}", "one") == "rl-oci running"
    assert "sh -c trap" in podman("exec", "one", "ps")
    podman("exec", "one", "sh", "-c", "exit 5", code=5)
    assert podman("exec", "-t", "one", "tty") == "/dev/pts/0"
    assert podman("logs", "one") == "up"
    podman("stop", "one")
    assert podman("inspect", "-f", "{{.State.ExitCode}}", "one") == "3"
    podman("start", "one")
    podman("kill", "one")
    podman("rm", "-f", "-t", "0", "one")


def test_build_and_pod(podman: Podman, short_dir: Path) -> None:
    context = short_dir / "c"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {IMAGE}\nRUN echo made > /f\nCMD cat /f\n")
    podman("build", "-q", "--net=none", "-t", "built", str(context))
    assert podman("run", "--rm", "--net=none", "built") == "made"
    podman("pod", "create", "--network=none", "pod")
    podman("run", "-d", "--pod=pod", "--name=in", IMAGE, "sleep", "60")
    deadline = time.monotonic() + 20
    while "sleep 60" not in podman("exec", "in", "ps"):
        assert time.monotonic() < deadline
    podman("pod", "rm", "-f", "-t", "0", "pod")
