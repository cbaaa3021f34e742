"""A container as a row of `rl ps`: the fields are docker's, and so are their texts."""

from __future__ import annotations

import time

from rootless.cli import output
from rootless.engine import listing
from rootless.model import health, mountspec, network, ports
from rootless.model.gotemplate.values import View
from rootless.store import containers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from rootless.store.paths import Paths

    Record = dict[str, Any]

UP = ("running", "paused")
_COMMAND_WIDTH = 20
_MOUNT_WIDTH = 15
HEADS = {
    "ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED", "Ports": "PORTS", "State": "STATE", "Status": "STATUS",
    "Size": "SIZE", "Names": "NAMES", "Labels": "LABELS", "Mounts": "MOUNTS",
    "LocalVolumes": "LOCAL VOLUMES", "Networks": "NETWORKS", "HealthStatus": "HEALTH STATUS",
}  # fmt: skip
COLUMNS = ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"]


class Listing:
    """All rows of one call: what they share. full: nothing is cut (--no-trunc)."""

    def __init__(self, paths: Paths, records: list[Record], *, full: bool) -> None:
        self.paths = paths
        self.records = records
        self.full = full
        self.now = time.time()
        self._sizes: dict[str, tuple[int, int]] | None = None

    def sizes(self, record: Record) -> tuple[int, int]:
        """Of the writable layer, and with the image; measured for all rows at the first call."""
        if self._sizes is None:
            self._sizes = listing.sizes(self.paths, self.records)
        return self._sizes[record["id"]]

    def rows(self) -> list[Row]:
        """One for each record."""
        return [Row(self, record) for record in self.records]


class Row:
    """One container; what costs a look at the disk is looked at when it is asked for."""

    __slots__ = ("listing", "record")

    def __init__(self, shared: Listing, record: Record) -> None:
        self.listing = shared
        self.record = record

    def view(self) -> View:
        """For a template."""
        return View("container", self, FIELDS, {"Label": Row.label})

    def shown_id(self) -> str:
        """The id as it is listed."""
        return self.record["id"] if self.listing.full else output.short_id(self.record["id"])

    def label(self, name: str) -> str:
        """The value of a label, "" without it."""
        return str(self.labels().get(name, ""))

    def labels(self) -> Record:
        """The container's labels."""
        return self.record.get("labels") or {}

    def published(self) -> list[ports.PortMapping]:
        """Ports of the host that lead to it now."""
        if self.record["status"] not in UP:
            return []
        # Few have any; the state is in another file.
        state = containers.read_state(self.listing.paths, self.record["id"])
        return listing.ports(self.record, state)

    def mounts(self) -> list[str]:
        """Names of volumes and paths of the host."""
        named = self.record.get("mounted_volumes", [])
        sources = (mount.get("source", "") for mount in self.record.get("mounts", []))
        paths = [one for one in sources if one.startswith("/") and not one.endswith("/_data")]
        return [self._cut(one, _MOUNT_WIDTH) for one in [*named, *paths]]

    def _cut(self, text: str, width: int) -> str:
        if self.listing.full or len(text) <= width:
            return text
        return f"{text[: width - 1]}…"

    def command(self) -> str:
        """In quotes, and cut."""
        first, *rest = self.record["command"] or [""]
        # As docker's daemon joins them, which is not a shell's way.
        words = [first, *(f"'{word}'" if " " in word else word for word in rest)]
        return quoted(self._cut(" ".join(words), _COMMAND_WIDTH))

    def size(self) -> str:
        """`12.3kB (virtual 4.5MB)`."""
        own, whole = self.listing.sizes(self.record)
        return f"{output.human_size(own)} (virtual {output.human_size(whole)})"

    def document(self) -> dict[str, Any]:
        """For `--format json`, with podman's keys."""
        record = self.record
        return {
            "Id": record["id"],
            "Names": [record["name"]],
            "Image": record["image"],
            "ImageID": record["image_id"],
            "Command": record["command"],
            "Created": record["created"],
            "State": record["status"],
            "Status": status_text(record, self.listing.now),
            "ExitCode": record["exit_code"],
            "Restarts": record.get("restart_count", 0),
            "AutoRemove": bool(record.get("remove")),
            "Labels": record["labels"],
            "Mounts": [mount["destination"] for mount in record.get("mounts", [])],
            "Networks": [network.driver_of(network.of_record(record))],
            "Ports": [_port(one) for one in self.published()],
        }


def _port(port: ports.PortMapping) -> dict[str, Any]:
    return {
        "host_ip": port.host_ip, "container_port": port.container_port,
        "host_port": port.host_port, "range": 1, "protocol": port.protocol,
    }  # fmt: skip


def quoted(text: str) -> str:
    """As strconv.Quote writes it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    from rootless.model.gotemplate import goprint

    return goprint.quoted(text)


def status_text(record: Record, now: float) -> str:
    """The status as docker words it."""
    status = record["status"]
    if status in UP:
        length = output.human_duration(now - (record.get("started") or record["created"]))
        more = " (Paused)" if status == "paused" else health.suffix(record)
        if record.get("elsewhere"):
            more = f" ({record['elsewhere']})"
        return f"Up {length}{more}"
    if status in ("exited", "restarting") and record.get("finished"):
        age = output.human_age(now - record["finished"])
        word = "Exited" if status == "exited" else "Restarting"
        return f"{word} ({record['exit_code']}) {age}"
    return str(status).capitalize()


def _named_volumes(record: Record) -> list[str]:
    return [one for one in record.get("mounted_volumes", []) if mountspec.is_volume_name(one)]


def _health(record: Record) -> str:
    known = health.status(record)
    return "" if known == health.NONE else known


FIELDS: dict[str, Callable[[Row], Any]] = {
    "ID": Row.shown_id,
    "Names": lambda row: str(row.record["name"]),
    "Image": lambda row: str(row.record["image"] or ""),
    "Command": Row.command,
    "CreatedAt": lambda row: output.local_time(row.record["created"]),
    "RunningFor": lambda row: output.human_age(row.listing.now - row.record["created"]),
    "Ports": lambda row: ports.shown(row.published()),
    "State": lambda row: row.record["status"],
    "Status": lambda row: status_text(row.record, row.listing.now),
    "Size": Row.size,
    "Labels": lambda row: ",".join(sorted(f"{k}={v}" for k, v in row.labels().items())),
    "Mounts": lambda row: ",".join(row.mounts()),
    "LocalVolumes": lambda row: str(len(_named_volumes(row.record))),
    "Networks": lambda row: network.driver_of(network.of_record(row.record)),
    "HealthStatus": lambda row: _health(row.record),
}
