"""Limits hold under real load, or are refused before anything runs."""

from __future__ import annotations

import re

import pytest

from tests.system.guest import Guest, Result

RUN = "rl run --rm --net none"
IMAGE = "localhost/busybox"
HOG = "tail /dev/zero"


def refusal(result: Result, *, of_host: bool = True) -> tuple[str, str]:
    """The error and the hint of an `rl` that did not run anything. of_host: for what it lacks."""
    assert result.returncode == 125, result
    assert result.stdout == "", result
    error, hint, *more = result.stderr.strip().splitlines()
    assert [line.startswith("hint: rl doctor") for line in more] == [True] * of_host, result
    return error.removeprefix("rl: error: "), hint.removeprefix("hint: ")


def microseconds(text: str) -> int:
    found = re.search(r"usage_usec (\d+)", text)
    assert found, text
    return int(found[1])


@pytest.mark.parametrize("kind", ["linger", "ssh", "bare"])
def test_limits_are_in_the_payloads_own_group(guest: Guest, kind: str) -> None:
    files = "cd /sys/fs/cgroup && cat memory.max memory.swap.max memory.low cpu.max pids.max"
    flags = "-m 64m --memory-swap 96m --memory-reservation 32m --cpus 0.5 --pids-limit 100"
    done = guest.as_user(kind).run(f'{RUN} {flags} {IMAGE} sh -c "{files}"')
    assert done.stdout.split() == ["67108864", "33554432", "33554432", "50000", "100000", "100"]
    assert done.stderr == ""


def test_the_container_sees_its_own_group_as_the_root(guest: Guest) -> None:
    command = "cat /proc/self/cgroup /sys/fs/cgroup/cgroup.procs; ls -d /sys/fs/cgroup/*/"
    done = guest.as_user("linger").run(f"{RUN} {IMAGE} sh -c '{command}; true'")
    assert done.stdout.split()[:2] == ["0::/", "1"]
    assert "helpers" not in done.stdout


@pytest.mark.parametrize("flags", ["", "--privileged", "--userns keep-id"])
def test_a_container_cannot_lift_its_own_limit(guest: Guest, flags: str) -> None:
    command = "echo max > /sys/fs/cgroup/memory.max; cat /sys/fs/cgroup/memory.max"
    done = guest.as_user("linger").run(f"{RUN} {flags} -m 64m {IMAGE} sh -c '{command}'")
    assert done.stdout == "67108864\n", done
    assert "can't create" in done.stderr or "write error" in done.stderr, done


def test_a_limit_holds_where_cgroup_namespaces_are_no_border(guest: Guest) -> None:
    """A mount without `nsdelegate` (LXCFS leaves it so): what it may write to is but a copy."""
    root = guest.as_user("root")
    options = root.run("findmnt -no FS-OPTIONS /sys/fs/cgroup").stdout.strip()
    assert "nsdelegate" in options
    command = f"cd /sys/fs/cgroup && echo max > memory.max && cat memory.max && {HOG}"
    root.run("mount -t cgroup2 none /mnt && umount /mnt")
    try:
        assert "nsdelegate" not in root.run("findmnt -no FS-OPTIONS /sys/fs/cgroup").stdout
        run = f'{RUN} --privileged -m 64m {IMAGE} sh -c "{command}"'
        done = guest.as_user("linger").run(run, code=137)
    finally:
        root.run(f"mount -o remount,{options} /sys/fs/cgroup")
    assert done.stdout == "max\n", done
    assert "the container's limit of 64MiB" in done.stderr, done


def test_a_memory_hog_dies_at_its_limit_and_nobody_else(guest: Guest) -> None:
    script = (
        f"sleep 300 & bystander=$!; {RUN} -m 64m {IMAGE} {HOG}; code=$?;"
        " kill -0 $bystander && echo unharmed; kill $bystander; exit $code"
    )
    done = guest.as_user("linger").run(script, code=137)
    assert done.stdout == "unharmed\n"
    said = r"rl: warning: out of memory: the kernel killed tail \(process \d+(, \S+)?\) at the"
    assert re.fullmatch(rf"{said} container's limit of 64MiB\n", done.stderr), done


