"""A store in a home that several hosts share: each has a runtime directory of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.user.conftest import Rl


class Hosts:
    """The same store as two hosts see it."""

    def __init__(self, rl: Rl, other_runtime: Path) -> None:
        self.rl = rl
        self.other = {"RL_HOST": "other", "RL_RUNTIME_DIR": str(other_runtime)}

    def here(self, *words: str, code: int | None = 0) -> str:
        done = self.rl(*words, code=code)
        return done.stdout + done.stderr

    def there(self, *words: str, code: int | None = 0) -> str:
        done = self.rl(*words, code=code, env=self.other)
        return done.stdout + done.stderr


@pytest.fixture
def hosts(rl: Rl, short_dir: Path) -> Iterator[Hosts]:
    both = Hosts(rl, short_dir / "r2")
    yield both
    both.there("rm", "-f", "-a", code=None)
    both.here("rm", "-f", "-a")


def test_what_runs_there_is_left_alone_here(hosts: Hosts, busybox_image: str) -> None:
    flags = ("--net=none", "--name", "box", "-v", "named:/data", "-v", "/anonymous")
    container_id = hosts.there("run", "-d", *flags, busybox_image, "sleep", "1000").strip()
    assert "box" in hosts.there("ps") and "box" not in hosts.here("ps")
    assert "(on host other)" in hosts.here("ps", "-a")
    for words in (
        ("rm", "box"), ("rm", "-f", "box"), ("start", "box"), ("stop", "box"), ("wait", "box"),
        ("kill", "box"), ("restart", "-t0", "box"), ("exec", "box", "true"), ("attach", "box"),
        ("cp", "box:/etc/passwd", "-"), ("system", "reset", "--force"),
    ):  # fmt: skip
        assert "runs on host other" in hosts.here(*words, code=None), words
    for words in (
        ("container", "prune", "-f"), ("volume", "prune", "-fa"), ("image", "prune", "-fa"),
        ("system", "prune", "-fa", "--volumes"), ("inspect", "box"), ("ps", "-a"),
    ):  # fmt: skip
        hosts.here(*words, code=None)
    assert hosts.there("exec", "box", "ls", "-d", "/data", "/anonymous", "/bin/sh").split() == [
        "/anonymous", "/bin/sh", "/data",
    ]  # fmt: skip
    hosts.there("stop", "-t0", "box")
    # What has ended may be started anywhere; then it is that host's.
    assert hosts.here("start", "box") == "box\n"
    assert "runs on host" in hosts.there("start", "box", code=125)
    assert container_id[:12] in hosts.here("ps", "-q")
    hosts.here("rm", "-f", "box")


def test_a_reboot_is_healed_without_a_word(hosts: Hosts, rl: Rl, busybox_image: str) -> None:
    """As far as files tell of it: the runtime directory is another, empty one."""
    hosts.here("run", "-d", "--restart=always", "--net=none", "--name", "box", busybox_image,
               "sleep", "1000")  # fmt: skip
    lived = Path(rl.paths.running)
    hosts.here("kill", "box")
    record = f"{rl.paths.containers}/{os.listdir(rl.paths.containers)[0]}/container.json"
    text = Path(record).read_text()
    Path(record).write_text(text.replace('"status": "exited"', '"status": "running"'))
    assert list(lived.iterdir()) == []
    assert "Exited (255)" in hosts.here("ps", "-a")
    assert hosts.here("start", "box") == "box\n"
