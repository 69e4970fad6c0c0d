"""What a reason is, and how lists stand in its sentence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

MAX_SENTENCE = 400
"""Longest sentence, in characters, where its facts may be many."""


TellTime = Callable[[float], str]
"""Writes epoch seconds as people read them; the core knows no time zone."""


class Reason(ABC):
    """Why a job waits, or is not planned."""

    __slots__ = ()
    code: ClassVar[str]

    @abstractmethod
    def __str__(self) -> str:
        """The sentence, without a full stop: others may follow it."""

    def told(self, at: TellTime) -> str:  # noqa: ARG002  # only some have a time
        """The sentence, any time in it as `at` writes it."""
        return str(self)


FEW = 3
"""So many names are written out, of more only how many they are."""


def few(names: Sequence[str]) -> str:
    """`nv1, nv2, nv3 and 5 more`."""
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return ", ".join(names[:FEW]) + more
