from __future__ import annotations

from typing import Any

import pytest

from rootless.cli import container_document

RECORD: dict[str, Any] = {
    "id": "a" * 64, "name": "web", "image": "docker.io/library/nginx:1", "image_id": "ab" * 32,
    "manifest": "sha256:" + "cd" * 32, "command": ["nginx", "-g", "daemon off;"],
    "created": 1_700_000_000.25, "status": "running", "exit_code": None, "labels": {"a": "b"},
}  # fmt: skip
NEVER = "0001-01-01T00:00:00Z"


def build(status: str = "running", state: dict[str, Any] | None = None, **more: Any) -> Any:
    facts = container_document.Facts(state or {}, status=status, pid=5, directory="/c")
    return container_document.build({**RECORD, **more}, facts)


def wished(spec: dict[str, Any], **facts: Any) -> Any:
    known = container_document.Facts({}, status="running", pid=5, **facts)
    return container_document.build({**RECORD, "spec": spec}, known)


def test_a_container_that_runs() -> None:
    group = {"manager": "systemd", "path": "/sys/fs/cgroup/x"}
    found = build(state={"started": 1_700_000_001.5, "cgroup": group})
    assert (found["Path"], found["Args"]) == ("nginx", ["-g", "daemon off;"])
    assert found["Created"] == "2023-11-14T22:13:20.250000Z"
    assert found["Image"] == "sha256:" + "ab" * 32
    assert found["CgroupPath"] == "/sys/fs/cgroup/x"
    assert found["HostConfig"]["CgroupManager"] == "systemd"
    assert found["State"] == {
        "Status": "running", "Running": True, "Paused": False, "Restarting": False,
        "OOMKilled": False, "Dead": False, "Pid": 5, "ExitCode": 0, "Error": "",
        "StartedAt": "2023-11-14T22:13:21.500000Z", "FinishedAt": NEVER,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("status", "running", "paused"),
    [("running", True, False), ("paused", True, True), ("exited", False, False)],
)
def test_a_paused_container_counts_as_running(status: str, running: bool, paused: bool) -> None:
    state = build(status)["State"]
    assert (state["Running"], state["Paused"], state["Status"]) == (running, paused, status)


def test_one_that_ended_out_of_memory() -> None:
    state = build("exited", exit_code=137, finished=1_700_000_060.0, oom_kills=[{"pid": 1}])[
        "State"
    ]
    assert (state["OOMKilled"], state["ExitCode"]) == (True, 137)
    assert state["StartedAt"] == "2023-11-14T22:13:20.250000Z"
    assert state["FinishedAt"] == "2023-11-14T22:14:20.000000Z"


def test_one_that_never_ran() -> None:
    state = build("created", exit_code=127, error="no such file")["State"]
    assert (state["StartedAt"], state["Error"]) == (NEVER, "no such file")


@pytest.mark.parametrize(
    ("resources", "name", "value"),
    [
        ({"memory": {"limit": 1 << 26}}, "Memory", 1 << 26),
        ({"memory": {"swap": -1}}, "MemorySwap", -1),
        ({"memory": {"reservation": 4096}}, "MemoryReservation", 4096),
        ({"cpu": {"quota": 50_000, "period": 100_000}}, "NanoCpus", 500_000_000),
        ({"cpu": {"quota": -1, "period": 100_000}}, "NanoCpus", 0),
        ({"cpu": {"quota": 20_000}}, "CpuQuota", 20_000),
        ({"cpu": {"quota": 20_000}}, "NanoCpus", 0),
        ({"cpu": {"period": 5000}}, "CpuPeriod", 5000),
        ({"cpu": {"shares": 512}}, "CpuShares", 512),
        ({"cpu": {"cpus": "0-1"}}, "CpusetCpus", "0-1"),
        ({"cpu": {"mems": "0"}}, "CpusetMems", "0"),
        ({"pids": {"limit": 10}}, "PidsLimit", 10),
        ({"blockIO": {"weight": 300}}, "BlkioWeight", 300),
        ({"unified": {"memory.high": "1"}}, "CgroupConf", {"memory.high": "1"}),
        ({}, "Memory", 0),
    ],
)
def test_limits(resources: dict[str, Any], name: str, value: object) -> None:
    assert build(resources=resources)["HostConfig"][name] == value


