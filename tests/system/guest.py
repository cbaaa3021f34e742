"""A running guest: started by qemu from an image, talked to by ssh, gone with its owner.

Nothing that happens in a guest stays: its disks are snapshots. One guest runs on a machine at a
time, for under software emulation it takes every core that it gets; a lock says who has it. The
lock is held by qemu itself, so that it cannot outlive it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.system import image as images

LOCK = Path("/tmp/rl-system-guest.lock")
# Not below the cache: the path of a UNIX socket ends at 107 bytes, and a home can be longer.
FOLDER = Path(f"/tmp/rl-guest-{os.getuid()}")
RECORD = FOLDER / "guest.json"
SECONDS_TO_BOOT = 180.0
SECONDS_TO_STOP = 30.0
SECONDS_FOR_KVM = 10.0
CPUS = 2
MEMORY_MB = 3072
KERNEL_OPTIONS = "root=/dev/vda rw console=ttyS0 quiet mitigations=off psi=1 panic=-1"
KINDS = ("linger", "su", "ssh", "bare", "root")


class GuestError(Exception):
    """The guest did not do what a test needs from it; the text has what it said."""


class Result:
    """What a command in the guest came to."""

    def __init__(self, command: str, returncode: int, stdout: str, stderr: str) -> None:
        self.command, self.returncode = command, returncode
        self.stdout, self.stderr = stdout, stderr

    def __repr__(self) -> str:
        said = f"stdout: {self.stdout}\nstderr: {self.stderr}"
        return f"in the guest: {self.command}\nexit code {self.returncode}\n{said}"


class Guest:
    """A guest that answers; FOLDER has what is needed to talk to it."""

    def __init__(
        self, *, pid: int, port: int, process: subprocess.Popen[bytes] | None = None
    ) -> None:
        self.pid, self.port = pid, port
        self.process = process  # where it is a child of this process, and has to be waited for
        self.said: list[Result] = []

    def as_user(self, kind: str) -> Session:
        """A way of running commands, as one of KINDS."""
        return Session(self, kind)

    def ssh_argv(self, user: str, *options: str) -> list[str]:
        """ssh into the guest as `user`, over one connection that all commands share."""
        return [
            "ssh", "-F", "none", "-q", "-p", str(self.port), "-i", str(FOLDER / "key"), "-l", user,
            "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
            "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=20",
            "-o", "ControlMaster=auto", "-o", "ControlPersist=yes",
            "-o", f"ControlPath={FOLDER}/%r", *options, "127.0.0.1",
        ]  # fmt: skip

    def sync(self) -> None:
        """Make the guest's /opt/rl the code of this checkout."""
        argv = self.ssh_argv("root")
        done = subprocess.run(
            [*argv, SYNC], input=images.packed_code(), capture_output=True, check=False
        )
        if done.returncode:
            raise GuestError(f"the code cannot be copied in: {done.stdout!r} {done.stderr!r}")

    def stop(self) -> None:
        """Shut it down; after SECONDS_TO_STOP, or when it does not listen, without its consent."""
        _quietly([*self.ssh_argv("root"), "systemctl poweroff --no-wall"], seconds=10)
        if not self.wait_for_end(SECONDS_TO_STOP):
            self.kill()
        for user in ("root", *images.USERS):
            if (FOLDER / user).exists():
                _quietly([*self.ssh_argv(user), "-O", "exit"], seconds=5)
        shutil.rmtree(FOLDER)

    def kill(self) -> None:
        """End it at once; all that is lost is a snapshot."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait_for_end(5)

    def has_ended(self) -> bool:
        """Whether qemu is gone."""
        if self.process is not None:
            return self.process.poll() is not None
        return not Path(f"/proc/{self.pid}").exists()

    def wait_for_end(self, seconds: float) -> bool:
        """Whether qemu has gone before `seconds` are over."""
        deadline = time.monotonic() + seconds
        while not self.has_ended():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def describe(self) -> str:
        """The end of what the guest says of itself, for failures: console and journal."""
        console = FOLDER / "console"
        text = console.read_text(errors="replace") if console.exists() else ""
        return f"console of the guest:\n{text[-3000:]}\njournal of the guest:\n{self._journal()}"

    def _journal(self) -> str:
        if not (FOLDER / "root").exists():  # nobody has ever got in
            return ""
        command = "journalctl --boot --no-pager --output=short-monotonic --lines=60"
        try:
            return subprocess.run(
                [*self.ssh_argv("root"), command], stdin=subprocess.DEVNULL,
                capture_output=True, text=True, errors="replace", timeout=15, check=False,
            ).stdout  # fmt: skip
        except subprocess.TimeoutExpired:
            return "(it does not answer)"


# Files that are the same keep their byte code, for they keep their times: see image.py. What is no
# longer in the checkout has to go.
SYNC = (
    "rm -rf /opt/rl.new && mkdir /opt/rl.new && tar -xf - -C /opt/rl.new && cd /opt/rl"
    " && for name in *; do"
    '   case $name in rootless) find rootless -name "*.py" -delete;; *) rm -rf "$name";; esac;'
    " done && cp -a /opt/rl.new/. . && rm -rf /opt/rl.new"
    " && .venv/bin/python3 -m compileall -q rootless"
    " && .venv/bin/python3 -m rootless.quickload_writer /opt/rl/.venv/rl.modules"
)


class Session:
    """Runs commands as one kind of user has them.

    linger: a system service without a session runs them, with an empty environment; the user has a
    manager because of lingering. su: `su -` from root; no session, no manager, no /run/user/UID.
    ssh: a login by ssh. bare: in the same, without any variable. root: the administrator.
    """

    def __init__(self, guest: Guest, kind: str) -> None:
        if kind not in KINDS:
            raise GuestError(f"{kind}: not one of {', '.join(KINDS)}")
        self.guest, self.kind = guest, kind
        self.user = {"root": "root", "bare": "rl-ssh"}.get(kind, f"rl-{kind}")

    def argv(self, command: str, *options: str) -> list[str]:
        """What to run on this side, to have the shell `command` run on the other."""
        login = self.user if self.kind in ("ssh", "bare") else "root"
        return [*self.guest.ssh_argv(login, *options), self._wrapped(command)]

    def _wrapped(self, command: str) -> str:
        inner = shlex.quote(command)
        if self.kind == "linger":
            path = "PATH=/usr/local/bin:/usr/bin:/bin"
            return (
                "systemd-run --quiet --pipe --wait --collect --service-type=exec"
                f" --uid={self.user} --property=WorkingDirectory=~"
                f" -- /usr/bin/env -i {path} /bin/sh -c {inner}"
            )
        if self.kind == "su":
            return f"su - {self.user} -c {inner}"
        if self.kind == "bare":
            return f"env -i PATH=/usr/local/bin:/usr/bin:/bin /bin/sh -c {inner}"
        return command

    def popen(self, command: str, **options: object) -> subprocess.Popen[str]:
        """A shell command started and left running; options as Popen's.

        The end of the process on this side does not end the one in the guest.
        """
        return subprocess.Popen(self.argv(command), text=True, **options)  # type: ignore[call-overload, no-any-return]

    def run(
        self, command: str, *, timeout: float = 60, code: int | None = 0, input: str | None = None
    ) -> Result:
        """Run a shell command; a code other than `code` is an error that shows what was said."""
        __tracebackhide__ = True  # pytest: the test's own line says more than what is below
        try:
            done = subprocess.run(
                self.argv(command), input=input, timeout=timeout, capture_output=True,
                stdin=subprocess.DEVNULL if input is None else None,
                text=True, errors="replace", check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            said = f"stdout: {error.stdout!r}\nstderr: {error.stderr!r}"
            place = f"in the guest, as {self.kind}: {command}"
            raise GuestError(f"{place}\nnot ended after {timeout} s\n{said}") from None
        result = Result(f"({self.kind}) {command}", done.returncode, done.stdout, done.stderr)
        self.guest.said.append(result)
        if code is not None and result.returncode != code:
            raise GuestError(f"{result!r}\nexpected exit code {code}")
        return result


def running() -> Guest | None:
    """The guest that this user has running, left so by an earlier command."""
    try:
        known = json.loads(RECORD.read_text())
        name = Path(f"/proc/{known['pid']}/comm").read_text()
    except OSError:
        return None
    if not name.startswith("qemu"):
        return None
    return Guest(pid=known["pid"], port=known["port"])


def start(image: images.Image, *, with_owner: bool) -> Guest:
    """Boot `image` and copy the code in. with_owner: the guest dies with this process."""
    guest = _launch(image, with_owner=with_owner)
    try:
        _wait_until_ready(guest)
        guest.sync()
    except BaseException:
        guest.kill()
        raise
    return guest


def _launch(image: images.Image, *, with_owner: bool) -> Guest:
    lock = take_lock()
    try:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(mode=0o700)
        shutil.copy(image.key, FOLDER / "key")  # the cache may get another image meanwhile
        port = _free_port()
        argv = ["setpriv", "--pdeathsig", "KILL"] if with_owner else ["setsid"]
        argv += qemu_argv(image, port=port, accelerator=choose_accelerator(image))
        with (FOLDER / "qemu").open("wb") as output:
            process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=[lock]
            )
    finally:
        os.close(lock)
    RECORD.write_text(json.dumps({"pid": process.pid, "port": port}))
    return Guest(pid=process.pid, port=port, process=process)


def qemu_argv(image: images.Image, *, port: int, accelerator: str) -> list[str]:
    """The command line of the machine: its disks pristine, its network nothing but our ssh."""
    drive = "format=raw,if=virtio,snapshot=on,cache=unsafe"
    return [
        "qemu-system-x86_64", "-accel", accelerator, "-cpu", "max",
        "-smp", str(CPUS), "-m", str(MEMORY_MB), "-nodefaults", "-display", "none", "-no-reboot",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", KERNEL_OPTIONS,
        "-drive", f"file={image.disk},{drive}", "-drive", f"file={image.swap},{drive}",
        "-serial", f"file:{FOLDER}/console", "-device", "virtio-rng-pci",
        "-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", "virtio-net-pci,netdev=net,romfile=",
    ]  # fmt: skip


def choose_accelerator(image: images.Image) -> str:
    """kvm when a guest is seen to start under it; /dev/kvm can be there and hang the guest."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg,thread=multi"
    argv = [
        "qemu-system-x86_64", "-accel", "kvm", "-cpu", "max", "-m", "512", "-nodefaults",
        "-display", "none", "-no-reboot", "-kernel", str(image.kernel), "-append", "panic=-1",
    ]  # fmt: skip
    # Without a disk the kernel panics, and with panic=-1 that ends qemu: it has run.
    return "kvm" if _quietly(argv, seconds=SECONDS_FOR_KVM) == 0 else "tcg,thread=multi"


