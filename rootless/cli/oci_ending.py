"""`rl oci kill`, `delete`."""

from __future__ import annotations

from rootless.cli import oci_options
from rootless.cli.cmd_oci import each_id
from rootless.errors import NotFoundError
from rootless.model.signals import signal_number
from rootless.oci import lifecycle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.options import Parsed


def _kill(parsed: Parsed) -> int:
    word = (parsed.arguments[1:] or ["TERM"])[0]
    # As kill(1) has it: 0 only asks whether there is something to be killed.
    number = 0 if word == "0" else signal_number(word)

    def send(root: str, container_id: str) -> None:
        record = lifecycle.find(root, container_id)
        lifecycle.kill(record, number, everybody=parsed.flag("all"))

    return each_id(parsed, send)


def _delete(parsed: Parsed) -> int:
    force = parsed.flag("force")

    def remove(root: str, container_id: str) -> None:
        try:
            lifecycle.delete(lifecycle.find(root, container_id), force=force)
        except NotFoundError:
            if not force:
                raise

    return each_id(parsed, remove)


SIGNATURES = {"kill": oci_options.kill(_kill), "delete": oci_options.delete(_delete)}
