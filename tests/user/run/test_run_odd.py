"""Odd circumstances of the caller: limits, a directory that is gone, bytes that are no text."""

from __future__ import annotations

import os
import resource
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, Sh
from tests.user.run.run_images import ImageMaker, folder, member


def run(
    rl: Rl, *argv: str | bytes, code: int = 0, **options: Any
) -> subprocess.CompletedProcess[bytes]:
    """rl run --rm --net=none ARGV with options of Popen."""
    options = {"env": rl.env, "stdin": subprocess.DEVNULL, **options}
    done = subprocess.run(
        [*rl.argv, "run", "--rm", "--net=none", *argv],
        stdout=options.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, timeout=60,
        check=False, **options,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done


def test_bytes_that_are_no_text(rl: Rl, busybox_image: str) -> None:
    word, value = b"w\xff\xfe\n\t'\"$x", b"v\x80\xff\n="
    done = run(
        rl, "-e", b"ODD=" + value, busybox_image, "sh", "-c", 'printf %s "$1$ODD"', "sh", word
    )
    assert done.stdout == word + value


def test_bytes_that_are_no_text_in_a_record(rl: Rl, busybox_image: str) -> None:
    argv = [*rl.argv, "run", "--net=none", "--name", "c", busybox_image, "echo", b"\xff\n\x1b[31m"]
    subprocess.run(argv, env=rl.env, check=True, capture_output=True)
    shown = subprocess.run(
        [*rl.argv, "ps", "-a", "--no-trunc"], env=rl.env, capture_output=True, check=True
    )
    assert b"\x1b" not in shown.stdout and len(shown.stdout.splitlines()) == 2
    rl("rm", "c")


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "no_SUCH"])
def test_other_languages(rl: Rl, busybox_image: str, work: Path, locale: str) -> None:
    (work / "größe").mkdir()
    env = {**rl.env, "LC_ALL": locale, "LANG": locale}
    script = "echo $1 && touch /w/größe"
    done = run(
        rl, "-v", f"{work}/größe:/w", busybox_image, "sh", "-c", script, "sh", "日本", env=env
    )
    assert done.stdout == "日本\n".encode()
    assert (work / "größe/größe").exists()


def test_without_an_environment(rl: Rl, busybox_image: str) -> None:
    env = {name: value for name, value in rl.env.items() if name.startswith("RL_")}
    assert run(rl, busybox_image, "echo", "ran", env=env).stdout == b"ran\n"


def test_from_a_directory_that_is_gone(rl: Rl, busybox_image: str, work: Path) -> None:
    gone = work / "gone"
    gone.mkdir()
    done = run(rl, busybox_image, "pwd", cwd=gone, preexec_fn=gone.rmdir)
    assert done.stdout == b"/\n"


def test_from_a_directory_that_others_may_not_read(rl: Rl, busybox_image: str, work: Path) -> None:
    work.chmod(0o300)
    try:
        for mode in ("host", "keep-id", "auto"):
            done = run(rl, f"--userns={mode}", "-u", "1234", busybox_image, "pwd", cwd=work)
            assert done.stdout == b"/\n"
    finally:
        work.chmod(0o700)


def test_relative_sources_are_below_the_callers_directory(
    rl: Rl, busybox_image: str, work: Path
) -> None:
    (work / "sub").mkdir()
    (work / "sub/f").write_text("here\n")
    done = run(
        rl, "-v", "./sub:/w", "-v", ".:/v", busybox_image, "cat", "/w/f", "/v/sub/f", cwd=work
    )
    assert done.stdout == b"here\nhere\n"


@pytest.mark.parametrize("mask", [0o000, 0o027, 0o077], ids=oct)
def test_the_callers_umask_and_a_new_store(rl: Rl, images: ImageMaker, mask: int) -> None:
    image = images([folder("d", mode=0o755), member("d/f", content=b"x", mode=0o644)])
    script = (
        "stat -c %a /d /d/f /etc/hosts /dev/shm /dev/null / /v; touch /tmp/n; stat -c %a /tmp/n"
    )
    done = run(
        rl, "--tmpfs", "/tmp:mode=1777", "-v", "new:/v", "-u", "1000", image, "sh", "-c", script,
        preexec_fn=lambda: os.umask(mask),
    )  # fmt: skip
    assert done.stdout.split() == [b"755", b"644", b"644", b"1777", b"666", b"755", b"755", b"644"]


def test_few_descriptors(rl: Rl, busybox_image: str) -> None:
    limit = (64, 64)
    done = run(
        rl, busybox_image, "sh", "-c", "ulimit -n",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit),
    )  # fmt: skip
    assert done.stdout == b"64\n"


def test_a_megabyte_of_words(rl: Rl, busybox_image: str) -> None:
    words = [f"{number:05}" * 2000 for number in range(100)]
    done = run(rl, busybox_image, "sh", "-c", 'echo $# "$*" | md5sum; exit 3', "sh", *words, code=3)
    expected = subprocess.run(
        ["md5sum"], input=f"100 {' '.join(words)}\n".encode(), capture_output=True, check=True
    )
    assert done.stdout == expected.stdout


def test_more_words_than_the_kernel_takes(rl: Rl, busybox_image: str, work: Path) -> None:
    (work / "vars").write_text("".join(f"V{n}={'x' * 100_000}\n" for n in range(40)))
    done = run(rl, "--env-file", f"{work}/vars", busybox_image, "true", code=126)
    assert b"rgument list too long" in done.stderr


