"""`rl oci` on real bundles, each command a process of its own."""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rootless.oci import example
from tests.user.conftest import Rl

APPLETS = ("sh", "cat", "id", "ls", "mount", "sleep", "true", "echo", "kill", "nproc")


class Bundle:
    """A bundle with busybox, and `rl oci` on a state directory of its own, without environment."""

    def __init__(self, rl: Rl, folder: Path) -> None:
        self.rl = rl
        self.path = folder / "b"
        self.root = folder / "o"
        self.config = example.build(os.getuid(), os.getgid())
        self.config["process"]["terminal"] = False
        for name in ("bin", "proc", "sys", "dev", "tmp", "etc"):
            (self.path / "rootfs" / name).mkdir(parents=True)
        shutil.copy("/bin/busybox", self.path / "rootfs/bin/busybox")
        for name in APPLETS:
            (self.path / "rootfs/bin" / name).symlink_to("busybox")

    @property
    def linux(self) -> dict[str, Any]:
        linux: dict[str, Any] = self.config["linux"]
        return linux

    def oci(
        self, *words: str, code: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        options.setdefault("env", {"RL_RUNTIME_DIR": str(self.rl.runtime)})
        done = subprocess.run(
            [*self.rl.argv, "oci", "--root", str(self.root), *words],
            text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # fmt: skip
        if code is not None:
            assert done.returncode == code, (words, done.stdout, done.stderr)
        return done

    def write(self, *args: str) -> None:
        if args:
            self.config["process"]["args"] = list(args)
        (self.path / "config.json").write_text(json.dumps(self.config))

    def run(self, *args: str, code: int | None = 0, flags: tuple[str, ...] = ()) -> str:
        self.write(*args)
        done = self.oci("run", *flags, "--bundle", str(self.path), "one", code=code)
        return done.stdout + (done.stderr if code else "")

    def create(self, *args: str, flags: tuple[str, ...] = (), name: str = "one") -> None:
        """With /dev/null for streams: the container keeps those that it gets."""
        self.write(*args)
        null = subprocess.DEVNULL
        self.oci("create", *flags, "-b", str(self.path), name, stdout=null, stderr=null)

    def state(self, name: str = "one") -> dict[str, Any]:
        done = self.oci("state", name)
        assert done.stderr == ""
        state: dict[str, Any] = json.loads(done.stdout)
        return state

    def wait_for(self, status: str) -> None:
        deadline = time.monotonic() + 20
        while self.state()["status"] != status:
            assert time.monotonic() < deadline, self.state()
            time.sleep(0.02)


@pytest.fixture
def bundle(rl: Rl, short_dir: Path) -> Bundle:
    rl.runtime.mkdir(mode=0o700)
    return Bundle(rl, short_dir)


def test_run_passes_output_and_exit_code(bundle: Bundle) -> None:
    assert bundle.run("sh", "-c", "id -u; echo said; exit 7", code=7) == "0\nsaid\n"
    assert os.listdir(bundle.root) == []


def test_a_life_in_steps_without_environment_and_bundle(bundle: Bundle) -> None:
    pid_file = bundle.path.parent / "pid"
    bundle.create("sleep", "100", flags=("--pid-file", str(pid_file)))
    state = bundle.state()
    assert state["status"] == "created" and state["bundle"] == str(bundle.path)
    assert pid_file.read_text() == str(state["pid"])
    shutil.rmtree(bundle.path / "rootfs/bin")
    (bundle.path / "config.json").unlink()
    assert "is not stopped" not in bundle.oci("ps", "one").stdout
    bundle.oci("kill", "one", "0")
    bundle.oci("kill", "one", "NO-SUCH", code=1)
    bundle.oci("kill", "-a", "one")
    bundle.oci("kill", "one", "KILL", code=None)
    bundle.wait_for("stopped")
    bundle.oci("delete", "one")
    bundle.oci("state", "one", code=1)
    bundle.oci("delete", "--force", "one")


def test_create_leaves_no_process_but_the_first(bundle: Bundle) -> None:
    bundle.create("sleep", "100", name="job.1.user.0")
    pid = bundle.state("job.1.user.0")["pid"]
    assert bundle.oci("ps", "job.1.user.0", "-f", "json").stdout.strip() == f"[{pid}]"
    bundle.oci("start", "job.1.user.0")
    assert bundle.state("job.1.user.0")["status"] == "running"
    bundle.oci("delete", "job.1.user.0", code=1)
    bundle.oci("kill", "job.1.user.0", "SIGKILL")
    bundle.oci("delete", "--force", "job.1.user.0")


def test_start_tells_why_the_program_does_not_run(bundle: Bundle) -> None:
    (bundle.path / "rootfs/bin/broken").write_text("#!/no/such/interpreter\n")
    (bundle.path / "rootfs/bin/broken").chmod(0o755)
    bundle.create("broken")
    assert "no such file or directory" in bundle.oci("start", "one", code=127).stderr
    bundle.oci("delete", "one")


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (["nosuch"], 127, "executable file not found in $PATH"),
        (["/no/such"], 127, "no such file or directory"),
        (["/etc"], 126, "is a directory"),
    ],
)
def test_errors_in_words_that_callers_look_for(
    bundle: Bundle, args: list[str], code: int, said: str
) -> None:
    log = bundle.path.parent / "log"
    bundle.write(*args)
    done = bundle.oci(
        "--log", str(log), "--log-format", "json", "run", "-b", str(bundle.path), "one", code=code
    )
    assert said in done.stderr
    assert said in json.loads(log.read_text())["msg"]
    assert os.listdir(bundle.root) == []


