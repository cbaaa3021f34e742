"""A host that lacks something, made of this one: a user namespace with its own files and devices.

usage: reduced_host.py WISHES COMMAND…

WISHES is a JSON object, see `DEFAULTS`. The command runs as uid 1000, who is the user outside, of a
namespace whose root, a subordinate id, has mounted what the wishes say over the host's files. The
setuid helpers work there, since their copies are that root's.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[3]
sys.path.append(str(CHECKOUT))

from rootless.kernel import libc, seccomp  # noqa: E402
from rootless.model.idmap import IdMaps  # noqa: E402
from rootless.tools import idmap  # noqa: E402

USER, UID, SUBORDINATE = "tester", 1000, 2000
HELPERS = ("/usr/bin/newuidmap", "/usr/bin/newgidmap")
DEFAULTS: dict[str, Any] = {
    # What stays of /dev besides the harmless nodes.
    "devices": ["fuse", "net/tun"],
    "subids": f"{USER}:{SUBORDINATE}:65535\n",
    # The mode of newuidmap and newgidmap.
    "helpers": 0o4755,
    # Programs that are not installed, by path.
    "without": [],
    # Directories that are empty and cannot be written to.
    "empty": [],
    # The options of the file system that the home directory is on, and its own flags.
    "home": "size=200m",
    "home_flags": 0,
    # Whether the home directory is on a file system that does not answer.
    "home_hangs": False,
    # Limits of namespaces, by the name below /proc/sys/user: this namespace has its own.
    "limits": {},
    # Whether it is a container whose filter forbids user namespaces.
    "container": False,
    # Whether setuid programs do nothing.
    "no_new_privs": False,
}
NO_USER_NAMESPACES = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [
        {
            "names": ["unshare"],
            "action": "SCMP_ACT_ERRNO",
            "args": [
                {
                    "index": 0,
                    "value": libc.CLONE_NEWUSER,
                    "valueTwo": libc.CLONE_NEWUSER,
                    "op": "SCMP_CMP_MASKED_EQ",
                }
            ],
        }
    ],
}
NODES = ("null", "zero", "full", "random", "urandom", "tty", "pts", "shm", "ptmx")


def main() -> int:
    wishes = {**DEFAULTS, **json.loads(sys.argv[1])}
    return idmap.start(lambda: become(wishes, sys.argv[2:]), maps()).wait()


def maps() -> IdMaps:
    uids, gids = (idmap.subordinate_ids(path)[0] for path in ("/etc/subuid", "/etc/subgid"))
    return IdMaps(rows(os.geteuid(), *uids), rows(os.getegid(), *gids))


def rows(own: int, first: int, count: int) -> tuple[tuple[int, int, int], ...]:
    """Root is the first subordinate id, the tester ourselves, the others are the tester's."""
    return ((0, first, 1), (UID, own, 1), (SUBORDINATE, first + 1, min(count, 65536) - 1))


def become(wishes: dict[str, Any], command: list[str]) -> None:
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount(None, "/", None, libc.MS_SLAVE | libc.MS_REC)
    # Over a directory that nothing below needs.
    made = Path("/mnt")
    libc.mount("tmpfs", str(made), "tmpfs", 0, "mode=755")
    make_devices(made / "dev", wishes["devices"])
    for name, text in (
        ("passwd", f"root:x:0:0::/root:/bin/sh\n{USER}:x:{UID}:{UID}::/mnt/home:/bin/sh\n"),
        ("subuid", wishes["subids"]),
        ("subgid", wishes["subids"]),
    ):
        put(made, f"/etc/{name}", text)
    for path in HELPERS:
        copy = made / Path(path).name
        shutil.copyfile(path, copy)
        copy.chmod(wishes["helpers"])
        bind(str(copy), path)
    for path in wishes["without"]:
        put(made, path, "")
    for name, number in wishes["limits"].items():
        Path(f"/proc/sys/user/{name}").write_text(f"{number}\n")
    for path in wishes["empty"]:
        libc.mount("tmpfs", path, "tmpfs", libc.MS_RDONLY, "mode=755,size=4k")
    make_home(made / "home", wishes)
    if not CHECKOUT.is_relative_to("/tmp"):
        libc.mount("tmpfs", "/tmp", "tmpfs", 0, "mode=1777,size=50m")
    if wishes["container"]:
        libc.mount("tmpfs", "/run", "tmpfs", 0, "mode=755,size=50m")
        Path("/run/.containerenv").touch()
        libc.seccomp_set_mode_filter(seccomp.compile_filter(NO_USER_NAMESPACES))
    os.setgroups([])
    os.setresgid(UID, UID, UID)
    os.setresuid(UID, UID, UID)
    libc.prctl(libc.PR_SET_DUMPABLE, 1)
    if wishes["no_new_privs"]:
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    os.chdir("/")
    environment = {**os.environ, "HOME": str(made / "home")}
    for name in ("RL_ROOT", "RL_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
        environment.pop(name, None)
    os.execve(command[0], command, environment)


def make_devices(folder: Path, names: list[str]) -> None:
    folder.mkdir()
    for name in [*filter(lambda name: Path("/dev", name).exists(), NODES), *names]:
        source, target = Path("/dev") / name, folder / name
        target.parent.mkdir(exist_ok=True)
        if source.is_dir():
            target.mkdir()
        else:
            target.touch()
        bind(str(source), str(target))
    (folder / "fd").symlink_to("/proc/self/fd")
    libc.mount(str(folder), "/dev", None, libc.MS_BIND | libc.MS_REC)


def put(made: Path, path: str, text: str) -> None:
    """A file with `text`, executable for nobody, in the place of `path`."""
    source = made / path.strip("/").replace("/", "-")
    source.write_text(text)
    bind(str(source), path)


def bind(source: str, target: str) -> None:
    libc.mount(source, target, None, libc.MS_BIND)


def make_home(home: Path, wishes: dict[str, Any]) -> None:
    home.mkdir()
    if wishes["home_hangs"]:
        fuse = os.open("/dev/fuse", os.O_RDWR)
        os.set_inheritable(fuse, True)
        options = f"fd={fuse},rootmode=40000,user_id={UID},group_id={UID},allow_other"
        libc.mount("nobody", str(home), "fuse", 0, options)
        return
    options = f"mode=700,uid={UID},gid={UID},{wishes['home']}"
    libc.mount("tmpfs", str(home), "tmpfs", wishes["home_flags"], options)


if __name__ == "__main__":
    sys.exit(main())
