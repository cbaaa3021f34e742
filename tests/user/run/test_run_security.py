"""What a hostile image or command may not reach of the host: files, processes, powers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rootless.model import capabilities
from tests.user.conftest import CHECKOUT, Rl
from tests.user.run.conftest import Background, Leftovers, Sh
from tests.user.run.run_images import ImageMaker, Member, folder, member, symlink
from tests.user.run.run_terminal import Terminal

Start = Callable[..., Background]
LIST_FDS = "for fd in /proc/self/fd/*; do echo ${fd##*/} $(readlink $fd); done"


def run_with_open_files(rl: Rl, work: Path, *argv: str) -> subprocess.CompletedProcess[bytes]:
    """Run rl with a host file and a host directory open, inheritable and not close-on-exec."""
    (work / "secret").write_text("secret")
    fds = [os.open(work / "secret", os.O_RDWR), os.open(work, os.O_RDONLY)]
    high = [os.dup2(fds[0], 77), os.dup2(fds[1], 300)]
    try:
        return subprocess.run(
            [*rl.argv, *argv], env=rl.env, pass_fds=[*fds, *high], capture_output=True,
            stdin=subprocess.DEVNULL, timeout=60, check=False,
        )  # fmt: skip
    finally:
        for fd in (*fds, *high):
            os.close(fd)


@pytest.mark.parametrize(
    "flags", [[], ["--init"], ["-t"], ["--userns=keep-id"], ["--init", "-t"]], ids=" ".join
)
def test_the_command_has_three_descriptors(
    rl: Rl, busybox_image: str, work: Path, flags: list[str]
) -> None:
    argv = ["run", "--rm", "--net=none", *flags, busybox_image, "ls", "-l", "/proc/self/fd"]
    done = run_with_open_files(rl, work, *argv)
    assert done.returncode == 0, done.stderr
    # 3 is the listing's own.
    assert re.findall(rb" (\d+)(?: -> \S+)?\r?\n", done.stdout)[1:] == [b"0", b"1", b"2", b"3"]
    assert b"secret" not in done.stdout and str(work).encode() not in done.stdout


def test_the_helpers_have_no_descriptor_of_the_callers(
    rl: Rl, busybox_image: str, work: Path
) -> None:
    (work / "secret").write_text("secret")
    with open(work / "secret") as secret:
        process = rl.popen(
            "run", "--rm", "-i", busybox_image, "sh", "-c", "echo ready; cat",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[secret.fileno()],
        )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    container = Background(rl, process)
    for name in ("init", "network", "server", "keeper"):
        folder = f"/proc/{container.pid(name)}/fd"
        try:
            found = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
        except PermissionError:
            continue  # not even ours to look at, so nobody's
        assert str(work / "secret") not in found, name
    process.communicate(timeout=20)


def status(text: str) -> dict[str, str]:
    return {
        key: value.strip() for key, _, value in (row.partition(":") for row in text.splitlines())
    }


def caps(*names: str) -> str:
    return f"{capabilities.to_mask(names):016x}"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": caps(*capabilities.DEFAULT)}),
        (["--init"], {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": caps(*capabilities.DEFAULT)}),
        (["-u", "1000"], {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": caps(), "CapAmb": caps()}),
        (["--cap-drop=all"], {"CapEff": caps(), "CapBnd": caps(), "CapPrm": caps()}),
        (["--cap-drop=all", "--cap-add=chown"], {"CapEff": caps("CAP_CHOWN")}),
        (
            ["-u", "1000", "--cap-drop=all", "--cap-add=net_bind_service"],
            {"CapEff": caps("CAP_NET_BIND_SERVICE"), "CapAmb": caps("CAP_NET_BIND_SERVICE")},
        ),
        (
            ["--privileged"],
            {"NoNewPrivs": "0", "Seccomp": "0", "CapEff": caps(*capabilities.NAMES)},
        ),
        (["--security-opt", "no-new-privileges=false"], {"NoNewPrivs": "0", "Seccomp": "2"}),
        (["--security-opt", "seccomp=unconfined"], {"NoNewPrivs": "1", "Seccomp": "0"}),
        (["--userns=keep-id"], {"NoNewPrivs": "1", "Seccomp": "2", "CapEff": caps()}),
    ],
    ids=lambda value: " ".join(value) or "default" if isinstance(value, list) else "",
)
def test_powers_of_the_command(sh: Sh, flags: list[str], expected: dict[str, str]) -> None:
    found = status(sh("cat /proc/self/status", *flags).stdout)
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("flags", [[], ["-u", "1000"], ["--userns=keep-id"]], ids=" ".join)
def test_init_is_as_confined_as_the_command(sh: Sh, flags: list[str]) -> None:
    first = status(sh("cat /proc/1/status", "--init", *flags).stdout)
    own = status(sh("cat /proc/self/status", "--init", *flags).stdout)
    assert first["Name"] == "rl-init"
    for key in ("Uid", "Gid", "CapEff", "CapBnd", "NoNewPrivs", "Seccomp"):
        assert first[key] == own[key]


@pytest.mark.parametrize("flags", [[], ["--privileged"], ["--cap-add=sys_ptrace"]], ids=" ".join)
def test_init_shows_nothing_of_the_host(rl: Rl, busybox_image: str, flags: list[str]) -> None:
    script = "cat /proc/1/cmdline; echo; cat /proc/1/environ; readlink /proc/1/exe; ls /proc/1/fd"
    done = rl(
        "run", "--rm", "--net=none", "--init", *flags, busybox_image, "sh", "-c",
        f"{script}; cat /proc/1/maps; echo end", env={"SECRET": "hunter2"},
    )  # fmt: skip
    assert done.stdout.replace("\0", "").split() == ["rl-init", "end"]


@pytest.fixture
def setuid_image(images: ImageMaker) -> str:
    """An image with the host's id(1), made set-user-ID root."""
    listing = subprocess.run(["ldd", "/usr/bin/id"], capture_output=True, text=True, check=True)
    libraries = sorted(set(re.findall(r"/\S+", listing.stdout)))
    layer: list[Member] = [folder("s")]
    layer.append(member("s/id", content=Path("/usr/bin/id").read_bytes(), mode=0o6755))
    layer += [member(p.lstrip("/"), content=Path(p).read_bytes(), mode=0o755) for p in libraries]
    return images(layer)


