"""Hosts that give less: a user namespace with mounts of its own, in which rl is run.

Its root is who runs the tests, with all of that user's subordinate ids, as in a container that has
rl in it. What is hidden there, or limited, is back with the end of the command.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

import pytest

from tests.user.conftest import Rl

HAS_SLIRP = "/usr/bin/slirp4netns"
HAS_PASTA = "/usr/bin/pasta"
# A /dev without fuse and tun, as containers have it.
BARE_DEV = """
mount -t tmpfs none /mnt
for name in null zero full random urandom tty; do
    touch /mnt/$name
    mount --bind /dev/$name /mnt/$name
done
mkdir /mnt/pts /mnt/shm /mnt/mqueue
mount --rbind /dev/pts /mnt/pts
ln -s pts/ptmx /mnt/ptmx
ln -s /proc/self/fd /mnt/fd
mount --rbind /mnt /dev
"""


def without(*programs: str) -> str:
    """The set-up of a host that lacks `programs`, absolute paths."""
    return "\n".join(f"mount --bind /dev/null {path}" for path in programs)


def broken(*programs: str) -> str:
    """The set-up of a host where `programs` end at once."""
    return "\n".join(f"mount --bind /bin/false {path}" for path in programs)


class Host:
    """`host(SETUP, "run", …)` runs rl where the shell lines SETUP have been executed before."""

    def __init__(self, rl: Rl) -> None:
        self.rl = rl

    def __call__(
        self, setup: str, *arguments: str, code: int | None = 0,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        return self.sh(f'{setup}\nexec "$@"', *self.rl.argv, *arguments, code=code, env=env)

    def sh(
        self, script: str, *words: str, code: int | None = 0, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A shell script there, with `words` as its arguments."""
        argv = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount"]
        done = subprocess.run(
            [*argv, "sh", "-euc", script, "sh", *words],
            env={**self.rl.env, **(env or {})}, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", timeout=90, check=False,
        )  # fmt: skip
        if code is not None and done.returncode != code:
            pytest.fail(f"{words}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done


@pytest.fixture
def host(rl: Rl) -> Host:
    return Host(rl)