def test_hooks_run_in_their_places(bundle: Bundle) -> None:
    said = bundle.path.parent / "said"
    line = 'read s; echo "$1 $(readlink /proc/self/ns/mnt) $s" >> "$2"'

    def hook(phase: str) -> list[dict[str, Any]]:
        return [{"path": "/bin/sh", "args": ["sh", "-c", line, "sh", phase, str(said)]}]

    phases = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
    bundle.config["hooks"] = {phase: hook(phase) for phase in phases}
    inside = {"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/state"]}
    bundle.config["hooks"]["startContainer"] = [inside]
    bundle.config["root"]["readonly"] = False
    out = bundle.run("cat", "/tmp/state")
    assert json.loads(out)["status"] == "created"
    rows = [row.split(" ", 2) for row in said.read_text().splitlines()]
    assert [row[0] for row in rows] == list(phases)
    own = os.readlink("/proc/self/ns/mnt")
    assert [row[1] == own for row in rows] == [True, True, False, True, True]
    states = [json.loads(row[2]) for row in rows]
    assert [state["status"] for state in states] == [
        "created", "created", "created", "running", "stopped",
    ]  # fmt: skip
    assert all(state["id"] == "one" and state["bundle"] for state in states)
    assert states[0]["pid"] > 0 == states[-1]["pid"]


def test_a_hook_that_fails_or_takes_too_long_ends_the_container(bundle: Bundle) -> None:
    bundle.config["hooks"] = {"createRuntime": [
        {"path": "/bin/sh", "args": ["sh", "-c", "echo no way >&2; exit 3"]}]}  # fmt: skip
    assert "exit code 3: no way" in bundle.run("true", code=1)
    bundle.config["hooks"] = {"prestart": [
        {"path": "/bin/sleep", "args": ["sleep", "60"], "timeout": 1}]}  # fmt: skip
    assert "not done after 1 s" in bundle.run("true", code=1)
    assert os.listdir(bundle.root) == []


def test_mount_options(bundle: Bundle) -> None:
    source = bundle.path.parent / "source"
    source.mkdir()
    (source / "file").write_text("there")
    (bundle.path / "rootfs/filled").mkdir(mode=0o750)
    (bundle.path / "rootfs/filled/below").mkdir()
    (bundle.path / "rootfs/filled/below/file").write_text("copied")
    bundle.config["mounts"] += [
        {"destination": "/ro", "type": "none", "source": str(source),
         "options": ["rbind", "rro", "nosuid", "rslave"]},
        {"destination": "/filled", "type": "tmpfs", "source": "tmpfs",
         "options": ["tmpcopyup", "ro", "size=1m"]},
        {"destination": "/etc/one/file", "source": str(source / "file"), "options": ["bind"]},
    ]  # fmt: skip
    line = "cat /ro/file /filled/below/file /etc/one/file; cat /proc/self/mountinfo"
    said, *table = bundle.run("sh", "-c", line).splitlines()
    said, first = said.split("there", 1)[0] + "there", said
    assert first.startswith("therecopiedthere")
    rows = [first[len("therecopiedthere") :], *table]
    options = {row.split()[4]: row.split()[5] for row in rows if " - " in row}
    assert {"ro", "nosuid"} <= set(options["/ro"].split(","))
    assert "ro" in options["/filled"].split(",")


