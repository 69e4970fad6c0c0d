"""The groups of a user, as this host knows them."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from functools import lru_cache


@lru_cache(maxsize=4096)
def user_groups(user: str, epoch: int = 0) -> tuple[str, ...]:
    """The names of a user's groups, for AllowGroups; none for a user this host does not know.

    They are looked up again when `epoch` changes.
    """
    del epoch
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return ()
    names = []
    for gid in os.getgrouplist(user, entry.pw_gid):
        with contextlib.suppress(KeyError):
            names.append(grp.getgrgid(gid).gr_name)
    return tuple(names)
