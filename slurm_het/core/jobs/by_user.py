"""A bounded table of what is learned of users' programs: the newest of it, in all and of a user."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")


class ByUser(Generic[V]):
    """At most `most` entries, of one user at most `most_of_user`.

    Of too many the oldest goes: of the user who has too many, else of the one who came longest ago.
    """

    def __init__(self, most: int, most_of_user: int) -> None:
        self.most, self.most_of_user = most, most_of_user
        self._of_user: dict[str, dict[Hashable, V]] = {}
        self._count = 0

    def get(self, user: str, key: Hashable) -> V | None:
        """What is known under a key; None: nothing."""
        known = self._of_user.get(user)
        return known.get(key) if known else None

    def of(self, user: str) -> list[V]:
        """All that is known of a user, oldest first."""
        return list(self._of_user.get(user, {}).values())

    def all(self) -> list[V]:
        """All of it, each user's oldest first."""
        return [entry for known in self._of_user.values() for entry in known.values()]

    def put(self, user: str, key: Hashable, entry: V | None) -> list[V]:
        """Know this in place of what was known, None: nothing; returns what is forgotten for it."""
        known = self._of_user.pop(user, {})
        self._count -= known.pop(key, None) is not None
        if entry is not None:
            known[key] = entry
            self._count += 1
        if known:
            self._of_user[user] = known  # who came last is the last to be forgotten
        gone: list[V] = []
        if len(known) > self.most_of_user:
            gone.append(self._drop_first(user))
        while self._count > self.most:
            gone.append(self._drop_first(next(iter(self._of_user))))
        return gone

    def _drop_first(self, user: str) -> V:
        known = self._of_user[user]
        entry = known.pop(next(iter(known)))
        if not known:
            del self._of_user[user]
        self._count -= 1
        return entry