def test_set_user_id_programs_have_no_effect(rl: Rl, setuid_image: str) -> None:
    flags = ["run", "--rm", "--net=none", "--user", "1000:1000"]
    assert rl(*flags, setuid_image, "/s/id", "-u").stdout == "1000\n"
    assert rl(*flags, setuid_image, "/s/id", "-g").stdout == "1000\n"
    allowed = ["--security-opt", "no-new-privileges=false"]
    assert rl(*flags, *allowed, setuid_image, "/s/id", "-u").stdout == "0\n"


def test_no_namespaces_and_no_mounts_for_the_command(sh: Sh) -> None:
    script = """
    unshare -U true; unshare -m true; mount -t tmpfs t /mnt; mount -o bind /etc /mnt; chroot / true
    echo done
    """
    done = sh(script)
    assert done.stdout == "done\n"
    assert done.stderr.count("ermitted") + done.stderr.count("ermission") >= 4


def test_the_hosts_processes_cannot_be_seen(sh: Sh) -> None:
    names = sh("cat /proc/[0-9]*/comm; ps").stdout
    assert "rl-keeper" not in names and "fuse-overlayfs" not in names and "pytest" not in names


def test_with_pid_host_the_keeper_gives_nothing_away(rl: Rl, busybox_image: str) -> None:
    script = """
    for dir in /proc/[0-9]*; do
        read name < $dir/comm
        case $name in rl-keeper|fuse-overlayfs)
            echo $name; cat $dir/environ; ls $dir/root/; readlink $dir/exe; readlink $dir/fd/0
            cat $dir/fd/0 $dir/maps;; esac
    done 2>/dev/null
    """
    done = rl(
        "run", "--rm", "--net=none", "--pid=host", busybox_image, "sh", "-c", script, code=None
    )
    assert "rl-keeper" in done.stdout.split()
    assert set(done.stdout.split()) <= {"rl-keeper", "fuse-overlayfs"}