@pytest.mark.parametrize(
    ("ours", "dockers"),
    [("ReadBps", "ReadBps"), ("WriteBps", "WriteBps"), ("ReadIOPS", "ReadIOps"),
     ("WriteIOPS", "WriteIOps")],
)  # fmt: skip
def test_rates(ours: str, dockers: str) -> None:
    row = {"major": 8, "minor": 16, "rate": 100}
    host = build(resources={"blockIO": {f"throttle{ours}Device": [row]}})["HostConfig"]
    rows = {name: host[name] for name in host if name.startswith("BlkioDevice") and host[name]}
    assert rows == {f"BlkioDevice{dockers}": [{"Path": "/dev/block/8:16", "Rate": 100}]}


def test_mounts() -> None:
    volume = {"type": "bind", "source": "/s/volumes/data/_data", "destination": "/v",
              "options": ["rbind"]}  # fmt: skip
    bind = {"type": "bind", "source": "/home", "destination": "/h", "options": ["rbind", "ro"]}
    found = build(mounts=[volume, bind, {"type": "tmpfs", "destination": "/t"}])["Mounts"]
    assert [(row["Type"], row["Destination"], row["RW"]) for row in found] == [
        ("volume", "/v", True), ("bind", "/h", False), ("tmpfs", "/t", True),
    ]  # fmt: skip
    assert found[0]["Name"] == "data" and "Name" not in found[1]


def test_a_record_of_a_directory() -> None:
    assert build(image="/srv/tree", image_id="", manifest="")["Image"] == ""


def test_places_of_files() -> None:
    found = build()
    assert found["ResolvConfPath"] == "/c/resolv.conf" and found["HostsPath"] == "/c/hosts"
    assert found["HostnamePath"] == "/c/hostname" and found["LogPath"] == ""
    assert found["GraphDriver"]["Data"]["UpperDir"] == "/c/upper"
    assert wished({}, log_path="/c/log/x")["LogPath"] == "/c/log/x"


def test_the_log() -> None:
    config = build(log_driver="journald", log_opts={"tag": "x"})["HostConfig"]["LogConfig"]
    assert config == {"Type": "journald", "Config": {"tag": "x"}}


def test_a_restart() -> None:
    state = build("restarting", exit_code=1, started=1_700_000_002.0)["State"]
    assert (state["Status"], state["Restarting"], state["Running"]) == ("restarting", True, True)
    assert state["StartedAt"] == "2023-11-14T22:13:22.000000Z"
    assert build(restart_count=3)["RestartCount"] == 3


def test_health() -> None:
    probe = {"start": "s", "end": "e", "exit_code": 1, "output": "no\n"}
    known = {"status": "unhealthy", "failing_streak": 3, "log": [probe]}
    assert build(health=known)["State"]["Health"] == {
        "Status": "unhealthy", "FailingStreak": 3,
        "Log": [{"Start": "s", "End": "e", "ExitCode": 1, "Output": "no\n"}],
    }  # fmt: skip
    assert "Health" not in build()["State"]


def test_the_check_is_the_flags_then_the_images() -> None:
    image = {"Healthcheck": {"Test": ["CMD", "up"], "Interval": 5, "Retries": 2}}
    spec = {"health": {"Retries": 7}, "health_on_failure": "kill"}
    found = wished(spec, image=image)["Config"]
    assert found["Healthcheck"] == {"Test": ["CMD", "up"], "Interval": 5, "Retries": 7}
    assert found["HealthcheckOnFailureAction"] == "kill"
    assert not {"Healthcheck", "HealthcheckOnFailureAction"} & wished({})["Config"].keys()


