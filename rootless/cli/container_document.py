"""A container as `docker inspect` tells it: the same names, for the programs that read them."""

from __future__ import annotations

import os

from rootless.cli import container_host_config
from rootless.engine import container_config
from rootless.model import health, healthcheck, network

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Record = dict[str, Any]

# Go's zero time, which docker shows for what has not happened.
_NEVER = "0001-01-01T00:00:00Z"
_NO_ADDRESSES = {"host": "", "gateway": ""}


class Facts:
    """What is known of a container besides its record.

    state: store.containers.read_state; status: engine.live.status; pid: of the first process on
    the host, 0 when it does not run; directory: where its files are; document: the OCI document of
    its last start, image: the image's config, both empty where there are none; ports: what it
    publishes, as rows of PortMapping; log_path: "" without a log file; layers: the trees below its
    own, the highest first; addresses: its own and the gateway's, by "host" and "gateway".
    """

    __slots__ = (
        "addresses", "directory", "document", "exec_ids", "image", "layers", "log_path", "pid",
        "ports", "state", "status",
    )  # fmt: skip

    def __init__(
        self,
        state: Mapping[str, Any],
        *,
        status: str,
        pid: int,
        directory: str = "",
        document: Mapping[str, Any] | None = None,
        image: Mapping[str, Any] | None = None,
        ports: list[Record] | None = None,
        log_path: str = "",
        layers: list[str] | None = None,
        addresses: Mapping[str, str] | None = None,
        exec_ids: list[str] | None = None,
    ) -> None:
        self.state = state
        self.status = status
        self.pid = pid
        self.directory = directory
        self.document = document or {}
        self.image = image or {}
        self.ports = ports or []
        self.log_path = log_path
        self.layers = layers or []
        self.addresses = addresses or _NO_ADDRESSES
        self.exec_ids = exec_ids or None


def build(record: Record, facts: Facts) -> dict[str, Any]:
    """docker's document of the container with this record (store.containers)."""
    command = record["command"]
    group = facts.state.get("cgroup", {})
    return {
        "Id": record["id"],
        "Created": time_text(record["created"]),
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": _state(record, facts),
        "Image": _image(record),
        "ImageDigest": record["manifest"],
        "ImageName": record["image"],
        **_paths(facts),
        "Name": record["name"],
        "RestartCount": record.get("restart_count", 0),
        "Driver": _driver(record),
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": facts.exec_ids,
        "CgroupPath": group.get("path", ""),
        "HostConfig": container_host_config.build(record, facts.document, group),
        "GraphDriver": _graph_driver(record, facts),
        "Mounts": [_mount(mount) for mount in record.get("mounts", [])],
        "Config": _config(record, facts),
        "NetworkSettings": _network_settings(record, facts),
    }


def _image(record: Record) -> str:
    """The image's id; of a file what that says of itself."""
    known = record["image_id"] or (record.get("image_file") or {}).get("image_id")
    return f"sha256:{known}" if known else ""


def time_text(seconds: float | None) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    if not seconds:
        return _NEVER
    from datetime import datetime, timezone

    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _state(record: Record, facts: Facts) -> dict[str, Any]:
    # In an old record there is no start; between it and its start lie milliseconds.
    status = facts.status
    known = record.get("started") or facts.state.get("started") or record["created"]
    found = {
        "Status": status,
        "Running": status in ("running", "paused", "restarting"),
        "Paused": status == "paused",
        "Restarting": status == "restarting",
        "OOMKilled": bool(record.get("oom_kills")),
        "Dead": False,
        "Pid": facts.pid,
        "ExitCode": record["exit_code"] or 0,
        "Error": record.get("error", ""),
        "StartedAt": time_text(known if status != "created" else None),
        "FinishedAt": time_text(record.get("finished")),
    }
    return {**found, "Health": _health(record["health"])} if record.get("health") else found


def _health(known: Record) -> dict[str, Any]:
    """model.health's document in docker's words."""
    return {
        "Status": health.status({"health": known}),
        "FailingStreak": known.get("failing_streak", 0),
        "Log": [
            {
                "Start": probe.get("start", _NEVER),
                "End": probe.get("end", _NEVER),
                "ExitCode": probe.get("exit_code", 0),
                "Output": probe.get("output", ""),
            }
            for probe in known.get("log", [])
        ],
    }


