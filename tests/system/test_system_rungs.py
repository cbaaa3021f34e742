"""Hosts that give less, as an administrator makes them: sysctls, modes of devices, homes on NFS."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system.guest import Guest

IMAGE = "localhost/busybox"
NETWORK = "readlink /proc/self/ns/net"
SERVE = """
mkdir -p /srv/homes /mnt/homes
for user in rl-su rl-ssh; do install -d -m 0700 -o $user -g $user /srv/homes/$user; done
echo '/srv/homes localhost(rw,no_subtree_check,fsid=1,insecure)' >/etc/exports
# How long it waits for the locks that clients had before it started: no less is allowed.
mkdir -p /etc/nfs.conf.d
printf '[nfsd]\ngrace-time=10\nlease-time=10\n' >/etc/nfs.conf.d/test.conf
systemctl start nfs-server
exportfs -ra
mount -t nfs -o vers=4.2 localhost:/srv/homes /mnt/homes
"""
AT_HOME = "export HOME=/mnt/homes/$(id -un); cd; "
# A package without a script, as dpkg of busybox installs it.
PACKAGE = r"""
mkdir -p c/tree/usr/share/thing && cd c && echo of the package >tree/usr/share/thing/file
mkdir -p control && printf 'Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\n\
Description: x\n' >control/control
tar -C control -czf control.tar.gz ./control && tar -C tree -czf data.tar.gz ./usr
echo 2.0 >debian-binary
python3 - <<'END'
with open("thing.deb", "wb") as deb:
    deb.write(b"!<arch>\n")
    for name in ("debian-binary", "control.tar.gz", "data.tar.gz"):
        data = open(name, "rb").read()
        deb.write(f"{name:16}{0:<12}{0:<6}{0:<6}{0o100644:<8o}{len(data):<10}`\n".encode())
        deb.write(data + b"\n" * (len(data) % 2))
END
printf '%s\n' 'FROM localhost/busybox' 'COPY thing.deb /tmp/' \
    'RUN mkdir -p /var/lib/dpkg/info && touch /var/lib/dpkg/status && dpkg -i /tmp/thing.deb' \
    'RUN chown 8:9 /usr/share/thing/file' >Dockerfile
