"""The HostConfig of `rl inspect`: what the flags of a container's `run` said, in docker's words."""

from __future__ import annotations

from rootless.model import network
from rootless.model.container import DEFAULT_SHM_SIZE
from rootless.model.logspec import JSON_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Record = dict[str, Any]

_BILLION = 10**9
_RATES = (
    ("ReadBps", "ReadBps"), ("WriteBps", "WriteBps"),
    ("ReadIOPS", "ReadIOps"), ("WriteIOPS", "WriteIOps"),
)  # fmt: skip


def build(record: Record, document: Mapping[str, Any], group: Mapping[str, str]) -> dict[str, Any]:
    """record: store.containers'; document: the OCI document of its last start, empty for none;
    group: who made its control group, and where."""
    spec = record.get("spec") or {}
    resources = record.get("resources", {})
    return {
        **_storage(record, spec),
        **_network(record, spec),
        **_namespaces(record, spec),
        **_security(spec, document),
        "RestartPolicy": restart_policy(spec.get("restart", "")),
        "AutoRemove": record.get("remove", False),
        "LogConfig": {
            "Type": record.get("log_driver", JSON_FILE),
            "Config": record.get("log_opts", {}),
        },
        "Init": spec.get("init", False),
        "Runtime": spec.get("runtime") or "rl",
        "ConsoleSize": [0, 0],
        "Annotations": spec.get("annotations", {}),
        **_memory(resources),
        **_cpu(resources.get("cpu", {})),
        **_others(resources),
        "Ulimits": [_ulimit(text) for text in spec.get("ulimits", [])],
        "Devices": [_device(one) for one in spec.get("devices", [])],
        "OomKillDisable": False,
        "OomScoreAdj": record.get("oom_score_adj") or 0,
        "CgroupManager": group.get("manager", ""),
        "CgroupParent": record.get("cgroup_parent", ""),
    }


def restart_policy(text: str) -> dict[str, Any]:
    """`on-failure:3` as docker's object."""
    name, _, most = (text or "no").partition(":")
    return {"Name": name, "MaximumRetryCount": int(most or 0)}


def _storage(record: Record, spec: Record) -> dict[str, Any]:
    mounts = spec.get("mounts", [])
    return {
        "Binds": [_bind(one) for one in mounts if one["kind"] != "tmpfs"] or None,
        "Tmpfs": {
            one["target"]: ",".join(one.get("options", []))
            for one in mounts
            if one["kind"] == "tmpfs"
        },
        "VolumesFrom": spec.get("volumes_from") or None,
        "VolumeDriver": "",
        "ShmSize": spec.get("shm_size", DEFAULT_SHM_SIZE),
        "ReadonlyRootfs": record.get("read_only", False),
        "StorageOpt": {},
        "Sysinfo": record.get("sysinfo", False),
    }


def _bind(mount: Record) -> str:
    options = ",".join(mount.get("options", []))
    parts = [mount.get("source", ""), mount["target"], options]
    return ":".join(part for part in parts if part)


def _network(record: Record, spec: Record) -> dict[str, Any]:
    return {
        "NetworkMode": network.of_record(record) or "default",
        "PortBindings": port_bindings(spec.get("ports", [])),
        "PublishAllPorts": spec.get("publish_all", False),
        "Links": None,
        "Dns": spec.get("dns", []),
        "DnsOptions": spec.get("dns_option", []),
        "DnsSearch": spec.get("dns_search", []),
        "ExtraHosts": [":".join(pair) for pair in spec.get("add_hosts", [])] or None,
    }


def port_bindings(ports: list[Record]) -> dict[str, list[dict[str, str]]]:
    """PortMappings as docker keeps them, by the port of the container: `80/tcp`."""
    found: dict[str, list[dict[str, str]]] = {}
    for port in ports:
        key = f"{port['container_port']}/{port['protocol']}"
        number = str(port["host_port"] or "")
        found.setdefault(key, []).append({"HostIp": port["host_ip"], "HostPort": number})
    return found


def _namespaces(record: Record, spec: Record) -> dict[str, Any]:
    return {
        "ContainerIDFile": spec.get("cidfile", ""),
        "CgroupnsMode": spec.get("cgroupns") or "private",
        "IpcMode": spec.get("ipc") or "shareable",
        "PidMode": spec.get("pid", ""),
        "UTSMode": spec.get("uts", ""),
        "UsernsMode": spec.get("userns", ""),
        "Privileged": record.get("privileged", False),
    }


def _security(spec: Record, document: Mapping[str, Any]) -> dict[str, Any]:
    linux = document.get("linux", {})
    return {
        "CapAdd": spec.get("cap_add") or None,
        "CapDrop": spec.get("cap_drop") or None,
        "GroupAdd": spec.get("group_add") or None,
        "SecurityOpt": spec.get("security_opt") or None,
        "Sysctls": spec.get("sysctls", {}),
        "MaskedPaths": linux.get("maskedPaths", []),
        "ReadonlyPaths": linux.get("readonlyPaths", []),
    }


def _ulimit(text: str) -> dict[str, Any]:
    name, _, limits = text.partition("=")
    soft, _, hard = limits.partition(":")
    return {"Name": name, "Soft": _limit(soft), "Hard": _limit(hard or soft)}


def _limit(text: str) -> int:
    return int(text) if text.removeprefix("-").isdecimal() else -1


def _device(device: Record) -> dict[str, str]:
    return {
        "PathOnHost": device["source"],
        "PathInContainer": device["target"],
        "CgroupPermissions": device["permissions"],
    }


def _memory(resources: Mapping[str, Any]) -> dict[str, Any]:
    memory = resources.get("memory", {})
    return {
        "Memory": memory.get("limit", 0),
        "MemorySwap": memory.get("swap", 0),
        "MemoryReservation": memory.get("reservation", 0),
    }


def _cpu(cpu: Mapping[str, Any]) -> dict[str, Any]:
    quota, period = cpu.get("quota", 0), cpu.get("period", 0)
    return {
        "NanoCpus": quota * _BILLION // period if quota > 0 and period else 0,
        "CpuShares": cpu.get("shares", 0),
        "CpuPeriod": period,
        "CpuQuota": quota,
        "CpusetCpus": cpu.get("cpus", ""),
        "CpusetMems": cpu.get("mems", ""),
    }


def _others(resources: Mapping[str, Any]) -> dict[str, Any]:
    block_io = resources.get("blockIO", {})
    found = {"PidsLimit": resources.get("pids", {}).get("limit", 0)}
    found["BlkioWeight"] = block_io.get("weight", 0)
    for ours, dockers in _RATES:
        rows = block_io.get(f"throttle{ours}Device", [])
        found[f"BlkioDevice{dockers}"] = [
            {"Path": f"/dev/block/{row['major']}:{row['minor']}", "Rate": row["rate"]}
            for row in rows
        ]
    return {**found, "CgroupConf": resources.get("unified", {})}
