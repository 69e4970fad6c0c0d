"""Values that never change, with what was worked out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class WorkedOut:
    """A value beside which is kept what was worked out of it: no part of it, and not sent with it.

    From cycle to cycle most jobs and nodes are the same objects, so that it is worked out once.
    What is worked out of a value must not hold that value: the two would keep each other alive.
    """

    __slots__ = ("_known",)
    _known: dict[str, tuple[Any, Any]]

    def once(self, name: str, work_out: Callable[[], T], by: object = None) -> T:
        """What is worked out of it and of `by`: anew where that is another than the last time.

        Threads may work out the same at the same time: each takes what it has found itself.
        """
        try:
            known = self._known
        except AttributeError:
            known = {}
            object.__setattr__(self, "_known", known)
        found = known.get(name)
        if found is None or found[0] != by:
            found = by, work_out()
        known[name] = by, found[1]  # the newest of equal ones: it is told at a glance
        made: T = found[1]
        return made
