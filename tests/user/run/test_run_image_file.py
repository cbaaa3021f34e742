"""`rl run FILE.sqsh`, `rl run ./DIR` and `rl run oci:DIR`: images that are no names."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rootless.errors import ImageError
from rootless.image import squashfile, unsquash
from rootless.store.paths import Paths
from rootless.tools import idmap, spawn
from tests.user.conftest import CHECKOUT, Rl
from tests.user.run.conftest import Leftovers, wait_until


@pytest.fixture
def file(rl: Rl, busybox_image: str, tmp_path: Path) -> Path:
    path = tmp_path / "box.sqsh"
    rl("image", "squash", "-q", busybox_image, str(path))
    return path


@pytest.fixture
def tree(rl: Rl, busybox_image: str, tmp_path: Path) -> Path:
    """The image's files in a directory, all of them this user's."""
    rl("create", "--name=c", busybox_image)
    rl("export", "-o", str(tmp_path / "c.tar"), "c")
    rl("rm", "c")
    path = tmp_path / "tree"
    path.mkdir()
    subprocess.run(["tar", "-C", str(path), "-xf", str(tmp_path / "c.tar")], check=True)
    return path


def sh(rl: Rl, image: Path | str, script: str, *flags: str, code: int = 0) -> str:
    return rl("run", "--rm", "--net=none", *flags, str(image), "sh", "-c", script, code=code).stdout


def servers() -> list[int]:
    """squashfuse_ll of this user's."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            mine = os.stat(f"/proc/{pid}").st_uid == os.geteuid()
            if mine and Path(f"/proc/{pid}/comm").read_text() == "squashfuse_ll\n":
                found.append(int(pid))
        except OSError:
            continue
    return found


def test_a_container_of_a_file(rl: Rl, file: Path, leftovers: Leftovers) -> None:
    before = file.read_bytes()
    script = "id -u; echo x >/etc/passwd; rm /bin/arch; echo new >/new; ls /new /bin/arch; exit 7"
    assert sh(rl, file, script, code=7) == "0\n/new\n"
    assert sh(rl, file, "ls /new", code=1) == ""
    assert file.read_bytes() == before
    assert not leftovers.everything()


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "overlay", "vfs"])
@pytest.mark.parametrize("user", ["0", "1001"])
def test_every_driver_and_user(rl: Rl, file: Path, driver: str, user: str) -> None:
    flags = [f"--storage-driver={driver}", f"--user={user}"]
    script = "id -u; cat /etc/passwd >/tmp/x; rm /tmp/x; stat -c %u /bin/busybox"
    assert sh(rl, file, script, *flags).split() == [user, "0"]


@pytest.mark.parametrize("mode", ["keep-id", "auto"])
def test_shifted_ids(rl: Rl, file: Path, mode: str) -> None:
    assert sh(rl, file, "stat -c %u:%g /bin/busybox", f"--userns={mode}") == "0:0\n"


def test_read_only(rl: Rl, file: Path) -> None:
    assert sh(rl, file, "touch /x || echo no", "--read-only") == "no\n"