def test_an_oom_kill_within_is_said_and_kept(guest: Guest) -> None:
    user = guest.as_user("linger")
    command = f"{HOG}; echo code $?"
    done = user.run(f"rl run --name eater --net none -m 64m {IMAGE} sh -c '{command}'")
    try:
        assert done.stdout == "code 137\n"
        assert "the kernel killed tail" in done.stderr
        assert user.run("rl inspect --format '{{.State.OOMKilled}}' eater").stdout == "true\n"
    finally:
        user.run("rl rm -f eater")


def test_the_limit_of_a_slice_is_named_as_such(guest: Guest) -> None:
    user = guest.as_user("linger")
    manager = "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user"
    user.run(f"{manager} set-property --runtime app.slice MemoryMax=120M MemorySwapMax=0")
    # Not a program from the image: its own pages would be taken away and read again, and it would
    # be a minute until the kernel finds that nothing helps.
    command = f"cp /bin/busybox /t/ && exec /t/busybox {HOG}"
    try:
        done = user.run(f"{RUN} -m 1g --tmpfs /t:exec {IMAGE} sh -c '{command}'", code=137)
    finally:
        user.run(f"{manager} revert app.slice")
    assert "at the limit of 120MiB of app.slice, which is not the container's own" in done.stderr


def test_a_fork_bomb_stops_at_the_limit_of_processes(guest: Guest) -> None:
    bomb = "b() { b | b & }; b; sleep 2; cat /sys/fs/cgroup/pids.current"
    limits = "--pids-limit 30 --timeout 20"
    done = guest.as_user("linger").run(
        f"{RUN} {limits} {IMAGE} sh -c '{bomb}'", code=None, timeout=90
    )
    assert "can't fork: Resource temporarily unavailable" in done.stderr, done
    assert all(int(count) <= 30 for count in done.stdout.split()), done


def test_shares_of_one_and_three_divide_a_cpu_so(guest: Guest) -> None:
    spin = "sh -c 'while :; do :; done'"
    starts = " ".join(
        f"taskset -c 1 {RUN} --name s{shares} --cidfile /tmp/s{shares} --cpu-shares {shares}"
        f" {IMAGE} {spin} & {group_of(f'/tmp/s{shares}', f'g{shares}')};"
        for shares in (1024, 3072)
    )
    look = "grep -h usage_usec $g1024/payload/cpu.stat $g3072/payload/cpu.stat"
    end = "rl rm -f s1024 s3072 >/dev/null; wait; rm -f /tmp/s1024 /tmp/s3072"
    script = f"{starts} sleep 1; {look}; sleep 4; {look}; {end}"
    done = guest.as_user("linger").run(script, timeout=120, code=None)
    before_one, before_three, one, three = map(microseconds, done.stdout.splitlines())
    assert one - before_one > 500_000, done
    assert 2.4 <= (three - before_three) / (one - before_one) <= 3.6, done


def group_of(cidfile: str, variable: str) -> str:
    """Shell words that wait for a container and set `variable` to the directory of its group."""
    find = f"find /sys/fs/cgroup -name rl-$(cut -c1-12 {cidfile}).scope"
    return f"until [ -s {cidfile} ]; do sleep 0.1; done; {variable}=$({find})"


def test_weights_are_on_the_scope(guest: Guest) -> None:
    start = f"{RUN} --name heavy --cidfile /tmp/heavy --cpu-shares 3072 {IMAGE} sleep 60 &"
    look = "cat $group/cpu.weight $group/payload/cpu.weight"
    script = f"{start} {group_of('/tmp/heavy', 'group')}; {look}; rl rm -f heavy; rm /tmp/heavy"
    assert guest.as_user("linger").run(script).stdout.split()[:2] == ["118", "118"]


def test_what_is_not_delegated_is_refused(guest: Guest) -> None:
    done = guest.as_user("linger").run(f"{RUN} --cpuset-cpus 0 {IMAGE} true", code=125)
    error, hint = refusal(done)
    uid = guest.as_user("linger").run("id -u").stdout.strip()
    said = f"--cpuset-cpus 0: the cpuset controller is not delegated to user@{uid}.service"
    assert error.startswith(said)
    assert "rl-delegate.conf" in hint