def test_a_full_standard_output(rl: Rl, busybox_image: str) -> None:
    with open("/dev/full", "wb") as full:
        done = run(
            rl, busybox_image, "sh", "-c", "echo x; sleep 0.1; echo y; exit 5", stdout=full, code=5
        )
    assert b"Traceback" not in done.stderr


def test_input_that_never_ends(rl: Rl, busybox_image: str) -> None:
    with open("/dev/zero", "rb") as zero:
        done = run(rl, "-i", busybox_image, "sh", "-c", "head -c 5 | wc -c", stdin=zero)
    assert done.stdout == b"5\n"


@pytest.mark.parametrize("mode", ["host", "keep-id", "auto", "nomap"])
def test_a_rootfs_directory_in_each_user_namespace(
    rl: Rl, busybox_image: str, work: Path, mode: str
) -> None:
    tree = work / "root"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/sh").write_bytes(Path("/bin/busybox").read_bytes())
    (tree / "bin/sh").chmod(0o755)
    argv = ["run", "--rm", "--net=none", f"--userns={mode}", "--rootfs", str(tree)]
    done = rl(*argv, "sh", "-c", "echo $$", code=None)
    # The mount points of /proc and its like are made in the tree: by who may write there.
    assert (done.returncode, done.stdout) == (0, "1\n") or (
        done.returncode == 125 and "ermission denied" in done.stderr and mode in ("auto", "nomap")
    ), done.stderr


@pytest.mark.parametrize(
    ("option", "script", "outcome"),
    [
        ("mask=/etc/passwd:/var", "cat /etc/passwd; ls /var", ""),
        ("unmask=/proc/keys:/proc/acpi", "grep -cE ' /proc/(keys|acpi) ' /proc/mounts; true", "0"),
        (
            "unmask=ALL",
            # But for the view, and the bare copies that let proc be mounted anew inside.
            "grep -E ' /(proc|sys)/' /proc/mounts"
            " | grep -cvE '^rl|^proc /proc/fs |^sysfs /proc/driver ' | grep -c '^[01]$'",
            "1",
        ),
    ],
)
def test_masks_of_the_users_own(sh: Sh, option: str, script: str, outcome: str) -> None:
    assert sh(script, "--security-opt", option).stdout.strip() == outcome


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("ro,noexec", {"ro", "noexec"}),
        ("nodev,nosuid", {"nodev", "nosuid", "rw"}),
        ("rslave", {"rw"}),
        ("z", {"rw"}),
    ],
)
def test_options_of_binds(sh: Sh, work: Path, options: str, expected: set[str]) -> None:
    done = sh("grep ' /w ' /proc/self/mounts", "-v", f"{work}:/w:{options}")
    assert expected <= set(done.stdout.split()[3].split(","))


def test_a_bind_that_is_given_to_the_user(sh: Sh, work: Path) -> None:
    (work / "d").mkdir()
    (work / "d/f").write_text("x")
    (work / "link").symlink_to("/etc")
    script = "id -u; stat -c %u:%g /w /w/d/f /w/link; echo more >> /w/d/f"
    done = sh(script, "-u", "1000:1001", "-v", f"{work}:/w:U")
    assert done.stdout.split() == ["1000", "1000:1001", "1000:1001", "1000:1001"]


def test_the_hosts_etc_passwd_is_never_read_for_names(rl: Rl, images: ImageMaker) -> None:
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    done = rl("run", "--rm", "--user", user, images(), "true", code=None)
    assert done.returncode in (125, 126) and user in done.stderr


def test_an_image_for_another_machine(rl: Rl, busybox_image: str) -> None:
    """Not taken for the wished one, to be found out from an exec format error."""
    done = rl(
        "run", "--rm", "--platform", "linux/s390x", "--pull", "never", busybox_image, "true",
        code=None,
    )  # fmt: skip
    assert done.returncode == 125 and "not in the store" in done.stderr


def test_the_runtime_directory_of_somebody_else(rl: Rl, busybox_image: str, work: Path) -> None:
    rl("run", "--rm", "--net=none", busybox_image, "true")
    work.chmod(0o777)
    done = rl("run", "--rm", busybox_image, "true", env={"RL_RUNTIME_DIR": str(work)}, code=None)
    assert done.returncode != 0 and str(work) in done.stderr and "private" in done.stderr


def test_nothing_runs_as_long_as_the_store_cannot_be_written(
    rl: Rl, busybox_image: str, leftovers: Leftovers
) -> None:
    rl("run", "--rm", "--net=none", busybox_image, "true")
    os.chmod(rl.paths.containers, 0o500)
    try:
        done = rl("run", "--rm", "--net=none", busybox_image, "true", code=None)
    finally:
        os.chmod(rl.paths.containers, 0o700)
    assert done.returncode in (1, 125) and "Permission denied" in done.stderr
    assert "Traceback" not in done.stderr
    assert leftovers.everything() == {}


def test_a_runtime_directory_that_cannot_be_made_is_one_error(rl: Rl, busybox_image: str) -> None:
    done = rl("--runtime-dir", "/sys/no/such", "run", "--rm", busybox_image, "true", code=125)
    first, hint = done.stderr.splitlines()
    assert first.startswith("rl: error: /sys/no: ") and "hint: " in hint


def test_a_store_below_a_path_with_a_colon(rl: Rl, short_dir: Path) -> None:
    store = {"RL_ROOT": str(short_dir / "s:1")}
    done = rl("run", "--rm", "localhost/busybox", "echo", "ran", env=store)
    assert done.stdout == "ran\n" and "with a colon" in done.stderr
