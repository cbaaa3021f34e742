"""`--user` and `USER` against the text of an image's /etc/passwd and /etc/group. Pure.

The rules are those of moby/sys/user, which docker, podman and runc share: a number is always an
id, whatever names exist; a number need not be listed. Both files come from the image, so lines
that break the format are skipped.
"""

from __future__ import annotations

from rootless.errors import EXIT_CANNOT_INVOKE, UsageError
from rootless.model.digits import number
from rootless.model.value import Value

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# 2^32-1 means "no id" to the kernel, and tools count in signed numbers.
MAXIMUM_ID = 2**31 - 1


class ExecUser(Value):
    """Who a process runs as: numbers inside the container, its home, and its name if it has one."""

    __slots__ = ("gid", "groups", "home", "name", "uid")

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...], home: str, name: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home
        self.name = name


def resolve(spec: str, passwd: str, group: str) -> ExecUser:
    """`NAME|UID[:GROUP|GID]`, "" for root. Raises UsageError for a name that is not listed."""
    user_word, _, group_word = spec.partition(":")
    uid, gid, home, name = _find_user(user_word, passwd)
    if group_word:
        return ExecUser(uid, _find_group(group_word, group), (), home, name)
    members = (row for row in _rows(group, 4) if name and name in row[3].split(","))
    groups = tuple(int(row[2]) for row in members if _is_id(row[2]))
    return ExecUser(uid, gid, groups, home, name)


def additional_groups(words: Sequence[str], group: str) -> tuple[int, ...]:
    """The ids of --group-add's names and numbers, each once. Raises UsageError."""
    return tuple(dict.fromkeys(_find_group(word, group) for word in words))


def _find_user(word: str, passwd: str) -> tuple[int, int, str, str]:
    word = _canonical(word or "0")
    column = 2 if word.isdecimal() else 0
    for row in _rows(passwd, 6):
        if row[column] == word and _is_id(row[2]) and _is_id(row[3]):
            return int(row[2]), int(row[3]), row[5] or "/", row[0]
    if not word.isdecimal():
        message = f"--user {word}: no such user in the container's /etc/passwd"
        raise UsageError(message, exit_code=EXIT_CANNOT_INVOKE)
    return _checked(word, "--user"), 0, "/", ""


def _find_group(word: str, group: str) -> int:
    word = _canonical(word)
    column = 2 if word.isdecimal() else 0
    for row in _rows(group, 3):
        if row[column] == word and _is_id(row[2]):
            return int(row[2])
    if not word.isdecimal():
        message = f"group {word}: no such group in the container's /etc/group"
        raise UsageError(message, exit_code=EXIT_CANNOT_INVOKE)
    return _checked(word, "group")


def _canonical(word: str) -> str:
    """A number without its leading zeros; a name as it is."""
    return (word.lstrip("0") or "0") if word.isdecimal() else word


def _checked(word: str, what: str) -> int:
    if not _is_id(word):
        raise UsageError(f"{what} {word}: ids go from 0 to {MAXIMUM_ID}")
    return int(word)


def _is_id(word: str) -> bool:
    return number(word, 0, MAXIMUM_ID) is not None


def _rows(text: str, columns: int) -> Iterable[list[str]]:
    for line in text.split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= columns and not line.startswith("#"):
            yield fields