def test_a_whole_life(rl: Rl, file: Path) -> None:
    rl("run", "-d", "--name=web", "--net=none", str(file), "sleep", "1000")
    rl("exec", "web", "sh", "-c", "echo x >/etc/new; rm /etc/group; chown 5:6 /etc/passwd")
    assert str(file) in rl("ps").stdout
    for ancestor in (str(file), rl("image", "inspect", "-f", "{{.Id}}", str(file)).stdout.strip()):
        assert rl("ps", "--filter", f"ancestor={ancestor}", "--format={{.Names}}").stdout == "web\n"
    changes = ["C /etc", "D /etc/group", "A /etc/new", "C /etc/passwd"]
    assert rl("diff", "web").stdout.splitlines() == changes
    assert rl("cp", "web:/etc/new", "-").stdout.count("x\n") == 1
    rl("stop", "-t", "0", "web")
    assert rl("diff", "web").stdout.splitlines() == changes
    assert rl("cp", "web:/etc/new", "-").stdout.count("x\n") == 1
    rl("start", "web")
    assert rl("exec", "web", "cat", "/etc/new").stdout == "x\n"
    rl("restart", "-t", "0", "web")
    assert rl("exec", "web", "stat", "-c", "%u:%g", "/etc/passwd").stdout == "5:6\n"
    refused = rl("commit", "web", "web:1", code=None)
    assert refused.returncode and "rl commit --squash web web:1" in refused.stderr
    for state in ("running", "stopped"):
        rl("commit", "--squash", "web", f"web:{state}")
        script = "cat /etc/new; ls /etc/group; ls /bin | wc -l"
        said = rl("run", "--rm", "--net=none", f"web:{state}", "sh", "-c", script, code=0).stdout
        assert said.split()[0] == "x" and int(said.split()[-1]) > 50
        rl("stop", "-t", "0", "web")
    names = subprocess.run(
        ["tar", "tf", "-"], input=rl("export", "web").stdout, capture_output=True, text=True,
        errors="replace", check=False,
    ).stdout.splitlines()  # fmt: skip
    assert "bin/busybox" in names and "etc/group" not in names
    shown = rl("inspect", "-f", "{{.Driver}} {{.GraphDriver.Data.LowerDir}}", "web").stdout.split()
    assert shown[0] in ("overlay", "fuse-overlayfs") and shown[1].endswith("/squash")
    rl("rm", "web")
    assert not servers()


def test_the_export_of_a_container_is_whole(rl: Rl, file: Path, tmp_path: Path) -> None:
    rl("run", "-d", "--name=web", "--net=none", str(file), "sleep", "1000")
    rl("export", "-o", str(tmp_path / "running.tar"), "web")
    rl("rm", "-f", "web")
    listed = subprocess.run(
        ["tar", "tf", str(tmp_path / "running.tar")], capture_output=True, text=True, check=True
    )
    assert {"bin/busybox", "etc/passwd", "usr/"} <= set(listed.stdout.splitlines())


def test_a_file_that_is_another_by_now(rl: Rl, file: Path, busybox_image: str) -> None:
    rl("create", "--name=web", "--net=none", str(file), "true")
    os.utime(file, (5, 5))
    rl("start", "-a", "web")
    kept = file.with_name("kept")
    file.rename(kept)
    gone = rl("start", "web", code=125).stderr
    assert gone.count("\n") == 2 and f"{file}: No such file" in gone
    assert "No such file" in rl("diff", "web", code=1).stderr
    rl("run", "--name=c", "--net=none", busybox_image, "touch", "/other")
    rl("commit", "c", "other")
    rl("image", "squash", "-q", "other", str(file))
    assert "has changed" in rl("start", "web", code=125).stderr
    assert "has changed" in rl("cp", "web:/etc", "-", code=1).stderr
    kept.rename(file)
    rl("start", "-a", "web")


def test_what_a_file_says_of_itself(rl: Rl, file: Path, busybox_image: str) -> None:
    form = "{{.Id}} {{.Config.Cmd}} {{.Os}}"
    said = rl("image", "inspect", "-f", form, busybox_image).stdout
    assert rl("image", "inspect", "-f", form, str(file)).stdout == said
    assert rl("inspect", "-f", "{{.Size}}", str(file)).stdout == f"{file.stat().st_size}\n"
    shown = rl("image", "inspect", "-f", "{{.GraphDriver.Data}} {{.RepoTags}}", str(file)).stdout
    assert shown == f"map[Compression:zstd File:{file}] [{busybox_image}]\n"
    assert "No such file" in rl("image", "inspect", "./none.sqsh", code=1).stderr


