"""Who the command is and what it finds around it: environment, user, directory, limits."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Sh
from tests.user.run.run_images import ImageMaker, folder, member

PASSWD = b"root:x:0:0:root:/root:/b/sh\nann:x:1000:1000:Ann:/home/ann:/b/sh\n"
GROUP = b"root:x:0:\nann:x:1000:\nwheel:x:10:root,ann\naudio:x:63:ann\n"


@pytest.fixture
def image(images: ImageMaker) -> str:
    """An image with a user and with every word that its config can have for a process."""
    config = {
        "Env": ["PATH=/b", "FROM_IMAGE=1", "BOTH=image"],
        "Entrypoint": ["echo", "entry"],
        "Cmd": ["cmd"],
        "User": "ann",
        "WorkingDir": "/srv/data",
    }
    layer = [
        folder("etc"),
        member("etc/passwd", content=PASSWD),
        member("etc/group", content=GROUP),
    ]
    return images(layer, config=config)


def run(rl: Rl, *words: str, **options: object) -> str:
    return rl("run", "--rm", "--net=none", *words, **options).stdout.rstrip("\n")  # type: ignore[arg-type]


def script(rl: Rl, image: str, text: str, *flags: str) -> str:
    return run(rl, *flags, "--entrypoint", "sh", image, "-c", text)


def test_environment(rl: Rl, image: str) -> None:
    found = script(rl, image, "env", "-e", "MINE=a=b c", "-e", "BOTH=flag", "--user", "0").split(
        "\n"
    )
    env = dict(line.split("=", 1) for line in found)
    env.pop("SHLVL")
    assert env.pop("PWD") == "/srv/data"
    assert len(env.pop("HOSTNAME")) == 12
    assert env == {
        "PATH": "/b", "FROM_IMAGE": "1", "BOTH": "flag", "MINE": "a=b c", "HOME": "/root",
        "container": "rl",
    }  # fmt: skip


def test_nothing_of_the_hosts_environment_leaks(rl: Rl, image: str) -> None:
    done = rl(
        "run", "--rm", "--net=none", "--entrypoint", "env", image,
        env={"SECRET_TOKEN": "hunter2", "LD_PRELOAD_X": "1"},
    )  # fmt: skip
    assert "hunter2" not in done.stdout and "LD_PRELOAD_X" not in done.stdout


def test_variables_that_are_passed_on(rl: Rl, image: str) -> None:
    host = {"ONE": "1", "PRE_A": "a", "PRE_B": "b", "OTHER": "no"}
    text = "echo $ONE $PRE_A $PRE_B ${OTHER-unset} ${MISSING-unset}"
    flags = ["-e", "ONE", "-e", "PRE_*", "-e", "MISSING"]
    assert run(rl, *flags, "--entrypoint", "sh", image, "-c", text, env=host) == "1 a b unset unset"
    found = run(rl, "--env-host", "--entrypoint", "/b/sh", image, "-c", "echo $OTHER", env=host)
    assert found == "no"


def test_env_file(rl: Rl, image: str, work: Path) -> None:
    (work / "vars").write_text('# a comment\nA=from file\n\nB="quoted"\nBOTH=file\n')
    text = 'echo "$A|$B|$BOTH"'
    flags = ["--env-file", str(work / "vars"), "-e", "BOTH=flag"]
    assert script(rl, image, text, *flags) == 'from file|"quoted"|flag'


def test_the_image_says_who_where_and_what(rl: Rl, image: str) -> None:
    assert run(rl, image) == "entry cmd"
    assert run(rl, image, "other", "words") == "entry other words"
    assert script(rl, image, "id -u; pwd; echo $HOME").split() == ["1000", "/srv/data", "/home/ann"]


def test_a_working_directory_that_is_not_in_the_image_is_made(rl: Rl, image: str) -> None:
    assert script(rl, image, "pwd; stat -c %a .", "-w", "/new/place").split() == [
        "/new/place",
        "755",
    ]


@pytest.mark.parametrize(
    ("flags", "arguments", "words"),
    [
        (["--entrypoint", "id"], ["-u"], "1000"),
        (["--entrypoint", ""], ["echo", "plain"], "plain"),
        (["--entrypoint", '["echo", "a b", "c"]'], ["d"], "a b c d"),
    ],
)
def test_entrypoint(rl: Rl, image: str, flags: list[str], arguments: list[str], words: str) -> None:
    assert run(rl, *flags, image, *arguments) == words


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("ann", "1000 1000 1000 10 63 /home/ann"),
        ("1000", "1000 1000 1000 10 63 /home/ann"),
        ("ann:wheel", "1000 10 10 /home/ann"),
        ("1000:5", "1000 5 5 /home/ann"),
        ("4242", "4242 0 0 /"),
        ("4242:4343", "4242 4343 4343 /"),
        ("root", "0 0 0 10 /root"),
        ("65535:65535", "65535 65535 65535 /"),
    ],
)
def test_user(rl: Rl, image: str, user: str, ids: str) -> None:
    found = script(rl, image, "echo $(id -u) $(id -g) $(id -G) $HOME", "--user", user)
    uid, gid, *rest = found.split()
    groups = sorted({int(word) for word in rest[:-1]} | {int(gid)})
    expected = ids.split()
    wanted = sorted({int(word) for word in expected[1:-1]})
    assert (uid, gid, groups, rest[-1]) == (expected[0], expected[1], wanted, expected[-1])


def test_group_add(rl: Rl, image: str) -> None:
    found = script(rl, image, "id -G", "--group-add", "audio", "--group-add", "777", "-u", "4242:1")
    assert sorted(map(int, found.split())) == [1, 63, 777]


def test_keep_groups_shows_unmapped_groups_and_no_others(rl: Rl, image: str) -> None:
    """The kernel shows groups that are not mapped as the overflow group."""
    found = script(rl, image, "grep Groups /proc/self/status", "--group-add", "keep-groups")
    count = len([gid for gid in os.getgroups() if gid != os.getgid()])
    assert found.split()[1:].count("65534") >= min(count, 1)
    assert "63" not in found.split()


@pytest.mark.parametrize(("mask", "mode"), [("0022", "644"), ("077", "600"), ("0", "666")])
def test_umask(sh: Sh, mask: str, mode: str) -> None:
    found = sh("umask; touch /tmp/f; stat -c %a /tmp/f", "--umask", mask).stdout.split()
    assert found == [mask.zfill(4), mode]


def test_the_callers_umask_changes_nothing(rl: Rl, busybox_image: str) -> None:
    old = os.umask(0o077)
    try:
        done = rl(
            "run", "--rm", "--net=none", "--user", "1234", "-w", "/made/here", busybox_image, "sh",
            "-c", "umask; cat /etc/hosts >/dev/null && cd /made/here && pwd",
        )  # fmt: skip
    finally:
        os.umask(old)
    assert done.stdout.split() == ["0022", "/made/here"]


def test_ulimits(sh: Sh) -> None:
    flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "nproc=4000"]
    script = "ulimit -S -n; ulimit -H -n; ulimit -c; ulimit -u"
    assert sh(script, *flags).stdout.split() == ["100", "200", "0", "4000"]


def test_limits_of_the_caller_hold(rl: Rl, busybox_image: str) -> None:
    import resource

    process = rl.popen(
        "run", "--rm", "--net=none", busybox_image, "sh", "-c", "ulimit -n; ulimit -H -n",
        stdout=-1, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (300, 400)),
    )  # fmt: skip
    out, _ = process.communicate(timeout=30)
    assert out.split() == [b"300", b"400"]


def test_a_ulimit_above_the_callers_is_refused_with_its_name(rl: Rl, busybox_image: str) -> None:
    process = rl.popen(
        "run", "--rm", "--ulimit", "nofile=10000000:10000000", busybox_image, "true", stderr=-1
    )
    _, err = process.communicate(timeout=30)
    assert process.returncode == 125
    assert b"nofile" in err


def test_sysctl(sh: Sh) -> None:
    script = "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_forward"
    found = sh(script, "--sysctl", "kernel.msgmax=1234", "--sysctl", "net.ipv4.ip_forward=1")
    assert found.stdout.split() == ["1234", "1"]


def test_annotations_and_labels(rl: Rl, busybox_image: str) -> None:
    import json

    flags = ["--annotation", "a.b=c", "--label", "l=1", "--label", "bare"]
    document = json.loads(rl("run", "--dry-run", *flags, busybox_image, "true").stdout)
    assert document["annotations"]["a.b"] == "c"
    rl("run", "--net=none", *flags, "--name", "labelled", busybox_image, "true")
    shown = json.loads(rl("ps", "-a", "--format", "json").stdout)
    of_image = {"org.opencontainers.image.title": "rl's embedded busybox"}
    assert shown[0]["Labels"] == {"l": "1", "bare": "", **of_image}


def test_the_file_creation_of_root_is_the_users_outside(sh: Sh, work: Path) -> None:
    sh("touch /w/by-root; setpriv --help >/dev/null 2>&1; echo x > /w/x", "-v", f"{work}:/w")
    assert {path.stat().st_uid for path in work.iterdir()} == {os.getuid()}