"""
BUILD = f"rm -rf c; {PACKAGE}\nrl build -q -t thing . && rl run --rm thing ls -ln /usr/share/thing"
BUILD_ONE_STEP = r"printf 'FROM localhost/busybox\nRUN id\n' | rl build -q --network none -"
FILE = "1 8        9               15 "


@contextmanager
def changed(guest: Guest, change: str, back: str) -> Iterator[None]:
    root = guest.as_user("root")
    root.run(change)
    try:
        yield
    finally:
        root.run(back)


@contextmanager
def sysctl(guest: Guest, name: str, value: int) -> Iterator[None]:
    before = guest.as_user("root").run(f"sysctl -n {name}").stdout.strip()
    with changed(guest, f"sysctl -q -w {name}={value}", f"sysctl -q -w {name}={before}"):
        yield


def has_overlay(guest: Guest) -> bool:
    """Whether its kernel lets user namespaces mount one, as Linux 5.11 does first."""
    release = guest.as_user("root").run("uname -r").stdout.split(".")
    return (int(release[0]), int(release[1])) >= (5, 11)


def test_devices_that_a_user_may_not_open(guest: Guest) -> None:
    user = guest.as_user("ssh")
    devices = "/dev/fuse /dev/net/tun"
    with changed(guest, f"chmod 0600 {devices}", f"chmod 0666 {devices}"):
        done = user.run(f"rl run --rm {IMAGE} head -1 /proc/mounts")
        said = sorted(line for line in done.stderr.splitlines() if "warning" not in line)
        assert len(said) == 2, said
        assert said[0].startswith("rl: /dev/net/tun: permission denied; pasta: not installed; the")
        if has_overlay(guest):
            assert done.stdout.startswith("overlay / overlay ")
            assert "/dev/fuse cannot be opened; native overlay is used instead (sudo " in said[1]
        else:
            assert done.stdout.startswith("/dev/vda / ext4 ")
            assert "native overlay: operation not permitted; the image is copied" in said[1]
            assert "storage driver vfs: copying " in done.stderr
        done = user.run(BUILD, timeout=120)
        assert FILE in done.stdout
        for flags, reason in (
            ("--network slirp4netns", "/dev/net/tun: permission denied"),
            ("-p 8080:80", "-p 0.0.0.0:8080->80/tcp: "),
            ("--storage-driver fuse-overlayfs", "/dev/fuse cannot be opened"),
        ):
            done = user.run(f"rl run --rm {flags} {IMAGE} true", code=125)
            assert reason in done.stderr and "\nhint: sudo " in done.stderr, done
    # At once, and without a word, what there is again is used again.
    done = user.run(f"rl run --rm {IMAGE} head -1 /proc/mounts")
    assert done.stdout.startswith("fuse-overlayfs / ") and "instead" not in done.stderr
    user.run("rl rmi -f thing; rm -r c")


def test_no_network_namespaces(guest: Guest) -> None:
    user = guest.as_user("su")
    with sysctl(guest, "user.max_net_namespaces", 0):
        done = user.run(f"rl run --rm {IMAGE} {NETWORK}; {NETWORK}")
        assert len(set(done.stdout.split())) == 1
        assert "the limit user.max_net_namespaces is reached; the container shares" in done.stderr
        for flags in ("--network none", "-p 8080:80", "--network slirp4netns"):
            done = user.run(f"rl run --rm {flags} {IMAGE} true", code=125)
            assert "user.max_net_namespaces is reached" in done.stderr
            assert "hint: sudo sysctl user.max_net_namespaces=" in done.stderr
        user.run("printf 'FROM localhost/busybox\\nRUN id\\n' | rl build -q -t built -")
    done = user.run(f"rl run --rm {IMAGE} {NETWORK}; {NETWORK}")
    assert len(set(done.stdout.split())) == 2
    user.run("rl rmi -f built")


def test_no_user_namespaces(guest: Guest) -> None:
    with sysctl(guest, "user.max_user_namespaces", 0):
        for words in (f"run --rm {IMAGE} true", "info"):
            done = guest.as_user("bare").run(f"rl {words}", code=None)
            assert "Traceback" not in done.stderr
            if words != "info":
                assert done.returncode == 125 and "user.max_user_namespaces" in done.stderr, done


@pytest.fixture(scope="module")
def homes(session_guest: Guest) -> Iterator[None]:
    root = session_guest.as_user("root")
    root.run(SERVE)
    yield
    root.run(
        "umount /mnt/homes; systemctl stop nfs-server; rm -r /srv/homes /etc/nfs.conf.d/test.conf;"
        " : >/etc/exports"
    )


@pytest.fixture
def nfs(guest: Guest, homes: None) -> Iterator[Guest]:
    """A guest with homes on NFS, which stay empty; so does what is taken in their place."""
    yield guest
    clear = "rl system reset -f; rm -rf /var/tmp/rl-$(id -u)"
    for kind in ("su", "ssh"):
        guest.as_user(kind).run(AT_HOME + clear, code=None)


def test_a_home_on_nfs(nfs: Guest) -> None:
    user = nfs.as_user("su")
    done = user.run(AT_HOME + f"rl run --rm -v $HOME:/home {IMAGE} touch /home/by-container; ls -A")
    assert done.stdout == "by-container\n"
    place = "/mnt/homes/rl-su/.local/share/rl"
    reason = "NFS: files cannot belong to subordinate ids"
    assert "the store is /var/tmp/rl-" in done.stderr and f"{place}: {reason}" in done.stderr
    # Without a session and without an environment it is found again, and nothing more is said.
    done = user.run(AT_HOME + f"env -i HOME=$HOME PATH=$PATH rl run --rm {IMAGE} id -u; rl info")
    assert "the store is" not in done.stderr and done.stdout.startswith("0\n")
    assert f"instead of: {place} ({reason}" in done.stdout
    user.run(AT_HOME + BUILD_ONE_STEP)
    done = user.run(AT_HOME + f"RL_ROOT=$HOME/store rl run --rm {IMAGE} true", code=125)
    assert f"/mnt/homes/rl-su/store: cannot hold a store: {reason}" in done.stderr
    assert user.run(AT_HOME + "ls -A").stdout == "by-container\n"
    # The place of a user with another home is not that one.
    assert "/home/rl-su/.local/share/rl" in user.run("rl info").stdout


def test_two_boots_share_a_home_on_nfs(nfs: Guest) -> None:
    """Of a user without subordinate ids, whose store can be there: by another name of the host and
    another, empty runtime directory."""
    hidden = "; ".join(f"mount --bind /dev/null /etc/{name}" for name in ("subuid", "subgid"))
    here = 'rl() { command rl "$@"; }'
    there = 'other() { RL_HOST=other RL_RUNTIME_DIR=/tmp/other-$(id -u) command rl "$@"; }'
    script = f"""{AT_HOME}{here}; {there}
run="run -d --net none --name box {IMAGE} sleep 1000"
other $run >/dev/null
rl ps -a --format '{{{{.Names}}}} {{{{.Status}}}}'
rl rm -f box 2>&1
rl system prune -af >/dev/null
other exec box echo alive
rl run --rm --net none {IMAGE} echo beside it
other rm -f box
rl ps -aq
rl info | grep ' root:'
rm -r /tmp/other-$(id -u)
"""
    root = nfs.as_user("root")
    done = root.run(f"unshare -m sh -c '{hidden}; exec su rl-ssh -s /bin/sh'", input=script,
                    timeout=120)  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].startswith("box ") and "on host other" in lines[0], done
    assert "runs on host other" in lines[1], done
    assert lines[-4:] == [
        "alive", "beside it", "box", "  root: /mnt/homes/rl-ssh/.local/share/rl",
    ], done  # fmt: skip
