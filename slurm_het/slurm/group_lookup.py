"""A program that looks up the groups of users on this host, for groups.py: the standard library
alone, so that it starts at once.

It reads uids, one a line, and answers each with a line: the uid, then a JSON list of the groups'
names; or `null` for a user that this host does not know now, which may be all that is said of a
directory server that does not answer.
"""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import sys


def groups_of(uid: int) -> list[str] | None:
    """The names of a user's groups, as far as they have names; None if he cannot be looked up."""
    try:
        entry = pwd.getpwuid(uid)
    except (KeyError, OverflowError):
        return None
    names = []
    for gid in os.getgrouplist(entry.pw_name, entry.pw_gid):
        with contextlib.suppress(KeyError):
            names.append(grp.getgrgid(gid).gr_name)
    return names


def main() -> None:
    """Answer what is asked, each at once: the next one may hang."""
    for line in sys.stdin.read().split():
        print(line, json.dumps(groups_of(int(line))), flush=True)


if __name__ == "__main__":
    main()
