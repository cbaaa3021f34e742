from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rootless.cli import argv, commands
from rootless.cli.run_flags import container_spec
from rootless.errors import EXIT_ENGINE, UsageError
from rootless.model.container import ContainerSpec
from rootless.model.mountspec import DeviceSpec, MountSpec

RUN = commands.ENTRIES["run"].load()


def spec_of(*words: str) -> ContainerSpec:
    parsed = argv.parse(RUN, [*words, "alpine", "sh"])
    assert parsed is not None, words
    return container_spec(parsed)


def test_without_flags_everything_is_the_default() -> None:
    spec, default = spec_of(), ContainerSpec(image="alpine", command=["sh"])
    assert repr(spec) == repr(default)


@pytest.mark.parametrize(
    ("words", "field", "expected"),
    [
        ("-it", "tty", True),
        ("-it", "interactive", True),
        ("--rm", "remove", True),
        ("--name a.b-c_1", "name", "a.b-c_1"),
        ("-h box.example", "hostname", "box.example"),
        ("--domainname example", "domainname", "example"),
        ("-w /src", "workdir", "/src"),
        ("-u 1:2", "user", "1:2"),
        ("--entrypoint sh", "entrypoint", ["sh"]),
        ("--entrypoint=", "entrypoint", []),
        ('--entrypoint ["a","b"]', "entrypoint", ["a", "b"]),
        ("--entrypoint [odd", "entrypoint", ["[odd"]),
        ("--init", "init", True),
        ("--runtime crun", "runtime", "crun"),
        ("--runtime ./crun", "runtime", f"{Path.cwd()}/crun"),
        ("--read-only", "read_only", True),
        ("--read-only-tmpfs=false", "read_only_tmpfs", False),
        ("--privileged", "privileged", True),
        ("--cap-add A,B --cap-add C", "cap_add", ["A", "B", "C"]),
        ("--cap-drop ALL", "cap_drop", ["ALL"]),
        ("--security-opt seccomp=a,b", "security_opt", ["seccomp=a,b"]),
        ("--userns keep-id:uid=5", "userns", "keep-id:uid=5"),
        ("--group-add keep-groups", "group_add", ["keep-groups"]),
        ("--net none", "network", "none"),
        ("-P", "publish_all", True),
        ("--dns 1.1.1.1,::1 --dns none", "dns", ["1.1.1.1", "::1", "none"]),
        ("--dns-search a,b", "dns_search", ["a", "b"]),
        ("--dns-opt ndots:1", "dns_option", ["ndots:1"]),
        ("--add-host a:1.2.3.4", "add_hosts", [("a", "1.2.3.4")]),
        ("--add-host a:fe80::1", "add_hosts", [("a", "fe80::1")]),
        ("--add-host a=[::1]", "add_hosts", [("a", "::1")]),
        ("--add-host a:host-gateway", "add_hosts", [("a", "host-gateway")]),
        ("--ulimit nofile=1:2", "ulimits", ["nofile=1:2"]),
        ("--sysctl net.a=1", "sysctls", {"net.a": "1"}),
        ("--annotation a=1", "annotations", {"a": "1"}),
        ("-l a=1 --label b", "labels", {"a": "1", "b": ""}),
        ("--stop-signal int", "stop_signal", "SIGINT"),
        ("--timeout 5", "timeout", 5),
        ("--platform linux/arm64", "platform", "linux/arm64/v8"),
        ("--pull never", "pull", "never"),
        ("--pid host", "pid", "host"),
        ("--ipc none", "ipc", "none"),
        ("--uts host", "uts", "host"),
        ("--cgroupns host", "cgroupns", "host"),
        ("--timens private", "timens", "private"),
        ("--shm-size 1g", "shm_size", 1 << 30),
        ("--storage-driver vfs", "storage_driver", "vfs"),
        ("--umask 77", "umask", 0o77),
        ("--sig-proxy=false", "sig_proxy", False),
        ("--cidfile /x/../y", "cidfile", "/y"),
        ("--no-hosts", "no_hosts", True),
        ("-q", "quiet", True),
        ("--replace --name x", "replace", True),
        ("-v /test", "mounts", [MountSpec("volume", "", "/test")]),
        ("-v /tmp:/t:ro", "mounts", [MountSpec("bind", "/tmp", "/t", ("ro",))]),
        ("--device /dev/null:r", "devices", [DeviceSpec("/dev/null", "/dev/null", "r")]),
    ],
)
def test_fields(words: str, field: str, expected: Any) -> None:
    assert getattr(spec_of(*words.split(" ")), field) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--name -x", "--name '-x'"),
        ("--name=", "--name ''"),
        ("--name a/b", "--name 'a/b'"),
        ("--replace", "--replace: needs --name"),
        ("-h a_b!", "--hostname 'a_b!'"),
        (f"-h {'a' * 65}", "longer than 64"),
        ("-w src", "--workdir src: not an absolute path"),
        ("-e =x", "--env '=x'"),
        ("--env-file /nowhere/x", "--env-file /nowhere/x: No such file"),
        ("--label-file /nowhere/x", "--label-file /nowhere/x: No such file"),
        ("--dns example.org", "--dns example.org: not an IP address"),
        ("--add-host a", "--add-host a: '' is not an IP address"),
        ("--add-host :1.2.3.4", "--add-host :1.2.3.4: write NAME:IP"),
        ("--sysctl a", "--sysctl a: write a=VALUE"),
        ("--stop-signal ODD", "--stop-signal ODD: no such signal"),
        ("--timeout 5s", "--timeout 5s: not a number of seconds"),
        ("--timeout=-1", "--timeout -1: not a number of seconds"),
        ("--platform a/b/c/d", "platform .a/b/c/d."),
        ("--shm-size big", "--shm-size big: 'big' is not a size"),
        ("--umask 0999", "--umask 0999: not an octal number"),
        ("--umask=", "--umask : not an octal number"),
        ("--userns odd", "--userns odd: not one of"),
        ("-v /nowhere/x:/y", "-v /nowhere/x:/y: /nowhere/x: No such file or directory"),
        ("--mount type=bind,src=/nowhere/x,dst=/y", "--mount .*/nowhere/x: No such file"),
        ("--tmpfs /y -v /tmp:/y", "/y: duplicate mount point"),
        ("--device /dev/nowhere", "--device /dev/nowhere: /dev/nowhere: No such file"),
        ("--device /etc/passwd", "--device /etc/passwd: /etc/passwd: not a device"),
        ("--no-hosts --add-host a:1.2.3.4", "--no-hosts and --add-host exclude each other"),
        ("--group-add keep-groups --group-add 5", "--group-add keep-groups: no other groups"),
        ("--annotation a", "--annotation a: write a=VALUE"),
        ("--sysctl a=", "--sysctl a: write a=VALUE"),
        ("--rootfs", "--rootfs alpine: not a directory"),
    ],
)
def test_errors_name_the_flag_and_the_value(words: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        spec_of(*words.split(" "))
    assert caught.value.exit_code == EXIT_ENGINE


def test_environment_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HOST", "host")
    monkeypatch.setenv("BOTH", "host")
    file = tmp_path / "env"
    file.write_text("BOTH=file\nFILE=1\nFROM_HOST\n")
    assert spec_of("--env-file", str(file)).env == {
        "BOTH": "file", "FILE": "1", "FROM_HOST": "host",
    }  # fmt: skip
    everything = spec_of("--env-host", "--env-file", str(file), "-e", "FILE=2").env
    assert everything["BOTH"] == "file" and everything["FILE"] == "2"
    assert everything["FROM_HOST"] == "host" and "PATH" in everything
    assert spec_of("-e", "BOTH").env == {"BOTH": "host"}


def test_relative_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    assert spec_of("-v", "./x:/y").mounts == [MountSpec("bind", f"{tmp_path}/x", "/y")]


def test_rootfs_takes_the_first_argument_as_a_directory(tmp_path: Path) -> None:
    parsed = argv.parse(RUN, ["--rootfs", str(tmp_path), "sh", "-c", "true"])
    assert parsed is not None
    spec = container_spec(parsed)
    assert (spec.image, spec.rootfs, spec.command) == (None, str(tmp_path), ["sh", "-c", "true"])


def test_label_file(tmp_path: Path) -> None:
    file = tmp_path / "labels"
    file.write_text("a=1\nb\n")
    assert spec_of("--label-file", str(file), "-l", "a=2").labels == {"a": "2", "b": ""}


@pytest.mark.parametrize("flag", ["--dns-search", "--dns-option"])
@pytest.mark.parametrize("text", ["a b", "a\nnameserver 192.0.2.1"])
def test_a_line_of_resolv_conf_cannot_be_broken(flag: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"{flag} .*: spaces cannot be in it"):
        spec_of(flag, text)
