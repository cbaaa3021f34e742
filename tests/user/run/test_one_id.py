"""A user without subordinate ids: one id is mapped, and what a container does about users works.

Such a host is made with bubblewrap: /etc/subuid and /etc/subgid are empty files in there.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rootless.model import ownermark
from tests.user.conftest import RL_ARGV, Rl
from tests.user.doctor import reduced_host
from tests.user.run.run_images import APPLETS, ImageMaker, folder, member, symlink

Script = Callable[..., "subprocess.CompletedProcess[str]"]
BWRAP = shutil.which("bwrap")
REDUCED_HOST = Path(reduced_host.__file__)
NO_LINE = ": the container has one id, "
PASSWD = b"root:x:0:0::/:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n"
GROUP = b"root:x:0:\nweb:x:34:\nmail:x:8:web\n"


@pytest.fixture
def one_id(rl: Rl, short_dir: Path) -> Script:
    """one_id(script): a shell script on such a host, in which `rl` is the command."""
    if BWRAP is None:
        pytest.skip("needs bubblewrap, to hide /etc/subuid")
    empty = short_dir / "empty"
    empty.touch()
    hidden = ["--ro-bind", str(empty), "/etc/subuid", "--ro-bind", str(empty), "/etc/subgid"]

    def run(script: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        body = f'set -e\nrl() {{ {shlex.join(rl.argv)} "$@"; }}\n{script}'
        done = subprocess.run(
            [str(BWRAP), "--dev-bind", "/", "/", *hidden, "sh", "-c", body],
            env=rl.env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture
def image(images: ImageMaker) -> str:
    more = [symlink(f"bin/{name}", "/b/busybox") for name in (*APPLETS, "su", "mknod", "tar", "id")]
    return images(
        [
            *dict.fromkeys(more), folder("etc"), member("etc/passwd", content=PASSWD),
            member("etc/group", content=GROUP), folder("srv", uid=33, gid=34),
            member("srv/theirs", content=b"x", uid=33, gid=34, mode=0o4711),
            member("far", uid=60_000), folder("plain"), member("plain/f", content=b"y"),
        ]
    )  # fmt: skip


def runs(image: str, script: str, *flags: str) -> str:
    """The words of `rl run` of a script."""
    words = ["--rm", "--net=none", *flags, image, "sh", "-c", script]
    return "rl run " + shlex.join(words)


def members(path: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        return {one.name: one for one in archive}


def test_ids_that_are_set_are_told_again(one_id: Script, image: str) -> None:
    script = """
    id; su web -c 'id; id -G'; su web -c 'su root -c id' </dev/null || echo refused; id -u
    """
    done = one_id(runs(image, script))
    lines = done.stdout.splitlines()
    assert lines[0] == "uid=0(root) gid=0(root) groups=0(root)"
    assert "uid=33(web) gid=34(web) groups=8(mail),34(web)" in lines
    assert lines[-2:] == ["refused", "0"]
    assert done.stderr.count(NO_LINE) == 1


def test_children_are_who_their_parent_was(one_id: Script, image: str) -> None:
    script = "su web -c '(sh -c \"sleep 0.2; id -u >/tmp/late\") & id -u'; sleep 0.5; cat /tmp/late"
    assert one_id(runs(image, script, "--tmpfs", "/tmp")).stdout.split() == ["33", "33"]


def test_owners_are_noted_and_go_into_layers(one_id: Script, image: str, short_dir: Path) -> None:
    work = """
    chown 33:34 /plain/f; chown -R web:mail /plain; chown 7:8 /plain/../plain; touch /new
    chown 5:6 /new; chown 0:0 /new; chown 33:8 /srv/theirs; mknod /null c 1 3; mknod /disk b 8 1
    mkdir /d; chown 4294967294:70000 /d; ln -s x /link; chown -h 5 /link; cp /b/busybox /suid
    chown 33 /suid; chmod 4755 /suid; ls -ln / | grep -c ' 0 *0 '
    """
    done = one_id(
        f"rl run --net=none --name box {image} sh -c {shlex.quote(work)}\n"
        f"rl commit -q box made; rl save -q --format oci-archive -o {short_dir}/made.tar made\n"
        f"rl export box >{short_dir}/flat.tar; rl diff box; rl rm box"
    )
    assert "C /plain" in done.stdout.splitlines()
    flat = members(short_dir / "flat.tar")
    expected = {
        "plain": (7, 8), "plain/f": (33, 8), "new": (0, 0), "srv": (33, 34), "srv/theirs": (33, 8),
        "d": (2**32 - 2, 70000), "suid": (33, 0), "far": (60_000, 0), "null": (0, 0),
    }  # fmt: skip
    assert {name: (flat[name].uid, flat[name].gid) for name in expected} == expected
    assert flat["null"].ischr() and (flat["null"].devmajor, flat["null"].devminor) == (1, 3)
    assert flat["disk"].isblk() and flat["suid"].mode == 0o4755
    assert flat["srv/theirs"].mode == 0o711, "who changes hands loses the set-user-ID bit"
    layer = newest_layer(short_dir / "made.tar", short_dir)
    changed = {name: (layer[name].uid, layer[name].gid) for name in expected if name in layer}
    assert changed == {name: owner for name, owner in expected.items() if name not in ("far",)}
    assert layer["null"].ischr()
    assert not any(ownermark.NAME in str(one.pax_headers) for one in layer.values())


def newest_layer(path: Path, folder: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(path) as archive:
        index = json.load(archive.extractfile("index.json"))  # type: ignore[arg-type]
        place = "blobs/sha256/" + index["manifests"][0]["digest"].partition(":")[2]
        manifest = json.load(archive.extractfile(place))  # type: ignore[arg-type]
        place = "blobs/sha256/" + manifest["layers"][-1]["digest"].partition(":")[2]
        content = archive.extractfile(place)
        assert content is not None
        (folder / "layer.tar").write_bytes(content.read())
    return members(folder / "layer.tar")


def test_a_user_of_the_image_is_the_one_id(one_id: Script, image: str, short_dir: Path) -> None:
    script = "id -u; id -G; stat -c %u:%g /srv /etc/passwd; touch /plain/mine; chown web /plain/f"
    done = one_id(
        f"rl run --net=none --user web --name box {image} sh -c {shlex.quote(script)}\n"
        f"rl export box >{short_dir}/flat.tar; rl commit -q box made\n"
        f"rl save -q --format oci-archive -o {short_dir}/made.tar made; rl rm box >/dev/null"
    )
    lines = done.stdout.splitlines()
    assert lines[:4] == ["33", "34 8", "33:34", "33:34"]
    layer = newest_layer(short_dir / "made.tar", short_dir)
    assert (layer["plain/mine"].uid, layer["plain/mine"].gid) == (33, 34)
    assert (layer["plain"].uid, layer["plain/f"].uid) == (0, 33)


def test_a_build(one_id: Script, rl: Rl, image: str, short_dir: Path) -> None:
    context = short_dir / "context"
    context.mkdir()
    (context / "a").write_text("a")
    (context / "Dockerfile").write_text(
        f"FROM {image} AS first\nRUN chown web:mail /plain && touch /new && chown 60001 /new\n"
        "COPY --chown=web:mail a /a\nUSER web\nWORKDIR /srv\n"
        "RUN --mount=type=cache,target=/cache,uid=33 touch /cache/x && touch mine && id -u >uid\n"
        "FROM first\nUSER 0\nCOPY --from=first /plain /new /copied/\nRUN chown 5:34 /srv/mine\n"
    )
    one_id(f"rl build -q --network none -t built {context}; rl save -q -o {short_dir}/b.tar built")
    rl("load", "-q", "-i", f"{short_dir}/b.tar")
    script = "stat -c '%n %u:%g' /plain /new /a /srv/* /copied/*; cat /srv/uid"
    shown = rl("run", "--rm", "--net=none", "built", "sh", "-c", script).stdout.splitlines()
    assert shown == [
        "/plain 33:8", "/new 60001:0", "/a 33:8", "/srv/mine 5:34", "/srv/theirs 33:34",
        "/srv/uid 33:34", "/copied/f 0:0", "/copied/new 60001:0", "33",
    ]  # fmt: skip


def test_exec_as_somebody_else(one_id: Script, image: str) -> None:
    done = one_id(
        f"rl run -d --net=none --security-opt no-new-privileges=false --name box {image} sleep 100"
        " >/dev/null\nrl exec box id -u\n"
        "rl exec -u web box sh -c 'id; grep CapEff /proc/self/status'\n"
        "rl exec -u web box chown 5 /plain && exit 1\n"
        "rl exec box sh -c 'chown 33:8 /plain; (sleep 0.5; id -u >/late) >/dev/null 2>&1 &'\n"
        "sleep 1; rl exec box cat /late; rl exec box chown 7 /plain/f\n"
        "rl export box | tar tvf - --numeric-owner plain; rl rm -f box >/dev/null"
    )
    lines = done.stdout.splitlines()
    assert lines[:2] == ["0", "uid=33(web) gid=34(web) groups=8(mail),34(web)"]
    assert int(lines[2].split()[1], 16) == 0
    assert lines[3] == "0"
    assert [line.split()[1] for line in lines[4:6]] == ["33/8", "7/0"]
    assert "not permitted" in done.stderr


def test_exec_as_somebody_else_at_a_terminal(one_id: Script, image: str) -> None:
    done = one_id(
        f"rl run -d --net=none --name box {image} sleep 100 >/dev/null\n"
        "rl exec -t -u web box id -u; rl rm -f box >/dev/null"
    )
    assert done.stdout.split() == ["33"]


def test_what_is_outside_of_the_root_is_not_touched(
    one_id: Script, image: str, work: Path, short_dir: Path
) -> None:
    (work / "mine").write_text("x")
    (short_dir / "host").write_text("x")
    script = f"""
    chown 33:34 /w/mine /w; echo $?; ln -s {short_dir}/host /way; chown 33 /way 2>&1; echo $?
    chown 33 /../../../../{short_dir}/host 2>&1; echo $?; cd /w; chown 33 ../../../{short_dir}/host
    echo $?; chown 33 /proc/self/fd/1 /dev/stdout; echo $?; chown 33 /missing 2>&1; echo $?
    """
    done = one_id(runs(image, script, "-v", f"{work}:/w"))
    codes = [line for line in done.stdout.splitlines() if line.isdigit()]
    assert codes == ["0", "1", "1", "1", "0", "1"], done.stdout
    for path in (work, work / "mine", short_dir / "host"):
        assert ownermark.NAME not in os.listxattr(path)
        assert path.stat().st_uid == os.getuid()


def test_a_network_with_the_users_own_id(one_id: Script, image: str) -> None:
    script = runs(image, "id -u; cat /proc/net/dev | grep -c tap0", "--userns=keep-id")
    done = one_id(script.replace("--net=none", "--net=slirp4netns"))
    assert done.stdout.split() == [str(os.getuid()), "1"]


def test_images_are_there_with_subordinate_ids_and_without(
    one_id: Script, rl: Rl, image: str
) -> None:
    rl("pull", "-q", image)
    name = rl("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()[0]
    theirs = "stat -c %u:%g /srv /srv/theirs"
    full = ["run", "--rm", "--net=none", name, "sh", "-c", theirs]
    assert rl(*full).stdout.split() == ["33:34"] * 2
    done = one_id(f"{runs(name, 'stat -c %u:%g /srv')}; {runs(name, 'id -u')}")
    assert done.stdout.split() == ["0:0", "0"]
    assert done.stderr.count("unpacked anew") == 1
    assert rl(*full).stdout.split() == ["33:34"] * 2
    rl("rmi", "-f", name)
    assert os.listdir(f"{rl.root}/layers") == os.listdir(f"{rl.root}/layers-one-id") == []


def test_a_container_made_with_one_id_does_not_start_with_more(
    one_id: Script, rl: Rl, image: str
) -> None:
    rl("pull", "-q", image)
    name = rl("images", "--format", "{{.Repository}}:{{.Tag}}").stdout.split()[0]
    one_id(f"rl run --net=none --name box {name} sh -c 'chown 33:8 /plain; chown 7 /far'")
    failed = rl("start", "box", code=125)
    assert "was made where this user had no subordinate ids" in failed.stderr
    rl("commit", "-q", "box", "made")
    shown = rl("run", "--rm", "--net=none", "made", "stat", "-c", "%u:%g", "/plain", "/far").stdout
    assert shown.split() == ["33:8", "7:0"]
    rl("rm", "box")


@pytest.mark.parametrize(
    ("wishes", "reason"),
    [
        ({"helpers": 0o755}, "/usr/bin/newuidmap gets no privileges"),
        ({"no_new_privs": True}, "no_new_privs is set"),
        ({"subids": ""}, "no subordinate ids for this user"),
    ],
    ids=["setuid", "no_new_privs", "subids"],
)
def test_hosts_that_map_no_other_ids(
    image: str, wishes: dict[str, object], reason: str, visible: Path
) -> None:
    shutil.copytree(Path(image.removeprefix("oci:").removesuffix(":t")), visible / "i")
    wishes = {"home": "size=100m", **wishes}
    command = ["sh", "-c", "su web -c 'id -u'"]
    words = [*RL_ARGV, "run", "--rm", "--net=none", f"oci:{visible}/i:t", *command]
    done = subprocess.run(
        [sys.executable, str(REDUCED_HOST), json.dumps(wishes), *words],
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("33\n", 0), done.stderr
    assert done.stderr.count(f"{reason}{NO_LINE}") == 1


@pytest.fixture
def visible() -> Iterator[Path]:
    """A directory that is not below /tmp, which such a host hides."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def test_where_nobody_can_answer(image: str, rl: Rl, one_id: Script) -> None:
    """Below a listener of somebody else's: what changes something succeeds, and that is all."""
    inner = "chown 33:34 /plain/f; echo $?; su web -c 'id -u'"
    program = (
        "import os, sys; sys.path[:0] = sys.argv[1].split(':')\n"
        "from rootless.kernel import libc, notify\n"
        "from rootless.model import bpf\n"
        "libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)\n"
        "program = bpf.program({bpf.X86_64: {9999: bpf.NOTIFY}, bpf.AARCH64: {9999: bpf.NOTIFY}})\n"
        "os.set_inheritable(notify.install(program), True)\n"
        "os.execvp(sys.argv[2], sys.argv[2:])\n"
    )
    path = os.pathsep.join(sys.path)
    start = shlex.join([sys.executable, "-c", program, path])
    done = one_id(f"{start} {shlex.join(rl.argv)} {runs(image, inner).removeprefix('rl ')}")
    assert done.stdout.split() == ["0", "0"]