def test_best_effort_runs_without_and_says_so(guest: Guest) -> None:
    flags = "--limits best-effort --cpuset-cpus 0 --pids-limit 50"
    done = guest.as_user("linger").run(f"{RUN} {flags} {IMAGE} cat /sys/fs/cgroup/pids.max")
    assert done.stdout == "50\n"
    assert done.stderr.startswith("rl: warning: not enforced: --cpuset-cpus 0: ")
    assert len(done.stderr.splitlines()) == 1


def test_an_administrator_follows_the_hint(guest: Guest) -> None:
    """What `rl` says is run as it stands; after it cpuset and io limits hold."""
    user, root = guest.as_user("linger"), guest.as_user("root")
    _, hint = refusal(user.run(f"{RUN} --cpuset-cpus 1 {IMAGE} true", code=125))
    for_root, _, for_user = hint.rpartition(" && ")
    target = "/etc/systemd/system/user@.service.d"
    try:
        root.run(for_root.replace("sudo ", ""))
        user.run(for_user)
        notice_new_controllers(guest)
        done = user.run(f"{RUN} --cpuset-cpus 1 {IMAGE} grep Cpus_allowed_list /proc/self/status")
        assert done.stdout.split() == ["Cpus_allowed_list:", "1"]
        write = "dd if=/dev/zero of=/x bs=512k count=6 oflag=direct conv=fsync 2>&1"
        seconds = f"a=$(cut -d. -f1 /proc/uptime); {write}; b=$(cut -d. -f1 /proc/uptime)"
        show = "cat /sys/fs/cgroup/io.max; echo $((b - a))"
        flag = "--device-write-bps /dev/vda:1m"
        done = user.run(f"{RUN} {flag} {IMAGE} sh -c '{seconds}; {show}'")
        assert "wbps=1048576" in done.stdout
    finally:
        root.run(f"rm -r {target}; systemctl daemon-reload")
        user.run(for_user)


def notice_new_controllers(guest: Guest) -> None:
    """What newer ones of systemd need beside: the second half of the second hint."""
    user, root = guest.as_user("linger"), guest.as_user("root")
    done = user.run(f"{RUN} --cpuset-cpus 1 {IMAGE} true", code=None)
    if done.returncode:
        error, hint = refusal(done)
        assert "has not noticed the cpuset controller yet" in error
        root.run(hint.rpartition(": ")[2].replace("sudo ", ""))


def test_without_a_manager_linger_is_the_way(guest: Guest) -> None:
    user, root = guest.as_user("su"), guest.as_user("root")
    _, hint = refusal(user.run(f"{RUN} -m 64m {IMAGE} true", code=125))
    assert hint == "sudo loginctl enable-linger rl-su"
    assert user.run(f"{RUN} {IMAGE} echo runs").stdout == "runs\n"
    try:
        root.run("loginctl enable-linger rl-su; sleep 2")
        done = user.run(f"{RUN} -m 64m {IMAGE} cat /sys/fs/cgroup/memory.max")
    finally:
        root.run("loginctl disable-linger rl-su; loginctl terminate-user rl-su; sleep 1")
    assert done.stdout == "67108864\n"


def test_a_manager_that_hangs_hangs_nobody(guest: Guest) -> None:
    user, root = guest.as_user("linger"), guest.as_user("root")
    uid = user.run("id -u").stdout.strip()
    manager = f"systemctl show --value -p MainPID user@{uid}.service"
    root.run(f"kill -STOP $({manager})")
    try:
        assert user.run(f"{RUN} {IMAGE} echo runs").stdout == "runs\n"
        error, _ = refusal(user.run(f"{RUN} -m 64m {IMAGE} echo runs", code=125))
    finally:
        root.run(f"kill -CONT $({manager})")
    assert error.startswith("--memory 64m: ")
    assert "no answer from systemd" in error


def test_oom_score(guest: Guest) -> None:
    user = guest.as_user("linger")
    done = user.run(f"{RUN} --oom-score-adj 500 {IMAGE} cat /proc/self/oom_score_adj")
    assert done.stdout == "500\n"
    done = user.run(f"{RUN} --oom-score-adj -500 {IMAGE} true", code=125)
    error, _ = refusal(done, of_host=False)
    assert error.startswith("--oom-score-adj -500: ")
