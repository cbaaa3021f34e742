"""-v, --mount, --tmpfs, --device, volumes that images declare, --read-only."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from rootless.tools import idmap
from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, Sh
from tests.user.run.run_images import ImageMaker, folder, member, symlink


def test_a_bind_is_the_hosts_directory(sh: Sh, work: Path) -> None:
    (work / "in").write_text("from host\n")
    done = sh("cat /w/in; echo from container > /w/out; mkdir /w/d", "-v", f"{work}:/w")
    assert done.stdout == "from host\n"
    assert (work / "out").read_text() == "from container\n"
    assert (work / "d").is_dir() and (work / "d").stat().st_uid == os.getuid()


def test_a_read_only_bind(sh: Sh, work: Path) -> None:
    (work / "file").write_text("keep")
    script = "touch /w/new; echo x > /w/file; rm /w/file; mount -o remount,rw /w; touch /w/new"
    done = sh(script, "-v", f"{work}:/w:ro", code=1)
    assert done.stderr.count("Read-only file system") == 4
    assert [path.name for path in work.iterdir()] == ["file"]
    assert (work / "file").read_text() == "keep"


def test_a_bind_of_one_file(sh: Sh, work: Path) -> None:
    (work / "file").write_text("one\n")
    assert sh("cat /etc/some/where", "-v", f"{work}/file:/etc/some/where:ro").stdout == "one\n"


def test_relative_sources_and_odd_names(rl: Rl, busybox_image: str, work: Path) -> None:
    odd = work / "a b,c=d"
    odd.mkdir()
    (odd / "f").write_text("odd\n")
    done = rl(
        "run", "--rm", "--net=none", "-v", f"{odd}:/x y:ro", "--mount",
        f'type=bind,"source={odd}",target=/z', busybox_image, "cat", "/x y/f", "/z/f",
    )  # fmt: skip
    assert done.stdout == "odd\nodd\n"


def test_a_symbolic_link_as_the_source_is_followed_on_the_host(sh: Sh, work: Path) -> None:
    (work / "real").mkdir()
    (work / "real/f").write_text("behind the link\n")
    (work / "link").symlink_to("real")
    assert sh("cat /w/f", "-v", f"{work}/link:/w").stdout == "behind the link\n"


@pytest.mark.parametrize("mode", ["ro", "rw"])
def test_read_only_holds_for_what_is_mounted_below(sh: Sh, mode: str) -> None:
    """/dev of the host has mounts of its own, /dev/shm among them."""
    if not os.path.ismount("/dev/shm"):
        pytest.skip("needs /dev/shm as a mount of its own")
    name = f"rl-test-{os.getpid()}"
    script = f"grep -c ' /hostdev' /proc/self/mountinfo; touch /hostdev/shm/{name}; echo $?"
    done = sh(script, "-v", f"/dev:/hostdev:{mode}")
    count, code = done.stdout.split()
    assert int(count) > 1
    if mode == "ro":
        assert code == "1" and "Read-only file system" in done.stderr
        assert not os.path.exists(f"/dev/shm/{name}")
    else:
        os.unlink(f"/dev/shm/{name}")
        assert code == "0"


def test_nothing_mounted_below_comes_along_with_bind(sh: Sh) -> None:
    if not os.path.ismount("/dev/shm"):
        pytest.skip("needs /dev/shm as a mount of its own")
    done = sh("grep -c ' /hostdev' /proc/self/mountinfo", "-v", "/dev:/hostdev:bind", code=None)
    # Inherited mounts are locked together (mount_namespaces(7)): the kernel takes all or refuses.
    assert done.returncode == 125 or done.stdout == "1\n"
    if done.returncode:
        assert "/hostdev" in done.stderr


def test_an_anonymous_volume_goes_with_the_container(sh: Sh, leftovers: Leftovers) -> None:
    done = sh("echo x > /data/f; cat /data/f; stat -c %u:%g:%a /data", "-v", "/data")
    assert done.stdout == "x\n0:0:755\n"
    assert leftovers.volumes() == []


@pytest.mark.parametrize("flags", [(), ("-v",)])
def test_an_anonymous_volume_goes_with_v_only(
    rl: Rl, busybox_image: str, leftovers: Leftovers, flags: tuple[str, ...]
) -> None:
    rl("run", "--net=none", "--name", "keeper", "-v", "/data", busybox_image, "touch", "/data/f")
    volumes = leftovers.volumes()
    assert len(volumes) == 1
    rl("rm", *flags, "keeper")
    assert leftovers.volumes() == ([] if flags else volumes)


def test_a_named_volume_outlives_its_containers(rl: Rl, sh: Sh, leftovers: Leftovers) -> None:
    sh("echo kept > /data/f", "-v", "mine:/data")
    assert leftovers.volumes() == ["mine"]
    done = sh("cat /data/f; touch /data/x", "-v", "mine:/data:ro", code=1)
    assert done.stdout == "kept\n"
    assert "mine" in rl("volume", "ls").stdout
    rl("volume", "rm", "mine")
    assert leftovers.volumes() == []


CONTENT = [
    folder("srv", uid=5, gid=6, mode=0o750),
    member("srv/file", content=b"content\n", uid=1000, gid=1001, mode=0o640),
    member("srv/capable", content=b"x", mode=0o755, xattrs={"user.note": "kept"}),
    folder("srv/sub", mode=0o2775, gid=100),
    symlink("srv/link", "/etc/passwd"),
    member("srv/sub/deep", content=b"deep"),
]
LOOK = "cd /srv; find . | sort | xargs stat -c '%n %u:%g:%a:%F'; cat file; readlink link"


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "overlay", "vfs"])
def test_a_new_volume_starts_with_what_the_image_has(
    rl: Rl, images: ImageMaker, driver: str
) -> None:
    image = images(CONTENT)
    flags = ["run", "--rm", "--net=none", "--storage-driver", driver]
    plain = rl(*flags, image, "sh", "-c", LOOK).stdout
    assert ". 5:6:750:directory" in plain and "./sub 0:100:2775" in plain
    for volume in (["-v", "/srv"], ["-v", "named:/srv"], ["--mount", "type=volume,dst=/srv"]):
        assert rl(*flags, *volume, image, "sh", "-c", LOOK).stdout == plain


def test_extended_attributes_are_copied_into_a_volume(rl: Rl, images: ImageMaker) -> None:
    rl("run", "--rm", "--net=none", "-v", "named:/srv", images(CONTENT), "true")
    path = f"{rl.paths.volumes}/named/_data/capable"
    assert idmap.call(lambda: os.getxattr(path, "user.note")) == b"kept"


def test_only_a_new_volume_is_filled(rl: Rl, images: ImageMaker) -> None:
    image = images(CONTENT)
    base = ["run", "--rm", "--net=none", "-v", "named:/srv", image, "sh", "-c"]
    rl(*base, "rm -r /srv/*")
    assert rl(*base, "ls /srv").stdout == ""
    rl("run", "--rm", "--net=none", "-v", "other:/srv:nocopy", image, "sh", "-c", "ls /srv | wc -l")
    assert os.listdir(f"{rl.paths.volumes}/other/_data") == []


def test_volumes_that_the_image_declares(rl: Rl, images: ImageMaker, leftovers: Leftovers) -> None:
    image = images(CONTENT, config={"Volumes": {"/srv": {}, "/brand/new": {}}})
    base = ["run", "--net=none", "--read-only", "--name", "declared"]
    done = rl(*base, image, "sh", "-c", "cat /srv/file && touch /srv/w /brand/new/w; mount")
    assert done.stdout.startswith("content\n")
    assert done.stdout.count("/volumes/") in (0, 2)
    assert len(leftovers.volumes()) == 2
    rl("rm", "-v", "declared")
    assert leftovers.volumes() == []


def test_a_flag_covers_a_declared_volume(
    rl: Rl, images: ImageMaker, leftovers: Leftovers, work: Path
) -> None:
    image = images(CONTENT, config={"Volumes": {"/srv/": {}}})
    done = rl("run", "--net=none", "--name", "c", "-v", f"{work}:/srv", image, "ls", "/srv")
    assert (done.stdout, leftovers.volumes()) == ("", [])
    rl("rm", "c")


def test_mounts_are_made_parents_first(sh: Sh, work: Path) -> None:
    for name in ("a", "b"):
        (work / name).mkdir()
        (work / name / name).touch()
    flags = ["-v", f"{work}/b:/m/inner/b", "-v", f"{work}/a:/m", "--tmpfs", "/m/inner"]
    assert sh("ls /m /m/inner/b", *flags).stdout.split() == [
        "/m:",
        "a",
        "inner",
        "/m/inner/b:",
        "b",
    ]


@pytest.mark.parametrize(
    ("words", "script", "outcome"),
    [
        ("type=bind,source={work},target=/m", "touch /m/new && echo ok", "ok"),
        ("type=bind,src={work},dst=/m,readonly", "touch /m/new || echo no", "no"),
        ("type=bind,source={work},destination=/m,ro=true", "touch /m/new || echo no", "no"),
        ("type=volume,source=vol,target=/m", "touch /m/new && echo ok", "ok"),
        ("type=volume,target=/m,readonly", "touch /m/new || echo no", "no"),
        ("type=tmpfs,target=/m,tmpfs-size=1m,tmpfs-mode=1700", "stat -c %a /m", "1700"),
    ],
)
def test_mount(sh: Sh, work: Path, words: str, script: str, outcome: str) -> None:
    assert sh(script, "--mount", words.format(work=work)).stdout == f"{outcome}\n"


def test_tmpfs(sh: Sh) -> None:
    script = "grep ' /t ' /proc/mounts; df -k /t | tail -1; cp /bin/busybox /t/; /t/busybox true"
    done = sh(script, "--tmpfs", "/t:size=3m,mode=711", code=126)
    options = done.stdout.split()[3].split(",")
    assert {"rw", "nosuid", "nodev", "noexec", "size=3072k", "mode=711"} <= set(options)
    assert "3072" in done.stdout.split()
    assert "Permission denied" in done.stderr
    assert sh("cp /bin/busybox /t/; /t/busybox true", "--tmpfs", "/t:exec").returncode == 0


def test_a_tmpfs_is_full_when_it_is_full(sh: Sh) -> None:
    script = "head -c 2000000 /dev/zero > /t/f && echo whole; stat -c %s /t/f"
    assert sh(script, "--tmpfs", "/t:size=1m").stdout == f"{1 << 20}\n"


def test_read_only_root(sh: Sh, work: Path) -> None:
    script = """
    for path in /new /etc/new /proc/new /sys/new /etc/hosts; do
        (echo x > $path) 2>/dev/null && echo "$path is writable"
    done
    for path in /tmp /run /var/tmp /dev /dev/shm /w; do
        (echo x > $path/f) || echo "$path is not writable"
    done
    """
    assert sh(script, "--read-only", "-v", f"{work}:/w").stdout == ""


def test_read_only_without_its_tmpfs(sh: Sh) -> None:
    script = "for path in /tmp /run /var/tmp; do touch $path/f 2>&1; done"
    done = sh(script, "--read-only", "--read-only-tmpfs=false", code=1)
    assert len(done.stdout.splitlines()) == 3


def test_a_writable_root_is_writable(sh: Sh) -> None:
    assert sh("echo x > /new; rm -r /etc/passwd; mkdir /usr2; ls /new /usr2").stderr == ""


def test_a_device(sh: Sh) -> None:
    flags = ["--device", "/dev/null:/dev/mine", "--device", "/dev/zero:/dev/other:r"]
    script = "stat -c %F /dev/mine; echo x > /dev/mine && head -c 3 /dev/other | od -An -tx1"
    assert sh(script, *flags).stdout == "character special file\n 00 00 00\n"


def test_the_fuse_device(sh: Sh) -> None:
    assert sh("stat -c %t:%T /dev/fuse", "--device", "/dev/fuse").stdout == "a:e5\n"


def test_a_socket_as_a_volume(sh: Sh, short_dir: Path) -> None:
    path = short_dir / "sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert sh("test -S /run/s && echo socket", "-v", f"{path}:/run/s").stdout == "socket\n"


def test_the_upper_directory_holds_only_what_the_command_wrote(
    rl: Rl, busybox_image: str, work: Path
) -> None:
    """Mount points that the image lacks are there too, empty; the files' text never is."""
    rl(
        "run", "--net=none", "--name", "c", "-v", f"{work}:/some/where", "--hostname", "secret",
        busybox_image, "sh", "-c", "echo mine > /written",
    )  # fmt: skip
    container = os.readlink(f"{rl.paths.names}/c")
    upper = Path(rl.paths.containers, container, "upper")
    files = [path for path in upper.rglob("*") if stat.S_ISREG(path.lstat().st_mode)]
    assert [path.name for path in files if path.stat().st_size] == ["written"]
    assert (upper / "some/where").is_dir()
    rl("rm", "c")


def test_two_mounts_at_one_place(rl: Rl, busybox_image: str, work: Path) -> None:
    done = rl("run", "-v", f"{work}:/x", "--tmpfs", "/x", busybox_image, "true", code=125)
    assert "/x: duplicate mount point" in done.stderr


@pytest.mark.parametrize("target", ["/proc/no/such", "/sys/deep/er", "/etc/passwd/below"])
def test_a_target_that_cannot_be_made(
    rl: Rl, busybox_image: str, work: Path, leftovers: Leftovers, target: str
) -> None:
    done = rl("run", "--rm", "-v", f"{work}:{target}", busybox_image, "true", code=None)
    assert done.returncode == 125 and target in done.stderr
    assert leftovers.everything() == {}