def test_idmap_says_what_it_takes(bundle: Bundle) -> None:
    """The host's file systems are the host's root's to map."""
    source = bundle.path.parent / "source"
    source.mkdir()
    rows = [{"containerID": 0, "hostID": 0, "size": 1}]
    for more in ({"options": ["bind", "idmap"]},
                 {"options": ["bind"], "uidMappings": rows, "gidMappings": rows}):  # fmt: skip
        mount = {"destination": "/x", "type": "bind", "source": str(source), **more}
        bundle.config["mounts"] = [*example.build(0, 0)["mounts"], mount]
        assert "on /x: idmap: operation not permitted" in bundle.run("true", code=1)
    assert os.listdir(bundle.root) == []


def test_paths_masks_sysctls_and_limits(bundle: Bundle) -> None:
    bundle.config["root"]["readonly"] = False
    bundle.linux["maskedPaths"] = ["/etc/secret", "/hidden", "/not/there"]
    bundle.linux["readonlyPaths"] = ["/etc/fixed"]
    bundle.linux["sysctl"] = {"kernel.shm_rmid_forced": "1"}
    for name in ("secret", "fixed"):
        (bundle.path / "rootfs/etc" / name).write_text(name)
    (bundle.path / "rootfs/hidden").mkdir()
    (bundle.path / "rootfs/hidden/file").touch()
    bundle.config["process"]["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]
    line = (
        "cat /etc/secret; ls /hidden; cat /proc/sys/kernel/shm_rmid_forced; ulimit -c;"
        "echo x > /etc/fixed || echo kept"
    )
    assert bundle.run("sh", "-c", line) == "1\n0\nkept\n"


def test_what_a_process_may_ask_for(bundle: Bundle) -> None:
    process = bundle.config["process"]
    cpu = str(min(os.sched_getaffinity(0)))
    process["execCPUAffinity"] = {"initial": cpu, "final": cpu}
    process["scheduler"] = {"policy": "SCHED_BATCH", "nice": 5}
    process["ioPriority"] = {"class": "IOPRIO_CLASS_IDLE", "priority": 0}
    process["oomScoreAdj"] = 500
    bundle.linux["personality"] = {"domain": "LINUX32"}
    bundle.linux["namespaces"].append({"type": "time"})
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 1000000000}}
    line = (
        "nproc; cat /proc/self/oom_score_adj; busybox uname -m; cat /proc/uptime;"
        "cat /proc/self/stat"
    )
    cpus, score, machine, uptime, stat = bundle.run("sh", "-c", line).splitlines()
    assert (cpus, score) == ("1", "500")
    assert machine != "x86_64"
    assert float(uptime.split()[0]) > 1e9
    fields = stat.rpartition(")")[2].split()
    assert (fields[16], fields[38]) == ("5", "3")  # nice; policy, 3 is SCHED_BATCH


def test_capabilities_in_five_sets(bundle: Bundle) -> None:
    caps = {name: ["CAP_CHOWN"] for name in ("bounding", "permitted", "inheritable", "ambient")}
    bundle.config["process"]["capabilities"] = {**caps, "effective": []}
    out = bundle.run("cat", "/proc/self/status")
    found = dict(row.split(":\t") for row in out.splitlines() if row.startswith("Cap"))
    assert {name: int(value, 16) for name, value in found.items()} == {
        "CapInh": 1, "CapPrm": 1, "CapEff": 1, "CapBnd": 1, "CapAmb": 1,
    }  # fmt: skip


