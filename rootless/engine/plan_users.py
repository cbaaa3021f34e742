"""/etc/passwd and /etc/group for the user of --userns keep-id, where the image has no such lines.

Pure. podman-run(1), "--userns": programs that ask who they are get the host's name.
"""

from __future__ import annotations


def with_user(passwd: str, user: str, name: str) -> str:
    """`passwd` (passwd(5)) with a line for `user` ("UID:GID") unless its uid has one."""
    uid, _, gid = user.partition(":")
    line = f"{_free_name(passwd, name, uid)}:*:{uid}:{gid}:{name}:/:/bin/sh"
    return _with_line(passwd, uid, line)


def with_group(group: str, user: str, name: str) -> str:
    """`group` (group(5)) with a line for the gid of `user` unless it has one."""
    gid = user.partition(":")[2]
    return _with_line(group, gid, f"{_free_name(group, name, gid)}:x:{gid}:")


def _free_name(text: str, name: str, number: str) -> str:
    """`name`, or one that follows from `number` where the image has the name for somebody else."""
    taken = {line.partition(":")[0] for line in text.splitlines()}
    return f"user{number}" if name in taken or ":" in name else name


def _with_line(text: str, number: str, line: str) -> str:
    if any(row.split(":")[2:3] == [number] for row in text.splitlines()):
        return text
    if text and not text.endswith("\n"):
        text += "\n"
    return f"{text}{line}\n"