def _paths(facts: Facts) -> dict[str, str]:
    directory = facts.directory
    return {
        "ResolvConfPath": f"{directory}/resolv.conf",
        "HostnamePath": f"{directory}/hostname",
        "HostsPath": f"{directory}/hosts",
        "LogPath": facts.log_path,
        "OCIConfigPath": f"{directory}/config.json",
    }


def _driver(record: Record) -> str:
    spec = record.get("spec") or {}
    return str((record.get("root") or {}).get("driver") or spec.get("storage_driver") or "overlay")


def _graph_driver(record: Record, facts: Facts) -> dict[str, Any]:
    directory = facts.directory
    data = {
        "LowerDir": ":".join(facts.layers), "MergedDir": f"{directory}/merged",
        "UpperDir": f"{directory}/upper", "WorkDir": f"{directory}/work",
    }  # fmt: skip
    return {"Name": _driver(record), "Data": data}


def _config(record: Record, facts: Facts) -> dict[str, Any]:
    spec, image = record.get("spec") or {}, facts.image
    entrypoint, command = container_config.words(record, image)
    found = {
        "Hostname": record.get("hostname", ""),
        "Domainname": spec.get("domainname", ""),
        "User": container_config.user(record, image),
        "AttachStdin": record.get("interactive", False),
        "AttachStdout": not spec.get("detach", False),
        "AttachStderr": not spec.get("detach", False),
        "ExposedPorts": _exposed(facts),
        "Tty": record.get("tty", False),
        "OpenStdin": record.get("interactive", False),
        "StdinOnce": record.get("interactive", False),
        "Env": facts.document.get("process", {}).get("env", []),
        "Cmd": command,
        "Image": record["image"],
        "Volumes": image.get("Volumes"),
        "WorkingDir": record.get("workdir", ""),
        "Entrypoint": entrypoint,
        "OnBuild": None,
        "Labels": record["labels"],
        "StopSignal": record.get("stop_signal") or image.get("StopSignal") or "SIGTERM",
    }
    timeout = record.get("stop_timeout")
    action = spec.get("health_on_failure")
    check = healthcheck.merged(spec.get("health") or {}, image.get("Healthcheck"))
    return {
        **found,
        **({} if timeout is None else {"StopTimeout": timeout}),
        **({"Healthcheck": check} if check else {}),
        **({"HealthcheckOnFailureAction": action} if action else {}),
    }


def _exposed(facts: Facts) -> dict[str, Any]:
    published = container_host_config.port_bindings(facts.ports)
    named = facts.image.get("ExposedPorts")
    return {key: {} for key in [*(named if isinstance(named, dict) else ()), *published]}


def _network_settings(record: Record, facts: Facts) -> dict[str, Any]:
    is_up = facts.status in ("running", "paused")
    addresses = facts.addresses if is_up else _NO_ADDRESSES
    bindings = container_host_config.port_bindings(
        [{**port, "host_ip": port["host_ip"] or "0.0.0.0"} for port in facts.ports]
    )
    endpoint = {
        "NetworkID": "", "EndpointID": "", "MacAddress": "", "IPPrefixLen": 0,
        "Gateway": addresses["gateway"], "IPAddress": addresses["host"], "Aliases": None,
    }  # fmt: skip
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": f"/proc/{facts.pid}/ns/net" if facts.pid else "",
        "Ports": {port: bindings.get(port) for port in _exposed(facts)} if is_up else {},
        **{key: value for key, value in endpoint.items() if key != "Aliases"},
        "Networks": {network.driver_of(record.get("network") or ""): endpoint},
    }


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    """A row of "Mounts" for one of the OCI document's mounts."""
    options = mount.get("options", [])
    source = mount.get("source", "")
    # store.paths: a volume's files are in volumes/NAME/_data.
    head, tail = os.path.split(source)
    is_volume = mount["type"] == "bind" and tail == "_data"
    named = {"Name": os.path.basename(head), "Driver": "local"} if is_volume else {}
    spread = (one for one in options if one.removeprefix("r") in ("private", "shared", "slave"))
    return {
        "Type": "volume" if is_volume else mount["type"],
        "Source": source,
        "Destination": mount["destination"],
        **named,
        "Mode": ",".join(options),
        "RW": "ro" not in options,
        "Propagation": next(spread, "rprivate" if mount["type"] == "bind" else ""),
    }
