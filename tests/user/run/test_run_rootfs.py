"""The root file system as the command sees it: layers, /proc, /sys, /dev, masked paths."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, Sh
from tests.user.run.run_images import ImageMaker, folder, member, symlink

DRIVERS = ["fuse-overlayfs", "overlay", "vfs"]
LOWER = [
    folder("d"),
    member("d/old", content=b"old"),
    member("d/gone", content=b"gone"),
    folder("opaque"),
    member("opaque/hidden", content=b"hidden"),
    folder("dir-to-file"),
    member("dir-to-file/x"),
    member("file-to-dir", content=b"file"),
    folder("kept", mode=0o1777, uid=12, gid=34),
    member("kept/hard", content=b"linked", uid=12),
    member("kept/setuid", content=b"x", mode=0o4755),
    symlink("kept/dangling", "/no/where"),
]
UPPER = [
    member("d/.wh.gone"),
    member("d/old", content=b"new", mode=0o600, uid=7, gid=8),
    folder("opaque"),
    member("opaque/.wh..wh..opq"),
    member("opaque/shown", content=b"shown"),
    member("dir-to-file", content=b"now a file"),
    folder("file-to-dir"),
    member("file-to-dir/x", content=b"x"),
]
TOP = [member("d/.wh.old"), member("top", content=b"top")]
SHOWN = {
    "./d": "0:0:755:directory",
    "./dir-to-file": "0:0:644:regular file",
    "./file-to-dir": "0:0:755:directory",
    "./file-to-dir/x": "0:0:644:regular file",
    "./kept": "12:34:1777:directory",
    "./kept/dangling": "0:0:777:symbolic link",
    "./kept/hard": "12:0:644:regular file",
    "./kept/setuid": "0:0:4755:regular file",
    "./opaque": "0:0:755:directory",
    "./opaque/shown": "0:0:644:regular file",
    "./top": "0:0:644:regular file",
}
LIST = (
    "find . -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o -path ./etc -prune"
)
LIST += " -o -path ./b -prune -o -print | sed 1d | sort | xargs stat -c '%n %u:%g:%a:%F'"


@pytest.mark.parametrize("driver", DRIVERS)
def test_all_drivers_show_the_layers_alike(rl: Rl, images: ImageMaker, driver: str) -> None:
    image = images(LOWER, UPPER, TOP)
    done = rl("run", "--rm", "--net=none", "--storage-driver", driver, image, "sh", "-c", LIST)
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    found = {
        name: text.replace("regular empty file", "regular file") for name, text in found.items()
    }
    for place in ("./proc", "./sys", "./dev", "./etc"):
        found.pop(place, None)
    assert found == SHOWN


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_the_command_changes_stays_in_its_own_layer(
    rl: Rl, images: ImageMaker, driver: str
) -> None:
    image = images(LOWER)
    flags = ["run", "--rm", "--net=none", "--storage-driver", driver, image, "sh", "-c"]
    script = """
    rm -r /opaque && mkdir /opaque && ls /opaque
    echo more >> /d/old; cat /d/old; mv /kept/hard /moved; ln /moved /moved2; chown 3:4 /d/gone
    rm /kept/dangling; stat -c %u:%g:%h /d/gone /moved
    """
    changed = rl(*flags, script).stdout
    assert changed.split() == ["oldmore", "3:4:1", "12:0:2"]
    assert rl(*flags, "cat /opaque/hidden /d/old /kept/hard").stdout == "hiddenoldlinked"


@pytest.mark.parametrize("driver", DRIVERS)
def test_the_command_may_use_its_file_system_as_any(
    rl: Rl, images: ImageMaker, driver: str
) -> None:
    script = """
    set -e; mkdir /t; cd /t; dd if=/dev/zero of=f bs=1000 count=300 2>/dev/null
    ln f g; ln -s f h; mv f i; cp i j; chmod 711 j; chown 1000:1000 j; head -c 10 h | wc -c
    mkdir -p a/b/c; touch a/b/c/x; mv a z; rm -r z; stat -c %a:%u:%s:%h j i
    """
    flags = ["run", "--rm", "--net=none", "--storage-driver", driver]
    done = rl(*flags, images(), "sh", "-c", script, code=None)
    assert done.stdout.split() == ["0", "711:1000:300000:1", "644:0:300000:2"], done.stderr


def test_a_rootfs_directory_is_used_as_it_is(
    rl: Rl, busybox_image: str, work: Path, leftovers: Leftovers
) -> None:
    tree = work / "root"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/sh").write_bytes(Path("/bin/busybox").read_bytes())
    (tree / "bin/sh").chmod(0o755)
    done = rl(
        "run", "--rm", "--net=none", "--rootfs", str(tree), "sh", "-c", "echo $$ > /made; pwd"
    )
    assert done.stdout == "/\n"
    assert (tree / "made").read_text() == "1\n"
    assert leftovers.everything() == {}
    done = rl(
        "run", "--rm", "--net=none", "--read-only", "--rootfs", str(tree), "sh", "-c",
        "echo x > /new", code=1,
    )  # fmt: skip
    assert "Read-only file system" in done.stderr and not (tree / "new").exists()


def test_an_oci_layout_is_an_image(rl: Rl, images: ImageMaker) -> None:
    reference = images([member("hello", content=b"from a layout\n")])
    assert rl("run", "--rm", "--net=none", reference, "cat", "/hello").stdout == "from a layout\n"


def test_proc_is_the_containers(sh: Sh) -> None:
    done = sh("ls -d /proc/[0-9]* | wc -l; cat /proc/1/comm; readlink /proc/self")
    count, name, own = done.stdout.split()
    assert int(count) <= 3 and name == "sh" and int(own) < 10


MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi",
          "/sys/firmware", "/sys/dev/block"]  # fmt: skip


def test_masked_paths_show_nothing(sh: Sh) -> None:
    script = """
    for path in %s; do
        test -e $path || continue
        if test -d $path; then ls -A $path; touch $path/x 2>/dev/null && echo made
        else head -c 100 $path; fi
        echo looked
    done
    """ % " ".join(MASKED)  # noqa: UP031
    words = sh(script).stdout.split()
    assert words == ["looked"] * len(words) and len(words) >= 3


def test_privileged_masks_nothing(sh: Sh) -> None:
    count_of = "grep -cE ' (/proc|/sys)/' /proc/self/mountinfo"
    count = sh(count_of, "--privileged", "--procview=off", code=None).stdout
    plain = sh(count_of, "--procview=off").stdout
    assert int(count) <= 1 < int(plain)


def test_read_only_paths(sh: Sh) -> None:
    paths = "/proc/asound /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"
    script = f"for path in {paths}; do test ! -e $path || echo $path; done; cat /proc/mounts"
    lines = sh(script).stdout.splitlines()
    present = [line for line in lines if line.startswith("/proc")]
    read_only = {row[1] for row in map(str.split, lines) if len(row) > 3 and row[3][:3] == "ro,"}
    assert "/proc/sys" in present and set(present) <= read_only
    done = sh("echo x > /proc/sys/kernel/hostname", code=1)
    assert "Read-only file system" in done.stderr


def test_sys_is_read_only(sh: Sh) -> None:
    done = sh("grep ' /sys ' /proc/mounts; touch /sys/x; mkdir /sys/fs/cgroup/x", code=1)
    assert " ro," in done.stdout
    assert done.stderr.count("Read-only file system") == 2


def test_the_network_that_sys_shows_is_the_containers(sh: Sh) -> None:
    assert sh("ls /sys/class/net").stdout.split() == ["lo"]


def test_mounts_cannot_be_undone(sh: Sh) -> None:
    """Without CAP_SYS_ADMIN nothing that hides or protects can be taken off."""
    script = (
        "umount /proc/acpi; umount /sys; mount -o remount,rw /sys; mount -t proc p /mnt; echo end"
    )
    done = sh(script)
    assert done.stdout == "end\n"
    assert len(done.stderr.splitlines()) >= 4


def test_standard_devices(sh: Sh) -> None:
    script = """
    set -e
    echo x > /dev/null; head -c 4 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c
    head -c 8 /dev/random | wc -c; (echo x > /dev/full) 2>&1 | grep -o 'No space left'
    stat -L -c '%n %t:%T %a' /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty
    for name in fd stdin stdout stderr ptmx; do readlink /dev/$name; done
    exec 5<>/dev/ptmx; echo open; ls /dev/pts
    """
    assert sh(script).stdout.splitlines() == [
        " 00 00 00 00", "8", "8", "No space left",
        "/dev/null 1:3 666", "/dev/zero 1:5 666", "/dev/full 1:7 666", "/dev/random 1:8 666",
        "/dev/urandom 1:9 666", "/dev/tty 5:0 666",
        "/proc/self/fd", "/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2", "pts/ptmx",
        "open", "0", "ptmx",
    ]  # fmt: skip


def test_dev_holds_nothing_of_the_hosts(sh: Sh) -> None:
    assert sorted(sh("ls /dev").stdout.split()) == sorted(
        "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split()
    )


def test_no_device_node_can_be_made_or_used(rl: Rl, sh: Sh) -> None:
    done = sh("mknod /tmp/sda b 8 0 || mknod /tmp/mem c 1 1; ls /tmp", code=None)
    assert done.stdout == ""


def test_shm_and_mqueue(sh: Sh) -> None:
    script = "df -k /dev/shm | tail -1; grep ' /dev/shm ' /proc/mounts; stat -c %a /dev/shm"
    done = sh(script, "--shm-size", "5m")
    assert "5120" in done.stdout.split() and done.stdout.split()[-1] == "1777"
    assert "noexec" in done.stdout
    done = sh("grep ' /dev/mqueue ' /proc/mounts; touch /dev/mqueue/q; ls /dev/mqueue")
    assert done.stdout.startswith("mqueue ") and done.stdout.splitlines()[-1] == "q"


def test_files_of_etc_are_the_containers_own(sh: Sh) -> None:
    script = "echo changed > /etc/hostname && echo '10.9.8.7 x' >> /etc/hosts && cat /etc/hostname"
    assert sh(script).stdout == "changed\n"
    assert "10.9.8.7" not in sh("cat /etc/hosts").stdout


def test_pid_host(sh: Sh) -> None:
    me = os.getpid()
    done = sh(f"cat /proc/{me}/comm; readlink /proc/self", "--pid", "host")
    name, own = done.stdout.split()
    assert name == Path(f"/proc/{me}/comm").read_text().strip() and int(own) > 10


@pytest.mark.parametrize("kind", ["pid", "ipc", "uts", "cgroupns", "net"])
def test_each_namespace_is_new_or_the_hosts(sh: Sh, kind: str) -> None:
    name = "cgroup" if kind == "cgroupns" else kind
    ours = os.readlink(f"/proc/self/ns/{name}")
    script = f"readlink /proc/self/ns/{name}"
    assert sh(script).stdout.strip() != ours
    assert sh(script, f"--{kind}=host").stdout.strip() == ours


def test_mount_and_user_namespaces_are_always_new(sh: Sh) -> None:
    flags = ["--pid=host", "--ipc=host", "--uts=host", "--net=host", "--cgroupns=host"]
    found = sh("readlink /proc/self/ns/mnt; readlink /proc/self/ns/user", *flags).stdout.split()
    assert [word[:4] for word in found] == ["mnt:", "user"]
    assert os.readlink("/proc/self/ns/mnt") != found[0]
    assert os.readlink("/proc/self/ns/user") != found[1]


def test_ipc_host_shares_shm(sh: Sh) -> None:
    name = f"rl-test-{os.getpid()}"
    path = Path("/dev/shm", name)
    path.write_text("shared")
    try:
        assert sh(f"cat /dev/shm/{name}", "--ipc=host").stdout == "shared"
        assert sh(f"cat /dev/shm/{name}", code=1).stdout == ""
    finally:
        path.unlink()


def test_ipc_none_has_no_shared_memory(sh: Sh) -> None:
    script = "ls /dev; readlink /proc/self/ns/ipc"
    *names, namespace = sh(script, "--ipc=none").stdout.split()
    assert "shm" not in names and "mqueue" in names
    assert namespace != os.readlink("/proc/self/ns/ipc")


def test_time_namespace(sh: Sh) -> None:
    uptime = "cut -d' ' -f1 /proc/uptime"
    seconds = float(sh(uptime, "--timens=private", "--procview=off").stdout)
    host = float(Path("/proc/uptime").read_text().split()[0])
    assert 0 <= seconds < 20 and seconds < host
    assert abs(float(sh(uptime, "--timens=host", "--procview=off").stdout) - host) < 20


def test_cgroup_namespace_shows_its_own_root(sh: Sh) -> None:
    assert sh("grep ^0:: /proc/self/cgroup").stdout == "0::/\n"