def test_seccomp_also_holds_for_exec(bundle: Bundle) -> None:
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
    }
    assert "Function not implemented" in bundle.run(
        "sh", "-c", "busybox hostname x 2>&1 || true", code=None
    )
    bundle.create("sleep", "100")
    bundle.oci("start", "one")
    done = bundle.oci("exec", "one", "busybox", "hostname", "x", code=1)
    assert "Function not implemented" in done.stderr
    bundle.oci("delete", "-f", "one")


def test_exec(bundle: Bundle) -> None:
    bundle.create("sleep", "100")
    bundle.oci("start", "one")
    assert bundle.oci("exec", "one", "cat", "/proc/1/cmdline").stdout == "sleep\x00100\x00"
    assert (
        bundle.oci("exec", "-e", "A=b", "one", "sh", "-c", "echo $A; exit 4", code=4).stdout
        == "b\n"
    )
    assert "not found in" in bundle.oci("exec", "one", "nosuch", code=127).stderr
    pid_file, process = bundle.path.parent / "pid", bundle.path.parent / "process.json"
    process.write_text(json.dumps({"args": ["sleep", "99"], "cwd": "/tmp"}))
    bundle.oci("exec", "-d", "--pid-file", str(pid_file), "--process", str(process), "one",
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    pid = int(pid_file.read_text())
    assert os.readlink(f"/proc/{pid}/cwd") == "/tmp"
    assert str(pid) in bundle.oci("ps", "one").stdout
    bundle.oci("delete", "-f", "one")
    assert not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text()


def receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    message, data, _, _ = sock.recvmsg(4096, socket.CMSG_SPACE(16))
    fds = array.array("i")
    for _, _, raw in data:
        fds.frombytes(raw)
    return message, list(fds)


def test_the_console_socket_gets_the_terminal(bundle: Bundle) -> None:
    path = bundle.path.parent / "console"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        bundle.config["process"]["terminal"] = True
        bundle.config["process"]["consoleSize"] = {"height": 11, "width": 22}
        bundle.create("sh", "-c", "busybox stty size; sleep 100",
                      flags=("--console-socket", str(path)))  # fmt: skip
        connection, _ = server.accept()
        with connection:
            (leader,) = receive(connection)[1]
    bundle.oci("start", "one")
    assert os.read(leader, 100) == b"11 22\r\n"
    bundle.oci("delete", "-f", "one")
    os.close(leader)


def test_the_listener_gets_the_filter_and_the_state(bundle: Bundle) -> None:
    path = bundle.path.parent / "listener"
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": str(path), "listenerMetadata": "m",
        "syscalls": [{"names": ["sethostname"], "action": "SCMP_ACT_NOTIFY"}],
    }  # fmt: skip
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(1)
        bundle.create("sleep", "100")
        bundle.oci("start", "one")
        connection, _ = server.accept()
        with connection:
            message, fds = receive(connection)
    told = json.loads(message)
    assert (told["metadata"], told["fds"], len(fds)) == ("m", ["seccompFd"], 1)
    assert told["state"]["id"] == "one" and told["pid"] == bundle.state()["pid"]
    bundle.oci("delete", "-f", "one")
    os.close(fds[0])


class Agent:
    """Who gets the listeners at `path`, and lets every call of every process go on."""

    def __init__(self, path: Path) -> None:
        self.states: list[dict[str, Any]] = []
        self.calls: set[int] = set()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen(4)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._server.accept()
            with connection:
                message, (fd,) = receive(connection)
            self.states.append(json.loads(message))
            threading.Thread(target=self._answer, args=(fd,), daemon=True).start()

    def _answer(self, fd: int) -> None:
        """Until the last process with the filter has ended (seccomp_unotify(2))."""
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        while not poller.poll()[0][1] & select.POLLHUP:
            call = bytearray(80)
            try:
                fcntl.ioctl(fd, 0xC0502100, call)
                self.calls.add(struct.unpack_from("=i", call, 16)[0])
                fcntl.ioctl(fd, 0xC0182101, call[:8] + bytes(12) + b"\1\0\0\0")
            except FileNotFoundError:
                continue  # it was killed meanwhile
        os.close(fd)


