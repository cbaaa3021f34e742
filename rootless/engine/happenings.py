"""`rl events`: the journal from one moment to another, and on as it grows."""

from __future__ import annotations

import os
import time

from rootless.errors import UsageError
from rootless.kernel import inotify
from rootless.kernel.channel import wait_readable
from rootless.store import events, files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rootless.store.events import Event
    from rootless.store.paths import Paths

_KEYS = ("container", "event", "image", "label", "type", "volume")


class Filter:
    """`--filter KEY=VALUE`: of one key any value fits (of labels all must), different keys all.

    Raises UsageError for a key that there is not.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._wanted: dict[str, list[str]] = {}
        for word in words:
            key, equals, text = word.partition("=")
            if key not in _KEYS or not equals or not text:
                known = "|".join(_KEYS)
                raise UsageError(f"--filter {word}: not a filter", f"rl events --filter {known}=…")
            self._wanted.setdefault(key, []).append(text)

    def takes(self, event: Event) -> bool:
        """Whether `event` fits."""
        return all(_fits(event, key, texts) for key, texts in self._wanted.items())


def _fits(event: Event, key: str, texts: list[str]) -> bool:
    if key == "type":
        return event["Type"] in texts
    if key == "event":
        # "exec_create: sh" and "health_status: healthy" have a word before the colon.
        return event["Action"] in texts or event["Action"].partition(":")[0] in texts
    attributes = event["Actor"].get("Attributes", {})
    if key == "label":
        return all(_has_label(attributes, text) for text in texts)
    return any(_names(event, key, text) for text in texts)


def _has_label(attributes: dict[str, str], wanted: str) -> bool:
    key, equals, text = wanted.partition("=")
    return key in attributes and (not equals or attributes[key] == text)


def _names(event: Event, kind: str, text: str) -> bool:
    attributes, actor = event["Actor"].get("Attributes", {}), event["Actor"]["ID"]
    if event["Type"] == kind:
        return attributes.get("name") == text or (len(text) >= 3 and actor.startswith(text))
    return kind == "image" and attributes.get("image") == text


def stream(
    paths: Paths, since_ns: int | None, until_ns: int | None, wanted: Filter, *, follow: bool
) -> Iterator[Event]:
    """The events that `wanted` takes, from `since_ns` (None: from now) to `until_ns`.

    follow: whether to wait for those that have not happened yet; without `until_ns` for ever.
    """
    reader = events.Reader(paths)
    folder = os.path.dirname(paths.events)
    files.make_dirs(folder)
    # Before the first look: nothing falls between a look and a wait.
    watch = inotify.Watch()
    watch.add(folder)
    try:
        if since_ns is None:
            reader.skip()
        found = reader.new() if since_ns is None else reader.past()
        while True:
            for event in found:
                if until_ns is not None and event["timeNano"] > until_ns:
                    return
                if event["timeNano"] >= (since_ns or 0) and wanted.takes(event):
                    yield event
            left = None if until_ns is None else until_ns - time.time_ns()
            if not follow or (left is not None and left <= 0):
                return
            wait_readable([watch.fd], None if left is None else left // 10**6 + 1)
            watch.clear()
            found = reader.new()
    finally:
        watch.close()
        reader.close()
