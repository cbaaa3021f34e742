"""Image stores that one user fills and all read: what is on disk, and what readers have of it.

A reader here is a user namespace that lacks the id which owns the shared store, so that its files
are nobody's to it, as those of the real root or of a colleague are.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rootless.image import publishing
from rootless.model import ownermark
from rootless.model.idmap import IdMaps
from rootless.tools import idmap
from tests.user.run import site_config
from tests.user.run.run_images import ImageMaker, folder, member, symlink

# Of the user namespace: who fills the store, and how many ids a reader with many has.
OWNER, READERS_IDS = 50000, 40000
PASSWD = b"root:x:0:0::/:/b/sh\nwww:x:33:33::/:/b/sh\n"
LOWER = [
    folder("etc"), member("etc/passwd", content=PASSWD),
    member("etc/shadow", content=b"x", mode=0o640, gid=42),
    folder("var"), folder("var/www", uid=33, gid=33, mode=0o750),
    member("var/www/f", content=b"hi\n", uid=33, gid=33, mode=0o600),
    member("su", content=b"#!/b/sh\n", mode=0o4755), folder("tmp", mode=0o1777),
    folder("secret", mode=0o700), member("secret/s", content=b"s\n", mode=0o400),
    symlink("link", "var/www/f"), symlink("dirlink", "var"),
]  # fmt: skip
UPPER = [folder("etc"), member("etc/.wh.shadow"), member("top", content=b"top\n", uid=7)]

Reader = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shared(rl: Any, short_dir: Path) -> Iterator[Path]:
    """A store with the image localhost/i1:t that belongs to somebody else."""
    etc = short_dir / "etc"
    etc.mkdir()
    top = short_dir / "images"
    (etc / "rl.toml").write_text(f'additional_image_stores = ["{top}"]\n')
    rl.argv = site_config.argv(etc)
    made = short_dir / "oci"
    made.mkdir()
    image = ImageMaker(made, shutil.which("busybox") or "/bin/busybox")(LOWER, UPPER)
    rl("pull", "-q", image, env={"RL_ROOT": str(top)})
    idmap.call(lambda: chown_all(str(top), OWNER))
    before = idmap.call(lambda: listing(str(top)))
    yield top
    assert idmap.call(lambda: listing(str(top))) == before  # nothing was ever written there


def chown_all(top: str, owner: int) -> None:
    for _, folders, names, fd in os.fwalk(top):
        os.fchown(fd, owner, owner)
        for name in (*folders, *names):
            os.chown(name, owner, owner, dir_fd=fd, follow_symlinks=False)


def listing(top: str) -> list[tuple[str, int, int, int]]:
    found = []
    for path, folders, names in os.walk(top):
        for name in (".", *folders, *names):
            info = os.lstat(f"{path}/{name}")
            found.append((f"{path}/{name}", info.st_mode, info.st_uid, info.st_ctime_ns))
    return sorted(found)


@pytest.fixture(params=["many ids", "one id"])
def reader(request: pytest.FixtureRequest, rl: Any, shared: Path) -> Reader:
    """Runs `rl` as somebody to whom the owner of the shared store is nobody."""
    uid, gid = os.geteuid(), os.getegid()
    maps = IdMaps(((0, uid, 1),), ((0, gid, 1),))
    if request.param == "many ids":
        whole = idmap.canonical_maps()
        maps = IdMaps(*(((0, own, 1), (1, rows[1][1], READERS_IDS))
                        for own, rows in ((uid, whole.uids), (gid, whole.gids))))  # fmt: skip

    def run(*words: str, code: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        def inside() -> list[Any]:
            done = subprocess.run(
                [*rl.argv, *words], env={**rl.env, **env}, stdin=subprocess.DEVNULL,
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            return [done.returncode, done.stdout, done.stderr]

        done = subprocess.CompletedProcess(words, *idmap.call(inside, maps))
        assert code is None or done.returncode == code, done
        return done

    run.has_ids = request.param == "many ids"  # type: ignore[attr-defined]
    return run


def test_what_is_on_disk(shared: Path) -> None:
    modes = set()
    for path, folders, names in os.walk(shared / "layers"):
        for name in (*folders, *names):
            info = os.lstat(f"{path}/{name}")
            if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
                modes.add(stat.S_IMODE(info.st_mode))
    # No set-id and no sticky bit, nothing that others may write to, all that they may read.
    assert modes == {0o755, 0o644}
    (found,) = shared.glob("layers/*/diff/var/www/f")
    assert os.getxattr(found, "user.containers.override_stat") == b"33:33:0600"
    (found,) = shared.glob("layers/*/diff/su")
    assert os.getxattr(found, "user.containers.override_stat") == b"0:0:4755"
    for private in ("tmp", "locks"):
        assert stat.S_IMODE((shared / private).stat().st_mode) == 0o700
    for public in (".", "blobs", "blobs/sha256", "layers"):
        assert stat.S_IMODE((shared / public).stat().st_mode) == 0o755
    for blob in (*shared.glob("blobs/sha256/*"), *shared.glob("layers/*/layer.json")):
        assert stat.S_IMODE(blob.stat().st_mode) == 0o644


SCRIPT = """
cat /top /link /secret/s
stat -c '%n %u %g %a' /su /var/www /var/www/f /tmp /secret /top
ls /etc | grep shadow
echo more >> /var/www/f; echo new > /var/www/n; mv /link /link2; rm /su; echo t > /tmp/t
stat -c '%n %u %g %a' /var/www /var/www/f /etc /tmp /secret
"""


@pytest.mark.parametrize("driver", ["fuse-overlayfs", "vfs"])
def test_a_container(reader: Any, driver: str) -> None:
    done = reader("run", "--rm", "--net", "none", "--storage-driver", driver,
                  "localhost/i1:t", "sh", "-c", SCRIPT)  # fmt: skip
    www, top = ("33 33", "7 0") if reader.has_ids else ("0 0", "0 0")
    assert done.stdout.splitlines() == [
        "top", "hi", "s",
        "/su 0 0 4755", f"/var/www {www} 750", f"/var/www/f {www} 600", "/tmp 0 0 1777",
        "/secret 0 0 700", f"/top {top} 644",
        f"/var/www {www} 750", f"/var/www/f {www} 600", "/etc 0 0 755", "/tmp 0 0 1777",
        "/secret 0 0 700",
    ]  # fmt: skip


def test_native_overlay_is_not_for_it(reader: Any) -> None:
    done = reader("run", "--rm", "--net", "none", "--storage-driver", "overlay",
                  "localhost/i1:t", "cat", "/secret/s")  # fmt: skip
    assert done.stdout == "s\n"
    assert "is of a shared store: fuse-overlayfs instead" in done.stderr


def test_another_user_of_the_image(reader: Any) -> None:
    if not reader.has_ids:
        done = reader("run", "--rm", "--net", "none", "localhost/i1:t", "cat", "/secret/s")
        assert done.stdout == "s\n"
        return
    done = reader("run", "--rm", "--net", "none", "-u", "www", "localhost/i1:t", "sh", "-c",
                  "echo mine >> /var/www/f && cat /var/www/f; cat /secret/s", code=1)  # fmt: skip
    assert done.stdout == "hi\nmine\n"
    assert "Permission denied" in done.stderr


def test_commands_on_images(reader: Any, short_dir: Path) -> None:
    rows = reader("images").stdout.splitlines()
    assert [row.split()[-1] for row in rows] == ["R/O", "true"]
    assert reader("images", "--filter", "readonly=false", "-q").stdout == ""
    assert reader("inspect", "--format", "{{.RepoTags}}", "localhost/i1:t").stdout == (
        "[localhost/i1:t]\n"
    )
    assert len(reader("history", "-q", "localhost/i1:t").stdout.split()) == 3
    reader("save", "-q", "-o", f"{short_dir}/i.tar", "localhost/i1:t")
    assert (short_dir / "i.tar").stat().st_size > 100000
    done = reader("rmi", "localhost/i1:t", code=None)
    assert done.returncode != 0
    assert f"localhost/i1:t: is in the read-only store {short_dir}/images" in done.stderr
    assert reader("pull", "--policy", "missing", "localhost/i1:t").stdout


def test_a_tag_and_a_push(reader: Any, registry: Any) -> None:
    name = f"{registry.host}/shared-{'many' if reader.has_ids else 'one'}:t"
    reader("tag", "localhost/i1:t", name)
    assert reader("images", "-q", "--filter", "readonly=false").stdout.strip()
    reader("push", "-q", name)
    reader("rmi", name)
    reader("pull", "-q", name)
    # Its layers are in the shared store: nothing came but the documents.
    rows = reader("images", "--format", "{{.Repository}} {{.ReadOnly}}").stdout.splitlines()
    assert sorted(row.split()[1] for row in rows) == ["false", "true"]


def test_a_build_and_a_commit_on_it(reader: Any, rl: Any, short_dir: Path) -> None:
    context = short_dir / "ctx"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM localhost/i1:t\nCOPY Dockerfile /var/www/d\n"
        'RUN ["/b/sh", "-c", "echo run > /var/www/r && rm /top && cat /secret/s"]\n'
    )
    reader("build", "-q", "--network", "none", "-t", "localhost/built", str(context))
    done = reader("run", "--name", "c", "--net", "none", "localhost/built", "sh", "-c",
                  "cat /var/www/r; stat -c '%u %a' /var/www; ls / /var/www")  # fmt: skip
    www = "33 750" if reader.has_ids else "0 750"
    assert done.stdout.splitlines()[:2] == ["run", www]
    assert "top" not in done.stdout.split()
    assert "d" in done.stdout.split()
    changed = reader("diff", "c").stdout
    assert changed.split() == [] or "/secret" not in changed
    reader("commit", "-q", "c", "localhost/committed")
    reader("rm", "c")
    # Only what the build made is in the reader's store.
    folder = "layers" if reader.has_ids else "layers-one-id"
    assert len(list((rl.root / folder).iterdir())) == 2
    names = {path.name for path in rl.root.glob(f"{folder}/*/diff/*")}
    assert names <= {"var", "top", "etc"}


def test_a_container_that_stays(reader: Any) -> None:
    if not reader.has_ids:
        reader("create", "--name", "c", "--net", "none", "localhost/i1:t", "cat", "/secret/s")
    else:
        reader("create", "--name", "c", "--net", "none", "localhost/i1:t", "cat", "/var/www/f")
    first = reader("start", "-a", "c").stdout
    assert reader("start", "-a", "c").stdout == first != ""
    assert reader("cp", "c:/secret/s", "-", code=None).stdout.startswith("s\0")
    reader("rm", "c")


def test_frames_go_with_the_images(reader: Any, rl: Any) -> None:
    reader("run", "--name", "c", "--net", "none", "localhost/i1:t", "true")
    assert len(list((rl.root / "frames").iterdir())) == 1
    reader("image", "prune", "--all", "--force")
    assert len(list((rl.root / "frames").iterdir())) == 1  # the container needs it
    reader("rm", "c")
    reader("image", "prune", "--all", "--force")
    assert list((rl.root / "frames").iterdir()) == []


def test_the_own_image_comes_first(
    rl: Any, shared: Path, short_dir: Path, busybox_image: str
) -> None:
    rl("tag", busybox_image, "localhost/i1:t")
    assert rl("run", "--rm", "--net", "none", "localhost/i1:t", "ls", "/top", code=1).stdout == ""
    rl("rmi", "localhost/i1:t")
    assert rl("run", "--rm", "--net", "none", "localhost/i1:t", "ls", "/top").stdout == "/top\n"


def test_a_shared_store_that_goes_away(rl: Any, shared: Path, short_dir: Path) -> None:
    rl("tag", "localhost/i1:t", "localhost/mine:t")
    (short_dir / "etc/rl.toml").write_text("")
    done = rl("run", "--rm", "--net", "none", "localhost/mine:t", "true", code=125)
    assert "localhost/mine:t: layer " in done.stderr
    assert "is neither in the store nor in an additional one" in done.stderr
    assert "hint: rl pull localhost/mine:t" in done.stderr
    shown = rl("inspect", "--format", "{{.RepoTags}} {{.Size}}", "localhost/mine:t").stdout
    assert shown == "[localhost/mine:t] 0\n"
    assert len(rl("images", "-q").stdout.split()) == 1
    rl("rmi", "localhost/mine:t")
    assert rl("images", "-q").stdout == ""


def test_a_private_store_is_not_shared_by_listing_it(
    rl: Any, short_dir: Path, busybox_image: str
) -> None:
    etc = short_dir / "etc"
    etc.mkdir()
    (etc / "rl.toml").write_text(f'additional_image_stores = ["{rl.root}", "/nonexistent"]\n')
    rl.argv = site_config.argv(etc)
    done = rl("pull", "oci:x", code=None)
    assert "was made before that, with files that only their owner can read" in done.stderr
    # Others do without it.
    assert rl("images", "-q", env={"RL_ROOT": f"{short_dir}/other"}).stdout == ""


def test_a_shared_store_holds_all_of_its_images(rl: Any, shared: Path, short_dir: Path) -> None:
    (short_dir / "etc/rl.toml").write_text(
        f'additional_image_stores = ["{shared}", "{short_dir}/second"]\n'
    )
    image = f"oci:{short_dir}/oci/i1:t"
    rl("pull", "-q", image, env={"RL_ROOT": f"{short_dir}/second"})
    assert len(list((short_dir / "second/layers").iterdir())) == 3


def test_file_capabilities_do_not_go_public(rl: Any, short_dir: Path) -> None:
    etc = short_dir / "etc"
    etc.mkdir()
    (etc / "rl.toml").write_text(f'additional_image_stores = ["{short_dir}/images"]\n')
    rl.argv = site_config.argv(etc)
    # cap_net_raw=ep, version 2 (linux/capability.h).
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    ping = member("ping", content=b"x", mode=0o755)
    ping[0].pax_headers["SCHILY.xattr.security.capability"] = value.decode("latin-1")
    made = short_dir / "oci"
    made.mkdir()
    image = ImageMaker(made, shutil.which("busybox") or "/bin/busybox")([ping])
    rl("pull", "-q", image, env={"RL_ROOT": f"{short_dir}/images"})
    (found,) = (short_dir / "images").glob("layers/*/diff/ping")
    assert os.listxattr(found) == ["user.containers.override_stat"]


def test_owners_that_a_build_with_a_single_id_has_noted(short_dir: Path) -> None:
    (short_dir / "t").mkdir()
    (short_dir / "t/f").write_text("x")
    os.setxattr(short_dir / "t/f", ownermark.NAME, b"33:34:0644")
    idmap.call(lambda: publishing.publish(f"{short_dir}/t"))
    assert os.getxattr(short_dir / "t/f", "user.containers.override_stat") == b"33:34:0644"
    assert os.getxattr(short_dir / "t", "user.containers.override_stat")[:4] == b"0:0:"


def test_one_as_a_file(rl: Any, shared: Path, tmp_path: Path) -> None:
    rl("image", "squash", "-q", "i1:t", str(tmp_path / "i.sqsh"))
    subprocess.run(
        ["unsquashfs", "-q", "-n", "-d", str(tmp_path / "t"), str(tmp_path / "i.sqsh"), "link"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    listed = subprocess.run(
        ["unsquashfs", "-lln", str(tmp_path / "i.sqsh")], capture_output=True, text=True, check=True
    )
    rows = [line.split() for line in listed.stdout.splitlines() if "squashfs-root/" in line]
    found = {row[5].removeprefix("squashfs-root/"): f"{row[0]} {row[1]}" for row in rows}
    assert found["var/www"] == "drwxr-x--- 33/33" and found["var/www/f"] == "-rw------- 33/33"
    assert found["su"] == "-rwsr-xr-x 0/0" and found["link"] == "lrwxrwxrwx 0/0"
    assert found["top"].endswith(" 7/0") and "etc/shadow" not in found
    assert os.listxattr(tmp_path / "t") == []


def test_a_bundle(reader: Any, short_dir: Path) -> None:
    reader("run", "--bundle", f"{short_dir}/b", "--net", "host", "localhost/i1:t", "cat", "/top")
    assert (short_dir / "b/rootfs/top").read_text() == "top\n"
    assert stat.S_IMODE((short_dir / "b/rootfs/su").stat().st_mode) == 0o4755
