"""`rl oci features`, `spec`, `--version`."""

from __future__ import annotations

import json
import os

from rootless.cli import oci_options
from rootless.cli.cmd_info import VERSION
from rootless.errors import UsageError
from rootless.oci import document, example, features

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.cli.options import Parsed


def _features(parsed: Parsed) -> int:
    print(json.dumps(features.build(VERSION), indent=2))
    return 0


def _spec(parsed: Parsed) -> int:
    path = os.path.join(parsed.text("bundle"), parsed.text("config"))
    text = json.dumps(example.build(os.geteuid(), os.getegid()), indent=4) + "\n"
    try:
        with open(path, "x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path}: exists already", hint=f"rm {path}") from None
    return 0


def print_version() -> None:
    """As crun does: callers look for the words that begin with a plus sign."""
    print(f"rl-oci version {VERSION}\nspec: {document.VERSION}")
    print("+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP")


SIGNATURES = {
    "features": oci_options.simple(_features, "Show what can be done, as JSON.", with_id=False),
    "spec": oci_options.spec(_spec),
}
