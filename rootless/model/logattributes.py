"""What --log-opt labels, env, their -regex and tag say along with each line of a log.

docker, "JSON File logging driver" and "Journald logging driver"; `rl logs --details` shows it.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def of(options: Mapping[str, str], labels: Mapping[str, str], env: Iterable[str]) -> dict[str, str]:
    """The attributes that the log options of a container choose; variables hide labels.

    env: entries NAME=VALUE. What is empty is left out, as docker does.
    """
    variables = dict(entry.split("=", 1) for entry in env if "=" in entry)
    chosen = {**_chosen(options, "labels", labels), **_chosen(options, "env", variables)}
    if options.get("tag"):
        chosen["tag"] = options["tag"]
    return chosen


def _chosen(options: Mapping[str, str], kind: str, values: Mapping[str, str]) -> dict[str, str]:
    names = options.get(kind, "").split(",")
    pattern = options.get(f"{kind}-regex", "")
    expression = re.compile(pattern) if pattern else None
    return {
        name: value for name, value in values.items()
        if value and (name in names or (expression and expression.search(name)))
    }  # fmt: skip


def shown(attributes: Mapping[str, str]) -> str:
    """As docker shows them before a line: sorted, as in a URL's query, with commas."""
    from urllib.parse import quote_plus

    pairs = sorted(f"{quote_plus(name)}={quote_plus(attributes[name])}" for name in attributes)
    return ",".join(pairs)
