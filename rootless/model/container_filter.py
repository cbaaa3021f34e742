"""`rl ps --filter`: docker's filters on what is recorded of a container. Pure.

A record is store.containers' document; its `status` is the one of this moment.
"""

from __future__ import annotations

from rootless.model import health, network
from rootless.model.digits import number
from rootless.model.filters import Filters, matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from rootless.model.ports import PortMapping

    Record = dict[str, Any]

STATUSES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
KEYS = {
    "id": "ID", "name": "PATTERN", "label": "KEY[=VALUE]", "label!": "KEY[=VALUE]",
    "status": "|".join(STATUSES), "exited": "CODE", "ancestor": "IMAGE", "before": "CONTAINER",
    "since": "CONTAINER", "volume": "NAME|PATH", "network": "NAME",
    "health": "|".join(health.STATUSES), "publish": "PORT[/PROTOCOL]", "expose": "PORT[/PROTOCOL]",
}  # fmt: skip
_MOST_PORT = 65535


class ContainerFilter:
    """find: the record of the container that a word names, for before= and since=.

    Raises UsageError, and what `find` raises.
    """

    def __init__(self, words: Iterable[str], find: Callable[[str], Record]) -> None:
        self._filters = Filters(words, KEYS, "rl ps")
        self._filters.check("status", STATUSES)
        self._filters.check("health", health.STATUSES)
        for wanted in self._filters.values("exited"):
            if number(wanted.removeprefix("-"), 0, 255) is None:
                raise self._filters.refuse(f"exited={wanted}")
        self._ports = {key: self._read_ports(key) for key in ("publish", "expose")}
        self._before = [_born(find(word)) for word in self._filters.values("before")]
        self._since = [_born(find(word)) for word in self._filters.values("since")]

    @property
    def names_statuses(self) -> bool:
        """Whether it says itself in which states containers are wanted."""
        return "status" in self._filters

    def takes(self, record: Record, ports: list[PortMapping]) -> bool:
        """Whether `record` is wanted. ports: what it publishes."""
        return (
            self._takes_identity(record)
            and self._takes_state(record)
            and self._takes_surroundings(record)
            and all(self._takes_ports(key, ports) for key in self._ports)
        )

    def _takes_identity(self, record: Record) -> bool:
        fits, name = self._filters.fits, record["name"]
        return (
            fits("id", lambda word: matches(word, record["id"]))
            # docker's names begin with a slash, and people's patterns with ^/.
            and fits("name", lambda word: matches(word, name) or matches(word, f"/{name}"))
            and fits("ancestor", lambda word: _is_image(record, word))
            and self._filters.labels_fit(record.get("labels") or {})
        )

    def _takes_state(self, record: Record) -> bool:
        fits, born = self._filters.fits, _born(record)
        code = record.get("exit_code") if record["status"] == "exited" else None
        return (
            fits("status", lambda word: word == record["status"])
            and fits("exited", lambda word: code is not None and int(word) == code)
            and fits("health", lambda word: word == health.status(record))
            and (not self._before or born < min(self._before))
            and (not self._since or born > max(self._since))
        )

    def _takes_surroundings(self, record: Record) -> bool:
        driver = network.driver_of(network.of_record(record))
        targets = [mount.get("destination") for mount in record.get("mounts", [])]
        places = [*record.get("mounted_volumes", []), *targets]
        return self._filters.fits(
            "network", lambda word: network.driver_of(word) == driver
        ) and self._filters.fits("volume", lambda word: word in places)

    def _takes_ports(self, key: str, ports: list[PortMapping]) -> bool:
        wanted = self._ports[key]
        found = {
            (one.host_port if key == "publish" else one.container_port, one.protocol)
            for one in ports
        }
        return not wanted or any(
            low <= port <= high and protocol == its
            for low, high, protocol in wanted
            for port, its in found
        )

    def _read_ports(self, key: str) -> list[tuple[int, int, str]]:
        """`80`, `80-90/udp` as (first, last, protocol)."""
        read = []
        for word in self._filters.values(key):
            span, _, protocol = word.partition("/")
            first, dash, last = span.partition("-")
            low = number(first, 0, _MOST_PORT)
            high = number(last, 0, _MOST_PORT) if dash else low
            if low is None or high is None:
                raise self._filters.refuse(f"{key}={word}")
            read.append((low, high, protocol or "tcp"))
        return read


def _born(record: Record) -> float:
    return float(record["created"])


def _is_image(record: Record, word: str) -> bool:
    """Whether the container is of the image `word`: a name, with its registry or not, an id, or the
    path of an image file."""
    digits = word.removeprefix("sha256:")
    known = record.get("image_id") or (record.get("image_file") or {}).get("image_id") or ""
    if (len(digits) >= 4 and str(known).startswith(digits)) or word == record.get("image"):
        return True
    parts = str(record.get("image") or "").split("/")
    wanted = word if ":" in word.rpartition("/")[2] or "@" in word else f"{word}:latest"
    return any("/".join(parts[start:]) == wanted for start in range(len(parts)))