@pytest.fixture
def own_interpreter(rl: Rl, short_dir: Path) -> None:
    """rl is run by a Python that the user may write to, as in a home directory."""
    original = Path(sys.executable).resolve()
    copy = short_dir / "py"
    copy.write_bytes(original.read_bytes())
    copy.chmod(0o755)
    (short_dir / "pyvenv.cfg").write_text(f"home = {original.parent}\n")
    main = f"import sys; sys.path += {sys.path[-1:] + [str(CHECKOUT)]!r};"
    rl.argv = [str(copy), "-IS", "-c", f"{main} from rootless.cli.main import main; main()"]


@pytest.mark.usefixtures("own_interpreter")
@pytest.mark.parametrize("path", ["/proc/self/exe", "/link", "/script", "/chain"])
def test_the_hosts_interpreter_cannot_be_executed(
    rl: Rl, images: ImageMaker, leftovers: Leftovers, path: str
) -> None:
    """CVE-2019-5736: the image would hold a descriptor of a host's file that it may write to."""
    image = images(
        [
            symlink("link", "/proc/self/exe"),
            member("script", content=b"#!/proc/self/exe\n", mode=0o755),
            member("chain", content=b"#!/script\n", mode=0o755),
        ],
        config={"Entrypoint": [path]},
    )
    for flags in ([], ["--init"]):
        done = rl("run", "--rm", "--net=none", *flags, image, "-c", "print(1)", code=126)
        assert "the host's own interpreter" in done.stderr and done.stdout == ""
    rl("run", "--rm", "--net=none", "--entrypoint", "true", image)
    assert leftovers.everything() == {}


@pytest.mark.parametrize("flags", [[], ["--init"], ["-t"]], ids=" ".join)
def test_a_working_directory_outside_the_container(
    rl: Rl, images: ImageMaker, work: Path, flags: list[str]
) -> None:
    """CVE-2024-21626: no descriptor of a host's directory is there to be entered."""
    for number in range(3, 12):
        image = images([], config={"WorkingDir": f"/proc/self/fd/{number}"})
        done = run_with_open_files(
            rl, work, "run", "--rm", "--net=none", *flags, image, "sh", "-c", "ls -A . ../.."
        )
        assert b"secret" not in done.stdout
        assert str(work).encode() not in done.stdout


OUTSIDE = "outside"


def hostile(work: Path) -> dict[str, list[Member]]:
    """Images whose mount points are symbolic links to somewhere else."""
    up = "../" * 12
    out = str(work)
    return {
        "proc-to-root": [symlink("proc", "/")],
        "proc-to-outside": [symlink("proc", up + out)],
        "dev-to-etc": [folder("etc"), symlink("dev", "/etc")],
        "dev-to-outside": [symlink("dev", out)],
        "sys-to-srv": [folder("srv"), symlink("sys", "/srv")],
        "hosts-outside": [folder("etc"), symlink("etc/hosts", f"{up}{out}/{OUTSIDE}")],
        "hosts-absolute": [folder("etc"), symlink("etc/hosts", f"{out}/{OUTSIDE}")],
        "hosts-new-outside": [folder("etc"), symlink("etc/hosts", f"{out}/new")],
        "resolv-loop": [folder("etc"), symlink("etc/resolv.conf", "resolv.conf")],
        "etc-to-root": [symlink("etc", "/")],
        "etc-outside": [symlink("etc", up + out)],
        "passwd-outside": [folder("etc"), symlink("etc/passwd", f"{up}{out}/{OUTSIDE}")],
        "shm-outside": [folder("dev"), symlink("dev/shm", out)],
        "tmp-outside": [symlink("tmp", out), symlink("run", up + out)],
        "proc-self": [symlink("mnt", "/proc/self/fd/3"), symlink("srv", "/proc/self/root")],
        "proc-is-a-file": [member("proc", content=b"x")],
        "dev-is-a-fifo": [member("etc", b"6"), member("dev", b"6")],
    }