def take_lock() -> int:
    """The descriptor that holds the machine's one guest; GuestError says who else has it."""
    try:
        lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        os.fchmod(lock, 0o666)
    except FileExistsError:
        # Without O_CREAT: in /tmp that is refused for another user's file (fs.protected_regular).
        lock = os.open(LOCK, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 200).decode(errors="replace")
        os.close(lock)
        raise GuestError(
            f"another guest runs on this machine: {holder}; who has it ends it: ./dev guest down"
        ) from None
    os.ftruncate(lock, 0)
    user = os.environ.get("USER", str(os.getuid()))
    os.write(lock, f"of {user}, since {time.strftime('%H:%M:%S')}, from {os.getcwd()}".encode())
    return lock


def _wait_until_ready(guest: Guest) -> None:
    deadline = time.monotonic() + SECONDS_TO_BOOT
    while time.monotonic() < deadline:
        if guest.has_ended():
            said = (FOLDER / "qemu").read_text(errors="replace")
            raise GuestError(f"qemu has ended: {said}\n{guest.describe()}")
        argv = guest.ssh_argv("root", "-o", "ConnectTimeout=5")
        if _quietly([*argv, "systemctl is-system-running --wait"], seconds=60) in (0, 1):
            return
        time.sleep(0.3)
    raise GuestError(f"the guest does not answer after {SECONDS_TO_BOOT} s\n{guest.describe()}")


def _quietly(argv: list[str], *, seconds: float) -> int | None:
    """The exit code of a command that says nothing; None when it took longer than `seconds`."""
    try:
        return subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=seconds, check=False,
        ).returncode  # fmt: skip
    except subprocess.TimeoutExpired:
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