@pytest.mark.parametrize("flags", [[], ["--storage-driver=fuse-overlayfs"]], ids=str)
def test_when_its_server_is_killed(rl: Rl, file: Path, flags: list[str]) -> None:
    process = rl.popen(
        "run", "--rm", "--net=none", *flags, str(file), "sh", "-c", "echo up; sleep 100",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    (server,) = servers()
    os.kill(server, signal.SIGKILL)
    _, errors = process.communicate(timeout=20)
    # The shell may be quicker than the keeper: a page of it is gone (SIGBUS).
    assert process.returncode in (137, 135)
    assert b"file system died (squashfuse_ll: " in errors


def test_when_everybody_is_killed(rl: Rl, file: Path, leftovers: Leftovers) -> None:
    process = rl.popen(
        "run", "--rm", "--net=none", str(file), "sh", "-c", "echo up; sleep 100",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.kill()
    process.communicate()
    wait_until(lambda: not servers())
    rl("ps")
    assert not leftovers.everything()


def test_what_is_no_image(rl: Rl, file: Path, tmp_path: Path) -> None:
    data = file.read_bytes()
    (tmp_path / "text.sqsh").write_text("hello")
    (tmp_path / "cut.sqsh").write_bytes(data[: len(data) // 2])
    (tmp_path / "junk.sqsh").write_bytes(data[:96] + os.urandom(len(data) - 96))
    os.mkfifo(tmp_path / "fifo.sqsh")
    for name, words in (
        ("text.sqsh", "is not a squashfs file"),
        ("cut.sqsh", "is cut short"),
        ("junk.sqsh", "cannot be mounted"),
        ("fifo.sqsh", "is no regular file"),
        ("none.sqsh", "No such file"),
    ):
        said = rl("run", "--rm", "--net=none", str(tmp_path / name), "true", code=125).stderr
        assert words in said and said.startswith(f"rl: error: {tmp_path}/{name}"), said
        assert said.count("\n") <= 2


def test_names_and_paths(rl: Rl, file: Path, tree: Path, busybox_image: str) -> None:
    folder, name = file.parent, file.name
    for word, cwd in ((name, folder), (f"./{name}", folder), ("../box.sqsh", tree), (".", tree),
                      ("./tree", folder), ("..//tree", tree), (str(tree), folder)):  # fmt: skip
        done = subprocess.run(
            [*rl.argv, "run", "--rm", "--net=none", word, "echo", "in"],
            env=rl.env, cwd=cwd, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (0, "in\n"), done.stderr
    # A directory is taken for one only where it is written as a path.
    (folder / "busybox").mkdir()
    done = subprocess.run(
        [*rl.argv, "run", "--rm", "--net=none", "busybox", "echo", "image"],
        env=rl.env, cwd=folder, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout == "image\n"


def test_a_directory_is_never_written_to(rl: Rl, tree: Path) -> None:
    assert sh(rl, tree, "id -u; touch /new; rm /etc/passwd; ls /new") == "0\n/new\n"
    assert not (tree / "new").exists() and (tree / "etc/passwd").exists()
    sh(rl, f"{tree}:O", "touch /new", "--rootfs")
    assert not (tree / "new").exists()
    sh(rl, tree, "touch /new", "--rootfs")
    assert (tree / "new").exists()
    rl("run", "--name=d", "--net=none", str(tree), "touch", "/other")
    assert "A /other" in rl("diff", "d").stdout
    rl("commit", "--squash", "d", "flat")
    assert rl("run", "--rm", "--net=none", "flat", "ls", "/other").stdout == "/other\n"
    tree.rename(tree.with_name("away"))
    assert f"{tree}: No such file" in rl("start", "d", code=125).stderr


def test_the_store_is_in_no_image(rl: Rl) -> None:
    said = rl("run", "--rm", "/", "true", code=125).stderr
    assert "the store" in said and "--rootfs /" in said


def test_an_oci_directory_is_copied_once(rl: Rl, busybox_image: str, tmp_path: Path) -> None:
    rl("save", "--format=oci-dir", "-o", str(tmp_path / "layout"), busybox_image)
    rl("rmi", busybox_image)
    first = rl("run", "--rm", "--net=none", f"oci:{tmp_path}/layout", "echo", "one")
    layers = os.listdir(rl.paths.layers)
    assert first.stdout == "one\n" and "unpacked" in first.stderr
    again = rl("run", "--rm", "--net=none", f"oci:{tmp_path}/layout", "echo", "two")
    assert (again.stdout, again.stderr) == ("two\n", "")
    assert os.listdir(rl.paths.layers) == layers


# --- without FUSE


@pytest.fixture
def without(rl: Rl) -> Rl:
    """rl where squashfuse_ll is not installed."""
    rl.argv = [
        sys.executable, "-IS", "-c",
        f"import sys; sys.path += {[str(CHECKOUT), *sys.path[-1:]]!r};"
        " from rootless.tools import squashfuse; squashfuse.PROGRAM = 'no-such-program';"
        " from rootless.cli.main import main; main()",
    ]  # fmt: skip
    return rl


def test_unpacked_once(without: Rl, file: Path) -> None:
    rl = without
    first = rl("run", "--rm", "--net=none", str(file), "stat", "-c", "%u", "/bin/busybox")
    assert first.stdout == "0\n"
    assert f"rl: {file}: is unpacked into {rl.paths.unpacked}/" in first.stderr
    assert "apt-get install squashfuse" in first.stderr and first.stderr.count("\n") == 1
    script = ["sh", "-c", "echo x >/new; cat /new"]
    again = rl("run", "--name=web", "--net=none", str(file), *script)
    assert (again.stdout, again.stderr) == ("x\n", "")
    assert rl("diff", "web").stdout == "A /new\n"
    (row,) = [line for line in rl("system", "df").stdout.splitlines() if "Unpacked" in line]
    assert row.split()[2:4] == ["1", "1"]
    (place,) = (Path(rl.paths.unpacked) / name for name in os.listdir(rl.paths.unpacked))
    os.utime(place, (5, 5))
    rl("image", "prune", "-f")
    assert place.exists(), "a container uses it"
    rl("start", "-a", "web")
    rl("rm", "web")
    rl("image", "prune", "-f")
    assert place.exists(), "a start has just asked for it"
    os.utime(place, (5, 5))
    assert f"Deleted: {place}" in rl("system", "prune", "-f").stdout
    assert not place.exists() and os.listdir(rl.paths.tmp) == []


def test_fuse_that_comes_and_goes(without: Rl, file: Path) -> None:
    rl, lacking = without, without.argv
    rl("run", "--name=web", "--net=none", str(file), "sh", "-c", "echo x >>/new; cat /new")
    rl.argv = Rl.__init__.__globals__["RL_ARGV"]
    assert rl("start", "-a", "web").stdout == "x\nx\n"
    rl.argv = lacking
    assert rl("start", "-a", "web").stdout == "x\nx\nx\n"


def test_nothing_unpacked_is_written_elsewhere(short_dir: Path, tmp_path: Path) -> None:
    place = short_dir / "place"
    place.mkdir()

    def inside() -> list[str]:
        unsquash._confine(str(place))
        (place / "in").touch()
        failed = []
        for path in (tmp_path / "out", Path("/tmp/out"), short_dir / "out"):
            try:
                path.touch()
            except OSError as error:
                failed.append(str(error.strerror))
        return failed

    assert idmap.call(inside) == ["Read-only file system"] * 3
    assert (place / "in").exists()


def test_a_file_that_cannot_be_unpacked(store: Paths, file: Path) -> None:
    data = file.read_bytes()
    file.write_bytes(data[:200_000] + bytes(200_000) + data[400_000:])
    found = squashfile.read(str(file))
    tree = unsquash.tree_of(store, found)
    with pytest.raises(ImageError, match="cannot be unpacked"):
        unsquash.unpack(store, found, tree)
    assert os.listdir(store.unpacked) == os.listdir(store.tmp) == []


def test_a_kernel_without_overlay_for_users(rl: Rl, file: Path) -> None:
    """fuse-overlayfs takes its place, for a container that does not run, too."""
    rl.argv = [
        sys.executable, "-IS", "-c",
        f"import sys; sys.path += {[str(CHECKOUT), *sys.path[-1:]]!r}\n"
        "from rootless.kernel import libc\n"
        "real = libc.mount\n"
        "def mount(source, target, kind, *more):\n"
        "    if kind == 'overlay':\n"
        "        raise PermissionError(1, 'Operation not permitted')\n"
        "    real(source, target, kind, *more)\n"
        "libc.mount = mount\n"
        "from rootless.cli.main import main; main()",
    ]  # fmt: skip
    script = "echo x >/new; grep ' / ' /proc/mounts | cut -d ' ' -f 1"
    done = rl("run", "--name=c", "--net=none", str(file), "sh", "-c", script)
    assert done.stdout == "fuse-overlayfs\n"
    assert rl("cp", "c:/new", "-").stdout.count("x\n") == 1
    assert rl("diff", "c").stdout == "A /new\n"
    rl("rm", "c")


def test_neither_program(without: Rl, file: Path) -> None:
    code = without.argv[3].replace(
        "from rootless.cli",
        "from rootless.tools import spawn; old = spawn.which; spawn.which = lambda name:"
        " None if name == 'unsquashfs' else old(name); from rootless.cli",
    )
    without.argv = [*without.argv[:3], code]
    said = without("run", "--rm", str(file), "true", code=125).stderr
    assert "apt-get install squashfuse squashfs-tools" in said


def test_device_files_are_told(without: Rl, tmp_path: Path) -> None:
    path = tmp_path / "dev.sqsh"
    (tmp_path / "empty/etc").mkdir(parents=True)
    subprocess.run(
        [spawn.find("mksquashfs", "squashfs-tools"), str(tmp_path / "empty"), str(path),
         "-quiet", "-no-progress", "-p", "null c 666 0 0 1 3", "-p", "sda b 660 0 0 8 0"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    done = without("run", "--rm", "--net=none", str(path), "true", code=127)
    assert "2 device files cannot be made here" in done.stderr


def test_devices_of_a_file_are_none(rl: Rl, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "dev.sqsh"
    subprocess.run(
        ["unsquashfs", "-quiet", "-no-progress", "-d", str(tmp_path / "t"), str(file)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    subprocess.run(
        [spawn.find("mksquashfs", "squashfs-tools"), str(tmp_path / "t"), str(path), "-all-root",
         "-quiet", "-no-progress", "-p", "null2 c 666 0 0 1 3"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    assert sh(rl, path, "stat -c %F /null2; cat /null2 || echo none") .splitlines() == [
        "character special file", "none",
    ]  # fmt: skip


def test_a_server_that_never_answers(rl: Rl, file: Path, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/squashfuse_ll"
    program.write_text("#!/bin/sh\necho busy >&2\nexec sleep 1000\n")
    program.chmod(0o755)
    rl.env["PATH"] = f"{tmp_path}/bin:{rl.env['PATH']}"
    rl.argv = [
        sys.executable, "-IS", "-c",
        f"import sys; sys.path += {[str(CHECKOUT), *sys.path[-1:]]!r};"
        " from rootless.tools import squashfuse; squashfuse._PATIENCE_MS = 500;"
        " from rootless.cli.main import main; main()",
    ]  # fmt: skip
    first = rl("run", "--rm", "--net=none", str(file), "echo", "yes")
    assert first.stdout == "yes\n"
    assert "is unpacked into" in first.stderr and "as squashfuse_ll: busy" in first.stderr
    assert rl("run", "--rm", "--net=none", str(file), "echo", "yes").stderr == ""
