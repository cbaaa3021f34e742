"""--userns: which ids the container sees, and whose its files are outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.tools import idmap
from tests.user.conftest import Rl
from tests.user.run.conftest import Background, Leftovers, Sh
from tests.user.run.run_images import ImageMaker, folder, member

Start = Callable[..., Background]
ME = os.getuid()


@pytest.fixture(autouse=True)
def subordinate_ids() -> None:
    if idmap.canonical_maps().is_single:
        pytest.skip("needs subordinate ids for this user")


def ranges_outside(pid: int) -> list[tuple[int, int]]:
    """(first, size) of the host's uids in the user namespace of `pid`."""
    rows = [line.split() for line in Path(f"/proc/{pid}/uid_map").read_text().splitlines()]
    return [(int(first), int(size)) for _, first, size in rows]


def maps(ids: list[tuple[int, int]], uid: int) -> bool:
    return any(first <= uid < first + size for first, size in ids)


@pytest.mark.parametrize("flags", [[], ["--userns=host"]], ids=["default", "host"])
def test_root_is_the_user(sh: Sh, work: Path, flags: list[str]) -> None:
    script = "id -u; touch /w/root; touch /w/other; chown 1:1 /w/other; stat -c %u:%g /w"
    assert sh(script, *flags, "-v", f"{work}:/w").stdout.split() == ["0", "0:0"]
    owner = (work / "other").stat().st_uid
    assert (work / "root").stat().st_uid == ME and owner not in (ME, 0, 1)


def test_keep_id(sh: Sh, work: Path) -> None:
    (work / "mine").write_text("x")
    (work / "mine").chmod(0o600)
    script = """
    id -u; id -g; whoami >/dev/null && grep -c ":$(id -u):" /etc/passwd
    stat -c %u /w/mine; cat /w/mine; echo; touch /w/new; stat -c %u /etc/group /bin/busybox
    stat -c %u /etc/passwd /etc/hosts /etc/resolv.conf; grep -c ":$(id -g):" /etc/group
    """
    found = sh(script, "--userns=keep-id", "-v", f"{work}:/w").stdout.split()
    assert found == [str(ME), str(os.getgid()), "1", str(ME), "x", *"00", *"000", "1"]
    assert (work / "new").stat().st_uid == ME


def test_keep_id_as_another_id(sh: Sh, work: Path) -> None:
    flags = ["--userns=keep-id:uid=5,gid=6", "-v", f"{work}:/w"]
    assert sh("id -u; id -g; touch /w/new; stat -c %u /w/new", *flags).stdout.split() == [
        "5",
        "6",
        "5",
    ]
    assert (work / "new").stat().st_uid == ME


def test_keep_id_with_user_root_is_a_subordinate_id_outside(sh: Sh, work: Path) -> None:
    work.chmod(0o777)
    flags = ["--userns=keep-id", "--user", "0", "-v", f"{work}:/w"]
    assert sh("id -u; touch /w/new; stat -c %u /w/new", *flags).stdout.split() == ["0", "0"]
    assert (work / "new").stat().st_uid not in (ME, 0)


@pytest.mark.parametrize("mode", ["nomap", "auto", "auto:size=1000"])
def test_the_user_is_not_mapped(sh: Sh, background: Start, work: Path, mode: str) -> None:
    (work / "mine").write_text("x")
    script = "id -u; stat -c %u /w /w/mine; touch /etc/x /root/x && stat -c %u /etc/x /bin/busybox"
    found = sh(script, f"--userns={mode}", "-v", f"{work}:/w").stdout.split()
    assert found == ["0", "65534", "65534", "0", "0"]
    container = background("echo ready; sleep 1000", "--net=none", f"--userns={mode}")
    outside = ranges_outside(container.pid("init"))
    container.end()
    assert not maps(outside, ME)
    if ":" in mode:
        assert sum(size for _, size in outside) == 1000


def test_streams_work_where_the_user_is_not_mapped(sh: Sh) -> None:
    for mode in ("nomap", "auto", "keep-id"):
        done = sh(
            "cat; echo err >&2; echo again > /dev/stdout", "-i", f"--userns={mode}", input="in\n"
        )
        assert (done.stdout, done.stderr) == ("in\nagain\n", "err\n")


def test_auto_containers_have_ranges_of_their_own(background: Start) -> None:
    flags = ["--net=none", "--userns=auto:size=2000"]
    # The second is looked at by its process: two live containers have two states.
    first = background("echo ready; sleep 1000", *flags)
    one = ranges_outside(first.pid("init"))
    second = background("cat /proc/self/uid_map; echo ready; sleep 1000", *flags)
    pids = [state["processes"]["init"][0] for state in states(second.rl)]
    both = [ranges_outside(pid) for pid in pids]
    assert len(both) == 2 and one in both
    ids = [set(range(start, start + size)) for rows in both for start, size in rows]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 4000
    first.end()
    second.end()