@pytest.mark.parametrize("flags", [[], ["--userns=keep-id"], ["--read-only"]], ids=" ".join)
@pytest.mark.parametrize("kind", sorted(hostile(Path("/"))))
def test_links_at_mount_points_never_lead_to_the_host(
    rl: Rl, images: ImageMaker, work: Path, leftovers: Leftovers, kind: str, flags: list[str]
) -> None:
    (work / OUTSIDE).write_text("untouched")
    image = images(hostile(work)[kind])
    script = f"cat {work}/{OUTSIDE} /etc/passwd; echo ran; touch {work}/by-container"
    done = rl(
        "run", "--rm", "--net=none", *flags, "-v", "/srv/data", "-v", "/mnt/x", "--tmpfs", "/run/t",
        "-w", "/mnt/y", image, "sh", "-c", script, code=None,
    )  # fmt: skip
    assert done.returncode in (0, 1, 125, 126) and "Traceback" not in done.stderr, done.stderr
    assert "untouched" not in done.stdout
    assert {path.name: path.read_text() for path in work.iterdir()} == {OUTSIDE: "untouched"}
    assert leftovers.everything() == {} and leftovers.volumes() == []


def test_volumes_through_links_of_the_image_stay_inside(
    rl: Rl, images: ImageMaker, work: Path
) -> None:
    (work / "secret").write_text("secret")
    image = images([symlink("data", str(work)), symlink("up", "../" * 12 + str(work))])
    for target in ("/data", "/up", "/data/deeper", "/up/new/place"):
        done = rl(
            "run", "--rm", "--net=none", "-v", f"vol:{target}", image, "sh", "-c",
            f"touch {target}/f; ls {work}/ {target}/", code=None,
        )  # fmt: skip
        assert "secret" not in done.stdout
        # What a new volume starts with comes from the image as well.
        assert "secret" not in os.listdir(f"{rl.paths.volumes}/vol/_data")
    assert [path.name for path in work.iterdir()] == ["secret"]


def test_files_at_the_standard_streams_cannot_be_opened_again(
    rl: Rl, busybox_image: str, work: Path
) -> None:
    (work / "in").write_text("input\n")
    script = "echo hacked > /proc/self/fd/0; echo x > /dev/stdin; cat; echo out >/proc/self/fd/1"
    with open(work / "in") as stdin, open(work / "out", "a+b") as stdout:
        stdout.write(b"before\n")
        stdout.flush()
        process = rl.popen(
            "run", "--rm", "-i", "--net=none", busybox_image, "sh", "-c",
            f"({script} & sleep 0.3; kill $!); readlink /proc/self/fd/0 /proc/self/fd/1",
            stdin=stdin, stdout=stdout, stderr=stdout,
        )  # fmt: skip
        process.wait(30)
    assert (work / "in").read_text() == "input\n"
    assert (work / "out").read_text().startswith("before\n")


def test_the_users_terminal_is_not_handed_over(rl: Rl, busybox_image: str) -> None:
    terminal = Terminal()
    try:
        terminal.start(
            [*rl.argv, "run", "--rm", "-i", "--net=none", busybox_image, "sh", "-c",
             "for fd in 0 1 2; do test -t $fd && echo tty; done; : > /dev/tty && echo opened"],
            rl.env,
        )  # fmt: skip
        assert terminal.wait() != 0
        assert b"tty\r\n" not in terminal.shown and b"opened" not in terminal.shown
    finally:
        terminal.close()


def test_the_hosts_name_and_paths_are_not_told(sh: Sh, rl: Rl) -> None:
    """mountinfo names the store's paths: the kernel shows those. The environment does not."""
    done = sh("env; cat /proc/1/environ /proc/self/environ; hostname; cat /etc/hosts /etc/hostname")
    assert str(rl.root) not in done.stdout and str(rl.home) not in done.stdout
    assert os.uname().nodename not in done.stdout.split()


def test_the_keyring_is_not_the_users(sh: Sh) -> None:
    assert sh("cat /proc/keys; cat /proc/key-users | head -0", code=None).stdout == ""
