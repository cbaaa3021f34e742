"""Storage on hosts without FUSE, and on file systems that no overlay takes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.rungs.conftest import BARE_DEV, Host, broken

FUSE_OVERLAYFS = "/usr/bin/fuse-overlayfs"
# An upper directory on an overlay is what the kernel refuses.
ON_AN_OVERLAY = """
cd {folder}
mkdir lower upper work
mount -t overlay -o userxattr,lowerdir=lower,upperdir=upper,workdir=work overlay {folder}/s
cd /
"""
CHANGE = "echo 1 >/new; chown 5:6 /new; rm /bin/vi; mkdir /etc/deep; echo n:x:9:9::/: >>/etc/passwd"
SHOW = "ls -ln /new; ls -d /etc/deep; test ! -e /bin/vi && echo gone"
DOCKERFILE = """
FROM {image} AS first
COPY file /copied
RUN --network=none {change}
FROM first
RUN --network=none cat /copied && test ! -e /bin/vi && ls -ln /new
COPY --from=first /new /again
"""


def on_overlay(rl: Rl, folder: Path) -> str:
    (folder / "s").mkdir()
    return ON_AN_OVERLAY.format(folder=folder)


@pytest.mark.parametrize(
    ("setup", "reason"),
    [
        (BARE_DEV, "/dev/fuse cannot be opened"),
        ("mount --bind /dev/null /dev/fuse", "invalid argument"),
        (broken(FUSE_OVERLAYFS), "ended without a word"),
        (f"mount --bind /dev/null {FUSE_OVERLAYFS}", "not installed"),
    ],
    ids=["no device", "another device", "program fails", "no program"],
)
def test_native_overlay_where_fuse_does_not_work(
    host: Host, busybox_image: str, setup: str, reason: str
) -> None:
    words = ("run", "--rm", "--net=none", busybox_image, "cat", "/proc/mounts")
    for _ in range(2):
        done = host(setup, *words)
        assert done.stdout.startswith("overlay / overlay "), done.stdout
        said = [line for line in done.stderr.splitlines() if "fuse-overlayfs" in line]
        assert len(said) == 1 and reason in said[0] and "native overlay is used" in said[0], said
    # Put right, it is taken again, whatever was found out before.
    assert host("", *words).stdout.startswith("fuse-overlayfs / ")
    for flags in (["--storage-driver=fuse-overlayfs"], ["--userns=keep-id"]):
        done = host(setup, "run", "--rm", "--net=none", *flags, busybox_image, "true", code=125)
        assert "fuse-overlayfs" in done.stderr and "hint: " in done.stderr, done.stderr


@pytest.mark.parametrize("kind", ["overlay", "vfs"])
def test_what_is_done_with_containers_works_on_each_rung(
    host: Host, rl: Rl, short_dir: Path, kind: str
) -> None:
    """One script, since the mount that the store is on goes with the namespace."""
    setup = BARE_DEV + (on_overlay(rl, short_dir) if kind == "vfs" else "")
    context = short_dir / "c"
    context.mkdir()
    (context / "file").write_text("of the context\n")
    image = "localhost/busybox"
    (context / "Dockerfile").write_text(DOCKERFILE.format(image=image, change=CHANGE))
    commands = [
        f"rl run --net=none --name=box {image} sh -c '{CHANGE}; head -1 /proc/mounts'",
        "rl start -a box || true",
        "rl diff box",
        "rl cp box:/new - | tar t",
        "rl export box | tar t etc/deep bin/vi new 2>&1 || true",
        "rl commit -q box localhost/made",
        f"rl run --rm --net=none localhost/made sh -c '{SHOW}'",
        f"rl run -d --net=none --name=long {image} sleep 100",
        "rl exec long sh -c 'echo of exec >/by-exec'",
        "rl diff long",
        "rl rm -f long box",
        f"rl build -q -t localhost/built {context}",
        f"rl run --rm --net=none localhost/built sh -c '{SHOW}; ls -ln /again; cat /copied'",
    ]
    script = "".join(f"echo '-- '\n{command}\n" for command in commands)
    done = host.sh(f'{setup}\nrl() {{ {shlex.join(rl.argv)} "$@"; }}\n{script}')
    said = done.stdout.split("-- \n")[1:]
    assert len(said) == len(commands), done.stdout + done.stderr
    # The copy is on the file system that refuses an overlay, which is one itself.
    assert ("lowerdir=l/0" in said[0]) == (kind == "overlay"), said[0]
    changes = set(said[2].splitlines())
    assert {"A /new", "D /bin/vi", "A /etc/deep", "C /etc/passwd"} <= changes
    assert said[3].strip() == "new"
    assert "etc/deep" in said[4] and "new" in said[4] and "bin/vi: Not found" in said[4]
    assert "1 5        6" in said[6] and said[6].endswith("/etc/deep\ngone\n")
    assert "A /by-exec" in said[9]
    assert said[12].count("1 5        6") == 2 and "of the context" in said[12]
    notices = done.stderr.count("the image is copied for each container")
    assert (notices > 0) == (kind == "vfs"), done.stderr
    assert ("storage driver vfs: copying 2" in done.stderr) == (kind == "vfs"), done.stderr


def test_a_container_keeps_what_it_has_written_when_the_rung_changes(
    host: Host, rl: Rl, busybox_image: str
) -> None:
    counting = "echo once >>/count; cat /count; head -1 /proc/mounts"
    rl("run", "--net=none", "--name=box", busybox_image, "sh", "-c", counting)
    done = host(BARE_DEV, "start", "-a", "box")
    assert done.stdout.startswith("once\nonce\noverlay / overlay ")
    assert "A /count" in host(BARE_DEV, "diff", "box").stdout
    assert "count" in host(BARE_DEV, "cp", "box:/count", "-").stdout
    assert rl("start", "-a", "box").stdout.startswith("once\nonce\nonce\nfuse-overlayfs / ")
    rl("run", "--net=none", "--storage-driver=vfs", "--name=copy", busybox_image, "sh", "-c",
       counting)  # fmt: skip
    assert rl("start", "-a", "copy").stdout.startswith("once\nonce\n")
