"""`rl update` on containers that run: new limits hold at once, or nothing has changed."""

from __future__ import annotations

import json

import pytest

from tests.system.background import IMAGE, SPIN, Background, background
from tests.system.guest import Guest


def near(share: float) -> object:
    """Within 10 %, as promised."""
    return pytest.approx(share, rel=0.1)


def host_config(container: Background) -> dict[str, object]:
    found: dict[str, object] = json.loads(container.rl(f"inspect {container.name}").stdout)[0][
        "HostConfig"
    ]
    return found


def test_a_spinner_gets_its_share_also_after_an_update(guest: Guest) -> None:
    with background(guest, SPIN, "--cpus 0.5", name="spinner") as one:
        assert one.share_of_a_cpu() == near(0.5)
        assert one.rl("update --cpus 0.25 spinner").stdout == "spinner\n"
        assert one.share_of_a_cpu() == near(0.25)
        one.rl("update --cpu-quota -1 spinner")
        assert one.share_of_a_cpu() > 0.7


def test_memory_below_what_is_used_ends_the_hog(guest: Guest) -> None:
    hold = "sh -c 'dd if=/dev/zero of=/dev/shm/x bs=1M count=40 2>/dev/null; exec sleep 300'"
    with background(guest, hold, "-m 200m --shm-size 100m", name="holder") as one:
        used = f"$(cat {one.group}/payload/memory.current)"
        one.user.run(f"until [ {used} -gt 41943040 ]; do sleep 0.2; done")
        one.rl("update --memory 20m --memory-swap 20m holder")
        done = one.wait()
        assert done.code == 137
        assert "the kernel killed" in done.stderr
        assert "the container's limit of 20MiB" in done.stderr


def test_what_is_not_mentioned_stays(guest: Guest) -> None:
    with background(guest, "sleep 300", "-m 100m --pids-limit 20 --cpus 1.5", name="kept") as one:
        one.rl("update --pids-limit 30 kept")
        one.rl("update --memory-reservation 50m kept")
        assert (one.file("memory.max"), one.file("memory.low")) == ("104857600", "52428800")
        assert (one.file("cpu.max"), one.file("pids.max")) == ("150000 100000", "30")
        found = host_config(one)
        assert found["Memory"] == 104857600 and found["MemoryReservation"] == 52428800
        assert found["NanoCpus"] == 1_500_000_000 and found["PidsLimit"] == 30


def test_shares_are_on_the_scope_and_systemd_knows_them(guest: Guest) -> None:
    with background(guest, "sleep 300", name="weighed") as one:
        one.rl("update --cpu-shares 3072 weighed")
        assert (one.file("cpu.weight"), one.file("cpu.weight", part="")) == ("118", "118")
        unit = one.group.rpartition("/")[2]
        manager = "XDG_RUNTIME_DIR=/run/user/$(id -u) systemctl --user"
        show = f"{manager} show --value -p CPUWeight {unit}"
        assert one.user.run(show).stdout == "118\n"
        # What would show that systemd writes a weight of its own over ours.
        one.user.run(f"{manager} daemon-reload")
        assert one.file("cpu.weight", part="") == "118"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--pids-limit 10 --cpuset-cpus 0", "--cpuset-cpus 0: the cpuset controller is not deleg"),
        ("--pids-limit 10 --cgroup-conf memory.high=x", "--cgroup-conf memory.high=x: memory.high"),
        ("--cpu-shares 5000 --cgroup-conf pids.max=x", "--cgroup-conf pids.max=x: pids.max: "),
        ("--pids-limit 10 --memory 200m", "--memory 200m: more than the container's --memory-swap"),
    ],
)
def test_all_or_nothing(guest: Guest, flags: str, said: str) -> None:
    start = "--pids-limit 20 -m 50m --cpu-shares 512"
    with background(guest, "sleep 300", start, name="firm") as one:
        before = host_config(one)
        done = one.rl(f"update {flags} firm", code=125)
        assert done.stderr.startswith(f"rl: error: {said}"), done
        assert "best-effort" not in done.stderr
        assert done.stdout == ""
        assert (one.file("pids.max"), one.file("memory.max")) == ("20", "52428800")
        assert (one.file("cpu.weight"), one.file("cpu.weight", part="")) == ("20", "20")
        assert host_config(one) == before


def test_updates_at_the_same_time_all_count(guest: Guest) -> None:
    with background(guest, "sleep 300", name="busy") as one:
        flags = ["--pids-limit 33", "--memory 77m", "--cpus 0.75", "--cpu-shares 512"]
        one.user.run("; ".join(f"rl update {flag} busy &" for flag in flags).replace("&;", "&")
                     + " wait")  # fmt: skip
        found = host_config(one)
        assert (found["PidsLimit"], found["Memory"]) == (33, 77 << 20)
        assert (found["NanoCpus"], found["CpuShares"]) == (750_000_000, 512)
        assert (one.file("pids.max"), one.file("memory.max")) == ("33", str(77 << 20))


def test_several_containers_and_one_that_is_none(guest: Guest) -> None:
    with background(guest, "sleep 300", name="here") as one:
        done = one.rl("update --pids-limit 44 nobody here", code=125)
        assert done.stdout == "here\n"
        assert "no such container: nobody" in done.stderr
        assert one.file("pids.max") == "44"


def test_a_container_without_a_group(guest: Guest) -> None:
    user = guest.as_user("linger")
    start = f"rl run --rm --net none --cgroup-manager disabled --name loose {IMAGE} sleep 60"
    wait = "until [ 0 -lt $(rl inspect -f '{{.State.Pid}}' loose) ]; do sleep 0.2; done 2>/dev/null"
    script = f"{start} & {wait}; rl update --pids-limit 9 loose; echo $?; rl rm -f loose; wait"
    done = user.run(script, code=None)
    assert done.stdout.split()[:1] == ["125"], done
    assert "rl update needs a cgroup of its own, and was started without one" in done.stderr
