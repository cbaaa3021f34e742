"""Exit codes, and what is said when a command cannot be started."""

from __future__ import annotations

import signal

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Leftovers, Sh
from tests.user.run.run_images import ImageMaker, folder, member


@pytest.mark.parametrize("code", [0, 1, 42, 255])
def test_the_exit_code_is_the_commands(sh: Sh, code: int) -> None:
    done = sh(f"exit {code}", code=code)
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize("name", ["TERM", "KILL", "SEGV", "USR1"])
@pytest.mark.parametrize("flags", [[], ["--init"]], ids=["plain", "init"])
def test_a_command_that_a_signal_ended(sh: Sh, name: str, flags: list[str]) -> None:
    # Not process 1 itself: the kernel keeps its own signals from it.
    number = signal.Signals[f"SIG{name}"]
    sh(f"sh -c 'kill -{name} $$'; exit $?", *flags, code=128 + number)


def test_init_reports_a_payload_that_a_signal_ended(sh: Sh) -> None:
    sh("kill -KILL $$", "--init", code=128 + signal.SIGKILL)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("nosuch", 127, 'exec "nosuch": executable file not found in $PATH'),
        ("/no/such", 127, 'exec "/no/such": no such file or directory'),
        ("/etc/passwd", 126, 'exec "/etc/passwd": permission denied'),
        ("/etc/passwd/x", 127, "no such file or directory|not a directory"),
        ("/etc", 126, 'exec "/etc": is a directory'),
    ],
)
@pytest.mark.parametrize("flags", [[], ["--init"], ["-t"]], ids=["plain", "init", "tty"])
def test_a_command_that_cannot_be_started(
    rl: Rl,
    busybox_image: str,
    leftovers: Leftovers,
    flags: list[str],
    command: str,
    code: int,
    words: str,
) -> None:
    done = rl("run", "--rm", "--net=none", *flags, busybox_image, command, code=code)
    assert any(each in done.stderr for each in words.split("|")), done.stderr
    assert done.stderr.startswith("rl: error: ")
    assert leftovers.everything() == {}


def test_files_that_the_kernel_refuses_to_execute(rl: Rl, images: ImageMaker) -> None:
    image = images(
        [
            member("b/noformat", content=b"\x00\x01garbage", mode=0o755),
            member("b/nointerpreter", content=b"#!/no/such/shell\n", mode=0o755),
            member("b/script", content=b"#!/b/sh\nexit 7\n", mode=0o755),
            member("b/hidden", content=b"#!/b/sh\n", mode=0o600),
        ]
    )
    done = rl("run", "--rm", image, "noformat", code=126)
    assert "exec format error" in done.stderr and "hint" not in done.stderr
    gone = rl("run", "--rm", image, "nointerpreter", code=127).stderr
    assert "interpreter or loader is missing" in gone
    rl("run", "--rm", image, "script", code=7)
    assert "permission denied" in rl("run", "--rm", image, "hidden", code=126).stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--no-such-flag"], "--no-such-flag"),
        (["--user", "nobody-here"], "nobody-here"),
        (["--userns", "nonsense"], "--userns nonsense"),
        (["--network", "nonsense"], "nonsense"),
        (["-v", "/no/such/dir:/x"], "/no/such/dir"),
        (["--device", "/dev/nosuch"], "/dev/nosuch"),
        (["--ulimit", "nosuch=1"], "nosuch"),
        (["--cap-add", "NOSUCH"], "NOSUCH"),
        (["--sysctl", "kernel.nosuch=1"], "kernel.nosuch"),
        (["--security-opt", "seccomp=/no/such.json"], "/no/such.json"),
        (["--pull", "never", "--platform", "linux/s390x"], "localhost/busybox"),
    ],
)
def test_what_rl_cannot_do_ends_with_125_and_names_it(
    rl: Rl, busybox_image: str, leftovers: Leftovers, flags: list[str], words: str
) -> None:
    done = rl("run", "--rm", *flags, busybox_image, "true", code=None)
    assert done.returncode in (125, 126) and words in done.stderr, done
    assert done.stdout == ""
    assert leftovers.everything() == {}


def test_an_image_that_is_not_here(rl: Rl) -> None:
    done = rl("run", "--rm", "--pull", "never", "localhost/nosuch", "true", code=None)
    assert (done.returncode, done.stdout) == (125, "")
    assert "localhost/nosuch" in done.stderr


def test_an_image_without_a_command(rl: Rl, images: ImageMaker) -> None:
    done = rl("run", "--rm", images([], config={"Cmd": None}), code=125)
    assert "no command to run" in done.stderr


def test_a_working_directory_that_is_a_file(rl: Rl, images: ImageMaker) -> None:
    image = images([folder("d"), member("d/file")])
    done = rl("run", "--rm", "-w", "/d/file/below", image, "true", code=126)
    assert "/d/file/below: Not a directory" in done.stderr
    done = rl("run", "--rm", "-w", "/d/file", image, "true", code=126)
    assert "working directory /d/file: Not a directory" in done.stderr


def test_a_program_for_another_machine_says_which(rl: Rl, images: ImageMaker) -> None:
    image = images([member("b/odd", content=b"\x7fELF", mode=0o755)], architecture="s390x")
    done = rl("run", "--rm", image, "odd", code=126)
    assert "hint: the image is built for s390x, this machine is " in done.stderr
    assert "rl pull --platform linux/" in done.stderr
    assert "sudo apt-get install qemu-user-static" in done.stderr


def test_a_loader_of_another_machine_says_which(rl: Rl, images: ImageMaker) -> None:
    """As where binfmt_misc names an interpreter that the image does not have."""
    script = member("b/odd", content=b"#!/usr/bin/qemu-s390x-static\n", mode=0o755)
    done = rl("run", "--rm", images([script], architecture="s390x"), "odd", code=127)
    assert "hint: the image is built for s390x, this machine is " in done.stderr
    assert "hint" not in rl("run", "--rm", images([script]), "odd", code=127).stderr
