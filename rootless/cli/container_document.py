"""A container as `docker inspect` tells it: the same names, for the programs that read them."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Record = dict[str, Any]

# Go's zero time, which docker shows for what has not happened.
_NEVER = "0001-01-01T00:00:00Z"
_BILLION = 10**9


def build(record: Record, state: Mapping[str, Any], *, status: str, pid: int) -> dict[str, Any]:
    """The document. record, state: as in store.containers; status: engine.live.status; pid: of the
    first process on the host, 0 when it does not run."""
    command = record["command"]
    group = state.get("cgroup", {})
    return {
        "Id": record["id"],
        "Created": time_text(record["created"]),
        "Path": command[0] if command else "",
        "Args": command[1:],
        "State": _state(record, state, status=status, pid=pid),
        "Image": f"sha256:{record['image_id']}" if record["image_id"] else "",
        "ImageDigest": record["manifest"],
        "ImageName": record["image"],
        "Name": record["name"],
        "CgroupPath": group.get("path", ""),
        "Mounts": [_mount(mount) for mount in record.get("mounts", [])],
        "HostConfig": _host_config(record, group),
        "Config": _config(record),
    }


def time_text(seconds: float | None) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    if not seconds:
        return _NEVER
    from datetime import datetime, timezone

    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _state(record: Record, state: Mapping[str, Any], *, status: str, pid: int) -> dict[str, Any]:
    # An ended container's state is gone; between its record and its start lie milliseconds.
    has_run = status != "created"
    started = state.get("started", record["created"]) if has_run else None
    return {
        "Status": status,
        "Running": status in ("running", "paused"),
        "Paused": status == "paused",
        "Restarting": False,
        "OOMKilled": bool(record.get("oom_kills")),
        "Dead": False,
        "Pid": pid,
        "ExitCode": record["exit_code"] or 0,
        "Error": record.get("error", ""),
        "StartedAt": time_text(started),
        "FinishedAt": time_text(record.get("finished")),
    }


def _host_config(record: Record, group: Mapping[str, str]) -> dict[str, Any]:
    return {
        **_memory(record.get("resources", {})),
        **_cpu(record.get("resources", {}).get("cpu", {})),
        **_others(record.get("resources", {})),
        "OomScoreAdj": record.get("oom_score_adj") or 0,
        "CgroupManager": group.get("manager", ""),
        "CgroupParent": record.get("cgroup_parent", ""),
        "NetworkMode": record.get("network") or "default",
        "Privileged": record.get("privileged", False),
        "ReadonlyRootfs": record.get("read_only", False),
        "AutoRemove": record.get("remove", False),
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
    for ours, dockers in (("ReadBps", "ReadBps"), ("WriteBps", "WriteBps"),
                          ("ReadIOPS", "ReadIOps"), ("WriteIOPS", "WriteIOps")):  # fmt: skip
        rows = block_io.get(f"throttle{ours}Device", [])
        found[f"BlkioDevice{dockers}"] = [
            {"Path": f"/dev/block/{row['major']}:{row['minor']}", "Rate": row["rate"]}
            for row in rows
        ]
    return {**found, "CgroupConf": resources.get("unified", {})}


def _config(record: Record) -> dict[str, Any]:
    return {
        "Hostname": record.get("hostname", ""),
        "User": record.get("user", ""),
        "WorkingDir": record.get("workdir", ""),
        "Tty": record.get("tty", False),
        "OpenStdin": record.get("interactive", False),
        "Cmd": record["command"],
        "Image": record["image"],
        "Labels": record["labels"],
        "StopSignal": record.get("stop_signal") or "SIGTERM",
    }


def _mount(mount: Mapping[str, Any]) -> dict[str, Any]:
    """A row of "Mounts" for one of the OCI document's mounts."""
    options = mount.get("options", [])
    source = mount.get("source", "")
    row = {
        "Type": mount["type"],
        "Source": source,
        "Destination": mount["destination"],
        "Mode": ",".join(options),
        "RW": "ro" not in options,
    }
    # store.paths: a volume's files are in volumes/NAME/_data.
    head, tail = os.path.split(source)
    if mount["type"] == "bind" and tail == "_data":
        return {**row, "Type": "volume", "Name": os.path.basename(head)}
    return row