def test_auto_containers_that_start_at_once(rl: Rl, busybox_image: str) -> None:
    argv = ["run", "--rm", "--net=none", "-i", "--userns=auto:size=2000", busybox_image]
    script = "cat /proc/self/uid_map; cat"
    started = [rl.popen(*argv, "sh", "-c", script, stdin=-1, stdout=-1) for _ in range(8)]
    rows = []
    for process in started:
        assert process.stdout is not None
        _, first, size = process.stdout.readline().split()
        rows.append((int(first), int(size)))
    for process in started:
        process.communicate(timeout=30)
    assert [process.returncode for process in started] == [0] * 8
    ids = [set(range(first, first + size)) for first, size in rows]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 16000


def states(rl: Rl) -> list[dict[str, dict[str, list[int]]]]:
    from rootless.store import containers

    return [containers.read_state(rl.paths, one) for one in containers.live_ids(rl.paths)]


def test_auto_beyond_what_there_is(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--userns=auto:size=100000000", busybox_image, "true", code=125)
    assert "--userns auto:size=100000000" in done.stderr and "hint: " in done.stderr


@pytest.mark.parametrize("mode", ["host", "keep-id", "auto", "nomap"])
def test_a_new_volume_belongs_to_root(sh: Sh, mode: str) -> None:
    script = "stat -c %u:%g /new /srv; touch /new/f /srv/f && echo written"
    flags = [f"--userns={mode}", "--user", "0", "-v", "/new", "-v", "named:/srv"]
    assert sh(script, *flags).stdout.split()[-1] == "written"


@pytest.mark.parametrize("mode", ["host", "keep-id", "auto", "nomap"])
def test_owners_in_the_image_are_shown_alike(rl: Rl, images: ImageMaker, mode: str) -> None:
    image = images([folder("o", uid=3, gid=4), member("o/f", uid=1000, gid=50, mode=0o640)])
    script = "stat -c %u:%g:%a /o /o/f; chown 7:8 /o/f; touch /o/n; stat -c %u:%g /o/f /o/n"
    flags = ["run", "--rm", "--net=none", f"--userns={mode}", "--user", "0", image]
    assert rl(*flags, "sh", "-c", script).stdout.split() == ["3:4:755", "1000:50:640", "7:8", "0:0"]


@pytest.mark.parametrize("mode", ["host", "keep-id", "auto"])
@pytest.mark.parametrize("driver", ["fuse-overlayfs", "vfs"])
def test_files_of_subordinate_ids_can_be_removed(
    rl: Rl, busybox_image: str, leftovers: Leftovers, mode: str, driver: str
) -> None:
    script = "mkdir -p /d/e; touch /d/e/f; chown -R 1000:1000 /d; chmod 0 /d/e /d; chmod 0 /etc"
    rl(
        "run", "--net=none", "--name", "c", "--user", "0", f"--userns={mode}", "--storage-driver",
        driver, "-v", "/vol", busybox_image, "sh", "-c", f"{script}; touch /vol/x; chmod 0 /vol",
    )  # fmt: skip
    assert rl("rm", "-v", "c").stdout == "c\n"
    assert leftovers.everything() == {} and leftovers.volumes() == []


def test_the_network_works_in_a_nested_namespace(sh: Sh) -> None:
    for mode in ("keep-id", "auto"):
        done = sh("ip -4 addr show tap0", "--net=slirp4netns", f"--userns={mode}")
        assert "10.0.2.100/24" in done.stdout


def test_a_terminal_in_a_nested_namespace(rl: Rl, busybox_image: str) -> None:
    done = rl("run", "--rm", "-t", "--net=none", "--userns=keep-id", busybox_image, "sh", "-c",
              "tty; stat -c %u $(tty)")  # fmt: skip
    assert done.stdout.split() == ["/dev/pts/0", str(ME)]


def test_binds_from_a_private_home(rl: Rl, busybox_image: str, work: Path) -> None:
    """The inner root is another user than ours: it could not walk there by itself."""
    (work / "private").mkdir()
    (work / "private/f").write_text("reached\n")
    work.chmod(0o700)
    done = rl("run", "--rm", "--net=none", "--userns=auto", "-v", f"{work}/private:/w:ro",
              busybox_image, "cat", "/w/f")  # fmt: skip
    assert done.stdout == "reached\n"
