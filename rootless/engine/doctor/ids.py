"""Subordinate ids and the helpers that map them: judged. Pure."""

from __future__ import annotations

import shlex

from rootless.engine.doctor.finding import ADMINISTRATOR, BROKEN, REDUCED, YOU, Finding, Fix, works

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_USUAL = 65536
# With the user, who is 0, these reach up to 65535.
_ENOUGH = 65535
_NOTHING = "no container can run"
ONE_ID = "containers have one id: chown, su and their like are only acted out"
_WHY_IDS = "ids for the users inside of this user's containers (subuid(5))"
_WHY_HELPER = "the setuid helpers that map these ids (newuidmap(1))"


def judge(facts: dict[str, Any], *, has_namespaces: bool) -> list[Finding]:
    """facts: of probes.ids. has_namespaces: without them there is nothing that ids could map."""
    if facts["uid"] == 0:
        return [works("subordinate-ids", f"{_count(facts, 0)} ids, as root of this namespace")]
    helpers = [_helper(facts, name) for name in facts["helpers"]]
    if not facts["mapped"] or not has_namespaces:
        return [_ranges(facts), *helpers]
    # A run tries them and fails: who has no helpers at all is better off.
    broken = [_broken(one) if one.state == REDUCED else one for one in helpers]
    return [_ranges(facts), *(broken if broken != helpers else [*helpers, _maps(facts)])]


def _broken(one: Finding) -> Finding:
    return Finding(one.check, BROKEN, one.found, _NOTHING, one.fix)


def _maps(facts: dict[str, Any]) -> Finding:
    message, hint = facts["mapped"]
    fix = Fix(YOU, "see what is listed, and what the helpers may do", hint) if hint else None
    return Finding("id-maps", BROKEN, message, _NOTHING, fix)


def _count(facts: dict[str, Any], which: int) -> int:
    return sum(size for _, _, size in facts["maps"][which])


def _ranges(facts: dict[str, Any]) -> Finding:
    ranges: dict[str, list[list[int]]] = facts["ranges"]
    without = [path for path, rows in ranges.items() if not rows]
    if without:
        where = _served_by(facts) or " and ".join(without)
        return Finding(
            "subordinate-ids", REDUCED, f"none for {facts['user']} in {where}",
            ONE_ID, Fix(ADMINISTRATOR, _WHY_IDS, _command(facts, without)),
        )  # fmt: skip
    fewest = min(sum(size for _, size in rows) for rows in ranges.values())
    starts = ", ".join(str(first) for first, _ in next(iter(ranges.values())))
    if fewest < _ENOUGH:
        return Finding(
            "subordinate-ids", REDUCED, f"only {fewest} from {starts}",
            "images whose files belong to higher ids, such as 65534 (nobody), cannot be unpacked",
            Fix(ADMINISTRATOR, _WHY_IDS, _command(facts, list(ranges))),
        )  # fmt: skip
    source = _served_by(facts) or "/etc/subuid and /etc/subgid"
    return works("subordinate-ids", f"{fewest} from {starts} ({source})")


def _served_by(facts: dict[str, Any]) -> str:
    """Who has the lists in place of the files, "" for the files."""
    source = facts["source"]
    return "" if source == "files" else f"{source} (subid: in /etc/nsswitch.conf)"


def _command(facts: dict[str, Any], without: list[str]) -> str:
    """That gives a range: usermod(8) knows local users only."""
    first, user = facts["free"], shlex.quote(facts["user"])
    if _served_by(facts):
        return f"# there: {_USUAL} ids for {user}; to see them: getsubids {user}"
    last = first + _USUAL - 1
    if not facts["is_local"]:
        return f"echo {user}:{first}:{_USUAL} | sudo tee -a {' '.join(without)}"
    options = {"/etc/subuid": "--add-subuids", "/etc/subgid": "--add-subgids"}
    words = " ".join(f"{options[path]} {first}-{last}" for path in without)
    return f"sudo usermod {words} {user}"


def _helper(facts: dict[str, Any], name: str) -> Finding:
    helper = facts["helpers"][name]
    path = helper["path"]
    if not path:
        fix = Fix(ADMINISTRATOR, _WHY_HELPER, "sudo apt-get install uidmap")
        return Finding(name, REDUCED, "not installed", ONE_ID, fix)
    if _is_powerless(helper):
        found = f"{path} has neither its setuid bit nor a file capability"
        return Finding(name, REDUCED, found, ONE_ID, _give_power(facts))
    if helper["nosuid"]:
        return Finding(name, REDUCED, f"{path} is on a file system mounted nosuid", ONE_ID)
    if facts["no_new_privs"]:
        found = "setuid programs do nothing for this process (no_new_privs)"
        return Finding(name, REDUCED, found, ONE_ID)
    right = "setuid" if helper["setuid"] else "with a file capability"
    return works(name, f"{path}, {right}")


def _is_powerless(helper: dict[str, Any]) -> bool:
    return bool(helper["path"]) and not helper["setuid"] and not helper["capability"]


def _give_power(facts: dict[str, Any]) -> Fix:
    """For all of them at once."""
    helpers = facts["helpers"].values()
    paths = " ".join(shlex.quote(one["path"]) for one in helpers if _is_powerless(one))
    command = f"sudo chown root {paths} && sudo chmod u+s {paths}"
    return Fix(ADMINISTRATOR, _WHY_HELPER, command)
