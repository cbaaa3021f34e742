"""`rl doctor` on hosts that lack something: what it says, its exit code, and that nothing stays."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.user.conftest import RL_ARGV, Rl
from tests.user.doctor import reduced_host

SCRIPT = Path(reduced_host.__file__)
# Not of this host's making, and told by other tests: what a machine of CI has of it may change.
ELSEWHERE = ("limits", "controllers", "linger", "registry docker.io", "space", "inodes")


# The home directories of these hosts are on one.
KERNEL = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
pytestmark = pytest.mark.skipif(
    KERNEL < (6, 6), reason="needs a tmpfs with user attributes: Linux 6.6"
)


class Host:
    """A host with `wishes`, see reduced_host.DEFAULTS."""

    def __init__(self, **wishes: Any) -> None:
        self._wishes = {"home": "size=4g", **wishes}

    def rl(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(SCRIPT), json.dumps(self._wishes), *RL_ARGV, *arguments],
            capture_output=True, text=True, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1",
                 **more},
        )  # fmt: skip

    def doctor(self) -> Report:
        done = self.rl("doctor", "--json")
        assert done.stderr == ""
        return Report(json.loads(done.stdout), done.returncode)


class Report:
    def __init__(self, document: dict[str, Any], code: int) -> None:
        self.document = document
        self.code = code
        self.checks = {
            row["check"]: row for area in document["areas"] for row in area["checks"]
        }  # fmt: skip

    def __getitem__(self, check: str) -> dict[str, Any]:
        return self.checks[check]  # type: ignore[no-any-return]

    @property
    def less(self) -> dict[str, str]:
        """The checks that do not work, with their states, of those that this host is to decide."""
        return {
            name: row["state"]
            for name, row in self.checks.items()
            if row["state"] != "works" and name not in ELSEWHERE
        }


def opens(report: Report, path: str, module: str) -> bool:
    """Whether the letter says how; the tests may run inside of a container."""
    ways = (f"sudo modprobe {module}; sudo chmod 0666 {path}", f" run --device {path} ")
    return any(way in report.document["letter"] for way in ways)


def test_a_host_that_has_everything() -> None:
    report = Host().doctor()
    assert report.less == {}
    assert report.code in (0, 1)
    assert report["storage-driver"]["found"].startswith("fuse-overlayfs")
    assert "tap device came up" in report["slirp4netns"]["found"]
    assert report.document["user"] == reduced_host.USER


def test_no_fuse_device() -> None:
    report = Host(devices=["net/tun"]).doctor()
    assert report.less == {"dev-fuse": "reduced"} and report.code == 1
    assert report["dev-fuse"]["found"] == "/dev/fuse: no such file or directory"
    assert "the kernel's overlay is used" in report["dev-fuse"]["meaning"]
    assert opens(report, "/dev/fuse", "fuse")


def test_no_fuse_overlayfs() -> None:
    report = Host(without=["/usr/bin/fuse-overlayfs"]).doctor()
    assert report.less == {"fuse-overlayfs": "reduced"}
    assert "sudo apt-get install fuse-overlayfs" in report.document["letter"]


def test_no_subordinate_ids() -> None:
    report = Host(subids="").doctor()
    assert report.less == {"subordinate-ids": "reduced"} and report.code == 1
    assert report["subordinate-ids"]["found"] == (
        "none for tester in /etc/subuid and /etc/subgid"
    )  # fmt: skip
    assert (
        "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 tester"
        in report.document["letter"]
    )


def test_helpers_without_their_setuid_bit() -> None:
    report = Host(helpers=0o755).doctor()
    assert set(report.less) == {"newuidmap", "newgidmap"}
    assert "sudo chmod u+s /usr/bin/newuidmap /usr/bin/newgidmap" in report.document["letter"]


def test_no_new_privileges() -> None:
    report = Host(no_new_privs=True).doctor()
    assert set(report.less) == {"newuidmap", "newgidmap"}
    assert "no_new_privs" in report["newuidmap"]["found"]


def test_no_slirp4netns() -> None:
    report = Host(without=["/usr/bin/slirp4netns"]).doctor()
    assert set(report.less) == {"slirp4netns"}
    assert report["slirp4netns"]["found"] == "not installed"
    assert "sudo apt-get install slirp4netns" in report.document["letter"]


def test_no_tun_device() -> None:
    report = Host(devices=["fuse"]).doctor()
    assert report.less == {"dev-net-tun": "reduced"}
    assert report["slirp4netns"]["absent"]
    assert opens(report, "/dev/net/tun", "tun")


def test_no_network_namespaces() -> None:
    report = Host(limits={"max_net_namespaces": 0}).doctor()
    assert set(report.less) == {"network-namespace"}
    assert "user.max_net_namespaces (0) is reached" in report["network-namespace"]["found"]
    assert "user.max_net_namespaces=28633" in report.document["letter"]


def test_no_cgroups() -> None:
    report = Host(empty=["/sys/fs/cgroup"]).doctor()
    assert report["limits"]["state"] == "reduced"
    assert report["limits"]["found"] == "no cgroup file system is mounted"
    assert report.less == {}


def test_a_home_that_cannot_be_written_to() -> None:
    report = Host(home_flags=1).doctor()
    assert report.less == {"store": "reduced"}
    assert report["store"]["found"].endswith(
        ", as /mnt/home/.local/share/rl cannot be it: read-only file system"
    )


def test_a_store_that_was_asked_for_and_cannot_be() -> None:
    done = Host(home_flags=1).rl("--root", "/mnt/home/store", "doctor", "--json")
    report = Report(json.loads(done.stdout), done.returncode)
    assert report["store"]["state"] == "broken" and report.code == 2
    assert "cannot hold a store: read-only file system" in report["store"]["found"]
    untried = {area["area"]: area["untried"] for area in report.document["areas"]}
    assert untried["storage"] == "not tried: there is no store for it"


def test_a_small_home() -> None:
    report = Host(home="size=40m").doctor()
    assert report["space"]["found"] == "only 40 MiB free"
    assert "RL_ROOT" in report["space"]["fix"]["command"]


def test_programs_of_a_store_mounted_noexec_can_be_executed() -> None:
    report = Host(home_flags=8).doctor()
    assert report.less == {}
    assert "mounted noexec" in report["store"]["found"]


def test_a_home_that_does_not_answer() -> None:
    report = Host(home_hangs=True).doctor()
    assert report["store"]["state"] == "broken" and report.code == 2
    assert report["store"]["found"] == "no answer within 1.5 seconds"
    assert "does not answer" in report["store"]["meaning"]
    # All else is known.
    assert report["user-namespaces"]["state"] == report["slirp4netns"]["state"] == "works"


FORBIDDEN = [
    (
        {"limits": {"max_user_namespaces": 0}},
        "this host allows none (user.max_user_namespaces is 0)",
        "sudo sysctl -w user.max_user_namespaces=28633",
        "echo user.max_user_namespaces=28633 | sudo tee -a /etc/sysctl.d/99-rl.conf",
    ),
    (
        {"container": True},
        "the seccomp filter of the podman container around this process forbids them",
        "podman run --security-opt seccomp=unconfined",
        "podman run --security-opt seccomp=unconfined",
    ),
]


@pytest.mark.parametrize(("wishes", "reason", "hint", "command"), FORBIDDEN, ids=["limit", "outer"])
def test_user_namespaces_are_forbidden(
    wishes: dict[str, Any], reason: str, hint: str, command: str
) -> None:
    """A run and the doctor say the same."""
    report = Host(**wishes).doctor()
    assert report.less == {"user-namespaces": "broken"} and report.code == 2
    assert report["user-namespaces"]["found"] == reason
    assert command in report.document["letter"]
    run = Host(**wishes).rl("run", "--rm", "localhost/busybox", "true")
    assert run.returncode == 125
    first, second, third = run.stderr.splitlines()
    assert first == f"rl: error: user namespaces: {reason}"
    assert second.startswith(f"hint: {hint}")
    assert third.startswith("hint: rl doctor")


@pytest.mark.parametrize("wishes", [{"subids": "", "devices": []}, {"container": True}])
def test_the_letter_can_be_pasted_into_a_shell(wishes: dict[str, Any]) -> None:
    letter = Host(**wishes).doctor().document["letter"]
    assert letter.count("\n") > 4
    subprocess.run(["/bin/sh", "-n"], input=letter, text=True, check=True)
    # Placeholders stand in comments only.
    assert not [line for line in letter.splitlines() if "…" in line and not line.startswith("#")]


def test_words_for_people() -> None:
    done = Host(devices=["net/tun"], subids="").rl("doctor")
    lines = done.stdout.splitlines()
    assert done.returncode == 1
    row = next(line for line in lines if " dev-fuse " in line)
    assert row.split(maxsplit=2) == ["reduced", "dev-fuse", "/dev/fuse: no such file or directory"]
    assert "rl works here, with less:" in lines
    assert lines.index("Send this to your administrator:") > lines.index("What you can do:")
    assert any(line.startswith("# tester (uid 1000) runs containers here") for line in lines)
    assert max(len(line) for line in lines if line.startswith("  works")) < 110


@pytest.fixture
def home(rl: Rl) -> Callable[[], list[str]]:
    return lambda: sorted(str(path.relative_to(rl.home)) for path in rl.home.rglob("*"))


def test_nothing_is_made_and_nothing_stays(rl: Rl, home: Callable[[], list[str]]) -> None:
    """No store, no runtime directory, no file of a trial; mounts and processes: the fixture."""
    before = home()
    without = {name: value for name, value in rl.env.items() if name != "RL_ROOT"}
    done = subprocess.run(
        [*rl.argv, "doctor", "--json"], env=without, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout
    assert home() == before
    assert not rl.runtime.exists()


def test_a_store_in_use_stays_as_it_is(rl: Rl, busybox_image: str) -> None:
    rl("run", "--rm", "--net", "none", busybox_image, "true")
    before = sorted(map(str, rl.root.rglob("*")))
    rl("doctor", code=None)
    assert sorted(map(str, rl.root.rglob("*"))) == before


@pytest.mark.may_skip_on_ci("Debian 12 has AppArmor 3.0, which does not know the rule")
def test_the_profile_for_apparmor_can_be_read_by_its_parser(tmp_path: Path) -> None:
    """Without the kernel's part: whether a process gets the rights is not seen here."""
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
    if parser is None or not Path("/etc/apparmor.d/abi/4.0").exists():
        pytest.skip("needs apparmor_parser 4.0 or newer, for the rule `userns`")
    profile = Path(__file__).parents[3] / "packaging/apparmor/rl"
    done = subprocess.run(
        [parser, "--skip-kernel-load", "--skip-cache", str(profile)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("wishes", "driver", "told"),
    [
        ({}, "storage", "fuse-overlayfs"),
        ({"devices": ["net/tun"]}, "storage", "overlay"),
        ({}, "network", "slirp4netns"),
        ({"without": ["/usr/bin/slirp4netns"]}, "network", "pasta (slirp4netns: not installed)"),
        ({"limits": {"max_net_namespaces": 0}}, "network", "host (namespaces: the limit"),
        ({}, "ids", "subordinate ids"),
        ({"subids": ""}, "ids", "one id: "),
        ({"empty": ["/sys/fs/cgroup"]}, "cgroups", "disabled (no cgroup file system is mounted)"),
    ],
)
def test_info_tells_what_is_in_use(wishes: dict[str, Any], driver: str, told: str) -> None:
    done = Host(**wishes).rl("info", "--format", "json")
    assert json.loads(done.stdout)["drivers"][driver].startswith(told), done
