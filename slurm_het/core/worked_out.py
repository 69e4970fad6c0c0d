"""Values that never change, with what was worked out of them."""

from __future__ import annotations

from typing import Any


class WorkedOut:
    """A value beside which is kept what was worked out of it: no part of it, and not sent with it.

    From cycle to cycle most jobs and nodes are the same objects, so that it is worked out once.
    Threads may work out the same at the same time: whoever wants it takes what he has found himself
    rather than look it up again.
    """

    __slots__ = ("_known",)
    _known: dict[str, Any]

    @property
    def known(self) -> dict[str, Any]:
        """By name."""
        try:
            return self._known
        except AttributeError:
            object.__setattr__(self, "_known", {})
            return self._known