def test_kernels_before_5_19(one_id: Script, image: str, rl: Rl) -> None:
    """They know no such flag: what would be written into memory is the kernel's then."""
    older = "from rootless.kernel import notify; notify._FLAG_WAIT_KILLABLE_RECV = 1 << 30"
    program = (
        f"import sys; sys.path += {[*sys.path]!r}; {older};"
        " from rootless.cli.main import main; main()"
    )
    argv = shlex.join([sys.executable, "-IS", "-c", program])
    inner = "su web -c 'id -u; id -G'; chown 33:8 /plain/f"
    done = one_id(
        f'rl() {{ {argv} "$@"; }}\n'
        f"rl run --net=none --name box {image} sh -c {shlex.quote(inner)}\n"
        "rl export box | tar tvf - --numeric-owner plain/f; rl rm box >/dev/null"
    )
    words = done.stdout.split()
    assert words[0] == "33"
    assert " 33/8 " in done.stdout


def test_a_killed_server_is_replaced(one_id: Script, image: str) -> None:
    inner = "su web -c 'sleep 1; id -u; sleep 1'; id -u"
    script = f"""
    rl run -d --net=none --name box {image} sh -c {shlex.quote(inner)} >/dev/null
    sleep 0.5; keeper=$(ps -o ppid= -p $(rl inspect --format '{{{{.State.Pid}}}}' box))
    for each in 1 2 3; do pkill -KILL -P $keeper -x rl-users; sleep 0.1; done
    rl wait box; rl logs box; rl rm box >/dev/null
    """
    assert one_id(script).stdout.split() == ["0", "33", "0"]
