"""Those of crun's own tests that limit something, where a user has a control group to limit by.

The rest of them run without a virtual machine: tests/conformance/. The outcome is the table in
docs/conformance.md; RL_WRITE_CONFORMANCE=1 writes it anew.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.conformance import crun_source, place
from tests.conformance.source_package import or_skip
from tests.conformance.table import Outcomes, outcomes_of, write_or_compare
from tests.system.guest import Guest, Session
from tests.system.image import release_or_default

TOOLS = Path(place.__file__).parent
TESTS = "test_resources.py", "test_limits.py", "test_update.py"
# Asks the systemd that it finds by systemctl, which is the user's only if it is told so.
WITH_SYSTEMD = "resources-cpu-weight-systemd"
FOLDER = "/tmp/crun-tests"
SCOPE = "systemd-run --user --scope --quiet -p Delegate=yes"


@pytest.fixture
def user(guest: Guest) -> Iterator[Session]:
    """One in whose guest there are crun's tests, and what they run with."""
    source = or_skip(crun_source.tests, "crun's")
    session = guest.as_user("ssh")
    argv = session.argv(f"mkdir -p {FOLDER}/bin && tar -xf - -C {FOLDER}")
    subprocess.run(argv, input=_packed(source), check=True)
    session.run(
        f"printf '#!/bin/sh\\nexec /usr/bin/systemctl --user \"$@\"\\n' >{FOLDER}/bin/systemctl"
        f" && chmod +x {FOLDER}/bin/systemctl"
    )
    yield session
    session.run(f"rm -r {FOLDER}")


def _packed(source: Path) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("init", "tests_utils.py", *TESTS):
            tar.add(source / "tests" / name, f"tests/{name}")
        for name in ("place.py", "as_root.py", "libmount.py"):
            tar.add(TOOLS / name, name)
    return archive.getvalue()


def _command(runtime: str, where: str, only: str, tests: tuple[str, ...]) -> str:
    """In a directory of its own, for the tests make theirs by a pid that both runs may have."""
    folder = f"{FOLDER}/{where}-{os.path.basename(runtime)}"
    names = " ".join(f"tests/{name}" for name in tests)
    return (
        f"mkdir {folder} && ln -s ../tests {folder} && cd {folder} && env {only}"
        f" OCI_RUNTIME={runtime} INIT={FOLDER}/tests/init PYTHONPATH=/opt/rl:{FOLDER}"
        f" PATH={FOLDER}/bin:$PATH"
        f" {SCOPE} python3 {FOLDER}/place.py {where} python3 {FOLDER}/as_root.py {names}"
    )


def _run(user: Session, runtime: str) -> Outcomes:
    everywhere = _command(runtime, "delegated", "", TESTS)
    with_systemd = _command(runtime, "manager", f"RUN_TESTS={WITH_SYSTEMD}", TESTS[:1])
    done = user.run(f"({everywhere}); ({with_systemd})", timeout=300)
    found = outcomes_of(done.stdout)
    assert len(found) == 12, done
    return found


def test_what_crun_passes_we_pass(user: Session) -> None:
    with ThreadPoolExecutor() as pool:
        both = "/usr/bin/crun", "/usr/local/bin/rl-oci"
        theirs, ours = pool.map(lambda runtime: _run(user, runtime), both)
    missing = [name for name in theirs if theirs[name] == "passed" and ours[name] != "passed"]
    assert missing == []
    assert user.run("find /sys/fs/cgroup -name '*test-*'").stdout == ""
    if release_or_default() == "bookworm":
        write_or_compare("crun in the virtual machine", theirs, ours)