@pytest.mark.parametrize(
    ("spec", "name", "value"),
    [
        ({}, "RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
        ({"restart": "on-failure:3"}, "RestartPolicy",
         {"Name": "on-failure", "MaximumRetryCount": 3}),
        ({"mounts": [{"kind": "bind", "source": "/a", "target": "/b", "options": ["ro"]},
                     {"kind": "volume", "source": "", "target": "/v", "options": []},
                     {"kind": "tmpfs", "source": "", "target": "/t", "options": ["size=1m"]}]},
         "Binds", ["/a:/b:ro", "/v"]),
        ({"mounts": [{"kind": "tmpfs", "source": "", "target": "/t", "options": ["size=1m"]}]},
         "Tmpfs", {"/t": "size=1m"}),
        ({"ports": [{"host_ip": "127.0.0.1", "host_port": 8080, "container_port": 80,
                     "protocol": "tcp"}]},
         "PortBindings", {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}]}),
        ({"cap_add": ["NET_RAW"]}, "CapAdd", ["NET_RAW"]),
        ({"add_hosts": [["a", "1.2.3.4"]]}, "ExtraHosts", ["a:1.2.3.4"]),
        ({"ulimits": ["nofile=10:20"]}, "Ulimits", [{"Name": "nofile", "Soft": 10, "Hard": 20}]),
        ({"ulimits": ["core=unlimited"]}, "Ulimits", [{"Name": "core", "Soft": -1, "Hard": -1}]),
        ({"devices": [{"source": "/dev/fuse", "target": "/dev/fuse", "permissions": "rw"}]},
         "Devices", [{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse",
                      "CgroupPermissions": "rw"}]),
        ({"dns": ["1.1.1.1"]}, "Dns", ["1.1.1.1"]),
        ({"init": True}, "Init", True),
        ({}, "CapDrop", None),
        ({}, "ShmSize", 64 << 20),
    ],
)  # fmt: skip
def test_what_was_wished(spec: dict[str, Any], name: str, value: object) -> None:
    assert wished(spec)["HostConfig"][name] == value


@pytest.mark.parametrize(
    ("spec", "entrypoint", "command"),
    [
        ({}, ["/e"], ["c"]),
        ({"command": ["x"]}, ["/e"], ["x"]),
        ({"entrypoint": ["/f"]}, ["/f"], None),
        ({"entrypoint": [], "command": ["x"]}, None, ["x"]),
    ],
)
def test_entrypoint_and_command(spec: dict[str, Any], entrypoint: object, command: object) -> None:
    config = wished(spec, image={"Entrypoint": ["/e"], "Cmd": ["c"], "User": "app"})["Config"]
    assert (config["Entrypoint"], config["Cmd"], config["User"]) == (entrypoint, command, "app")


def test_config_from_the_last_start_and_the_image() -> None:
    document = {"process": {"env": ["A=1"]}, "linux": {"maskedPaths": ["/proc/kcore"]}}
    found = wished({"user": "1:2"}, document=document, image={"Healthcheck": {"Test": ["NONE"]}})
    assert found["Config"]["Env"] == ["A=1"] and found["Config"]["User"] == "1:2"
    assert found["Config"]["Healthcheck"] == {"Test": ["NONE"]}
    assert found["HostConfig"]["MaskedPaths"] == ["/proc/kcore"]


def test_network() -> None:
    port = {"host_ip": "", "host_port": 8080, "container_port": 80, "protocol": "tcp"}
    addresses = {"host": "10.0.2.100", "gateway": "10.0.2.2"}
    exposed = {"ExposedPorts": {"443/tcp": {}, "80/tcp": {}}}
    found = wished({}, ports=[port], addresses=addresses, image=exposed)
    settings = found["NetworkSettings"]
    assert settings["Ports"] == {
        "443/tcp": None, "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}],
    }  # fmt: skip
    assert settings["Networks"]["slirp4netns"]["IPAddress"] == settings["IPAddress"] == "10.0.2.100"
    assert found["Config"]["ExposedPorts"] == {"443/tcp": {}, "80/tcp": {}}
    ended = container_document.Facts({}, status="exited", pid=0, ports=[port], addresses=addresses)
    after = container_document.build(RECORD, ended)["NetworkSettings"]
    assert (after["Ports"], after["IPAddress"]) == ({}, "")
