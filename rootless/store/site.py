"""rl.toml of the administrator and of the user, read."""

from __future__ import annotations

import os

from rootless import config
from rootless.kernel import proc
from rootless.model.site import NAME, Policy, Site, safe_values
from rootless.tools import idmap

_read: dict[tuple[str, ...], Site] = {}


def load() -> Site | None:
    """What rl.toml says, None where there is none. Raises UsageError that names file and key.

    Who only wants to know whether there is one asks `config.user_files` first: without a file this
    module need not be imported.
    """
    paths = tuple(config.user_files(NAME))
    if not paths:
        return None
    if paths not in _read:
        _read[paths] = _load(paths)
    return _read[paths]


def _load(paths: tuple[str, ...]) -> Site:
    site, values = Site(), variables()
    system = config.system_file(NAME)
    for path in paths:
        document = config.load(path, must_be_read=path == system)
        site.merge(document, path, values, is_system=path == system)
    return site


def variables() -> dict[str, str]:
    """What may stand for something in the names of directories: USER, UID, HOST, HOME."""
    import pwd

    uid = os.geteuid()
    try:
        home = pwd.getpwuid(uid).pw_dir
    except KeyError:
        home = ""
    return safe_values(idmap.user_name(), uid, home, proc.host())


def policy() -> Policy:
    """What users may do here."""
    site = load()
    return site.policy if site is not None else Policy()