@pytest.mark.parametrize("what", ["sendmsg", "write", "everything"])
def test_the_listener_comes_through_its_own_filter(bundle: Bundle, what: str) -> None:
    path = bundle.path.parent / "listener"
    names = [] if what == "everything" else [what]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW" if names else "SCMP_ACT_NOTIFY",
        "listenerPath": str(path),
        "syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}] if names else [],
    }
    agent = Agent(path)
    bundle.create("sleep", "100")
    bundle.oci("start", "one")
    assert bundle.oci("exec", "one", "echo", "done").stdout == "done\n"
    first, second = agent.states
    assert first["pid"] == bundle.state()["pid"] != second["pid"]
    assert second["state"]["status"] == "running"
    bundle.oci("delete", "-f", "one")
    # write(2) is 1 for x86-64, 64 for others.
    assert what == "sendmsg" or agent.calls & {1, 64}


def test_signals_reach_the_container_of_a_run(bundle: Bundle) -> None:
    bundle.write("sh", "-c", "trap 'echo got; exit 5' TERM; echo up; while :; do sleep 0.1; done")
    process = subprocess.Popen(
        [*bundle.rl.argv, "oci", "--root", str(bundle.root), "run", "-b", str(bundle.path), "one"],
        env=bundle.rl.env, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == (b"got\n", 5)
    assert os.listdir(bundle.root) == []


def test_a_device_that_nobody_can_have_is_refused_by_name(bundle: Bundle) -> None:
    bundle.linux["devices"] = [{"path": "/dev/odd", "type": "c", "major": 10, "minor": 251}]
    assert "linux.devices /dev/odd (c 10:251)" in bundle.run("true", code=1)
    bundle.linux["devices"] = [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}]
    assert bundle.run("ls", "/dev/fuse") == "/dev/fuse\n"


def test_limits_without_a_group_are_refused(bundle: Bundle) -> None:
    bundle.linux["resources"] = {"pids": {"limit": 10}}
    bundle.write("true")
    done = bundle.oci("--cgroup-manager", "disabled", "run", "-b", str(bundle.path), "one", code=1)
    assert "linux.resources (--pids-limit 10)" in done.stderr
    assert os.listdir(bundle.root) == []


@pytest.mark.parametrize("phase", ["prestart", "createRuntime", "createContainer"])
def test_a_kill_while_it_is_made_leaves_what_delete_clears(bundle: Bundle, phase: str) -> None:
    here = bundle.path.parent / "here"
    hook = {"path": "/bin/sh", "args": ["sh", "-c", f"touch {here}; exec sleep 60"]}
    bundle.config["hooks"] = {phase: [hook]}
    bundle.write("sleep", "100")
    words = ["--root", str(bundle.root), "create", "-b", str(bundle.path), "one"]
    maker = bundle.rl.popen("oci", *words)
    deadline = time.monotonic() + 20
    while not here.exists():
        assert time.monotonic() < deadline and maker.poll() is None
        time.sleep(0.02)
    assert bundle.state()["status"] == "creating"
    maker.kill()
    maker.wait()
    bundle.wait_for("stopped")
    bundle.oci("delete", "--force", "one")
    assert os.listdir(bundle.root) == []


def test_a_run_without_a_pid_namespace_leaves_nothing(bundle: Bundle) -> None:
    spaces = [space for space in bundle.linux["namespaces"] if space["type"] != "pid"]
    bundle.linux["namespaces"] = spaces
    line = "sleep 4321 >/dev/null 2>&1 & echo $!"
    pid = int(bundle.run("sh", "-c", line))
    assert not Path(f"/proc/{pid}").exists()


def test_features_tell_what_there_is(bundle: Bundle) -> None:
    features = json.loads(bundle.oci("features").stdout)
    assert features["ociVersionMax"] == "1.3.0"
    assert "startContainer" in features["hooks"] and "rro" in features["mountOptions"]
    assert features["linux"]["cgroup"]["v1"] is False
    assert features["linux"]["seccomp"]["enabled"] is True
    assert "SCMP_ACT_NOTIFY" in features["linux"]["seccomp"]["actions"]


def test_cycles_leave_nothing(bundle: Bundle) -> None:
    for _ in range(10):
        bundle.create("sleep", "100")
        bundle.oci("start", "one")
        bundle.oci("kill", "one", "KILL")
        bundle.oci("delete", "--force", "one")
    assert os.listdir(bundle.root) == []
