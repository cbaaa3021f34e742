"""`rl events`."""

from __future__ import annotations

import sys
import time

from rootless.cli import output
from rootless.cli.options import Parsed, Signature, flag, repeat, value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.store.events import Event


def show(parsed: Parsed) -> int:
    """Print events until the end that was asked for, or for ever."""
    from rootless.engine import happenings
    from rootless.store import paths

    wanted = happenings.Filter(parsed.all("filter"))
    since, until = _moment(parsed, "since"), _moment(parsed, "until")
    follow = parsed.flag("stream")
    if since is None and not follow:
        since = 0
    if since is None and until is not None:
        since = min(time.time_ns(), until) if until > time.time_ns() else 0
    template = parsed.text("format")
    try:
        for event in happenings.stream(paths.discover(), since, until, wanted, follow=follow):
            _write(event, template)
    except KeyboardInterrupt:
        pass  # how one ends it
    return 0


def _moment(parsed: Parsed, name: str) -> int | None:
    from rootless.model import moment

    text = parsed.text(name)
    return moment.parse_moment(text, time.time_ns(), f"--{name}") if text else None


def _write(event: Event, template: str) -> None:
    if template == "json" or template.replace(" ", "") == "{{json.}}":
        import json

        output.write_line(json.dumps(_document(event), separators=(",", ":"), ensure_ascii=False))
    elif template:
        sys.stdout.write(f"{_filled(template, _document(event))}\n")
    else:
        output.write_line(line_of(event))
    # A reader at the other end of a pipe waits for each of them.
    sys.stdout.flush()


def _filled(template: str, document: Event) -> str:
    from rootless.cli.templates import clean
    from rootless.model.gotemplate.template import Template
    from rootless.model.gotemplate.values import Map, Struct

    actor = document["Actor"]
    shown = Struct({"ID": actor["ID"], "Attributes": Map(actor["Attributes"], "")})
    fields = {name[:1].upper() + name[1:]: value for name, value in document.items()}
    fields["ID"] = actor["ID"]
    return Template(template).fill(Struct({"From": "", **fields, "Actor": shown}), clean)


def _document(event: Event) -> Event:
    """With the fields that older programs read."""
    old = {"status": event["Action"], "id": event["Actor"]["ID"]}
    image = event["Actor"].get("Attributes", {}).get("image")
    return {**old, **({"from": image} if image else {}), **event}


def line_of(event: Event) -> str:
    """As docker writes it: time, type, action, id, (attributes)."""
    attributes = event["Actor"].get("Attributes", {})
    shown = ", ".join(f"{key}={attributes[key]}" for key in sorted(attributes))
    words = [_time(event["timeNano"]), event["Type"], event["Action"], event["Actor"]["ID"]]
    return " ".join(words) + (f" ({shown})" if shown else "")


def _time(when_ns: int) -> str:
    """Local time with nanoseconds (Go, time.RFC3339Nano with all digits)."""
    second, nanoseconds = divmod(when_ns, 10**9)
    local = time.localtime(second)
    zone = time.strftime("%z", local)
    shown = "Z" if local.tm_gmtoff == 0 else f"{zone[:3]}:{zone[3:]}"
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{nanoseconds:09d}{shown}"


EVENTS = Signature(
    show,
    "Tell what happens to containers, images and volumes, as it happens.",
    (
        value("--since", "TIME", "Also what has happened since then: a time, or a span (10m)"),
        value("--until", "TIME", "Up to then"),
        repeat("-f --filter", "KEY=VALUE", "type, event, container, image, volume, label"),
        value("--format", "FORMAT", "json, or a Go template: '{{.Action}}'"),
        flag("--stream", "Wait for what is still to come", default=True),
    ),
    examples=("rl events --filter event=die", "rl events --since 1h --stream=false"),
)
