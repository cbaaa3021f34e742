"""Detached containers in real sessions: scopes, logouts with and without linger, a service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.guest import Guest, Session

IMAGE = "localhost/busybox"
USER = "rl-ssh"
# systemctl --user finds its manager by this, which a service of the system does not have.
MANAGER = (
    "export XDG_RUNTIME_DIR=/run/user/$(id -u);"
    " unit=$(getent passwd $(id -u) | cut -d: -f6)/.config/systemd/user"
)


@pytest.fixture
def ssh(guest: Guest) -> Iterator[Session]:
    user = guest.as_user("ssh")
    yield user
    guest.as_user("root").run(f"loginctl disable-linger {USER}")
    user.run("rl rm -fa")


def log_out(guest: Guest) -> None:
    """End every session of the user, as the end of the connection does."""
    guest.as_user("root").run(
        f"loginctl list-sessions --no-legend | awk '$3 == \"{USER}\" {{ print $1 }}'"
        " | xargs -r loginctl terminate-session; sleep 1"
    )


def test_a_scope_holds_all_of_it_until_the_end(guest: Guest) -> None:
    user = guest.as_user("linger")
    script = (
        f"rl run -d --name box -m 64m {IMAGE} sleep 1000 >/dev/null;"
        " group=$(rl inspect -f '{{.CgroupPath}}' box);"
        " for pid in $(cat $group/helpers/cgroup.procs); do cat /proc/$pid/comm; done | sort;"
        " cat $group/payload/memory.max; basename $group;"
        " rl restart -t 0 box >/dev/null; rl inspect -f '{{.CgroupPath}}' box;"
        " rl stop -t 0 box; sleep 1; ls -d ${group%/*}/rl-* 2>&1; rl rm box"
    )
    shown = user.run(script).stdout.split()
    helpers = {"fuse-overlayfs", "rl-keeper", "rl-supervisor", "rl-view", "slirp4netns"}
    assert set(shown[:5]) == helpers
    assert shown[5] == str(64 * 1024**2)
    first, second = shown[6], shown[7].rpartition("/")[2]
    assert second == first.replace(".scope", "-1.scope")
    assert "No such file" in " ".join(shown)


def test_no_check_of_health_while_it_is_paused(guest: Guest) -> None:
    user = guest.as_user("linger")
    results = "rl inspect -f '{{.State.Health.Status}} {{len .State.Health.Log}}' box"
    flags = "--health-cmd true --health-interval 1s --health-retries 1"
    script = (
        f"rl run -d --net none --name box {flags} {IMAGE} sleep 1000 >/dev/null;"
        f" until rl ps | grep -q '(healthy)'; do sleep 0.2; done; rl pause box >/dev/null; sleep 3;"
        f" {results}; sleep 5; {results}; rl unpause box >/dev/null; sleep 4; {results};"
        " rl rm -f box >/dev/null"
    )
    paused, still, later = user.run(script).stdout.splitlines()
    assert paused == still and paused.startswith("healthy ")
    assert later.startswith("healthy ")


def test_without_linger_a_logout_ends_it_and_it_was_said(guest: Guest, ssh: Session) -> None:
    ssh.run("rm -f /run/user/$(id -u)/rl/linger-was-said")  # by another test
    done = ssh.run(f"rl run -d --net none --name box --restart always {IMAGE} sleep 1000")
    assert f"loginctl enable-linger {USER}" in done.stderr
    assert ssh.run(f"rl run -d --net none --rm {IMAGE} true").stderr == ""
    log_out(guest)
    guest.as_user("root").run(f"for i in $(seq 60); do pgrep -u {USER} || exit 0; sleep 0.5; done")
    assert "Exited" in ssh.run("rl ps -a --filter name=box").stdout
    assert "Up" in ssh.run("rl start box >/dev/null; rl ps --filter name=box").stdout


def test_with_linger_it_lives_on(guest: Guest, ssh: Session) -> None:
    guest.as_user("root").run(f"loginctl enable-linger {USER}")
    done = ssh.run(
        f"rl run -d --net none --name box {IMAGE} sh -c 'while :; do date; sleep 1; done'"
    )
    assert done.stderr == ""
    pid = ssh.run("rl inspect -f '{{.State.Pid}}' box").stdout
    log_out(guest)
    guest.as_user("root").run("sleep 12")  # longer than logind gives to a user's manager
    assert ssh.run("rl inspect -f '{{.State.Pid}}' box").stdout == pid
    assert ssh.run("rl stop -t 1 box; rl ps -q").stdout == "box\n"


def test_a_service_of_the_users_systemd(guest: Guest) -> None:
    """Made, started with the manager as at boot, restarted after a failure, stopped."""
    user, root = guest.as_user("linger"), guest.as_user("root")
    uid = user.run("id -u").stdout.strip()
    user.run(
        f"{MANAGER}; mkdir -p $unit;"
        f" rl create --net none --name web {IMAGE} sh -c 'echo served; sleep 1000';"
        " rl generate systemd web > $unit/web.service;"
        " systemctl --user daemon-reload; systemctl --user enable web 2>&1"
    )
    # What happens at boot for a user that lingers.
    root.run(f"systemctl stop user@{uid}; systemctl start user@{uid}; sleep 2")
    up = "until rl ps | grep -q web; do sleep 0.2; done"
    user.run(f"{up}; until rl logs web | grep -q served; do sleep 0.2; done")
    user.run(f"rl kill web; sleep 1; {up}; {MANAGER}; systemctl --user is-active web")
    said = user.run(f"{MANAGER}; systemctl --user show -P NRestarts web; rl logs web").stdout
    assert int(said.split()[0]) >= 1 and said.count("served") >= 2
    done = user.run(f"{MANAGER}; systemctl --user stop web; rl ps -q; rl ps -aq | wc -l")
    assert done.stdout == "1\n"
    user.run(f"{MANAGER}; systemctl --user disable web 2>&1; rm $unit/web.service; rl rm web")
