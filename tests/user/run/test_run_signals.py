"""Signals to rl, --init, --sig-proxy and --timeout."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from tests.user.conftest import Rl
from tests.user.run.conftest import Background, Leftovers, Sh

Start = Callable[..., Background]
LOOP = "while :; do sleep 0.02; done"


@pytest.mark.parametrize("flags", [[], ["--init"]], ids=["plain", "init"])
@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "USR2", "QUIT", "ALRM", "WINCH"])
def test_signals_are_forwarded(background: Start, name: str, flags: list[str]) -> None:
    script = f"trap 'echo {name}; exit 3' {name}; echo ready; {LOOP}"
    process = background(script, "--net=none", *flags).process
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (3, f"{name}\n".encode(), b"")


def test_process_1_without_a_handler_ignores_what_it_gets(background: Start) -> None:
    """The kernel's rule for process 1, as with docker and podman; --init is the remedy."""
    process = background("echo ready; exec sleep 1", "--net=none").process
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_under_init_signals_have_their_usual_effect(background: Start, name: str) -> None:
    process = background("echo ready; exec sleep 1000", "--net=none", "--init").process
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(20) == 128 + getattr(signal, f"SIG{name}")


def test_many_signals_in_a_row_none_lost(background: Start) -> None:
    script = f"n=0; trap 'n=$((n+1)); echo $n' USR1; trap 'exit 0' TERM; echo ready; {LOOP}"
    process = background(script, "--net=none").process
    assert process.stdout is not None
    for count in range(1, 11):
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == f"{count}\n".encode()
    process.terminate()
    assert process.wait(20) == 0


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP"])
def test_without_sig_proxy_the_container_is_killed(
    background: Start, leftovers: Leftovers, name: str
) -> None:
    script = f"trap 'echo caught' {name}; echo ready; {LOOP}"
    process = background(script, "--net=none", "--sig-proxy=false").process
    process.send_signal(getattr(signal, f"SIG{name}"))
    out, _ = process.communicate(timeout=20)
    assert (process.returncode, out) == (137, b"")
    assert leftovers.everything() == {}


def test_without_sig_proxy_other_signals_go_nowhere(background: Start) -> None:
    script = f"trap 'echo usr' USR1; trap 'exit 4' TERM; echo ready; {LOOP}"
    process = background(script, "--net=none", "--sig-proxy=false").process
    process.send_signal(signal.SIGUSR1)
    time.sleep(0.2)
    process.terminate()
    out, _ = process.communicate(timeout=20)
    assert out == b""


def test_timeout_kills(sh: Sh, leftovers: Leftovers) -> None:
    began = time.monotonic()
    done = sh("trap '' TERM INT; echo on; sleep 60", "--timeout", "1", code=137)
    assert 1 <= time.monotonic() - began < 10
    assert done.stdout == "on\n"
    assert "--timeout" in done.stderr
    assert leftovers.everything() == {}


def test_timeout_leaves_a_quicker_command_alone(sh: Sh) -> None:
    for seconds in ("30", "99999999"):
        assert sh("exit 5", "--timeout", seconds, code=5).stderr == ""


def test_init_is_process_1_and_reaps_orphans(sh: Sh) -> None:
    script = """
    cat /proc/1/comm; echo $$
    for n in 1 2 3; do (sleep 0.05 & exec true); done
    sleep 0.4
    grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l
    """
    assert sh(script, "--init").stdout.split() == ["rl-init", "2", "0"]


def test_without_init_the_command_is_process_1(sh: Sh) -> None:
    assert sh("echo $$").stdout == "1\n"


def test_what_the_payload_leaves_behind_ends_with_it(sh: Sh, leftovers: Leftovers) -> None:
    for flags in ((), ("--init",)):
        began = time.monotonic()
        sh("sleep 1000 >/dev/null 2>&1 & setsid sleep 1000 >/dev/null 2>&1 & exit 0", *flags)
        assert time.monotonic() - began < 20
        assert leftovers.live() == []


def test_ignored_and_blocked_signals_of_the_caller_do_not_reach_the_command(
    rl: Rl, busybox_image: str
) -> None:
    def prepare() -> None:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])

    process = rl.popen(
        "run", "--rm", "--net=none", busybox_image, "grep", "-E", "Sig(Blk|Ign)",
        "/proc/self/status", stdout=subprocess.PIPE, preexec_fn=prepare,
    )  # fmt: skip
    out, _ = process.communicate(timeout=30)
    assert [int(line.split()[1], 16) for line in out.splitlines()] == [0, 0]
